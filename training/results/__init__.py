"""`training/records/*.json` and the page made of them, `training/RESULTS.md`. Pure; files are opened in `training.cli`.

records     what stays of an evaluated run
figures     where a figure stands, and how it is written
gains       by how much one run is better than another on the same cases
tables      the papers' ablations and comparisons, printed and own numbers side by side
page        the whole page
"""

from training.results.page import page
from training.results.records import Run, as_text, differences, from_text

__all__ = ["Run", "as_text", "differences", "from_text", "page"]
