"""Every benchmark of `make bench` that starts peers runs; small, and without judging its figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless

from tests.benchmarks import capacity, growth, load, lungs, receive, report, send, whole
from tests.benchmarks.capacity import Stage
from tests.benchmarks.goals import Goal, table
from tests.support.detectors import ball_repository
from tests.support.network import LOOPBACK, Network, ethernet
from tests.support.series import Ball, a_chest_series, chest_hu
from tests.support.volumes import a_grid, a_volume

pytestmark = pytest.mark.services


@pytest.mark.parametrize("network", [partial(nullcontext, LOOPBACK), ethernet], ids=["loopback", "Ethernet"])
@pytest.mark.parametrize("sending", [None, receive.by_dcmtk], ids=["own sender", "storescu"])
def test_receivers_are_measured_in_turn(
    tmp_path: Path, sending: receive.Sending | None, network: Callable[[], AbstractContextManager[Network]]
) -> None:
    with network() as place:
        receivers = receive.from_storescu(place)
        seconds = receive.measure(tmp_path, receivers, sending=sending, counts=(1,), instances=3, rounds=2)
    assert {key: len(taken) for key, taken in seconds.items()} == {(receive.NODE, 1): 2, (receive.DCMTK, 1): 2}
    assert all(taken_s > 0 for taken in seconds.values() for taken_s in taken)
    for name in receivers:
        assert name in receive.table(seconds)


def test_many_senders_are_measured(tmp_path: Path) -> None:
    only = {receive.NODE: receive.ON_DISK[receive.NODE]}
    assert len(receive.measure(tmp_path, only, counts=(11,), instances=11, rounds=1)[receive.NODE, 11]) == 1


def test_senders_are_measured_in_turn() -> None:
    assert {name: len(taken) for name, taken in send.measure(instances=2, rounds=2).items()} == {
        "node": 2,
        "pynetdicom": 2,
    }


def test_every_instance_that_is_sent_under_load_is_answered() -> None:
    assert send.lost(instances=20) == 0


def test_readers_see_the_same_voxels_and_are_measured_in_turn() -> None:
    assert {name: len(taken) for name, taken in load.measure(slices=20, rounds=2).items()} == {
        "node": 2,
        "SimpleITK": 2,
    }


def test_a_whole_node_is_measured_from_the_last_slice_to_the_pacs(tmp_path: Path) -> None:
    models = ball_repository(tmp_path / "models")
    balls = [Ball(centre_lps=(70, 0, 0), diameter_mm=14)]
    paths = a_chest_series(tmp_path / "ct", slices=24, spacing_mm=5.0, balls=balls)
    alone, crowd = whole.stat_in_a_crowd(paths, waiting=2, rounds=1, models=models)
    assert (len(alone), len(crowd)) == (1, 1)
    rate = whole.throughput(paths, processes=1, studies=2, models=models)
    assert rate.per_hour > 0
    assert rate.most_mb > 50
    assert len(whole.latency(paths, quiet_s=1.0, rounds=1, models=models)) == 1


def test_decoding_is_measured_on_one_core_and_on_all() -> None:
    taken = load.measure_decoding(JPEGLSLossless, slices=4, rounds=2)
    assert {name: len(seconds) for name, seconds in taken.items()} == {"one": 2, "all": 2}


def test_the_plain_mask_of_the_lungs_is_like_ours_and_its_time_is_taken() -> None:
    ours_s, plain_s, dice = lungs.measure(a_volume(chest_hu(), a_grid((30, 150, 150), (2.5, 2.0, 2.0))))
    assert dice > 0.98
    assert ours_s > 0
    assert plain_s > 0


def test_without_real_cts_no_mask_is_measured(tmp_path: Path) -> None:
    assert lungs.real_volumes(tmp_path / "none") == {}


def test_a_ratio_is_that_of_the_same_round() -> None:
    seconds = {("a", 1): [1.0, 2.0, 4.0], ("b", 1): [3.0, 4.0, 4.0]}
    assert receive.ratio(seconds, ("a", 1), ("b", 1)) == 2.0


@pytest.mark.parametrize(
    ("value", "is_least", "word"),
    [(2.0, True, "PASS"), (1.9, True, "SHORT"), (2.0, False, "PASS"), (2.1, False, "SHORT")],
)
def test_a_goal_is_passed_on_the_right_side_of_its_bound(value: float, is_least: bool, word: str) -> None:
    assert word in table([Goal(what="it", value=value, bound=2.0, is_least=is_least)])


def test_what_was_not_measured_is_short() -> None:
    assert "SHORT" in table([Goal(what="it", value=float("nan"), bound=2.0)])


def test_growth_has_a_figure_for_every_size() -> None:
    curves = growth.nodules((2,)) | growth.slices((75,)) | growth.waiting((1, 3)) | growth.senders((1,), instances=2)
    assert {name: [size for size, _ in points] for name, points in curves.items()} == {
        "SEG and SR, CPU s": [2],
        "load, CPU s": [75],
        "find lungs, CPU s": [75],
        "one sweep, s": [1, 3],
        "received, instances/s": [1],
    }
    assert all(value > 0 for points in curves.values() for _, value in points)


def test_studies_come_in_the_busy_hours_above_all() -> None:
    times = capacity.arrivals(1000)
    begin, end = (hour * 3600 for hour in capacity.BUSY_HOURS)
    assert len(times) == 1000
    assert sorted(times) == list(times)
    assert sum((times >= begin) & (times < end)) == 800
    assert (times[0] >= 0) & (times[-1] < capacity.DAY_S)


def test_a_stage_serves_who_came_first_as_soon_as_a_server_is_free() -> None:
    ready = np.array([0.0, 1.0, 2.0, 20.0])
    assert list(capacity.served(ready, Stage(name="one", seconds=5.0), 1)) == [5.0, 10.0, 15.0, 25.0]
    assert list(capacity.served(ready, Stage(name="two", seconds=5.0), 2)) == [5.0, 6.0, 10.0, 25.0]


def test_a_site_gets_servers_for_its_busy_hours_and_the_slower_stage_breaks_first() -> None:
    quick, slow = Stage(name="quick", seconds=1.0), Stage(name="slow", seconds=100.0)
    plan = capacity.planned(3600, (quick, slow))  # 0.08 a second: 8 servers at work all the time
    assert plan.servers == (1, 10)
    assert plan.busy == (0.08, 0.8)
    assert plan.breaks_first == slow
    assert 101.0 < plan.p95_s <= capacity.TARGET_S


def test_a_shorter_time_to_the_result_takes_more_servers() -> None:
    stages = (Stage(name="slow", seconds=100.0),)
    assert capacity.planned(3600, stages, target_s=102.0).servers > capacity.planned(3600, stages).servers


def test_a_study_that_takes_longer_than_it_may_is_refused() -> None:
    with pytest.raises(ValueError, match="no number of servers"):
        capacity.planned(1, (Stage(name="slow", seconds=601.0),))


def test_the_page_keeps_what_was_not_measured() -> None:
    page = report.replaced(f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n", "new")
    assert page == f"above\n{report.BEGIN}\nnew\n{report.END}\nbelow\n"
    assert report.replaced("above\n", "new") == f"above\n\n{report.BEGIN}\nnew\n{report.END}\n"


def test_a_gpu_takes_over_what_the_networks_do() -> None:
    seconds = {"load": 1.0, "detect": 7.0, "classify": 2.0, "start Triton (not part of a study)": 9.0}
    cpu, gpu = report.costs(seconds, per_s=300.0)
    assert [stage.seconds for stage in cpu] == [1.0, 10.0]
    assert [stage.seconds for stage in gpu] == [1.0, 1.0, report.GPU_S]
