"""The networks of the comparison tables: their size, and that they answer pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.baselines import BASELINES, unet_plus_plus

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # MONAI's own


@pytest.mark.parametrize(
    ("name", "millions", "giga"),
    [("unet", 0.40, 0.038), ("attention_unet", 0.49, 0.127), ("unet_plus_plus", 0.60, 0.255), ("deeplab", 2.25, 0.141)],
)
def test_a_baseline_is_as_large_as_it_says_and_answers_every_pixel(name: str, millions: float, giga: float) -> None:
    with torch.device("meta"):
        network = BASELINES[name]().eval()
        assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 1, 64, 64)
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=0.005)
    assert multiply_accumulates(network, (1, 64, 64)) / 1e9 == pytest.approx(giga, abs=0.0006)


def test_monai_s_nested_unet_is_one_percent_smaller_than_the_printed_one() -> None:
    with torch.device("meta"):
        network = unet_plus_plus((32, 64, 128, 256, 512, 32), 3).eval()
    assert parameters(network) / 1e6 == pytest.approx(9.119, abs=0.001)  # printed: 9.16
    assert multiply_accumulates(network, (3, 64, 64)) / 1e9 == pytest.approx(2.047, abs=0.001)  # printed: 2.16
