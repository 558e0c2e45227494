"""The doctor behind `pulmonode node check`: examines every part that the node needs; says what to do about a fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from inference.errors import InferenceError
from inference.predictor import canary
from pacs_node.config import Config, Destination, PeerTls, ScpTls
from pacs_node.dicomweb import stow
from pacs_node.dimse import scu
from pacs_node.errors import NodeError
from pacs_node.node import Node, build, peer_of, server_of
from pacs_node.steps.pipelines import check_rules
from pacs_node.tls import client_context, examine, server_context
from pacs_node.work.app import celery_app, connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One part: `advice` is empty where it is well."""

    part: str
    is_well: bool
    text: str
    advice: str


def check_node(config: Config) -> Iterator[Check]:
    """Examine the parts one after another, yielding each as soon as it is known."""
    try:
        node = build(config)
    except NodeError as error:
        yield Check(part="database", is_well=False, text=str(error), advice=_DATABASE)
        return
    yield Check(part="database", is_well=True, text="answers, and its schema is up to date", advice="")
    yield _examined("disk", lambda: _disk(config), "free some space, or lower scp.minimum_free_bytes")
    yield _examined("broker", lambda: _broker(config), "start it, or correct queue.broker_url")
    yield _examined("models", lambda: _models(node), "publish a model, or correct `models` or the rule")
    yield _examined("inference", lambda: _inference(node), _TRITON[config.triton.mode])
    for part, tls in _tls_tables(config):
        yield _examined(part, partial(_tls, tls), f"renew the file or correct {part}, then restart the node")
    for destination in config.destination:
        text = f"correct [[destination]] {destination.name}, or allow {config.scp.ae_title} on the peer"
        look = partial(_reach, destination) if destination.url else partial(_echo, config, peer_of(destination))
        yield _examined(f"destination {destination.name}", look, text)


_DATABASE = "start it, or correct database.url; for SQLite check that the folder `data` is writable"
_TRITON = {
    "embedded": "it runs while `pulmonode node up` runs; its log is triton/triton.log in the folder `data`",
    "server": "start the server, or correct triton.url; `pulmonode model list` shows what it must serve",
    "onnx": "check that the files of the models are whole: `pulmonode model list`",
}


def _examined(part: str, look: Callable[[], str], advice: str) -> Check:
    try:
        return Check(part=part, is_well=True, text=look(), advice="")
    except (NodeError, InferenceError) as error:
        return Check(part=part, is_well=False, text=f"{error} [{error.code}]", advice=advice)


def _disk(config: Config) -> str:
    free = shutil.disk_usage(config.data).free
    if free < config.scp.minimum_free_bytes:
        raise NodeError(f"{free / 1e9:.1f} GB are free, fewer than {config.scp.minimum_free_bytes / 1e9:.1f} GB")
    return f"{free / 1e9:.1f} GB are free"


def _broker(config: Config) -> str:
    connect(celery_app(config), timeout_s=5)
    return f"answers ({config.broker_url.partition(':')[0]})"


def _models(node: Node) -> str:
    names = {pipeline.name for pipeline in check_rules(node.models, node.config.rule)}
    return f"{', '.join(sorted(names))} published"


def _inference(node: Node) -> str:
    """Run zeros through every model in use: "ready" is not enough, a dead model process is ready, too."""
    uses = [use for pipeline in check_rules(node.models, node.config.rule) for use in pipeline.uses]
    models = sorted({(use.name, use.version) for use in uses})
    for name, version in models:
        canary(node.predictor(), node.models.contract(name, version))
    return f"{', '.join(f'{name} version {version}' for name, version in models)} answered a canary"


def _tls_tables(config: Config) -> Iterator[tuple[str, ScpTls | PeerTls]]:
    if config.scp.tls is not None:
        yield "scp.tls", config.scp.tls
    for destination in config.destination:
        if destination.tls is not None:
            yield f"tls of destination {destination.name}", destination.tls


def _tls(tls: ScpTls | PeerTls) -> str:
    server_context(tls) if isinstance(tls, ScpTls) else client_context(tls)
    examine(tls, datetime.now(UTC))
    return "the certificates are in force, and the key fits"


def _reach(destination: Destination) -> str:
    stow.reach(server_of(destination))
    return "the DICOMweb server answers a search"


def _echo(config: Config, peer: scu.Peer) -> str:
    seconds = scu.echo(peer, calling_ae_title=config.scp.ae_title).seconds
    return f"{peer.ae_title} answers C-ECHO in {1000 * seconds:.0f} ms"
