"""JNSC (paper 4) with its data, phases, served models, figures and recipes: the one 3-D system, which detects.

It has its own room because it has more than one file of what the 2-D systems have none of: candidates, mining of false
findings, the head's last fit, and an evaluation over patches and whole phantoms. Entry: `recipes`.
"""

from training.systems.jnsc.recipes import RECIPES

__all__ = ["RECIPES"]
