"""What a DICOMweb server's answer to one stored instance means: stored, or the error that says why not.

Pure: a status, the media type and the body go in. Called from `stow`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pacs_node.domain.status import SOP_CLASS_NOT_SUPPORTED, is_delivered, is_retryable
from pacs_node.errors import NodeError, PeerRefused, PeerRefusedContext, PeerRefusedInstance

_FAILED, _REASON = "00081198", "00081197"
_INSTANCE = "00081155"
_DUPLICATE = 0x0111
_SUCCESS = frozenset({200, 201, 202, 204})
_BUSY = frozenset({401, 403, 404, 405, 408, 429, 502, 503, 504})
"""Status codes that are about the server, not about the instance."""
_NOT_OURS = frozenset({400, 413, 415, 422})
"""Status codes that the same instance would meet again."""


_ADVICE = {401: "; check authorization", 403: "; check authorization"} | dict.fromkeys(
    (301, 302, 307, 308, 404, 405), "; check url"
)


class Verdict(StrEnum):
    """What became of the instance."""

    STORED = "stored"
    DOUBTFUL = "doubtful"
    """refused, perhaps because the server has it already"""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verdict; `error` is what to raise unless it was stored."""

    verdict: Verdict
    error: NodeError | None = None


def judged(status: int, body: bytes, sop_class_uid: str, sop_instance_uid: str) -> Answer:
    """Judge the answer to one POST with one instance.

    Parameters
    ----------
    status : of HTTP; 409 says that something was not stored, and some servers say so with 200 or 202 alone
    body : DICOM JSON, or anything else, which says nothing
    """
    reason = _failure_reason(body, sop_instance_uid)
    is_warning = reason is not None and reason != _DUPLICATE and is_delivered(reason)
    if status in _SUCCESS and (reason is None or is_warning):
        return Answer(verdict=Verdict.STORED)
    if reason == _DUPLICATE or is_warning or (reason is None and status == 409):
        why = "the server has another instance with this UID, or does not say why it refused"
        return Answer(verdict=Verdict.DOUBTFUL, error=PeerRefusedInstance(f"{why} (HTTP {status})"))
    if reason == SOP_CLASS_NOT_SUPPORTED:
        return Answer(verdict=Verdict.REFUSED, error=PeerRefusedContext(sop_class_uid=sop_class_uid))
    return Answer(verdict=Verdict.REFUSED, error=_error(status, reason))


def _error(status: int, reason: int | None) -> NodeError:
    if reason is not None:
        text = f"the server refused the instance with reason 0x{reason:04X} (HTTP {status})"
        return PeerRefusedInstance(text, retryable=is_retryable(reason))
    if status in _NOT_OURS:
        return PeerRefusedInstance(f"the server refused the instance (HTTP {status})")
    error = PeerRefused(f"the server answered with HTTP {status}{_ADVICE.get(status, '')}")
    error.is_met = status not in _BUSY and status not in _ADVICE
    return error


def _failure_reason(body: bytes, sop_instance_uid: str) -> int | None:
    """Failure Reason of the instance in a Store Instances Response Module; None if it is not among the failed."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    for item in _items(answer, _FAILED):
        uid = _value(item, _INSTANCE)
        if uid in (None, sop_instance_uid):
            reason = _value(item, _REASON)
            return reason if isinstance(reason, int) else 0xC000
    return None


def _items(answer: Any, tag: str) -> Iterator[dict[str, Any]]:
    for dataset in answer if isinstance(answer, list) else [answer]:
        element = dataset.get(tag) if isinstance(dataset, dict) else None
        values = element.get("Value") if isinstance(element, dict) else None
        yield from (item for item in values or () if isinstance(item, dict))


def _value(item: dict[str, Any], tag: str) -> Any:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None
