"""The kinds of documents that a result may consist of, and the SOP classes that they are written as.

References
----------
PS3.4 table B.5-1 (Standard SOP Classes).
"""

from __future__ import annotations

from enum import StrEnum


class DocumentRole(StrEnum):
    """What a document is. Destinations choose among these names."""

    SEG = "seg"
    """the nodules, one segment each"""
    LUNGS = "lungs"
    """the lungs, a SEG of their own"""
    SOFT = "soft"
    """how far each voxel belongs to a nodule, a FRACTIONAL SEG; only systems that say so"""
    SR = "sr"
    """the report, TID 1500"""
    CAD = "cad"
    """the findings as Chest CAD SR, TID 4100"""
    CAPTURES = "captures"
    """secondary captures: a summary page and a key image of every nodule"""
    PRESENTATION = "presentation"
    """grayscale softcopy presentation state: outlines and axes over the original slices"""
    PDF = "pdf"
    """the report for people, an encapsulated PDF"""
    STRUCTURES = "structures"
    """the outlines as RT Structure Set"""
    REJECTION = "rejection"
    """key object selection that rejects the result which this one supersedes"""


class SrClass(StrEnum):
    """SOP class of the report; the content is the same in all three, choose by what the peer takes."""

    COMPREHENSIVE_3D = "comprehensive3d"
    COMPREHENSIVE = "comprehensive"
    ENHANCED = "enhanced"


_STORAGE = "1.2.840.10008.5.1.4.1.1"
SR_CLASS_UID = {
    SrClass.COMPREHENSIVE_3D: f"{_STORAGE}.88.34",
    SrClass.COMPREHENSIVE: f"{_STORAGE}.88.33",
    SrClass.ENHANCED: f"{_STORAGE}.88.22",
}
"""The richest first: the order in which a peer is offered them."""

CLASS_UID = {
    DocumentRole.SEG: f"{_STORAGE}.66.4",
    DocumentRole.LUNGS: f"{_STORAGE}.66.4",
    DocumentRole.SOFT: f"{_STORAGE}.66.4",
    DocumentRole.CAD: f"{_STORAGE}.88.65",
    DocumentRole.CAPTURES: f"{_STORAGE}.7",
    DocumentRole.PRESENTATION: f"{_STORAGE}.11.1",
    DocumentRole.PDF: f"{_STORAGE}.104.1",
    DocumentRole.STRUCTURES: f"{_STORAGE}.481.3",
    DocumentRole.REJECTION: f"{_STORAGE}.88.59",
}
"""Every role but the report, which has three."""

CLASS_UIDS = tuple(dict.fromkeys((*SR_CLASS_UID.values(), *CLASS_UID.values())))
"""Every SOP class that a result may be written as."""
