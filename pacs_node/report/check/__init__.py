"""The node's own check of results: what leaves the house is read back by code that shares nothing with what wrote it.

pydicom and numpy only, own bit unpacking, own table of codes. Public validators see hardly any of the mistakes that
hurt: masks on wrong slices, wrong units, values that are not those of the segment, another patient.
Called from `pacs_node.steps.compose` before delivery and from `pulmonode result check`.
"""

from __future__ import annotations

from pacs_node.report.check.directories import check_directories
from pacs_node.report.check.examination import check
from pacs_node.report.check.problem import Problem

__all__ = ["Problem", "check", "check_directories"]
