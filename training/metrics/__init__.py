"""Figures of quality: pure functions of masks, scores and labels."""
