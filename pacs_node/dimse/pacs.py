"""A very small PACS for demonstrations and tests: C-ECHO, and C-STORE into a folder.

python -m pacs_node.dimse.pacs --folder FOLDER --port 4242 --ae-title PACS
"""

from __future__ import annotations

import argparse
import io
import threading
from pathlib import Path

from pydicom.filewriter import write_file_meta_info
from pynetdicom.dsutils import create_file_meta

from pacs_node.dimse.scp import ScpSettings, Server, serve
from pacs_node.domain.identifiers import is_uid
from pacs_node.domain.instance import StoreOutcome, StoreRequest
from pacs_node.errors import InstanceMismatch


class Folder:
    """An inbox that writes `<SOP Instance UID>.dcm`; a new one takes the place of the old.

    Parameters
    ----------
    path : created if it does not exist
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def open(self, request: StoreRequest) -> FolderDraft:
        """Begin one dataset; raises InstanceMismatch for an illegal UID."""
        if not is_uid(request.sop_instance_uid):
            raise InstanceMismatch
        return FolderDraft(self._path / f"{request.sop_instance_uid}.dcm", request)


class FolderDraft:
    """One dataset in memory until it is whole."""

    def __init__(self, path: Path, request: StoreRequest) -> None:
        self._path = path
        self._content = io.BytesIO(_head(request))
        self._content.seek(0, io.SEEK_END)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append to the dataset."""
        self._content.write(chunk)

    def commit(self) -> StoreOutcome:
        """Write the file in one step."""
        partial = self._path.with_suffix(".part")
        partial.write_bytes(self._content.getbuffer())
        partial.replace(self._path)
        return StoreOutcome.STORED

    def discard(self) -> None:
        """Nothing is on disk before commit."""


def start(folder: Path, *, ae_title: str, port: int, host: str = "127.0.0.1") -> Server:
    """Start the PACS; port 0 takes a free one. Raises ConfigInvalid if the port is taken."""
    return serve(ScpSettings(ae_title=ae_title, host=host, port=port), Folder(folder), lambda name, values: None)


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ae-title", default="PACS")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4242)
    arguments = parser.parse_args()
    server = start(arguments.folder, ae_title=arguments.ae_title, port=arguments.port, host=arguments.host)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()


def _head(request: StoreRequest) -> bytes:
    meta = create_file_meta(
        sop_class_uid=request.sop_class_uid,
        sop_instance_uid=request.sop_instance_uid,
        transfer_syntax=request.transfer_syntax_uid,
    )
    head = io.BytesIO()
    head.write(bytes(128) + b"DICM")
    write_file_meta_info(head, meta)
    return head.getvalue()


if __name__ == "__main__":
    main()
