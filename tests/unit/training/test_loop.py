"""One loop for all systems: it learns, resumes exactly, keeps turns apart, and shares its work among processes."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.toy_system import LIMIT, toy_system
from training import checkpoint
from training.checkpoint import State
from training.errors import NotEvaluated
from training.loop import Moment, fit
from training.place import Place
from training.system import Memory, Modules, Settings

SETTINGS = Settings(seed=3, average=0.9)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _fit(folder: Path, stop: int | None = None) -> tuple[State, list[Moment]]:
    seen: list[Moment] = []
    return fit(toy_system(), SETTINGS, folder, seen.append, stop=stop), seen


def test_the_line_is_found(tmp_path: Path) -> None:
    state, seen = _fit(tmp_path)
    assert seen[-1].losses["square"] < 0.1 * seen[0].losses["square"]
    assert state.step == 30 == toy_system().steps


def test_a_run_begins_with_the_averaged_weights_of_another_one_where_they_fit(tmp_path: Path) -> None:
    """The critic of the next run is wider, so that only the line is taken over."""
    other, _ = _fit(tmp_path / "other")

    def build() -> Modules:
        model = toy_system().build()
        model["critic"] = torch.nn.Linear(2, 1)
        return model

    system = dataclasses.replace(toy_system(), build=build)
    fresh = checkpoint.begin_with(system, 3, tmp_path / "next", tmp_path / "other")
    assert fresh == ("critic.weight",)
    begun = checkpoint.load(system, 3, tmp_path / "next")
    assert begun.step == 0
    for name in ("line.weight", "line.bias", "critic.bias"):
        assert torch.equal(begun.model.state_dict()[name], other.average[name])
        assert torch.equal(begun.average[name], other.average[name])
    assert not torch.equal(other.average["line.weight"], other.model.state_dict()["line.weight"])


def test_a_run_without_weights_is_nothing_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(NotEvaluated, match="no trained weights to begin with"):
        checkpoint.begin_with(toy_system(), 3, tmp_path / "next", tmp_path / "other")
    assert not (tmp_path / "next").exists()


@pytest.mark.parametrize("stop", [3, 5, 20, 21])
def test_a_run_that_was_stopped_anywhere_ends_as_one_that_was_not(tmp_path: Path, stop: int) -> None:
    whole, _ = _fit(tmp_path / "whole")
    _fit(tmp_path / "parts", stop)
    resumed, _ = _fit(tmp_path / "parts")
    assert resumed.memory == whole.memory == {"epochs": 6}
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_each_turn_has_its_own_optimiser_and_is_told_when_it_has_stepped(tmp_path: Path) -> None:
    state, seen = _fit(tmp_path, 20)
    assert {"square", "critic"} == seen[0].losses.keys()
    assert all(float(p.detach().abs().max()) <= LIMIT for p in state.model["critic"].parameters())
    assert torch.equal(state.model["critic"].weight, torch.full((1, 1), -LIMIT)), "maximises -weight * mean(y), y < 0"


def test_a_phase_without_a_turn_leaves_its_optimiser_alone(tmp_path: Path) -> None:
    before = {name: p.clone() for name, p in _fit(tmp_path, 20)[0].model["critic"].named_parameters()}
    after = _fit(tmp_path)[0].model["critic"]
    assert all(torch.equal(before[name], p) for name, p in after.named_parameters())


def test_the_rate_falls_as_the_phase_says(tmp_path: Path) -> None:
    state, _ = _fit(tmp_path, 26)
    assert state.optimisers["line"].param_groups[0]["lr"] == pytest.approx(0.3 * (1 - 5 / 10))


def test_a_phase_is_validated_after_each_epoch_with_the_running_mean_of_the_weights(tmp_path: Path) -> None:
    state, seen = _fit(tmp_path)
    assert [moment.step for moment in seen if moment.figures] == [5, 10, 15, 20, 25, 30]
    assert seen[-1].figures["slope"] == pytest.approx(float(state.average["line.weight"]))


def test_the_first_step_moves_the_running_mean_by_a_tenth(tmp_path: Path) -> None:
    fresh = checkpoint.fresh(toy_system(), SETTINGS.seed).model.state_dict()["line.weight"].clone()
    state, _ = _fit(tmp_path, 1)
    moved = state.model.state_dict()["line.weight"]
    assert torch.allclose(state.average["line.weight"], 0.9 * fresh + 0.1 * moved)


def test_a_half_written_checkpoint_is_never_met(tmp_path: Path) -> None:
    _fit(tmp_path, 5)
    (tmp_path / f"new-{checkpoint.FILE}").write_bytes(b"cut off")
    assert checkpoint.load(toy_system(), SETTINGS.seed, tmp_path).step == 5


def _finish(model: Modules, memory: Memory) -> None:
    memory["finished"] = memory.get("finished", 0) + 1
    with torch.no_grad():
        model["line"].weight.mul_(2)


@pytest.mark.parametrize("stop", [None, 29])
def test_a_system_is_finished_once_on_the_averaged_weights_and_the_last_checkpoint_has_it(
    tmp_path: Path, stop: int | None
) -> None:
    system = dataclasses.replace(toy_system(), finish=_finish)
    if stop:
        assert "finished" not in fit(system, SETTINGS, tmp_path, lambda moment: None, stop=stop).memory
    fit(system, SETTINGS, tmp_path, lambda moment: None)
    again = fit(system, SETTINGS, tmp_path, lambda moment: None)
    unfinished, _ = _fit(tmp_path / "other")
    assert again.memory["finished"] == 1
    assert torch.equal(again.average["line.weight"], 2 * unfinished.average["line.weight"])
    assert torch.equal(again.average["line.weight"], again.model["line"].weight.detach())
    assert torch.equal(again.average["line.bias"], unfinished.average["line.bias"])


def test_only_the_first_of_several_processes_reports(tmp_path: Path) -> None:
    seen: list[Moment] = []
    fit(toy_system(), SETTINGS, tmp_path, seen.append, place=Place(rank=1), stop=2)
    assert not seen and not (tmp_path / checkpoint.FILE).exists()


def test_two_processes_that_share_the_batches_learn_what_one_does(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (
        "import pathlib, torch; torch.set_num_threads(1)\n"
        "from tests.support.toy_system import toy_system\n"
        "from training.loop import fit; from training.place import find_place; from training.system import Settings\n"
        f"folder = pathlib.Path({str(tmp_path / 'two')!r})\n"
        "fit(toy_system(), Settings(seed=3, average=0.9), folder, print, place=find_place(), stop=8)\n"
        "torch.distributed.destroy_process_group()\n"
    )
    rendezvous = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", program], env=os.environ | rendezvous | {"RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    two = checkpoint.load(toy_system(), 3, tmp_path / "two")
    one, _ = _fit(tmp_path / "one", 8)
    assert two.step == 8
    for name, value in one.model.state_dict().items():
        assert torch.allclose(value, two.model.state_dict()[name], atol=1e-5), name
