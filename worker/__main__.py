"""One worker: `python -m worker [PARENT_PID]`, settings from the environment."""

import sys

from worker.settings import WorkerSettings
from worker.supervisor import main

if __name__ == "__main__":
    main(WorkerSettings(), int(sys.argv[1]) if sys.argv[1:] else None)
