"""The learning rate's factor, worked out by hand."""

from __future__ import annotations

import pytest

from training.schedule import poly


def test_the_learning_rate_rises_and_then_falls_to_nothing() -> None:
    assert poly(0.0, 0.0) == 1.0
    assert poly(0.75, 0.02) == pytest.approx(0.25**0.9)
    assert poly(0.0, 0.1) == pytest.approx(1 / 11)  # a tenth of the warm-up is done before the first step
    assert poly(0.05, 0.1) == pytest.approx(6 / 11 * 0.95**0.9)
