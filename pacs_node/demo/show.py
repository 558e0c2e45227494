"""Runs the demo: a PACS, the node, a sender; ends when SEG and SR have come back to the PACS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from inference.registry import ModelRepository
from inference.series import find_files
from pacs_node.archive import findings as stored_findings
from pacs_node.archive import records
from pacs_node.archive.queries import deliveries, jobs, studies
from pacs_node.cli.shown import show_rows
from pacs_node.config import Config, load
from pacs_node.demo.pacs import Pacs, free_port, running
from pacs_node.demo.truth import compared, read_truth
from pacs_node.dimse import scu
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import StudyUid
from pacs_node.domain.job import JobState
from pacs_node.errors import NodeError
from pacs_node.node import Node, build
