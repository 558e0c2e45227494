"""How the learning rate falls. Pure; called from `training.systems`."""

from __future__ import annotations


def poly(share: float, warm_up: float, power: float = 0.9) -> float:
    """(1 - share)^power, times a straight rise over the warm-up.

    Parameters
    ----------
    share : of the phase that is done, 0..1
    warm_up : share of the phase in which the rate rises, from a tenth of the warm-up on, so that no step is lost

    Returns
    -------
    factor of the highest rate, 0..1

    References
    ----------
    power 0.9: MB-DCNN (Xie et al., IEEE TMI 39 (2020) 2482) and DeepLab before it
    """
    rise = min(1.0, (share + warm_up / 10) / (warm_up * 1.1)) if warm_up else 1.0
    return float(rise * (1 - share) ** power)
