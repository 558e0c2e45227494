"""PS3.2 A.4, continued: storage commitment in both roles, and queries."""

from __future__ import annotations

from pacs_node.config import Config
from pacs_node.conformance.markdown import table
from pacs_node.dimse.catalogue import name_of
from pacs_node.dimse.commitment import PUSH_MODEL, STATUSES
from pacs_node.dimse.datasets import SYNTAXES
from pacs_node.dimse.query import FIND, GET, MOVE
from pacs_node.domain.commitment import FailureReason
from pacs_node.domain.completeness import MOST_CHECKS
from pacs_node.domain.retry import CONFIRM, REPORT

_REASONS = (
    (FailureReason.NO_SUCH_INSTANCE, "it is not indexed, or its file is gone"),
    (FailureReason.CLASS_CONFLICT, "it is held with another SOP class"),
    (FailureReason.PROCESSING_FAILURE, "its file has not the content that was received"),
)


def commitment(config: Config) -> str:
    """Storage commitment."""
    destinations = ", ".join(f"`{item.ae_title}`" for item in config.destination if item.commitment) or "none"
    callers = ", ".join(f"`{item.ae_title}`" for item in config.scp.callers if item.host) or "none"
    return f"""
### 2.4 Storage commitment

{name_of(PUSH_MODEL)} ({PUSH_MODEL}) in {" or ".join(map(name_of, SYNTAXES))}; the role is selected
by SCP/SCU Role Selection on associations that the SCP opens.

As SCP: what is committed to is indexed and lies on disk with the hash that it was received with. The report comes on
the association of the request, or if that is closed on one that the node opens to `host` and `port` of the sender's
`[[scp.callers]]` (here: {callers}), in up to {REPORT.attempts} attempts. The same request again is reported on again.

{table(("failure reason", "when"), ((f"0x{reason:04X}", when) for reason, when in _REASONS))}

As SCU: destinations with `commitment = true` (here: {destinations}) are asked for every instance of a result, up to
{CONFIRM.attempts} times. The report is taken on the same association or on one that the destination opens.

{table(("status of N-ACTION and N-EVENT-REPORT", "when"), ((f"0x{status:04X}", when) for status, when in STATUSES))}
"""


def querying(config: Config) -> str:
    """Query and retrieve, as SCU."""
    peers = ", ".join(f"`{item.ae_title}` ({item.retrieve})" for item in config.query) or "none"
    rows = ((name_of(uid), uid) for uid in (FIND, MOVE, GET))
    return f"""
### 2.5 Query and retrieve

As SCU only, to every `[[query]]` (here: {peers}), before a study is analysed, up to {MOST_CHECKS} times.

{table(("SOP class, as SCU", "UID"), rows)}

C-FIND at level SERIES with Study Instance UID, asking for Series Instance UID, Modality and Number of Series Related
Instances; at level IMAGE, asking for SOP Instance UID, if the number is not given. C-MOVE and C-GET at level SERIES;
C-MOVE to the node's own AE title, C-GET for the classes and transfer syntaxes that are analysed (section 5.1).
"""
