"""The data folder as training sees it: what is in it, by side of the split. Called from `training.systems`.

Either the shared data (`luna16_nodules`, `lidc_slices`, `ct`) with their committed splits, or a pack of
`pulmonode-train data pack` (`training.data.packs`) with the split that it brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.data import clinical, folds, luna16, packs, phantom, scans, sides, slices, splits
from training.data.luna16 import Nodule
from training.data.scans import Scan
from training.data.slices import Slice
from training.data.splits import Split
from training.errors import DataLacking

HERE = Path(__file__).parent / "data"
FOR_MEASURED = "they are for hr_mpf, dsnet, and baseline_* without _lidc"
HINT = "`pulmonode-train data check` counts what there is, `pulmonode-train data pack` makes it from other folders"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where data come from; everything is read when it is first asked for.

    Parameters
    ----------
    data : the shared data, or a pack
    cache : folder for what takes long to make
    tell : told what is being made
    fold : validate on this fold, from 1, and train on the others; None = the split of the folder
    """

    data: Path
    cache: Path
    tell: Callable[[str], None] = print
    fold: int | None = None

    @cached_property
    def luna16_split(self) -> Split:
        """The sides of the patients whose nodules are patches.

        Raises
        ------
        DataLacking : there is no such fold
        SplitBroken : a file was changed
        """
        return self._own_split or splits.load(HERE / "luna16_split.json")

    @cached_property
    def lidc_split(self) -> Split:
        """The sides of the patients of slices; nobody trains here and validates there."""
        return self._own_split or splits.load(HERE / "lidc_split.json")

    @cached_property
    def patients(self) -> Split:
        """The sides of both kinds together."""
        return sides.together([self.luna16_split, self.lidc_split])

    @property
    def is_pack(self) -> bool:
        """Whether the folder brings its own split."""
        return (self.data / packs.SPLIT).exists()

    @property
    def remark(self) -> str:
        """What every picture of a run must say of its data; empty for real ones."""
        return packs.SYNTHETIC if packs.is_synthetic(self.data) else ""

    @cached_property
    def nodules(self) -> tuple[Nodule, ...]:
        """All nodules that are patches.

        Raises
        ------
        DataLacking : there are none
        """
        if (self.data / packs.NODULES).is_dir():
            return packs.load_nodules(self.data / packs.NODULES)
        if (self.data / "luna16_nodules").is_dir():
            return luna16.load(self.data / "luna16_nodules")
        measured = sum(one.is_measured for one in self._slices)
        instead = (
            f" (its {measured} slices with masks of RECIST axes are no patches: {FOR_MEASURED})" if measured else ""
        )
        raise DataLacking(f"{self.data} holds no patches of nodules, which this recipe is trained on{instead}; {HINT}")

    def luna16_nodules(self, patients: Sequence[str]) -> tuple[Nodule, ...]:
        """The nodules of some patients.

        Raises
        ------
        DataLacking : there are none
        """
        kept = set(patients)
        found = tuple(nodule for nodule in self.nodules if nodule.patient_id in kept)
        if not found:
            raise DataLacking(f"none of {len(self.nodules)} nodules is of these {len(kept)} patients; {HINT}")
        return found

    def scans(self, phantoms: Sequence[int], *, has_backgrounds: bool) -> tuple[Scan, ...]:
        """The real CTs without reference marks, if asked for, and phantoms by seed; made once, then from the cache."""
        found: list[Scan] = list(self._backgrounds()) if has_backgrounds else []
        for seed in phantoms:
            path = self.cache / f"phantom-{seed}.npz"
            if not path.exists():
                self.tell(f"making phantom {seed}")
                scans.save(scans.phantom_scan(phantom.make(seed)), path)
            found.append(scans.read(path))
        return tuple(found)

    def luna16_slices(self, patients: Sequence[str], *, drawn: int = 1) -> tuple[Slice, ...]:
        """The largest slice of each nodule of some patients, and more of it up to `drawn`, evenly over its height.

        Where nobody drew a nodule of theirs, slices with masks made of RECIST axes, at the same spacing.

        Raises
        ------
        DataLacking : there are neither
        """
        try:
            return clinical.around_all(self.luna16_nodules(patients), drawn=drawn, empty=0)
        except DataLacking:
            measured = self._measured_at_luna16(patients)
            if not measured:
                raise
            return measured

    def luna16_slices_to_learn(self, patients: Sequence[str], *, drawn: int = 1) -> tuple[Slice, ...]:
        """As `luna16_slices`, with those of RECIST axes beside the drawn ones: they train, but do not judge them."""
        return _with(self.luna16_slices(patients, drawn=drawn), self._measured_at_luna16(patients))

    def soft_slices(self, patients: Sequence[str], *, readers: int = 1) -> tuple[Slice, ...]:
        """As `lidc_slices`; where nobody drew so, slices with soft masks made of RECIST axes, in their own pixels."""
        try:
            return self.lidc_slices(patients, readers=readers)
        except DataLacking:
            measured = self._measured(patients)
            if not measured:
                raise
            return measured

    def soft_slices_to_learn(self, patients: Sequence[str], *, readers: int = 1) -> tuple[Slice, ...]:
        """As `soft_slices`, with those of RECIST axes beside the drawn ones."""
        return _with(self.soft_slices(patients, readers=readers), self._measured(patients))

    def lidc_slices(self, patients: Sequence[str], *, readers: int = 1) -> tuple[Slice, ...]:
        """The slices of some patients that so many readers drew at least.

        Raises
        ------
        DataLacking : there are none
        """
        some = [one for one in slices.chosen(self._slices, patients) if not one.is_measured]
        found = tuple(one for one in some if len(one.readers_RJI) >= readers)
        if not found:
            most = max((len(one.readers_RJI) for one in some), default=0)
            raise DataLacking(
                f"this recipe is trained or validated on slices that {readers} readers drew; those of these patients "
                f"({len(some)}) were drawn by {most} at most{self._also_measured(patients)}. "
                "Recipes on one mask per nodule are those of hr_mpf, detection_guided and jnsc, and baseline_* without "
                f"_lidc; or pack the shared data beside yours. {HINT}"
            )
        return found

    def examples(self, count: int) -> tuple[Slice, ...]:
        """Some slices of validation patients, for whatever 2-D model."""
        try:
            return self.soft_slices(self.lidc_split.validation)[:count]
        except DataLacking:
            return self.luna16_slices(self.luna16_split.validation)[:count]

    def _measured(self, patients: Sequence[str]) -> tuple[Slice, ...]:
        return tuple(one for one in slices.chosen(self._slices, patients) if one.is_measured)

    def _measured_at_luna16(self, patients: Sequence[str]) -> tuple[Slice, ...]:
        return tuple(slices.at_spacing(one, slices.SPACING_MM) for one in self._measured(patients))

    def _also_measured(self, patients: Sequence[str]) -> str:
        count = len(self._measured(patients))
        return f"; {count} more have masks of RECIST axes, which no reader drew: {FOR_MEASURED}" if count else ""

    @cached_property
    def _slices(self) -> tuple[Slice, ...]:
        if (self.data / packs.SLICES).is_dir():
            return packs.load_slices(self.data / packs.SLICES)
        if (self.data / "lidc_slices").is_dir():
            return slices.load_lidc(self.data / "lidc_slices")
        return ()

    @cached_property
    def _own_split(self) -> Split | None:
        if self.fold is None:
            return splits.load(self.data / packs.SPLIT) if self.is_pack else None
        own = self.data / packs.FOLDS
        dealt = folds.load(own if own.exists() else sides.COMMITTED_FOLDS)
        if not 1 <= self.fold <= len(dealt.patients) or not dealt.patients[self.fold - 1]:
            there = ", ".join(str(number) for number, part in enumerate(dealt.patients, start=1) if part)
            raise DataLacking(f"nobody is in fold {self.fold}; choose one of {there}")
        return dealt.split(self.fold - 1)

    def _backgrounds(self) -> Iterator[Scan]:
        """Of a pack as they are; those of the shared data resampled, once."""
        folder, name = (self.data / packs.BACKGROUNDS, "*.npz") if self.is_pack else (self.cache, "background-*.npz")
        if not self.is_pack and not list(folder.glob(name)):
            self.tell("resampling the CTs without reference marks")
            for number, scan in enumerate(list(scans.background_scans(self.data / "ct"))):
                scans.save(scan, folder / f"background-{number}.npz")
        paths = sorted(folder.glob(name))
        if not paths:
            self.tell("there is no CT without reference marks: background is that of patches and phantoms")
        yield from map(scans.read, paths)


def _with(found: tuple[Slice, ...], measured: tuple[Slice, ...]) -> tuple[Slice, ...]:
    """Both, unless what was found are those measured already."""
    return found if any(one.is_measured for one in found) else (*found, *measured)
