"""One owner per folder: a lock file that names the owner and outlives only the processes it has."""

import fcntl
import os
import time
from pathlib import Path

ORPHAN_SECONDS = 10  # how long children of a killed owner may take to end


class FolderLock:
    """An exclusive lock on a folder, taken at once and held until `release`.

    A child given `fileno()` in `pass_fds` holds the lock too: after the owner was killed, the
    folder stays closed until that child is gone.

    Args:
        folder: an existing folder; the lock is the file `owner.lock` in it.

    Raises:
        RuntimeError: if another process holds it; names the folder and that process.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "owner.lock").open("a+")
        deadline = time.monotonic() + ORPHAN_SECONDS
        while not self._try():
            owner = self._owner()
            if _is_running(owner) or time.monotonic() > deadline:
                self._file.close()
                raise RuntimeError(
                    f"data folder {folder} is in use by process {owner or 'unknown'}; "
                    "stop that one or choose another folder"
                )
            time.sleep(0.05)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def fileno(self) -> int:
        """Descriptor to hand to children that use the folder."""
        return self._file.fileno()

    def release(self) -> None:
        """Free the folder, also where a forked child still has a copy of the descriptor."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _owner(self) -> str:
        self._file.seek(0)
        return self._file.read()


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass  # it runs, as another user
    return True
