"""A whole worker around the stand-in engine, as a script; settings from the environment."""

from pathlib import Path

from worker.settings import WorkerSettings
from worker.supervisor import main

if __name__ == "__main__":
    main(WorkerSettings(), engine=[str(Path(__file__).with_name("stand_in_engine.py"))])
