"""Everything that `inference` raises.

    InferenceError
    |- SeriesUnreadable      series.unreadable     permanent
    |- SeriesInaccessible    series.inaccessible   retryable: the disk fails, not the file
    |- DecoderStopped        series.decoder-stopped permanent
    |- SeriesIneligible      series.ineligible     permanent (carries its reasons)
    |- LungsNotFound         series.no-lungs       permanent
    |- EmptyMask             measure.empty-mask    permanent
    |- ContractInvalid       contract.invalid      permanent
    |- ModelNotFound         model.not-found       permanent
    |- ModelOutputInvalid    model.output-invalid  permanent
    |- InputRefused          model.input-refused   permanent
    |- ReleaseInvalid        release.invalid       permanent
    |- GoldenMismatch        model.golden-mismatch permanent
    |- VersionsIncompatible  model.incompatible    permanent
    |- LoadRefused           model.load-refused    permanent
    |- RepositoryUnwritable  model.unwritable      permanent
    `- PredictorUnavailable  triton.unavailable    retryable
       |- PredictorTimeout   triton.timeout        retryable
       `- PredictorBroken    triton.broken         retryable

The class docstring is the default message. `code` is stable; messages may be reworded.
"""

from __future__ import annotations

from typing import ClassVar


class InferenceError(Exception):
    """The analysis failed."""

    code: ClassVar[str] = "inference.failed"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__class__.__doc__ or "").strip())


class SeriesUnreadable(InferenceError):
    """An instance of the series cannot be read or decoded."""

    code = "series.unreadable"


class SeriesInaccessible(InferenceError):
    """The disk does not give a file of the series; look at its log and cables."""

    code = "series.inaccessible"
    retryable = True


class DecoderStopped(InferenceError):
    """The decoder of the series crashed, or took more memory or time than it may."""

    code = "series.decoder-stopped"


class SeriesIneligible(InferenceError):
    """The series must not be analysed; the reasons are in `codes`."""

    code = "series.ineligible"

    def __init__(self, codes: tuple[str, ...], message: str | None = None) -> None:
        super().__init__(message)
        self.codes = codes


class LungsNotFound(InferenceError):
    """No lung was found in the series; it shows no chest, or not enough of it."""

    code = "series.no-lungs"


class EmptyMask(InferenceError):
    """A mask without any voxel has no measurements."""

    code = "measure.empty-mask"


class ContractInvalid(InferenceError):
    """The contract of the model cannot be used; publish the model again."""

    code = "contract.invalid"


class ModelNotFound(InferenceError):
    """The model or version is not in the model repository; `pulmonode model list` shows what is."""

    code = "model.not-found"


class ModelOutputInvalid(InferenceError):
    """The model answered with a tensor that its contract does not allow."""

    code = "model.output-invalid"


class InputRefused(InferenceError):
    """The inference server refused the request."""

    code = "model.input-refused"


class ReleaseInvalid(InferenceError):
    """The exported models cannot be published; export them again."""

    code = "release.invalid"


class GoldenMismatch(InferenceError):
    """The model does not reproduce the answers that it gave when it was trained."""

    code = "model.golden-mismatch"


class VersionsIncompatible(InferenceError):
    """The versions of a model cannot be served together, because their tensors are others."""

    code = "model.incompatible"


class LoadRefused(InferenceError):
    """The inference server refused to load the model."""

    code = "model.load-refused"


class RepositoryUnwritable(InferenceError):
    """The model repository cannot be written."""

    code = "model.unwritable"


class PredictorUnavailable(InferenceError):
    """The inference server cannot be reached."""

    code = "triton.unavailable"
    retryable = True


class PredictorTimeout(PredictorUnavailable):
    """The inference server did not answer within the deadline."""

    code = "triton.timeout"


class PredictorBroken(PredictorUnavailable):
    """The inference server answers, but its model process is dead; the model has to be reloaded."""

    code = "triton.broken"
