"""What goes into a report and what comes out. Called from `pacs_node.steps.compose` and `pulmonode series analyse`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from inference.findings import Finding, Result
from inference.volume import Volume
from pacs_node.domain.document import DocumentRole, SrClass
from pacs_node.domain.rule import Reason
from pacs_node.report.identity import ResultIdentity

MANY_FRAMES = 400
"""A SEG should have fewer: Weasis 4.6 does not show one that has more (its issue 680, which counts them by file)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """Choices of the installation.

    Parameters
    ----------
    objects : what to write, as far as there is something to say in it; nodule SEG and report are always written
    sr_class : SOP class of the report
    ohif_hydration : tracking identifiers that OHIF turns into its own measurements instead of "Nodule 1"
    station : name of this installation; its serial number and observer UID
    """

    objects: frozenset[DocumentRole] = frozenset({DocumentRole.SEG, DocumentRole.SR})
    sr_class: SrClass = SrClass.COMPREHENSIVE_3D
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
    volume : the CT on the result's grid, for pictures; None without a result
    result : None if the study was not analysed
    reasons : why it was not
    identity : what the UIDs are derived from
    composed_at : aware; must be the same whenever the same result is composed again
    predecessor : the documents of the result that this one supersedes, its report among them; empty if there is none
    tracking_uids : of the findings, in their order; empty to derive them from the identity
    """

    source: tuple[Dataset, ...]
    identity: ResultIdentity
    composed_at: datetime
    result: Result | None = None
    volume: Volume | None = None
    frame_numbers: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()
    options: ReportOptions = ReportOptions()
    predecessor: tuple[Dataset, ...] = ()
    tracking_uids: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings; empty if nothing was found or analysed."""
        return self.result.findings if self.result is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One instance to send, with its file meta information, Explicit VR Little Endian.

    Parameters
    ----------
    content : the dataset as a file, written once: what is checked is what is stored
    number : from 1 among the documents of the same role
    """

    role: DocumentRole
    dataset: Dataset
    content: bytes
    sop_class_uid: str
    sop_instance_uid: str
    number: int = 1

    @property
    def frames(self) -> int:
        """How many frames it has; 0 if it has none of its own."""
        return int(self.dataset.get("NumberOfFrames") or 0)
