"""Names of things: UIDs, AE titles and database ids, each its own type."""

from __future__ import annotations

import re
from typing import NewType

StudyUid = NewType("StudyUid", str)
SeriesUid = NewType("SeriesUid", str)
InstanceUid = NewType("InstanceUid", str)
StudyId = NewType("StudyId", int)
JobId = NewType("JobId", int)
DeliveryId = NewType("DeliveryId", int)
CommitmentId = NewType("CommitmentId", int)

IMPLEMENTATION_CLASS_UID = "2.25.329088013640768888120349358541401985732"
"""Who wrote a file or speaks on an association (PS3.7 section D.3.3.2, PS3.10 section 7.1); the same everywhere."""
IMPLEMENTATION_VERSION = "PULMONODE_0.1.0"
"""Its version, at most 16 characters."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


def is_uid(text: str) -> bool:
    """Whether the text is a UID of at most 64 characters (PS3.5 section 9.1).

    Leading zeros in a component are tolerated, because scanners write them; anything but digits and single dots is not.
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def is_ae_title(text: str) -> bool:
    """Whether the text is an AE title: 1 to 16 printable ASCII, no backslash, not only spaces (PS3.5 section 6.2)."""
    return 1 <= len(text) <= 16 and text.strip() != "" and all(" " <= c <= "~" and c != "\\" for c in text)
