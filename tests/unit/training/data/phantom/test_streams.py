"""Random numbers by stage."""

from __future__ import annotations

from training.data.phantom.streams import stream


def test_a_stage_draws_the_same_numbers_whatever_other_stages_draw() -> None:
    undisturbed = stream(7, "nodules").random(5)
    stream(7, "trees").random(1000)
    assert (stream(7, "nodules").random(5) == undisturbed).all()


def test_stages_and_seeds_draw_different_numbers() -> None:
    draws = {tuple(stream(seed, stage).random(3)) for seed in (0, 1, 10_000) for stage in ("a", "b")}
    assert len(draws) == 6
