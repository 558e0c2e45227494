"""Nodules keep their Tracking UID from one result to the next."""

from __future__ import annotations

from pacs_node.domain.tracking import Nodule, tracked


def _nodule(x_mm: float, diameter_mm: float = 8.0, uid: str = "") -> Nodule:
    return Nodule(centre_lps=(x_mm, 0.0, 0.0), diameter_mm=diameter_mm, tracking_uid=uid)


def test_a_nodule_that_hardly_moved_keeps_its_uid_whatever_its_number() -> None:
    before = [_nodule(0, uid="1"), _nodule(50, uid="2")]
    assert tracked(before, [_nodule(51), _nodule(1)]) == ("2", "1")


def test_a_nodule_is_new_from_the_radius_of_the_larger_on() -> None:
    before = [_nodule(0, diameter_mm=8, uid="1")]
    assert tracked(before, [_nodule(3.9, diameter_mm=6)]) == ("1",)
    assert tracked(before, [_nodule(4.0, diameter_mm=6)]) == ("",)
    assert tracked(before, [_nodule(4.9, diameter_mm=10)]) == ("1",)


def test_of_two_that_lie_near_the_closer_one_is_the_same() -> None:
    assert tracked([_nodule(0, uid="1")], [_nodule(3), _nodule(1)]) == ("", "1")
    assert tracked([_nodule(0, uid="1"), _nodule(3, uid="2")], [_nodule(2)]) == ("2",)


def test_distances_are_in_space() -> None:
    old = Nodule(centre_lps=(10.0, 20.0, 30.0), diameter_mm=10.0, tracking_uid="1")
    near = Nodule(centre_lps=(12.0, 22.0, 33.0), diameter_mm=10.0)  # sqrt(4 + 4 + 9) = 4.12
    far = Nodule(centre_lps=(13.0, 23.0, 33.0), diameter_mm=10.0)  # sqrt(27) = 5.2
    assert (tracked([old], [near]), tracked([old], [far])) == (("1",), ("",))


def test_without_an_earlier_result_all_are_new() -> None:
    assert tracked([], [_nodule(0), _nodule(9)]) == ("", "")
