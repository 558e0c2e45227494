"""A record is read as it was written, and says what two recipes differ in."""

from __future__ import annotations

import dataclasses

from tests.unit.training.results.records import a_run, cases
from training.results import as_text, differences, from_text

RUN = a_run("hr_mpf_s", cases=cases([0.5, 0.7]))


def test_a_record_that_was_written_is_read_as_the_same_run() -> None:
    whole = dataclasses.replace(RUN, labels={"seeds": 5}, froc={"cpm": None})
    assert from_text(as_text(RUN)) == RUN
    assert from_text(as_text(whole)) == whole
    assert whole.recipe == "hr_mpf_s"


def test_each_list_is_on_a_line_of_its_own_and_absent_parts_are_nowhere() -> None:
    lines = as_text(RUN).splitlines()
    assert '      "dice": [0.5, 0.7]' in lines
    assert not any("labels" in line or "froc" in line for line in lines)


def test_recipes_differ_in_what_either_has_and_the_other_has_otherwise_or_not() -> None:
    one = {"name": "a", "network": {"width": 8, "fusion": "a"}, "epochs": [1, 2], "batch": 4}
    other = {"name": "a", "network": {"width": 16, "fusion": "a"}, "epochs": [1, 3], "rate": 0.1}
    assert differences(one, other) == (
        "batch (only one has it)",
        "epochs",
        "network.width",
        "rate (only one has it)",
    )
    assert differences(one, one) == ()
