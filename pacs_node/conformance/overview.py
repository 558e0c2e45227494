"""PS3.2 A.1 and A.3: what the product is, and its network services at a glance."""

from __future__ import annotations

from collections.abc import Iterator

from pacs_node.config import Config
from pacs_node.conformance.markdown import table
from pacs_node.dimse.catalogue import name_of
from pacs_node.dimse.commitment import PUSH_MODEL
from pacs_node.dimse.query import FIND, GET, MOVE
from pacs_node.domain.document import CLASS_UID, SR_CLASS_UID, DocumentRole
from pacs_node.domain.identifiers import IMPLEMENTATION_VERSION

VERIFICATION = "1.2.840.10008.1.1"


def overview(config: Config) -> str:
    """Introduction and services."""
    services = table(("SOP class", "user (SCU)", "provider (SCP)"), _services())
    return f"""
# DICOM conformance statement

PulmoNode, {IMPLEMENTATION_VERSION}, AE title `{config.scp.ae_title}`. For research use.

This is the output of `pulmonode node conformance` for one configuration, in the order of PS3.2 annex A. Run the
command on
your own installation for the statement that holds there.

## 1 Overview

PulmoNode receives instances, finds lung nodules in chest CTs among them, and answers with other instances. It has
no user
interface for images, does not answer queries, and writes no media.

{services}

Results also go to DICOMweb servers by STOW-RS, as user agent. There is no DICOMweb origin server. Media
interchange is not
supported.
"""


def _services() -> Iterator[tuple[str, str, str]]:
    yield name_of(VERIFICATION), "yes", "yes"
    yield name_of(PUSH_MODEL), "yes", "yes"
    for uid in (FIND, MOVE, GET):
        yield name_of(uid), "yes", "no"
    yield "every Storage SOP class, retired and private ones included (annex A)", "no", "yes"
    for role, uids in sop_classes().items():
        for uid in uids:
            yield f"{name_of(uid)} ({role})", "yes", "yes"


def sop_classes() -> dict[DocumentRole, tuple[str, ...]]:
    """The SOP classes that each kind of document may be written as."""
    return {
        role: tuple(SR_CLASS_UID.values()) if role is DocumentRole.SR else (CLASS_UID[role],) for role in DocumentRole
    }
