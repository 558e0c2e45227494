"""Decompression in a process that may crash, hang or bloat without harm: `inference.series.codec`.

Processes are kept for the next series, for starting one takes half a second. Called from `inference.series.decoding`.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference.errors import DecoderStopped, SeriesUnreadable
from inference.series.codec import Coding
from inference.series.limits import DECODER_FIRST_S, DECODER_FRAME_S

StoredArray = NDArray[np.integer]

PROGRAM = "import sys; from inference.series.codec import serve; serve(int(sys.argv[1]))"

TOO_LONG = "the decoder of the series took longer than it may"

DYING_S = 5.0
"""how long a process may take to end after it closed its socket"""


class Decoder:
    """Decodes frames one after the other, within the time that so many frames may take.

    Parameters
    ----------
    first_s, frame_s : what decoding may take at first, and how much longer for each frame that came of it
    program : Python; the argument is the file descriptor of its socket
    """

    def __init__(
        self, *, first_s: float = DECODER_FIRST_S, frame_s: float = DECODER_FRAME_S, program: str = PROGRAM
    ) -> None:
        self._left_s = first_s
        self._frame_s = frame_s
        self._program = program
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None and self._program is PROGRAM:
            _idle.append(process)
        elif process is not None:
            process.kill()

    def decode(self, codestream: bytes, coding: Coding) -> StoredArray:
        """The stored values of a frame; shape (row, column).

        A process that crashed may have been ended by the kernel for want of memory, so a fresh one has another try.

        Raises
        ------
        SeriesUnreadable : the codestream is broken
        DecoderStopped : the decoder crashed twice, or took more memory or time than it may
        """
        try:
            return self._asked(self._process or self._another(), codestream, coding)
        except _Crash:
            try:
                return self._asked(_Process(self._program), codestream, coding)
            except _Crash as error:
                raise DecoderStopped("the decoder of the series crashed") from error

    def _asked(self, process: _Process, codestream: bytes, coding: Coding) -> StoredArray:
        self._process = None
        started_s = time.monotonic()
        try:
            if self._left_s <= 0:
                raise DecoderStopped(TOO_LONG)
            values = process.ask(codestream, coding, self._left_s)
        except SeriesUnreadable:
            self._process = process
            raise
        except BaseException:
            process.kill()
            raise
        finally:
            self._left_s -= time.monotonic() - started_s
        self._process = process
        self._left_s += self._frame_s
        return values

    def _another(self) -> _Process:
        while self._program is PROGRAM:
            try:
                process = _idle.pop()
            except IndexError:  # not asked before, for other threads take from it, too
                break
            if process.is_alive():
                return process
            process.kill()
        return _Process(self._program)


class _Crash(Exception):
    """The process ended in the middle of a frame."""


class _Process:
    """A process of `inference.series.codec` and the socket to it; it ends when the socket is closed."""

    def __init__(self, program: str) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # where decoders may write what they read
                env=_environment(),
            )
        atexit.register(self.kill)

    def ask(self, codestream: bytes, coding: Coding, seconds: float) -> StoredArray:
        question = dataclasses.asdict(coding) | {"bytes": len(codestream), "seconds": seconds}
        values = np.empty((coding.rows, coding.columns), coding.dtype)
        deadline_s = time.monotonic() + seconds
        try:
            self._socket.settimeout(_left_s(deadline_s))
            self._socket.sendall(json.dumps(question).encode() + b"\n" + codestream)
            answer = json.loads(self._line(deadline_s))
            if not answer:
                self._fill(values.data.cast("B"), deadline_s)
        except TimeoutError as error:
            raise DecoderStopped(TOO_LONG) from error
        except (OSError, EOFError, ValueError) as error:
            if self._has_run_out_of_time():
                raise DecoderStopped(TOO_LONG) from error
            raise _Crash from error
        if answer.get("error") == MemoryError.__name__:
            raise DecoderStopped("the decoder of the series needed more memory than it may have")
        if answer:
            raise SeriesUnreadable(f"the pixels of an instance cannot be decoded ({answer['error']})")
        return values

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        atexit.unregister(self.kill)
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _line(self, deadline_s: float) -> bytes:
        line = bytearray(1)
        text = b""
        while not text.endswith(b"\n"):
            self._fill(memoryview(line), deadline_s)
            text += line
        return text

    def _fill(self, buffer: memoryview, deadline_s: float) -> None:
        while buffer:
            self._socket.settimeout(_left_s(deadline_s))
            count = self._socket.recv_into(buffer)
            if not count:
                raise EOFError
            buffer = buffer[count:]

    def _has_run_out_of_time(self) -> bool:
        """Whether a process that does not answer was ended because it took too much of the processor's."""
        try:
            return self._process.wait(DYING_S) == -signal.SIGXCPU
        except subprocess.TimeoutExpired:
            return False


_idle: list[_Process] = []
"""processes that nobody asks"""


def _left_s(deadline_s: float) -> float:
    """Never 0, which would be without waiting, nor less, which is an error."""
    return max(deadline_s - time.monotonic(), 0.001)


def _environment() -> dict[str, str]:
    """Ours without settings, for there may be secrets among them; one thread, for each reserves address space."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PULMONODE_")}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
