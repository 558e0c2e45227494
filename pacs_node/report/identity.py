"""UIDs of results, derived from what went in: the same series and models always give the same instance.

So a step that runs twice stores the same objects again; a changed model or a late slice makes a new series.
Called from `segmentation`, `structured`, `stamp`, and from steps that must know a result's UIDs beforehand.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from inference.findings import ModelUse

VERSION = "0.1.0"
"""Software version of the node; part of every identity, because another version may write other bytes."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "pulmonode.result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultIdentity:
    """What a result is derived from.

    Parameters
    ----------
    study_instance_uid, series_instance_uid : of the analysed series; no series if none was analysed (empty text)
    pipeline : name of the pipeline; empty if none ran
    models : every use of a model
    input_digest : hex digest over the sorted SOP Instance UIDs and hashes of the series
    """

    study_instance_uid: str
    series_instance_uid: str
    pipeline: str
    models: tuple[ModelUse, ...]
    input_digest: str


def uid(identity: ResultIdentity, role: str, number: int = 0) -> str:
    """A UID that only depends on the arguments and the software version.

    Parameters
    ----------
    role : "seg", "lungs", "sr" for instances, the same with "-series" for series, "tracking" for findings
    number : of the finding, or 0

    References
    ----------
    PS3.5 section B.2 (UUID derived UID): '2.25.' and the UUID as a decimal number.
    """
    models = sorted((use.role, use.name, use.version, use.sha256) for use in identity.models)
    what = [identity.study_instance_uid, identity.series_instance_uid, identity.pipeline, models]
    return _derived([VERSION, *what, identity.input_digest, role, number])


def derived_tracking_uids(identity: ResultIdentity, count: int) -> tuple[str, ...]:
    """The Tracking UIDs of so many findings that no earlier result has named."""
    return tuple(derived_tracking_uid(identity, number) for number in range(1, count + 1))


def derived_tracking_uid(identity: ResultIdentity, number: int) -> str:
    """The Tracking UID of one finding that no earlier result has named."""
    return uid(identity, "tracking", number)


def device_uid(station: str) -> str:
    """UID of an installation, which reports name as their observer (PS3.16 TID 1004)."""
    return _derived(["device", station])


def _derived(parts: list[object]) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, json.dumps(parts)).int}"
