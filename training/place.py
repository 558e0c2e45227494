"""Where a training runs: its device, and its share if several processes train together. Called from `training.loop`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import torch
from torch import distributed


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Device and process.

    Parameters
    ----------
    device : torch's name of it
    rank, world : this process's number, and how many train together
    reason : why this device, for people
    """

    device: str = "cpu"
    rank: int = 0
    world: int = 1
    reason: str = "asked for"
    _clock: list[float] = field(default_factory=lambda: [time.monotonic()], repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this process reports and saves."""
        return self.rank == 0

    def is_time(self, seconds: float) -> bool:
        """Whether so many seconds have passed since this was last true."""
        now = time.monotonic()
        if now - self._clock[0] < seconds:
            return False
        self._clock[0] = now
        return True

    @property
    def is_bfloat16_fast(self) -> bool:
        """Whether the hardware computes in bfloat16; a CPU that only imitates it takes two to three times as long."""
        if self.device.startswith("cuda"):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def find_place() -> Place:
    """The GPU if there is one, else the CPU; joins the other processes when started by torchrun."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    has_gpu = torch.cuda.is_available()
    if world > 1:
        distributed.init_process_group("nccl" if has_gpu else "gloo")
    if has_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
        return Place(device=device, rank=rank, world=world, reason=torch.cuda.get_device_name())
    return Place(rank=rank, world=world, reason=f"no GPU that torch can use; {torch.get_num_threads()} threads")
