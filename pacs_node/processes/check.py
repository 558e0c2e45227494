"""The doctor behind `pulmonode node check`: examines every part that the node needs; says what to do about a fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from inference.errors import InferenceError
from inference.predictor import zeros
from pacs_node.config import Config
from pacs_node.dimse import scu
from pacs_node.errors import NodeError
from pacs_node.node import Node, build, peer_of
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
    yield _examined("models", lambda: _models(node), "publish a model, or correct `models`")
    yield _examined("inference", lambda: _inference(node), _TRITON[config.triton.mode])
    for destination in config.destination:
        text = f"correct [[destination]] {destination.name}, or allow {config.scp.ae_title} on the peer"
        yield _examined(f"destination {destination.name}", partial(_echo, config, peer_of(destination)), text)


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
    names = {rule.pipeline for rule in node.config.rule}
    for name in names:
        node.models.contract(name)
    return f"{', '.join(sorted(names))} published"


def _inference(node: Node) -> str:
    """Run zeros through every model in use: "ready" is not enough, a dead model process is ready, too."""
    names = sorted({rule.pipeline for rule in node.config.rule})
    detectors = [node.models.contract(name) for name in names]
    heads = [node.models.contract(contract.head) for contract in detectors if contract.head]
    for c in [*detectors, *heads]:
        node.predictor().infer(c.model, c.version, zeros(c.inputs), [c.outputs[0].name])
    return f"{', '.join(f'{c.model} version {c.version}' for c in [*detectors, *heads])} answered a canary"


def _echo(config: Config, peer: scu.Peer) -> str:
    seconds = scu.echo(peer, calling_ae_title=config.scp.ae_title).seconds
    return f"{peer.ae_title} answers C-ECHO in {1000 * seconds:.0f} ms"
