"""A process of the node that is told to stop does so, whatever it is at."""

from __future__ import annotations

import subprocess
import sys

# Gets the signal while it holds the lock of the event that it waits for, as any call of `wait` does for a moment.
INTERRUPTED = """
import os, signal, sys
from pacs_node.cli.node import _stop_event
stop = _stop_event()
with stop._cond:
    os.kill(os.getpid(), signal.SIGTERM)
sys.exit(0 if stop.wait(30) else 1)
"""


def test_a_signal_in_the_middle_of_a_wait_stops_the_process() -> None:
    assert subprocess.run([sys.executable, "-c", INTERRUPTED], timeout=60, check=False).returncode == 0
