"""Programs with an engine of their own run unedited, and give the numbers that they gave."""

from __future__ import annotations

import pytest

from support.engines import FOLDER, assert_same_output, numbers
from support.running import python, run

# Of each program: whether Value takes the place of its class, and what the note says of that.
REPLACED = {
    "clamped_log": ["kept tapegrad's own: operators", "log (gives other numbers at"],
    "clearing": ["backward (leaves other gradients)", "relu (gives other numbers at 0)"],
    "counting": ["__mul__ (assigns Value.products)", "__eq__", "softplus"],
    "dispatch": ["backward", "softsign"],
    "edges": ["gauss"],
    "lecture": ["operators, __init__, backward, tanh", "__repr__ (is its own)"],
    "local_grads": ["exp, log, relu; added from Value: squareplus"],
    "momentum": ["sin", "step"],
    "renamed": ["swish"],
    "sorted_outside": ["operators, __init__, backward, exp"],
    "step_with_gradient": ["triangle"],
}
KEPT = {
    "dispatch_outside": "it has no backward(), and its nodes do not say how",
    "numbered": "its __init__ depends on Value.counter",
    "switch": "its __init__ depends on Value.recording",
}
CLASSES = {"renamed": "Scalar"}


def test_every_program_is_expected_to_be_replaced_or_kept() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == REPLACED.keys() | KEPT.keys()


@pytest.mark.parametrize("name", sorted(REPLACED.keys() | KEPT.keys()))
def test_a_program_gives_its_numbers_with_and_without_its_class(name: str) -> None:
    path = str(FOLDER / f"{name}.py")
    expected = python(FOLDER, path)
    assert expected.returncode == 0, expected.stderr
    assert len(numbers(expected.stdout)) > 10
    plain = run(FOLDER, path)
    assert plain.stderr == ""
    # Not to the last digit: a set of nodes has another order in each process.
    assert_same_output(plain.stdout, expected.stdout)
    found = run(FOLDER, "--replace-class", CLASSES.get(name, "Value"), path)
    assert found.returncode == 0, found.stderr
    if name in KEPT:
        assert f" is kept: {KEPT[name]}" in found.stderr
    else:
        assert " is now tapegrad's Value; " in found.stderr
        assert [part for part in REPLACED[name] if part not in found.stderr] == []
    assert_same_output(found.stdout, expected.stdout)
    assert found.stderr.count("\n") == 1
