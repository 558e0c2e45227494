"""What is known of a published system: its versions, which one is active, and which ones were before. Pure values.

`<system>.system.json` in the model repository holds one record. Its models share the version number, so that replacing
this one file switches all of them at once; Triton takes no notice of files beside the models' folders.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from inference.errors import ContractInvalid, ModelNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The versions of a system.

    Parameters
    ----------
    name : what rules call it
    versions : the models of every version that is whole, by its number
    active : the version that new jobs are planned with; None until one is promoted
    before : versions that were active before and may be rolled back to, the latest last
    newest : the highest number that was ever given; none is given twice, not even that of a version taken out again
    """

    name: str
    versions: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    active: int | None = None
    before: tuple[int, ...] = ()
    newest: int = 0

    @property
    def kept(self) -> tuple[int, ...]:
        """What has to stay served: the active version, and the one before for the jobs that were planned with it."""
        return tuple(sorted({*self.before[-1:], *([] if self.active is None else [self.active])}))

    @property
    def models(self) -> tuple[str, ...]:
        """Every model of any version, by name."""
        return tuple(sorted({model for members in self.versions.values() for model in members}))

    def members(self, version: int) -> tuple[str, ...]:
        """The models of a version; raises ModelNotFound."""
        if version not in self.versions:
            raise ModelNotFound(f"{self.name} has no version {version}; `pulmonode model list` shows what there is")
        return self.versions[version]

    def published(self, version: int, models: tuple[str, ...]) -> Self:
        """With one more version."""
        return dataclasses.replace(self, versions={**self.versions, version: models}, newest=version)

    def withdrawn(self, version: int) -> Self:
        """Without a version that never was active."""
        left = {number: models for number, models in self.versions.items() if number != version}
        return dataclasses.replace(self, versions=left)

    def activated(self, version: int) -> Self:
        """With another active version; the present one becomes the one before."""
        self.members(version)
        if version == self.active:
            return self
        before = (*self.before, *([] if self.active is None else [self.active]))
        return dataclasses.replace(self, active=version, before=tuple(number for number in before if number != version))

    def rolled_back(self) -> Self:
        """With the version before as the active one; raises ModelNotFound if there is none."""
        if not self.before:
            raise ModelNotFound(f"{self.name} has no version before {self.active} to roll back to")
        return dataclasses.replace(self, active=self.before[-1], before=self.before[:-1])

    def to_json(self) -> str:
        """The text of the record."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a record; raises ContractInvalid."""
        try:
            raw = json.loads(text)
            versions = {int(number): tuple(models) for number, models in raw.pop("versions").items()}
            system = cls(**{**raw, "versions": versions, "before": tuple(raw["before"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ContractInvalid(f"the record of a system cannot be read: {error}") from error
        unknown = {*system.kept, *system.before} - set(versions)
        if unknown:
            raise ContractInvalid(
                f"the record of {system.name} names versions that it does not have: {sorted(unknown)}"
            )
        return system
