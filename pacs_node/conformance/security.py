"""PS3.2 A.6 and A.7: character sets and security."""

from __future__ import annotations

from pacs_node.audit.message import kinds
from pacs_node.audit.syslog import MESSAGE_ID
from pacs_node.config import Config
from pacs_node.conformance.markdown import table
from pacs_node.tls import CIPHERS_1_2, PROFILE

_SINGLE_BYTE = (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166)
CHARACTER_SETS = {
    "single-byte": tuple(f"ISO_IR {number}" for number in _SINGLE_BYTE),
    "single-byte, with code extensions": tuple(f"ISO 2022 IR {number}" for number in (6, *_SINGLE_BYTE)),
    "multi-byte, with code extensions": tuple(f"ISO 2022 IR {number}" for number in (58, 87, 149, 159)),
    "multi-byte, without code extensions": ("ISO_IR 192", "GB18030", "GBK"),
}
"""Defined terms of PS3.3 tables C.12-2 to C.12-5; none at all is the default repertoire."""


def character_sets(config: Config) -> str:
    """What happens to texts in every script."""
    rows = ((kind, ", ".join(terms)) for kind, terms in CHARACTER_SETS.items())
    return f"""
## 3 Character sets

Every Specific Character Set is stored as it is. Results carry that of their CT, and with it the patient and study
attributes copied from there unchanged; what the node writes itself is ASCII, which all of them hold. Reports are
in English
(en-US).

These defined terms are read and written, as is the default repertoire where none is named:

{table(("character set", "defined terms"), rows)}
"""


def security(config: Config) -> str:
    """What protects the node, and what does not."""
    callers = len(config.scp.callers)
    known = f"{callers} calling AE titles may open associations" if callers else "Every calling AE title is accepted"
    return f"""
## 4 Security

Secure transport: {PROFILE} (PS3.15 section B.12), in both directions, with certificates
of both sides. TLS 1.3, or TLS 1.2 with {", ".join(CIPHERS_1_2[:2])},
{", ".join(CIPHERS_1_2[2:])}; no renegotiation. The Non-Downgrading BCP 195 profile (section B.10)
is met, but for its cipher suites with finite-field Diffie-Hellman, which RFC 9325 no longer recommends.
{_incoming(config)} A destination with `tls`, or with a `url` that begins with
https, is spoken to with TLS only, and has to prove its name.

{known}; `[[scp.callers]]` names AE titles and addresses. User identity negotiation is not supported. The node's log
holds no patient data.

Audit trail: messages in the format of PS3.15 section A.5, sent by syslog over TLS (section A.6) if a host is
configured: {", ".join(kinds())}. They name
studies and application entities, but no patient, so the Audit Trail Message Format profile is met but for that
participant. Facility 10, severity 5 or 4, MSGID {MESSAGE_ID}, no structured data.
"""


def _incoming(config: Config) -> str:
    tls = config.scp.tls
    if tls is None:
        return "The port takes plain DICOM; with `[scp.tls]` it takes TLS only."
    shown = (
        "a certificate of a known authority is required" if tls.require_client_certificate else "anybody may connect"
    )
    return f"The port takes TLS only; {shown}."
