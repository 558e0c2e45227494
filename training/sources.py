"""The data folder as training sees it: what is in it, by side of the split. Called from `training.systems`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.data import clinical, luna16, phantom, scans, slices, splits
from training.data.luna16 import Nodule
from training.data.scans import Scan
from training.data.slices import Slice
from training.data.splits import Split

HERE = Path(__file__).parent / "data"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where data come from; everything is read when it is first asked for.

    Parameters
    ----------
    data : folder that holds `luna16_nodules`, `lidc_slices` and `ct`
    cache : folder for what takes long to make
    tell : told what is being made
    """

    data: Path
    cache: Path
    tell: Callable[[str], None] = print

    @cached_property
    def luna16_split(self) -> Split:
        """The committed split of the LUNA16 nodules' patients."""
        return splits.load(HERE / "luna16_split.json")

    @cached_property
    def lidc_split(self) -> Split:
        """The committed split of the LIDC slices' patients; nobody trains here and validates there."""
        return splits.load(HERE / "lidc_split.json")

    @cached_property
    def nodules(self) -> tuple[Nodule, ...]:
        """All LUNA16 nodules."""
        return luna16.load(self.data / "luna16_nodules")

    def luna16_nodules(self, patients: Sequence[str]) -> tuple[Nodule, ...]:
        """The nodules of some patients."""
        kept = set(patients)
        return tuple(nodule for nodule in self.nodules if nodule.patient_id in kept)

    def scans(self, phantoms: Sequence[int], *, has_backgrounds: bool) -> tuple[Scan, ...]:
        """The real CTs without reference marks, if asked for, and phantoms by seed; made once, then from the cache."""
        found: list[Scan] = []
        if has_backgrounds:
            if not list(self.cache.glob("background-*.npz")):
                self.tell("resampling the CTs without reference marks")
                for number, scan in enumerate(list(scans.background_scans(self.data / "ct"))):
                    scans.save(scan, self.cache / f"background-{number}.npz")
            found += [scans.read(path) for path in sorted(self.cache.glob("background-*.npz"))]
        for seed in phantoms:
            path = self.cache / f"phantom-{seed}.npz"
            if not path.exists():
                self.tell(f"making phantom {seed}")
                scans.save(scans.phantom_scan(phantom.make(seed)), path)
            found.append(scans.read(path))
        return tuple(found)

    def luna16_slices(self, patients: Sequence[str], *, drawn: int = 1) -> tuple[Slice, ...]:
        """The largest slice of each nodule of some patients, and more of it up to `drawn`, evenly over its height."""
        return clinical.around_all(self.luna16_nodules(patients), drawn=drawn, empty=0)

    def lidc_slices(self, patients: Sequence[str], *, readers: int = 1) -> tuple[Slice, ...]:
        """The LIDC slices of some patients that so many readers drew at least."""
        return slices.chosen(slices.load_lidc(self.data / "lidc_slices", readers=readers), patients)
