"""Whether the configuration is what it was at the last start, by the hash of each of its tables."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pacs_node.config import Config
from pacs_node.effective import sections


def changed(folder: Path, config: Config) -> tuple[str, ...]:
    """The tables that have changed since the last call for this folder; "" is what is in none. None if it is the first.

    Hashes of masked values are kept, so another password alone is no change.

    Raises
    ------
    OSError : the folder cannot be written
    """
    path = folder / "configuration.json"
    now = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sections(config).items()}
    before = _read(path)
    draft = path.with_suffix(".new")
    folder.mkdir(parents=True, exist_ok=True)
    draft.write_text(json.dumps(now, indent=1), encoding="utf-8")
    draft.replace(path)
    if before is None:
        return ()
    return tuple(sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name)))


def _read(path: Path) -> dict[str, str] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
