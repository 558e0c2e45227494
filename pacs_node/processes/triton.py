"""The Triton that comes with the node: started, examined and started again in a thread of its own.

That a server runs means little: it may be stopped, and a model whose process died stays "ready" and fails every call
(Triton 2.51 starts none again). So the server has to answer, and then every model of it; both may take long
when something is wrong, which is why nobody else waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from inference.errors import InferenceError, PredictorBroken, PredictorTimeout
from pacs_node import log


class Server(Protocol):
    """What has to be known of a server; that of `inference.triton` is one."""

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        ...

    def wait_until_ready(self) -> None:
        """Wait until all models answer; raises InferenceError, soon so if its process ends meanwhile."""
        ...

    def is_live(self, within_s: float) -> bool:
        """Whether it answers, whatever its models do."""
        ...

    def reload(self, within_s: float) -> tuple[str, ...]:
        """Start the models again that are dead, and name them; raises InferenceError."""
        ...

    def kill(self) -> None:
        """End its process; may be called from another thread."""
        ...

    def stop(self) -> None:
        """Kill it and remove what it leaves."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the server is looked at, in seconds; a busy machine is slow to answer, so one silence is none.

    Parameters
    ----------
    look_s : whether its process lives
    examine_s : whether it and its models answer
    answer_s, model_s : time for the server's own answer, and for that of a model, which others may keep busy
    silences : after so many in a row it is replaced
    pause_s, longest_s : before the first start anew, and at most; doubled while no server lives to be examined
    """

    look_s: float = 0.2
    examine_s: float = 10.0
    answer_s: float = 10.0
    model_s: float = 60.0
    silences: int = 3
    pause_s: float = 1.0
    longest_s: float = 60.0

    def before_start(self, failures: int) -> float:
        """The pause before a server is started again, after so many that did not live."""
        return min(self.longest_s, self.pause_s * 2.0**failures)


class Keeper:
    """Keeps a server alive, from the moment it is made until it is stopped.

    Parameters
    ----------
    start : starts a server without waiting for it; called in the keeper's thread, which lives as long as the server
    """

    def __init__(self, start: Callable[[], Server], pace: Pace = Pace()) -> None:
        self._start = start
        self._pace = pace
        self._server: Server | None = None
        self._failure: InferenceError | OSError | None = None
        self._has_served = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="triton", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what kept the very first server from being started (InferenceError, OSError): that is a setting."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop the server, also one that is being started."""
        self._stop.set()
        if (server := self._server) is not None:
            server.kill()
        self._thread.join(30)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set() and self._failure is None:
            is_proven = False
            try:
                is_proven = self._serve()
            except (InferenceError, OSError) as error:
                if not self._has_served:
                    self._failure = error
                log.event("triton_not_started", level=logging.ERROR, code=getattr(error, "code", type(error).__name__))
            finally:
                self._end()
            failures = 0 if is_proven else failures + 1
            self._stop.wait(self._pace.before_start(failures))

    def _serve(self) -> bool:
        """Run a server until it has to be replaced; whether it ever passed an examination."""
        self._server = server = self._start()
        if self._stop.is_set():  # it came after `stop` had looked for it
            return False
        server.wait_until_ready()
        self._has_served = True
        log.event("triton_started")
        silences, is_proven, examined = 0, False, time.monotonic()
        while silences < self._pace.silences and server.is_running:
            if self._stop.wait(self._pace.look_s):
                return is_proven
            if time.monotonic() - examined >= self._pace.examine_s:
                silences = 0 if self._is_well(server) else silences + 1
                is_proven, examined = is_proven or not silences, time.monotonic()
        log.event("process_died" if not server.is_running else "triton_silent", level=logging.ERROR, process="triton")
        return is_proven

    def _is_well(self, server: Server) -> bool:
        """Whether a new server would be no better; dead models are started again here."""
        if not server.is_live(self._pace.answer_s):
            log.event("triton_canary_failed", level=logging.WARNING, code=PredictorTimeout.code)
            return False
        try:
            for model in server.reload(self._pace.model_s):
                log.event("model_reloaded", level=logging.WARNING, model=model)
        except InferenceError as error:
            log.event("triton_canary_failed", level=logging.WARNING, code=error.code)
            return not isinstance(error, PredictorTimeout | PredictorBroken)
        return True

    def _end(self) -> None:
        if self._server is not None:
            with suppress(InferenceError, OSError):
                self._server.stop()
            self._server = None
