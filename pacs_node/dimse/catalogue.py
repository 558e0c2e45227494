"""What the node supports on the network, as lists for people. Called from `pacs_node.conformance`."""

from __future__ import annotations

import re

from pydicom.uid import UID
from pynetdicom import AllStoragePresentationContexts, sop_class
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from pacs_node.dimse.handlers import is_storage

_KEYWORDS = {str(value): keyword for keyword, value in vars(sop_class).items() if isinstance(value, UID)}


def name_of(uid: str) -> str:
    """Name of a UID in PS3.6 table A-1; of a class that pydicom does not know yet the keyword, in words."""
    name = str(UID(uid).name)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _KEYWORDS.get(uid, uid)) if name == uid else name


def storage_classes() -> tuple[str, ...]:
    """The Storage SOP classes of the standard that are accepted, as far as the library knows them, by name."""
    known = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    return tuple(sorted(filter(is_storage, known), key=lambda uid: (name_of(uid), uid)))


def verification_syntaxes() -> tuple[str, ...]:
    """The transfer syntaxes that C-ECHO is accepted in."""
    return tuple(str(uid) for uid in build_context(Verification).transfer_syntax)
