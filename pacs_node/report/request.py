"""What goes into a report and what comes out. Called from `pacs_node.steps.compose` and `pulmonode series analyse`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydicom.dataset import Dataset

from inference.findings import Result
from pacs_node.domain.rule import Reason
from pacs_node.report.identity import ResultIdentity


class SrClass(StrEnum):
    """SOP class of the report; the content is the same in all three, choose by what the peer takes."""

    COMPREHENSIVE_3D = "comprehensive3d"
    COMPREHENSIVE = "comprehensive"
    ENHANCED = "enhanced"


class DocumentRole(StrEnum):
    """What a document is."""

    SEG = "seg"
    LUNGS = "lungs"
    SR = "sr"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """Choices of the installation.

    Parameters
    ----------
    sr_class : SOP class of the report
    lungs : also write the lung mask, in a SEG of its own
    ohif_hydration : tracking identifiers that OHIF turns into its own measurements instead of "Nodule 1"
    station : name of this installation; its serial number and observer UID
    """

    sr_class: SrClass = SrClass.COMPREHENSIVE_3D
    lungs: bool = False
    ohif_hydration: bool = False
    station: str = "PULMONODE"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportRequest:
    """One result to put into DICOM.

    Parameters
    ----------
    source : header without pixels of the instance of every k of the result's grid; one is enough if a single Enhanced
        instance has all frames; without a result any instances of the study, at least one
    frame_numbers : for Enhanced instances the frame (from 1) of every k, else empty
    result : None if the study was not analysed
    reasons : why it was not
    identity : what the UIDs are derived from
    composed_at : aware; must be the same whenever the same result is composed again
    predecessor : the report that this one supersedes
    """

    source: tuple[Dataset, ...]
    identity: ResultIdentity
    composed_at: datetime
    result: Result | None = None
    frame_numbers: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()
    options: ReportOptions = ReportOptions()
    predecessor: Dataset | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One instance to send, with its file meta information, Explicit VR Little Endian."""

    role: DocumentRole
    dataset: Dataset
    sop_class_uid: str
    sop_instance_uid: str
