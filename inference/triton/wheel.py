"""Where the Triton server of the nvidia-pytriton wheel lies, and whether it can run here. Called from the launcher.

The wheel is used as a box with a server in it: `pytriton` itself is never imported (its metadata ask for an old NumPy).
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from inference.errors import PredictorUnavailable

_INSTALL = (
    "install it with `pip install --no-deps nvidia-pytriton` (Linux x86-64), or set triton.mode to onnx or server"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """Parts of the wheel.

    Parameters
    ----------
    server : the tritonserver program
    python_backend : folder of the Python backend, without its stub
    stub : program that runs a model's Python; one for every Python version
    libraries : value for LD_LIBRARY_PATH
    """

    server: Path
    python_backend: Path
    stub: Path
    libraries: str

    def environment(self) -> dict[str, str]:
        """Environment for the server: the stub takes the first `python3` on PATH, and ignores PYTHONPATH."""
        own = str(Path(sys.executable).parent)
        path = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])
        return {"PATH": path, "LD_LIBRARY_PATH": self.libraries, "CUDA_VISIBLE_DEVICES": ""}


def find_wheel() -> Wheel:
    """The wheel of this Python.

    Raises
    ------
    PredictorUnavailable : it is not installed or cannot run here; the message says what to do
    """
    try:
        site = Path(str(importlib.metadata.distribution("nvidia-pytriton").locate_file("")))
    except importlib.metadata.PackageNotFoundError as error:
        raise PredictorUnavailable(f"the Triton server that belongs to the node is missing; {_INSTALL}") from error
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = site / "pytriton" / "tritonserver"
    wheel = Wheel(
        server=home / "bin" / "tritonserver",
        python_backend=home / "backends" / "python",
        stub=home / "python_backend_stubs" / version / "triton_python_backend_stub",
        libraries=os.pathsep.join(map(str, (site / "nvidia_pytriton.libs", *_python_libraries()))),
    )
    for program in (wheel.server, wheel.stub):
        _check_starts(program, wheel)
    return wheel


def lay_out_backends(wheel: Wheel, folder: Path) -> None:
    """Fill a folder with the server's backends: the wheel's "python", and our `backend/model.py` as "onnxruntime"."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(wheel.python_backend, folder / "python")
    shutil.copy(wheel.stub, folder / "python")
    own = folder / "onnxruntime"
    own.mkdir()
    shutil.copy(Path(__file__).parent / "backend" / "model.py", own)


def _python_libraries() -> tuple[Path, ...]:
    """Folders where this Python's libpython may lie, besides those that the loader knows."""
    return Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"), Path(sys.base_prefix) / "lib"


def _check_starts(program: Path, wheel: Wheel) -> None:
    """Ask the loader whether the program's libraries are there; the stub needs libpython, the server glibc 2.35."""
    if not program.exists():
        raise PredictorUnavailable(f"the wheel has no {program.name} for this Python; {_INSTALL}")
    listed = subprocess.run(
        ["ldd", str(program)], env={**os.environ, **wheel.environment()}, capture_output=True, text=True, check=False
    )
    missing = [line.strip() for line in (listed.stdout + listed.stderr).splitlines() if "not found" in line]
    if missing:
        python = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        raise PredictorUnavailable(
            f"{program.name} cannot run here: {missing[0]}; it needs glibc 2.35 or newer and {python} "
            f"(Debian, Ubuntu: apt-get install {python}); or set triton.mode to onnx or server"
        )
