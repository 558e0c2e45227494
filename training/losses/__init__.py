"""Losses, each with its formula and source. Pure functions of tensors."""
