"""The private folder of one supervisor: socket, settings, capabilities, the slots' files.

It is new for every supervisor, so that a slot never meets the engine of another one, and it is
locked by every process that lives in it, so that what a killed supervisor left can be told apart
and removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from contract.requests import Capabilities
from worker.settings import WorkerSettings

_PREFIX = "univigu-"
_LOCK = "lock"
#: of the kernel, in bytes
_LONGEST_SOCKET_PATH = 107


class RunFolder:
    """Paths and files of a run.

    Args:
        path: an existing folder made by `create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: where the engine listens
        self.socket_path = path / "engine.sock"

    @classmethod
    def create(cls, settings: WorkerSettings) -> tuple[RunFolder, int]:
        """Make a new folder in the system's temporary folder.

        Returns:
            The folder and the descriptor that locks it; children have to inherit that.

        Raises:
            ValueError: if the temporary folder's name is too long for a socket below it.
        """
        _check_socket_length(Path(tempfile.gettempdir()))
        hidden = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
        lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # under its name only once it is locked: `remove_abandoned` may run at any moment
        folder = cls(hidden.rename(hidden.with_name(hidden.name.removeprefix("."))))
        folder._write("settings.json", settings.model_dump_json())
        return folder, lock

    def settings(self) -> WorkerSettings:
        """Return the settings that the supervisor runs with."""
        return WorkerSettings.model_validate_json((self.path / "settings.json").read_text())

    def write_capabilities(self, capabilities: Capabilities) -> None:
        """Tell the slots what the engine's checkpoint takes."""
        self._write("capabilities.json", capabilities.model_dump_json())

    def capabilities(self) -> Capabilities:
        """Return what the engine's checkpoint takes; slots start after this is known."""
        text = (self.path / "capabilities.json").read_text()
        return Capabilities.model_validate_json(text, strict=False)

    def empty_folder(self, name: str) -> Path:
        """Return a folder of this name with nothing in it, whatever was there before."""
        path = self.path / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        return path

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        scratch = self.path / f".{name}"
        scratch.write_text(text)
        scratch.rename(self.path / name)

    def _is_abandoned(self) -> bool:
        try:
            lock = os.open(self.path / _LOCK, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True


def _check_socket_length(temporary: Path) -> None:
    length = len(os.fsencode(RunFolder(temporary / f"{_PREFIX}12345678").socket_path))
    if length > _LONGEST_SOCKET_PATH:
        raise ValueError(
            f"the temporary folder {temporary} makes a socket path of {length} bytes, the limit is "
            f"{_LONGEST_SOCKET_PATH}: set TMPDIR to a shorter one"
        )


def remove_abandoned() -> None:
    """Delete the folders of supervisors that were killed, once none of their children lives."""
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        folder = RunFolder(path)
        if folder._is_abandoned():
            folder.remove()
