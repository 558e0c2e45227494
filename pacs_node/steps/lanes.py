"""Lanes: a queue, and a worker, for every peer that is asked or told something beside its deliveries.

A sender that asked for hundreds of commitments and was switched off, or a PACS that answers no query, keeps its own
lane busy, and nobody else's. Which lanes there are follows from the configuration alone; rows whose peer is not in it
speak to nobody, and share the queue of the deliveries. Called from `steps.sweep` and `processes.work`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pacs_node.archive.queries import commitments, completeness, deliveries
from pacs_node.config import Caller, Config, Query
from pacs_node.domain.identifiers import CommitmentId, DeliveryId, StudyId
from pacs_node.domain.step import Step
from pacs_node.steps.commit import caller_of
from pacs_node.steps.complete import query_for


def lanes(config: Config) -> tuple[str, ...]:
    """The lanes of all peers."""
    asked = [_lane("commit", destination.endpoint) for destination in config.destination if destination.commitment]
    told = [_lane("commit", _endpoint(caller)) for caller in config.scp.callers if caller.host]
    return tuple(dict.fromkeys([_lane("query", _endpoint(query)) for query in config.query] + asked + told))


def fetching_lanes(config: Config) -> frozenset[str]:
    """The lanes on which workers receive instances themselves."""
    return frozenset(_lane("query", _endpoint(query)) for query in config.query if query.retrieve == "get")


def lane_of(tx: Any, config: Config, step: Step, row_id: int) -> str:
    """The lane of a row that waits for a step; empty if the step has none, or the row no peer that is known."""
    if step is Step.COMPLETE:
        query = query_for(config, completeness.senders(tx, StudyId(row_id)))
        return "" if query is None else _lane("query", _endpoint(query))
    if step is Step.CONFIRM:
        name = deliveries.get(tx, DeliveryId(row_id)).destination
        asked = (d for d in config.destination if d.name == name and d.commitment)
        return next((_lane("commit", destination.endpoint) for destination in asked), "")
    if step is Step.REPORT:
        caller = caller_of(config, commitments.get(tx, CommitmentId(row_id)).calling_ae_title)
        return "" if caller is None else _lane("commit", _endpoint(caller))
    return ""


def _endpoint(peer: Caller | Query) -> str:
    return f"{peer.ae_title}@{peer.host}:{peer.port}"


def _lane(kind: str, endpoint: str) -> str:
    """A name that every broker takes."""
    return f"deliver-{kind}-{hashlib.sha256(endpoint.encode()).hexdigest()[:12]}"
