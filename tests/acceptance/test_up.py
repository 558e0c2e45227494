"""`node up` when its settings cannot work."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.support.nodes import clean_environment


def test_a_port_that_is_taken_ends_the_node_with_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = tmp_path / "node.toml"
        settings.write_text(f'data = "{tmp_path}"\n[scp]\nhost = "127.0.0.1"\nport = {port}\n[triton]\nmode = "onnx"\n')
        done = subprocess.run(
            [sys.executable, "-m", "pacs_node", "node", "up", "--config", str(settings)],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in done.stderr
    assert "refused its settings" in done.stderr
