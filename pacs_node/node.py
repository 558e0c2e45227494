"""The composition root: `build(config)` puts the parts of the node together, once per process. Tests call it, too."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from inference.predictor import Predictor
from inference.registry import ModelRepository
from pacs_node.archive.files import InstanceFiles
from pacs_node.archive.session import Database
from pacs_node.config import Config, Destination
from pacs_node.dimse import scu


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a step may use.

    Parameters
    ----------
    config, database, files, models : as configured
    predictor : opens the connection to the models on first use, one per process
    send : stores files at a destination, raising NodeError
    now, chance : clock (UTC, aware) and random numbers in [0, 1), so that tests can choose them
    """

    config: Config
    database: Database
    files: InstanceFiles
    models: ModelRepository
    predictor: Callable[[], Predictor]
    send: Callable[[Destination, Sequence[Path]], None]
    now: Callable[[], datetime]
    chance: Callable[[], float]


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
        models=models,
        predictor=cache(lambda: _predictor(config, models)),
        send=lambda destination, paths: _send(config, destination, paths),
        now=lambda: datetime.now(UTC),
        chance=random.random,
    )


def peer_of(destination: Destination) -> scu.Peer:
    """A destination as `dimse.scu` wants it."""
    return scu.Peer(name=destination.name, ae_title=destination.ae_title, host=destination.host, port=destination.port)


def _send(config: Config, destination: Destination, paths: Sequence[Path]) -> None:
    scu.store(peer_of(destination), paths, calling_ae_title=config.scp.ae_title, timeout_s=destination.timeout_s)


def _predictor(config: Config, models: ModelRepository) -> Predictor:
    if config.triton.mode == "onnx":
        from inference.onnx import OnnxPredictor

        return OnnxPredictor(models, threads=config.triton.threads)
    from inference.triton import TritonPredictor

    return TritonPredictor(config.triton.url, models, deadline_s=config.triton.deadline_s)
