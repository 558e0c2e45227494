"""The DICOM conformance statement, from the configuration in force and the tables that the code itself works by.

Its parts are those of PS3.2 annex A. Called from `pulmonode node conformance`; deploy/docs/conformance.md is what it
says of the defaults.
"""

from __future__ import annotations

from pacs_node.config import Config
from pacs_node.conformance.content import content
from pacs_node.conformance.markdown import filled
from pacs_node.conformance.network import networking
from pacs_node.conformance.overview import overview
from pacs_node.conformance.security import character_sets, security

__all__ = ["statement"]


def statement(config: Config) -> str:
    """The statement in Markdown."""
    parts = (overview, networking, character_sets, security, content)
    return filled("\n\n".join(part(config) for part in parts)) + "\n"
