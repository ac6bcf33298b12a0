"""The HTTP process alone: `python -m server`, set up by `UNIVIGU_*` variables."""

from server.run import run
from server.settings import ServerSettings

if __name__ == "__main__":
    run(ServerSettings())
