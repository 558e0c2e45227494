"""The benchmark of inference runs, and tells findings that are the same from others."""

from __future__ import annotations

import dataclasses

import numpy as np
from onnx import NodeProto, TensorProto, helper

from inference.findings import CroppedMask, Finding
from tests.benchmarks import halves, phantoms
from tests.benchmarks.inference import as_served, likeness, memory_after, reading
from tests.support.results import a_case


def cut(finding: Finding) -> Finding:
    """The same finding without the first slice of its mask."""
    k, j, i = finding.mask.start_kji
    mask = CroppedMask(start_kji=(k + 1, j, i), voxels=finding.mask.voxels[1:])
    return dataclasses.replace(finding, mask=mask, score=finding.score - 0.1)


def test_the_detector_is_measured() -> None:
    measured = reading(as_served)
    assert min(measured.load_s, measured.window_s, measured.peak_mb) > 0


def test_memory_is_measured_after_so_many_shapes() -> None:
    first, second = memory_after((1, 2))
    assert 0 < first <= 2 * second


def test_a_network_in_halves_rounds_every_tensor_on_its_way() -> None:
    """1 and 2^-11 are halves, their sum is not: it is 1, so that nothing is left of it when 1 is taken away."""
    network = a_network(helper.make_node("Add", ["x", "1"], ["sum"]), helper.make_node("Sub", ["sum", "1"], ["y"]))
    assert answer(network, 2**-11) == 2**-11
    assert answer(halves.halved(network), 2**-11) == 0.0


def test_what_goes_into_a_network_in_halves_is_rounded_too() -> None:
    assert answer(halves.halved(a_network(helper.make_node("Add", ["x", "x"], ["y"]))), 1 + 2**-12) == 2.0


def a_network(*nodes: NodeProto) -> bytes:
    """From a number x to a number y; "1" is one."""
    x, y = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])] for name in "xy")
    graph = helper.make_graph(nodes, "sums", x, y, [helper.make_tensor("1", TensorProto.FLOAT, [1], [1.0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def answer(network: bytes, x: float) -> float:
    ((y,),) = halves.session(network, 1).run(["y"], {"x": np.array([x], np.float32)})
    return float(y)


def test_findings_are_compared_by_their_masks() -> None:
    first, second = a_case().result.findings[:2]
    assert (likeness([first, second], [second, first]).changed, likeness([first], [first]).dice) == (0, 1.0)
    assert likeness([first, second], [first]).changed == 1
    assert likeness([first], [second]).changed == 2
    whole, part = int(first.mask.voxels.sum()), int(cut(first).mask.voxels.sum())
    assert likeness([first], [cut(first)]).dice == np.float64(2 * part / (whole + part))
    assert "scores within 0.100" in likeness([first], [cut(first)]).text


def test_what_is_shipped_is_measured_on_whole_phantoms() -> None:
    figures = phantoms.found(seeds=[phantoms.SEEDS[0]], threads=1)
    assert "nodules of 1 SYNTHETIC phantoms, with all asked: sensitivity_solid_6mm" in figures
    assert "nodules of 1 SYNTHETIC phantoms, as served: sensitivity_solid_6mm" in figures
