"""A structured report as plain values. Used by the modules of `check`; knows nothing of how reports are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A content item.

    Parameters
    ----------
    name : value and scheme of its concept name; empty texts if it has none
    relationship : to its parent; empty for the root
    """

    name: tuple[str, str]
    value_type: str
    relationship: str
    children: tuple[Node, ...]
    item: Dataset

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def named(self, code_value: str) -> tuple[Node, ...]:
        """Direct children with this concept name."""
        return tuple(child for child in self.children if child.name[0] == code_value)


def read_tree(item: Dataset) -> Node:
    """The tree from a content item (or a whole report) down."""
    return Node(
        name=code_of(item, "ConceptNameCodeSequence"),
        value_type=str(item.get("ValueType") or ""),
        relationship=str(item.get("RelationshipType") or ""),
        children=tuple(read_tree(child) for child in item.get("ContentSequence", ())),
        item=item,
    )


def code_of(item: Dataset, keyword: str) -> tuple[str, str]:
    """Value and scheme of the first code of a sequence; empty texts if there is none."""
    sequence = item.get(keyword)
    return code_in(sequence[0]) if sequence else ("", "")


def code_in(code: Dataset) -> tuple[str, str]:
    """Value and scheme of a code item."""
    return str(code.get("CodeValue") or code.get("LongCodeValue", "")), str(code.get("CodingSchemeDesignator", ""))
