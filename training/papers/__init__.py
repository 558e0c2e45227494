"""What the five papers print, as data. Called from `training.results`.

published       their results, beside which figure of ours each stands, and why the two cannot be compared as they are
ablations       the rows of their ablations, with the recipes that repeat them
comparisons     their systems beside networks that others use

The numbers are those of the papers' tables; the reasons are worked out in the design notes of each network file.
"""

from training.papers.ablations import ABLATIONS
from training.papers.comparisons import COMPARISONS
from training.papers.published import FROC_PRINTED, HEADLINES, LABELS_PRINTED, PUBLISHED, Published

__all__ = ["ABLATIONS", "COMPARISONS", "FROC_PRINTED", "HEADLINES", "LABELS_PRINTED", "PUBLISHED", "Published"]
