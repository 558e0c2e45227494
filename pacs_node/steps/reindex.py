"""Reindex: instances on disk are the truth; what the index lacks after a crash is read from the files again."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pacs_node import log
from pacs_node.archive.queries import studies
from pacs_node.domain.instance import Receipt
from pacs_node.domain.transfers import transfer_of
from pacs_node.errors import InstanceUnreadable
from pacs_node.node import Node

GROUP = 500


def reindex(node: Node) -> int:
    """Index every stored instance that the database lacks; also builds a whole index anew.

    Returns
    -------
    the number of instances that were added
    """
    with node.database.transaction() as tx:
        known = studies.file_keys(tx)
    missing = (key for key in node.files.scan() if key not in known)
    added = 0
    while group := tuple(itertools.islice(missing, GROUP)):
        receipts = [receipt for key in group if (receipt := _receipt(node, key)) is not None]
        added += record_found(node, receipts)
    if added:
        log.event("instances_reindexed", count=added)
    return added


def record_found(node: Node, receipts: Sequence[Receipt]) -> int:
    """Index what was found on disk, and audit it: whoever received it died before that; how many of them were new."""
    new = record_new(node, receipts)
    for transfer, instances in Counter(map(transfer_of, new)).items():
        node.audit.receiving(transfer)
        node.audit.received(replace(transfer, instances=instances))
    return len(new)


def record_new(node: Node, receipts: Sequence[Receipt]) -> tuple[Receipt, ...]:
    """Index what was received; those of them that are new, which are to be audited: instances may come again."""
    with node.database.transaction() as tx:
        new = studies.unknown(tx, receipts)
        studies.record_receipts(tx, new, node.config.settle.quiet_for)
    return new


def _receipt(node: Node, key: str) -> Receipt | None:
    try:
        return node.files.read_receipt(key)
    except InstanceUnreadable as error:
        log.event("instance_not_indexed", level=logging.ERROR, code=error.code)
        return None
