"""The folder of one embedded server, and everything that carries its name. Called from the launcher.

A Triton that was killed leaves stub processes that live on, and shared memory. All of it carries one name: the prefix
of the shared memory, which stands in the arguments of the server and of each stub, too. The name derives from the
folder, so the next start finds what the last one left.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import time
from pathlib import Path
from typing import IO

from inference.errors import PredictorUnavailable

_PROGRAMS = {"tritonserver", "triton_python_backend_stub"}
_SHARED_MEMORY = Path("/dev/shm")


class Runtime:
    """A folder that one server at a time may use; what a killed predecessor left is removed at once.

    Raises
    ------
    PredictorUnavailable : another process uses it
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.backends = self.folder / "backends"
        self.log = self.folder / "triton.log"
        self.name = f"pulmonode-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]}-"
        self._lock = _locked(self.folder / "lock")
        self.clear()

    def processes(self) -> list[int]:
        """Ids of the server and its stubs, as far as they live."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and self._owns(entry)]

    def clear(self) -> None:
        """Kill the processes and remove the shared memory."""
        while found := self.processes():
            for process in found:
                _kill(process)
            time.sleep(0.02)
        for segment in _SHARED_MEMORY.glob(f"{self.name}*"):
            segment.unlink(missing_ok=True)

    def leave(self) -> None:
        """Clear, and let others use the folder; harmless if that was done."""
        if not self._lock.closed:
            self.clear()
            self._lock.close()

    def _owns(self, entry: Path) -> bool:
        try:
            arguments = (entry / "cmdline").read_bytes()
            return self.name.encode() in arguments and (entry / "exe").readlink().name in _PROGRAMS
        except OSError:  # it ended meanwhile, or is another user's
            return False


def _locked(path: Path) -> IO[bytes]:
    """Hold a lock until the file is closed or this process ends; children do not inherit it, unlike `flock`."""
    lock = path.open("wb")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise PredictorUnavailable(f"another process runs its Triton in {path.parent}; stop it first") from error
    return lock


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
