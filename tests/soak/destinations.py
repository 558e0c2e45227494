"""A PACS behind a link that can be cut, in any mood; it writes down the content of everything that it ever took."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pacs_node.config import Destination
from pacs_node.dimse.pacs import Folder, FolderDraft
from pacs_node.dimse.scp import ScpSettings, serve
from pacs_node.domain.instance import StoreOutcome, StoreRequest
from pacs_node.errors import StorageFailed, StorageFull
from tests.soak.schedule import Kind
from tests.support.proxy import Link, proxy

SLOW_S = 3.0
"""Of a slow PACS, for each instance."""


class Pacs:
    """What it holds and how it feels; made by `pacs`."""

    def __init__(self, folder: Path, destination: Destination, link: Link) -> None:
        self.folder, self.destination = folder, destination
        self._link = link
        self._held = Folder(folder)
        self._log = (folder / "taken.jsonl").open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._refusals = 0
        self.mood: Kind | None = None

    def feel(self, mood: Kind | None) -> bool:
        """Be in this mood from now on; None for well. It always can."""
        self._link.mend()
        self.mood = mood
        if mood is Kind.DEAD:
            self._link.cut()
        elif mood is Kind.SILENT:
            self._link.stall()
        return True

    def taken(self) -> dict[str, frozenset[str]]:
        """By SOP Instance UID, the SHA-256 of every dataset that was ever taken under it."""
        found = defaultdict(set)
        for line in (self.folder / "taken.jsonl").read_text(encoding="utf-8").splitlines():
            taking = json.loads(line)
            found[taking["uid"]].add(taking["sha256"])
        return {uid: frozenset(contents) for uid, contents in found.items()}

    def files(self) -> list[Path]:
        """The instances that it holds."""
        return sorted(self.folder.glob("*.dcm"))

    def open(self, request: StoreRequest) -> MoodyDraft:
        """Begin one dataset."""
        if self.mood is Kind.REFUSING:
            self._refusals += 1
            raise StorageFull if self._refusals % 2 else StorageFailed
        return MoodyDraft(self, self._held.open(request), request.sop_instance_uid)

    def took(self, uid: str, sha256: str) -> None:
        """Write down that an instance is stored."""
        with self._lock:
            self._log.write(json.dumps({"uid": uid, "sha256": sha256}) + "\n")
            self._log.flush()

    def hang_up(self) -> None:
        """Break every connection; new ones are taken."""
        if self.mood not in (Kind.DEAD, Kind.SILENT):
            self._link.cut()
            self._link.mend()


class MoodyDraft:
    """One dataset of a `Pacs`."""

    def __init__(self, pacs: Pacs, draft: FolderDraft, uid: str) -> None:
        self._pacs, self._draft, self._uid = pacs, draft, uid
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append to the dataset, or break off."""
        if self._pacs.mood is Kind.ABORTING:
            self._pacs.hang_up()
            raise StorageFailed
        self._hash.update(chunk)
        self._draft.write(chunk)

    def commit(self) -> StoreOutcome:
        """Store; the answer may take its time, or get lost."""
        if self._pacs.mood is Kind.SLOW:
            time.sleep(SLOW_S)
        outcome = self._draft.commit()
        self._pacs.took(self._uid, self._hash.hexdigest())
        if self._pacs.mood is Kind.FORGETFUL:
            self._pacs.hang_up()
        return outcome

    def discard(self) -> None:
        """As the folder does."""
        self._draft.discard()


@contextmanager
def pacs(folder: Path, name: str) -> Iterator[Pacs]:
    """Run a PACS in threads of this process until the block ends."""
    inbox = _Late()
    ae_title = f"SOAK{name.upper()}"
    server = serve(ScpSettings(ae_title=ae_title, host="127.0.0.1", port=0), inbox, lambda event, values: None)
    try:
        with proxy("127.0.0.1", server.port) as link:
            destination = Destination(name=name, ae_title=ae_title, host="127.0.0.1", port=link.port)
            inbox.pacs = Pacs(folder, destination, link)
            yield inbox.pacs
    finally:
        server.stop(grace_s=0.5)


class _Late:
    """The inbox of a server that is there before its PACS, whose address the server decides."""

    pacs: Pacs

    def open(self, request: StoreRequest) -> MoodyDraft:
        """Begin one dataset."""
        return self.pacs.open(request)
