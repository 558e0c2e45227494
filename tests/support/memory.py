"""The memory of this process as the kernel counts it (proc(5))."""

from __future__ import annotations

from pathlib import Path

import psutil


def resident_bytes() -> int:
    """What is resident now."""
    return int(psutil.Process().memory_info().rss)


def forget_peak() -> int:
    """Begin to measure the most anew; what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident_bytes()


def peak_bytes() -> int:
    """The most that was resident since then, or since the process began (VmHWM).

    What `getrusage` says begins with the peak of the process that started this one.
    """
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
