"""The same analysis without PACS and database: a folder of DICOM in, SEG, SR and pictures out.

Called from `pulmonode series analyse`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inference.errors import InferenceError, SeriesIneligible
from inference.findings import Result
from inference.pipeline import Pipeline
from inference.predictor import Predictor
from inference.registry import ModelRepository
from inference.series import SeriesHeader, read_headers
from inference.systems import Choice, assembled
from pacs_node.config import Report
from pacs_node.domain.document import SrClass
from pacs_node.domain.rule import Reason
from pacs_node.domain.shipment import DEFAULT_PROFILE, shipment
from pacs_node.report import MANY_FRAMES, Document, ResultIdentity, overlay
from pacs_node.steps.analyse import analysed, loaded
from pacs_node.steps.compose import Composition, composed


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What became of one series: findings, or reasons why it was not analysed; and the files that say so.

    Parameters
    ----------
    warnings : what viewers may do otherwise than one expects
    """

    series: SeriesHeader
    result: Result | None
    reasons: tuple[Reason, ...]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


def pipeline_named(models: ModelRepository, name: str) -> Pipeline:
    """The pipeline of a system, with the active versions of its models; raises ModelNotFound."""
    return assembled(Choice(pipeline=name), models.active())


def analyse_series(
    series: SeriesHeader, pipeline: Pipeline, predictor: Predictor, out: Path, profile: Sequence[str] = DEFAULT_PROFILE
) -> Analysis:
    """Analyse one series and write its documents, such as `seg.dcm` and `sr.dcm`, and pictures into `out`.

    Parameters
    ----------
    profile : names of profiles and documents, as of a destination

    Raises
    ------
    InferenceError, NodeError : the models failed, or the result did not pass the own check
    """
    paths = tuple(sorted({item.path for item in series.slices}))
    parts = shipment(profile, SrClass(Report().sr_class), ()).parts
    result, reasons = _answer(paths, pipeline, predictor)
    documents = composed(
        Composition(
            paths=paths,
            result=result,
            reasons=reasons,
            identity=_identity(series, paths, pipeline, result),
            detector=None if result is None else pipeline.detector,
            options=Report(),
            station="PULMONODE",
            composed_at=_newest(paths),
        ),
        parts,
    )
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for document in documents:
        path = out / (f"{document.role}.dcm" if document.number == 1 else f"{document.role}-{document.number}.dcm")
        path.write_bytes(document.content)
        files.append(path)
    if result is not None:
        files += pictures(paths, pipeline, result, out)
    return Analysis(
        series=series, result=result, reasons=reasons, files=tuple(files), warnings=tuple(warnings(documents))
    )


def warnings(documents: Sequence[Document]) -> Iterator[str]:
    """What a viewer may not show of these documents."""
    for document in documents:
        if document.frames >= MANY_FRAMES:
            yield f"{document.role} has {document.frames} frames; Weasis 4.6 shows no SEG of more than {MANY_FRAMES}"


def pictures(paths: Sequence[Path], pipeline: Pipeline, result: Result, out: Path) -> list[Path]:
    """Draw the findings of a series as PNG files in `out`."""
    (header,) = read_headers(paths)
    _, volume = loaded(paths, pipeline.detector)
    return overlay.draw(volume, result.findings, out, title=header.study_description)


def _answer(
    paths: Sequence[Path], pipeline: Pipeline, predictor: Predictor
) -> tuple[Result | None, tuple[Reason, ...]]:
    try:
        return analysed(paths, pipeline, predictor), ()
    except SeriesIneligible as error:
        return None, tuple(Reason(code=code, text=str(error)) for code in error.codes)
    except InferenceError as error:
        if error.retryable:
            raise
        return None, (Reason(code=error.code, text=str(error)),)


def _identity(series: SeriesHeader, paths: Sequence[Path], pipeline: Pipeline, result: Result | None) -> ResultIdentity:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return ResultIdentity(
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=series.series_instance_uid,
        pipeline=pipeline.name,
        models=() if result is None else result.models,
        input_digest=digest.hexdigest(),
    )


def _newest(paths: Sequence[Path]) -> datetime:
    """The time of the newest file, so that a second run on the same files writes the same bytes."""
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC)
