"""PS3.2 A.4: the application entity, whom it talks to and how."""

from __future__ import annotations

from collections.abc import Iterator

from pacs_node.config import Config, Destination
from pacs_node.conformance.markdown import table
from pacs_node.conformance.overview import VERIFICATION, sop_classes
from pacs_node.conformance.services import commitment, querying
from pacs_node.dimse.catalogue import name_of, storage_classes, verification_syntaxes
from pacs_node.dimse.scu import UNCOMPRESSED
from pacs_node.dimse.status import OF_ERROR, PROCESSING_FAILURE, SUCCESS
from pacs_node.domain.document import SrClass
from pacs_node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from pacs_node.domain.retry import DELIVER
from pacs_node.domain.shipment import DEFAULT_PROFILE, PROFILES, shipment
from pacs_node.domain.status import is_delivered, is_retryable

_STATUSES = (0x0000, 0x0001, 0x0107, 0x0110, 0x0111, 0x0116, 0x0122, 0x0124, 0x0213, 0xA700, 0xA900, 0xB000, 0xC000)
"""What a peer may answer to a C-STORE (PS3.4 table B.2-1, PS3.7 annex C); of a range its first."""


def networking(config: Config) -> str:
    """The whole of the network."""
    return "\n\n".join(part(config) for part in (_entity, _accepting, _sending, commitment, querying, _web))


def _entity(config: Config) -> str:
    scp = config.scp
    rows = (
        ("AE title", f"`{scp.ae_title}`, as called and as calling AE title; `[scp] ae_title`"),
        ("Port", f"{scp.port} on {scp.host}; `[scp] port`, `[scp] host`"),
        ("Associations accepted at once", f"{scp.maximum_associations}; `[scp] maximum_associations`"),
        ("PDU size received", f"up to {scp.maximum_pdu_bytes} bytes; `[scp] maximum_pdu_bytes`"),
        ("Application context", "1.2.840.10008.3.1.1.1"),
        ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
        ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION}`"),
        ("Asynchronous operations", "not supported"),
    )
    return f"## 2 Networking\n\n### 2.1 Application entity\n\n{table(('', ''), rows)}"


def _accepting(config: Config) -> str:
    callers = ", ".join(f"`{caller.ae_title}`" for caller in config.scp.callers)
    by = f"only from {callers}" if callers else "from every calling AE title"
    statuses = [(f"0x{SUCCESS:04X}", "the instance is on disk, or was there before")]
    statuses += [(f"0x{status:04X}", (kind.__doc__ or "").strip()) for kind, status in OF_ERROR]
    statuses.append((f"0x{PROCESSING_FAILURE:04X}", "whatever nobody expected"))
    contexts = (
        (name_of(VERIFICATION), ", ".join(map(name_of, verification_syntaxes()))),
        (
            f"every Storage SOP class: the {len(storage_classes())} of annex A, and any private class",
            "every transfer syntax of PS3.5 that the sender proposes, in the sender's order",
        ),
    )
    return f"""
### 2.2 Associations that are accepted

Accepted {by} (else rejected-permanent, calling AE title not recognised), for the called AE title above (else
rejected-permanent, called AE title not recognised), up to the number above (else rejected-transient, local limit
exceeded).
`[[scp.callers]]` names calling AE titles and their addresses.

{table(("SOP class, as SCP", "transfer syntaxes"), contexts)}

Storage level 2 (full). Instances are stored as received: nothing is decoded, converted, coerced or removed. What
the node
does with them afterwards is told by `pulmonode study show UID`.

{table(("status of C-STORE", "when"), statuses)}
"""


def _sending(config: Config) -> str:
    syntaxes = ", else ".join(map(name_of, UNCOMPRESSED))
    answers = [(f"0x{status:04X}{_range(status)}", _meaning(status)) for status in _STATUSES]
    return f"""
### 2.3 Associations that are opened

Verification by `pulmonode node check`; Storage of results to every `[[destination]]` that a rule names, one
association for
each result, in {syntaxes}.

{table(("document", "SOP class, as SCU", "UID"), _documents())}

A profile chooses among the documents; the default is `{", ".join(DEFAULT_PROFILE)}`, and the report is written
first as
{config.report.sr_class}.

{table(("profile", "documents"), ((name, ", ".join(roles)) for name, roles in PROFILES.items()))}

{_destinations(config)}

What a destination does not accept falls back: the report from Comprehensive 3D to Comprehensive to Enhanced SR;
SEG and
report, if nothing of them is taken, to secondary captures. Each is shown as a warning.

{table(("status of C-STORE from the peer", "what it means"), answers)}

Up to {DELIVER.attempts} attempts are made. Each sends the same instances with the same UIDs.
"""


def _documents() -> Iterator[tuple[str, str, str]]:
    for role, uids in sop_classes().items():
        for uid in uids:
            yield role, name_of(uid), uid


def _destinations(config: Config) -> str:
    if not config.destination:
        return "This configuration has no destination: results are kept and not sent."
    return table(
        ("destination", "where", "documents and SOP classes"), (_row(item, config) for item in config.destination)
    )


def _row(destination: Destination, config: Config) -> tuple[str, str, str]:
    parts = shipment(destination.profile, SrClass(config.report.sr_class), ()).parts
    where = f"STOW-RS {destination.url}" if destination.url else f"C-STORE `{destination.ae_title}`"
    return destination.name, where, "; ".join(f"{part.role}: {name_of(part.sop_class_uid)}" for part in parts)


def _range(status: int) -> str:
    return f" to 0x{status | (0xFFF if status == 0xB000 else 0xFF):04X}" if status in (0xA700, 0xB000) else ""


def _meaning(status: int) -> str:
    if is_delivered(status):
        return "delivered: the peer holds the instance"
    return "not delivered, tried again" if is_retryable(status) else "not delivered, not tried again"


def _web(config: Config) -> str:
    return """
### 2.6 DICOMweb

Store Instances (STOW-RS, PS3.18 section 10.5) as user agent, to every `[[destination]]` with a `url`: one request
for each
instance, `multipart/related; type="application/dicom"`, in the transfer syntax that it is stored in. 200 and 202
are read
together with the Store Instances Response. An instance that the server refuses because it has it, HTTP 409
included, is
retrieved (WADO-RS) and counts as delivered if its content is the same. Certificates of `https` are checked against
those
that the system trusts; `authorization` is sent as the Authorization header.
"""
