"""Triton as a hospital runs it: mutual TLS, and model control for the administrator only.

The flags are those of deploy/triton/README.md; the server is the wheel's.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.errors import InferenceError, InputRefused, LoadRefused, PredictorUnavailable
from inference.registry import ModelRepository
from inference.triton import Retries, Tls, TritonPredictor
from inference.triton.wheel import find_wheel, lay_out_backends
from tests.support.models import a_repository
from tests.support.nodes import eventually

pytestmark = pytest.mark.triton

X = np.ones((1, 2, 3), np.float32)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)


def a_certificate(folder: Path, name: str) -> None:
    """`name.pem` and `name.key`, signed by the authority `ca`; for the authority itself by its own key."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]
    signer = [] if name == "ca" else ["-CA", "ca.pem", "-CAkey", "ca.key"]
    about = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1", "-out", f"{name}.pem"]
    openssl(folder, "req", "-x509", *key, *signer, *about)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys and certificates of an authority, the server and the node."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ca", "server", "node"):
        a_certificate(folder, name)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRepository:
    return a_repository(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def url(models: ModelRepository, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the guarded server listens."""
    try:
        wheel = find_wheel()
    except PredictorUnavailable as reason:
        pytest.skip(str(reason))
    folder, port = tmp_path_factory.mktemp("server"), _free_port()
    lay_out_backends(wheel, folder / "backends")
    flags = [
        f"--model-repository={models.path}",
        f"--backend-directory={folder / 'backends'}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--strict-readiness=false",
        "--allow-http=false",
        "--allow-metrics=false",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
        "--grpc-use-ssl=true",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={keys / 'server.pem'}",
        f"--grpc-server-key={keys / 'server.key'}",
        f"--grpc-root-cert={keys / 'ca.pem'}",
        "--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:admin=SECRET",
        "--grpc-http2-min-recv-ping-interval-without-data=10000",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(wheel.server), *flags], env=wheel.environment(), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def a_client(url: str, models: ModelRepository, keys: Path, control: dict[str, str]) -> TritonPredictor:
    tls = Tls(root_certificates=keys / "ca.pem", certificate_chain=keys / "node.pem", private_key=keys / "node.key")
    return TritonPredictor(url, models, tls=tls, control=control)


@pytest.fixture
def known(url: str, models: ModelRepository, keys: Path) -> Iterator[TritonPredictor]:
    """A client that the server knows, once the server answers."""
    client = a_client(url, models, keys, {})
    eventually(lambda: _answers(client), timeout_s=60)
    yield client
    client.close()


def _answers(client: TritonPredictor) -> bool:
    try:
        client.canary("doubler", 1)
    except InferenceError:
        return False
    return True


def test_a_client_with_a_certificate_is_answered(known: TritonPredictor) -> None:
    np.testing.assert_array_equal(known.infer("doubler", 1, {"x": X}, ["double"])["double"], 2 * X)


def test_a_client_without_one_is_not(known: TritonPredictor, url: str, models: ModelRepository) -> None:
    stranger = TritonPredictor(url, models, retries=Retries(attempts=1))
    with pytest.raises(PredictorUnavailable):
        stranger.infer("doubler", 1, {"x": X}, ["double"])
    stranger.close()


def test_model_control_is_for_the_administrator_only(known: TritonPredictor) -> None:
    with pytest.raises(InputRefused, match="restricted"):
        known.reload("doubler")
    known.canary("doubler", 1)


def test_whoever_knows_the_header_may_load(
    known: TritonPredictor, url: str, models: ModelRepository, keys: Path
) -> None:
    with pytest.raises(LoadRefused, match="restricted"):
        known.load("doubler")
    administrator = a_client(url, models, keys, {"triton-grpc-protocol-admin": "SECRET"})
    administrator.load("doubler")
    administrator.close()
    known.canary("doubler", 1)
