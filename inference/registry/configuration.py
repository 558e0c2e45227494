"""`config.pbtxt`: what Triton reads of a model. Pure text.

The upper part is made once and belongs to the administrator (instances, batching); the lower part says which versions
are served and is written anew whenever that changes. A change below makes a running server load all of the model's
versions again, the old ones answering until the new ones do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inference.contract import Contract, TensorSpec
from inference.errors import ContractInvalid, VersionsIncompatible

MARK = "# The lines above are yours to tune; those below are written by `pulmonode model`."
SHA256_KEY = "artifact_sha256_{version}"

Shapes = dict[str, tuple[int | None, ...]]
"""By the name of a tensor, without the batch axis; None = any length."""

_LARGEST_BATCH = {"dense-detector": 16}
_LARGEST_BATCH_OF_OTHERS = 64
# The one form of version_policy that is written here. Anything else is refused rather than half understood: Triton's
# own parser would need tritonclient, which only `inference.triton` may import.
_SERVED = re.compile(r"^version_policy: \{ specific: \{ versions: \[(\d+(?:, \d+)*)\] \} \}$", re.MULTILINE)


def configuration(contracts: Sequence[Contract], present: str | None) -> str:
    """The text that makes Triton serve these versions of one model.

    Parameters
    ----------
    contracts : of the versions, at least one
    present : the text as it is, whose upper part is kept; None if there is none

    Raises
    ------
    VersionsIncompatible : the versions have other tensors; ContractInvalid : the present text is not from here
    """
    if present is not None and MARK not in present:
        raise ContractInvalid(f"config.pbtxt of {contracts[0].model} lacks the line {MARK!r}; move the file away")
    lines = [
        _upper(contracts[-1]) if present is None else present.partition(MARK)[0].rstrip("\n"),
        MARK,
        _tensors("input", [_shapes(contract, contract.inputs) for contract in contracts], contracts[0].model),
        _tensors("output", [_shapes(contract, contract.outputs) for contract in contracts], contracts[0].model),
        f"version_policy: {{ specific: {{ versions: {[contract.version for contract in contracts]} }} }}",
        *(_parameter(SHA256_KEY.format(version=c.version), c.sha256) for c in contracts),
    ]
    return "\n".join(lines) + "\n"


def served_in(text: str, model: str) -> tuple[int, ...]:
    """The versions that a configuration makes Triton serve; raises ContractInvalid."""
    served = _SERVED.findall(text)
    if len(served) != 1:
        raise ContractInvalid(f"config.pbtxt of {model} does not name the versions to serve; publish the model again")
    return tuple(int(number) for number in served[0].split(", "))


def _upper(contract: Contract) -> str:
    """One instance, on a GPU if the server has one, else on the CPU with all its threads.

    A one-pass detector is asked in many shapes. On a GPU the backend would try every algorithm of each convolution for
    each of them, which takes up to a second; 1 lets it choose by rule. On a CPU that means nothing.
    """
    lines = [
        f'name: "{contract.model}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {_LARGEST_BATCH.get(contract.kind, _LARGEST_BATCH_OF_OTHERS)}",
        "instance_group [{ count: 1 }]",
        *([_parameter("cudnn_conv_algo_search", "1")] if contract.is_one_pass else []),
    ]
    return "\n".join(lines)


def _shapes(contract: Contract, specs: Sequence[TensorSpec]) -> Shapes:
    return {spec.name: contract.open_shape(spec) for spec in specs}


def _tensors(kind: str, shapes: Sequence[Shapes], model: str) -> str:
    """The tensors that all versions have. Where they differ in length, any is allowed: the client checks it."""
    rows = []
    for name, shape in shapes[-1].items():
        for other in shapes:
            if other.keys() != shapes[-1].keys() or len(other[name]) != len(shape):
                raise VersionsIncompatible(
                    f"the versions of {model} that are to be served together have other {kind}s: {_described(shapes)}"
                )
        lengths = zip(*(other[name] for other in shapes), strict=True)
        dims = [same.pop() or -1 if len(same := set(axis)) == 1 else -1 for axis in lengths]
        rows.append(f'  {{ name: "{name}" data_type: TYPE_FP32 dims: {dims} }}')
    return f"{kind} [\n" + ",\n".join(rows) + "\n]"


def _described(shapes: Sequence[Shapes]) -> str:
    return " and ".join(", ".join(f"{name} {list(shape)}" for name, shape in each.items()) for each in shapes)


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
