"""The composition root: `build(config)` puts the parts of the node together, once per process. Tests call it, too."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from inference.eligibility.content import CT_CLASSES
from inference.predictor import Predictor
from inference.registry import ModelRepository
from inference.series import DECODABLE
from pacs_node.archive.ahead import Ahead
from pacs_node.archive.files import InstanceFiles
from pacs_node.archive.session import Database
from pacs_node.audit.reporter import Reporter
from pacs_node.audit.trail import Trail
from pacs_node.config import Caller, Config, Destination, PeerTls, Query
from pacs_node.dicomweb import stow
from pacs_node.dimse import asking, scu
from pacs_node.dimse import query as querying
from pacs_node.domain.commitment import CommitmentReport, CommitmentRequest
from pacs_node.domain.completeness import SeriesCount
from pacs_node.domain.identifiers import SeriesUid, StudyUid
from pacs_node.domain.instance import Inbox

ABANDONED = 75
"""Exit code of a process that left its work to others (EX_TEMPFAIL of sysexits.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a step may use.

    Parameters
    ----------
    config, database, files, ahead, models : as configured
    predictor : opens the connection to the models on first use, one per process
    send : stores files at a destination, raising NodeError
    count : the series that a PACS holds of a study, with their number of instances, raising NodeError
    fetch : has a series sent, or puts it into the inbox, within so many seconds, raising NodeError
    ask : asks a destination to commit to instances; its report if it comes at once, raising NodeError
    report : tells a sender what the node commits to, raising NodeError
    probe : which of these SOP classes a destination refuses, as far as it can be asked, raising NodeError
    now, chance : clock (UTC, aware) and random numbers in [0, 1), so that tests can choose them
    audit : tells the audit trail
    abandon : ends this process at once, whatever it does: the work in hand is no longer its own
    """

    config: Config
    database: Database
    files: InstanceFiles
    ahead: Ahead
    models: ModelRepository
    predictor: Callable[[], Predictor]
    send: Callable[[Destination, Sequence[Path]], None]
    count: Callable[[Query, StudyUid], Sequence[SeriesCount]]
    fetch: Callable[[Query, StudyUid, SeriesUid, Inbox, float], None]
    ask: Callable[[Destination, CommitmentRequest], CommitmentReport | None]
    report: Callable[[Caller, CommitmentReport], None]
    probe: Callable[[Destination, Sequence[str]], frozenset[str]]
    now: Callable[[], datetime]
    chance: Callable[[], float]
    audit: Reporter
    abandon: Callable[[], None]


def build(config: Config) -> Node:
    """Open database and archive, and bring the schema up to date.

    Raises
    ------
    DatabaseUnavailable, StorageFailed
    """
    database = Database(config.database_url)
    database.migrate()
    models = ModelRepository(config.models)
    return Node(
        config=config,
        database=database,
        files=InstanceFiles(config.data, minimum_free_bytes=config.scp.minimum_free_bytes),
        ahead=Ahead(config.data),
        models=models,
        predictor=cache(lambda: _predictor(config, models)),
        send=lambda destination, paths: _send(config, destination, paths),
        count=lambda query, study: _count(config, query, study),
        fetch=lambda query, study, series, inbox, within_s: _fetch(config, query, (study, series), inbox, within_s),
        ask=lambda destination, request: asking.ask(
            peer_of(destination), request, calling_ae_title=config.scp.ae_title, timeout_s=destination.timeout_s
        ),
        report=lambda caller, report: _report(config, caller, report),
        probe=lambda destination, classes: _refused(config, destination, classes),
        now=lambda: datetime.now(UTC),
        chance=random.random,
        audit=Reporter(config=config, record=Trail(config).record, now=lambda: datetime.now(UTC)),
        abandon=lambda: os._exit(ABANDONED),
    )


def peer_of(destination: Destination) -> scu.Peer:
    """A destination as `dimse.scu` wants it."""
    return scu.Peer(
        name=destination.name,
        ae_title=destination.ae_title,
        host=destination.host,
        port=destination.port,
        tls=destination.tls,
    )


def server_of(destination: Destination) -> stow.Server:
    """A destination with a url as `dicomweb.stow` wants it."""
    return stow.Server(
        url=destination.url,
        authorization=destination.authorization,
        timeout_s=destination.timeout_s,
        tls=destination.tls or PeerTls(),
    )


def _send(config: Config, destination: Destination, paths: Sequence[Path]) -> None:
    if destination.url:
        stow.store(server_of(destination), paths)
    else:
        scu.store(peer_of(destination), paths, calling_ae_title=config.scp.ae_title, timeout_s=destination.timeout_s)


def _count(config: Config, query: Query, study: StudyUid) -> Sequence[SeriesCount]:
    return querying.count_series(
        _peer_at(query), study, calling_ae_title=config.scp.ae_title, timeout_s=query.timeout_s
    )


def _fetch(config: Config, query: Query, which: tuple[StudyUid, SeriesUid], inbox: Inbox, within_s: float) -> None:
    if query.retrieve == "move":
        querying.move_series(_peer_at(query), *which, calling_ae_title=config.scp.ae_title, timeout_s=within_s)
        return
    wanted = querying.Wanted(
        sop_class_uids=tuple(sorted(CT_CLASSES)),
        transfer_syntax_uids=tuple(sorted(DECODABLE)),
        maximum_instance_bytes=config.scp.maximum_instance_bytes,
    )
    querying.get_series(
        _peer_at(query), *which, inbox, wanted, calling_ae_title=config.scp.ae_title, timeout_s=within_s
    )


def _peer_at(query: Query) -> scu.Peer:
    return scu.Peer(name=query.ae_title, ae_title=query.ae_title, host=query.host, port=query.port, tls=query.tls)


def _report(config: Config, caller: Caller, report: CommitmentReport) -> None:
    peer = scu.Peer(name=caller.ae_title, ae_title=caller.ae_title, host=caller.host, port=caller.port, tls=caller.tls)
    asking.report(peer, report, calling_ae_title=config.scp.ae_title)


def _refused(config: Config, destination: Destination, sop_class_uids: Sequence[str]) -> frozenset[str]:
    if destination.url:
        stow.reach(server_of(destination))  # what it takes cannot be asked: its refusals tell
        return frozenset()
    taken = scu.accepted(
        peer_of(destination), sop_class_uids, calling_ae_title=config.scp.ae_title, timeout_s=destination.timeout_s
    )
    return frozenset(sop_class_uids) - taken.keys()


def _predictor(config: Config, models: ModelRepository) -> Predictor:
    if config.triton.mode == "onnx":
        from inference.onnx import OnnxPredictor

        return OnnxPredictor(models, threads=config.triton.threads)
    from inference.triton import TritonPredictor

    is_embedded = config.triton.mode == "embedded"
    return TritonPredictor(config.triton.url, models, deadline_s=config.triton.deadline_s, is_embedded=is_embedded)
