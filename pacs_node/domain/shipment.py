"""What a destination is sent: its profile, less what it does not take, with what takes its place.

The chain: a report as Comprehensive 3D SR, else as Comprehensive SR, else as Enhanced SR; SEG and reports that are not
taken at all become secondary captures, which every PACS shows; anything else is left out. Each step is a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pacs_node.domain.document import CLASS_UID, SR_CLASS_UID, DocumentRole, SrClass

R = DocumentRole

PROFILES = {
    "full": (R.SEG, R.LUNGS, R.SR, R.CAPTURES, R.PRESENTATION),
    "seg+sr": (R.SEG, R.SR),
    "images-only": (R.CAPTURES,),
}
"""Named choices of documents; a destination may also list roles of its own."""
DEFAULT_PROFILE = ("seg+sr",)
_BECOME_CAPTURES = (R.SEG, R.SR)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Part:
    """One kind of document, written as one SOP class."""

    role: DocumentRole
    sop_class_uid: str

    @property
    def sr_class(self) -> SrClass | None:
        """Which SR it is, if it is the report."""
        return next((kind for kind, uid in SR_CLASS_UID.items() if uid == self.sop_class_uid), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """What to send, in the order in which it is sent, and for people what is not as the profile wants it."""

    parts: tuple[Part, ...]
    warnings: tuple[str, ...]


def roles_of(profile: Sequence[str]) -> tuple[DocumentRole, ...]:
    """The documents of a profile: names of profiles and of documents, in any mixture.

    Raises
    ------
    ValueError : a name is neither
    """
    chosen = {role for name in profile for role in PROFILES.get(name) or (DocumentRole(name),)}
    return tuple(role for role in DocumentRole if role in chosen)


def shipment(profile: Sequence[str], preferred: SrClass, refused: Collection[str]) -> Shipment:
    """Decide what a destination is sent.

    Parameters
    ----------
    profile : as configured
    preferred : the SR class to begin with
    refused : SOP Class UIDs that the destination does not take
    """
    parts: dict[DocumentRole, Part] = {}
    warnings = []
    for role in roles_of(profile):
        part = next((part for part in _offers(role, preferred) if part.sop_class_uid not in refused), None)
        if part is not None:
            parts[part.role] = part
        if part is None or part != next(_offers(role, preferred)):
            warnings.append(_warning(role, part))
    return Shipment(parts=tuple(parts[role] for role in DocumentRole if role in parts), warnings=tuple(warnings))


def _offers(role: DocumentRole, preferred: SrClass) -> Iterator[Part]:
    """What may stand for a document, the best first."""
    if role is R.SR:
        kinds = list(SR_CLASS_UID)
        for kind in kinds[kinds.index(preferred) :]:
            yield Part(role=role, sop_class_uid=SR_CLASS_UID[kind])
    else:
        yield Part(role=role, sop_class_uid=CLASS_UID[role])
    if role in _BECOME_CAPTURES:
        yield Part(role=R.CAPTURES, sop_class_uid=CLASS_UID[R.CAPTURES])


def _warning(role: DocumentRole, part: Part | None) -> str:
    if part is None:
        return f"{role} is left out, because the destination does not take it"
    if part.sr_class is not None:
        return f"{role} is sent as {part.sr_class} SR, because the destination does not take a richer class"
    return f"{part.role} take the place of {role}, which the destination does not take"
