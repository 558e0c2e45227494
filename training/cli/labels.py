"""`pulmonode-train jnsc-labels`: hard, soft and pseudo-labels on the features of a finished JNSC."""

from __future__ import annotations

import json

import torch

from training import runs
from training.cli.measure import trained
from training.cli.options import CACHE, CacheFolder, DataFolder, RunFolder, Threads, console, sources_of_run
from training.errors import OtherRun
from training.evaluation import pages
from training.networks.jnsc import Jnsc
from training.systems.jnsc.label_study import rated, study


def compare_labels(folder: RunFolder, data: DataFolder, cache: CacheFolder = CACHE, threads: Threads = 1) -> None:
    """Fit hard, soft and pseudo-labels of two readers on a run's features; writes labels.json and labels.md."""
    torch.set_num_threads(threads)
    own = sources_of_run(folder, data, cache)
    _, _, model, _ = trained(folder, own)
    network = dict(model).get("network")
    if not isinstance(network, Jnsc):
        raise OtherRun(f"{folder} holds no run of JNSC")
    split = own.luna16_split
    known, held_back = (rated(network, own.luna16_nodules(side)) for side in (split.train, split.validation))
    figures = study(known, held_back)
    (folder / runs.LABELS).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (folder / "labels.md").write_text(pages.table(figures), encoding="utf-8")
    console.print(pages.table(figures))
