"""What can go wrong in training and is somebody's to mend: each error has a stable code and says what to do next.

TrainingError
    OtherRun            run.other
    NoSuchRecipe        recipe.unknown
    NotEvaluated        run.not-evaluated
    FolderTaken         export.folder
    DataLacking         data.lacking
    NoDetector          run.no-detector
    NothingToJudge      froc.nothing
    and beside each reader of data its own: recist.unreadable, data.nothing, data.packed, label.nothing, lidc.missing,
    lidc.outlines-misplaced, luna16.table, luna16.pixels, deeplesion.slices, seg.unreadable, split.broken, pack.broken,
    pack.folder, pack.nothing, pack.patients, pack.synthetic, phantom.other, phantom.reserved
"""

from __future__ import annotations


class TrainingError(Exception):
    """Training cannot go on."""

    code = "training"


class OtherRun(TrainingError):
    """The folder holds another run, or none."""

    code = "run.other"


class NoSuchRecipe(TrainingError):
    """There is no recipe of that name."""

    code = "recipe.unknown"


class NotEvaluated(TrainingError):
    """The run has no figures yet; `pulmonode-train evaluate` measures it."""

    code = "run.not-evaluated"


class FolderTaken(TrainingError):
    """There is something at that place; a release is never changed."""

    code = "export.folder"


class NoDetector(TrainingError):
    """The run's system finds no nodules, it only outlines what was found."""

    code = "run.no-detector"


class NothingToJudge(TrainingError):
    """There is no scan that a run may be judged on."""

    code = "froc.nothing"


class DataLacking(TrainingError):
    """The data hold nothing of what the recipe needs."""

    code = "data.lacking"
