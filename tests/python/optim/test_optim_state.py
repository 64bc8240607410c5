"""What an optimizer remembers: saved, loaded, copied, pickled, and let go."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support.contract import nodes, snapshot_of
from support.optimizers import Make, every_optimizer, train, values
from tapegrad import Value, optim


@every_optimizer
def test_training_goes_on_from_a_state_dict_through_json(make: Make) -> None:
    params = values(0.5, 0.0, -3.0)
    optimizer = make(params)
    train(optimizer, params, 7)
    text = json.dumps({"data": [p.data for p in params], "state": optimizer.state_dict()})
    expected = train(optimizer, params, 7)
    saved = json.loads(text)
    twins = values(*saved["data"])
    twin = make(twins)
    twin.load_state_dict(saved["state"])
    assert train(twin, twins, 7) == expected
    assert twin.state_dict() == optimizer.state_dict()


@every_optimizer
def test_copies_and_pickles_go_on_alike(make: Make) -> None:
    params = values(0.5, 0.0, -3.0)
    optimizer = make(params)
    train(optimizer, params, 3)
    copied = copy.deepcopy((optimizer, params))
    pickled = pickle.loads(pickle.dumps((optimizer, params)))
    expected = train(optimizer, params, 3)
    for twin, twins in (copied, pickled):
        assert twins[0] is twin.param_groups[0]["params"][0]
        assert train(twin, twins, 3) == expected


def test_a_state_dict_is_a_copy() -> None:
    x = Value(1.0)
    optimizer = optim.SGD([x], lr=0.1, momentum=0.9)
    x.grad = 1.0
    optimizer.step()
    saved = optimizer.state_dict()
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 5.0
    assert saved["state"] == [{"step": 1, "momentum_buffer": [1.0]}]
    assert saved["param_groups"][0]["lr"] == 0.1
    assert saved["param_groups"][0]["params"] == [0]
    optimizer.load_state_dict(saved)
    saved["state"][0]["momentum_buffer"][0] = 99.0
    assert optimizer.state[x] == {"step": 1, "momentum_buffer": 1.0}


def test_options_are_copied_on_the_way_out_and_in() -> None:
    optimizer = optim.SGD([{"params": values(1.0), "tags": ["first"]}])
    saved = optimizer.state_dict()
    optimizer.param_groups[0]["tags"].append("later")
    assert saved["param_groups"][0]["tags"] == ["first"]
    optimizer.load_state_dict(saved)
    saved["param_groups"][0]["tags"].append("outside")
    assert optimizer.param_groups[0]["tags"] == ["first"]


CHANGES: dict[str, Callable[[optim.Optimizer, Value], object]] = {
    "step": lambda optimizer, x: optimizer.step(),
    "zero_grad": lambda optimizer, x: optimizer.zero_grad(),
    "clip_grad_norm_": lambda optimizer, x: optim.clip_grad_norm_(x, 1e-3),
    "clip_grad_value_": lambda optimizer, x: optim.clip_grad_value_(x, 1e-3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_pickle_remembers_of_a_graph_is_not_used_after_a_change(
    change: Callable[[optim.Optimizer, Value], object],
) -> None:
    x = Value(2.0)
    y = x * 3
    y.backward()
    optimizer = optim.SGD([x], lr=0.5)
    snapshot = snapshot_of(y)
    assert snapshot_of(y) is snapshot
    change(optimizer, x)
    assert snapshot_of(y) is not snapshot


def test_loading_brings_options_back_and_keeps_the_parameters() -> None:
    params = values(1.0, 2.0)
    saved = json.loads(json.dumps(optim.Adam(values(1.0, 2.0), lr=0.5).state_dict()))
    optimizer = optim.Adam(params, betas=(0.5, 0.5))
    group = optimizer.param_groups[0]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0] is group
    assert (group["lr"], group["betas"]) == (0.5, (0.9, 0.999))
    assert group["params"] == params


def test_state_numbers_parameters_through_the_groups() -> None:
    optimizer = optim.SGD([{"params": values(1.0, 2.0)}, {"params": values(3.0)}])
    groups = optimizer.state_dict()["param_groups"]
    assert [group["params"] for group in groups] == [[0, 1], [2]]


def saved_adam(**changes: Any) -> dict[str, Any]:
    """The state of an Adam of two parameters after a step, with an entry of the state changed."""
    optimizer = optim.Adam(values(1.0, 2.0))
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0].update(changes)
    return saved


WRONG_STATES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "groups": (
        optim.Adam([{"params": values(1.0)}, {"params": values(1.0)}]).state_dict(),
        ValueError,
        "2 param_groups, and the optimizer 1",
    ),
    "parameters": (
        optim.Adam(values(1.0)).state_dict(),
        ValueError,
        r"param_groups\[0\] of state_dict has 1 parameters, and that of the optimizer 2",
    ),
    "another optimizer": (saved_adam(sum=[1.0, 2.0]), ValueError, r"has 'sum', which is not of"),
    "a number less": (saved_adam(exp_avg=[1.0]), ValueError, "has 1 numbers for 2 parameters"),
    "no list": (saved_adam(exp_avg=1.0), TypeError, "must be a list of numbers, not 'float'"),
    "no number": (
        saved_adam(exp_avg=[1.0, "2"]),
        TypeError,
        r"state\[0\]\['exp_avg'\]\[1\] must be a real number, not 'str'",
    ),
    "half a step": (saved_adam(step=1.5), TypeError, r"state\[0\]\['step'\] must be an int"),
    "a step back": (saved_adam(step=-1), ValueError, r"state\[0\]\['step'\] must be a number of"),
    "no dict": ({**saved_adam(), "state": [None]}, TypeError, r"state\[0\] must be a dict"),
    "no groups": ({**saved_adam(), "state": []}, ValueError, "state is of 0 groups, not of 1"),
}


@pytest.mark.parametrize(("saved", "error", "message"), WRONG_STATES.values(), ids=WRONG_STATES)
def test_a_state_that_does_not_fit_changes_nothing(
    saved: dict[str, Any], error: type[Exception], message: str
) -> None:
    optimizer = optim.Adam(values(1.0, 2.0), lr=0.7)
    before = optimizer.state_dict()
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.state_dict() == before


def test_options_out_of_a_file_are_checked_too() -> None:
    saved = optim.Adam(values(1.0)).state_dict()
    saved["param_groups"][0]["lr"] = -1.0
    optimizer = optim.Adam(values(1.0))
    with pytest.raises(ValueError, match="lr must be 0 or more"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 1e-3


class Momentum(optim.Optimizer):
    """An optimizer of one's own, as PyTorch's are written."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["buffer"] = 0.0
                state["buffer"] = 0.9 * state["buffer"] + p.grad
                p.data -= group["lr"] * state["buffer"]


def test_an_optimizer_of_ones_own_remembers_in_its_state() -> None:
    params, twins = values(0.5, 0.0, -3.0), values(0.5, 0.0, -3.0)
    found = train(Momentum(params), params, 5)
    assert found == pytest.approx(train(optim.SGD(twins, lr=0.1, momentum=0.9), twins, 5))


def test_an_optimizer_of_ones_own_is_saved_copied_and_pickled_like_the_others() -> None:
    params = values(0.5, 0.0, -3.0)
    optimizer = Momentum([{"params": params[:1]}, {"params": params[1:], "lr": 0.2}])
    fresh = optimizer.state_dict()
    assert fresh["state"] == [[{}], [{}, {}]]
    train(optimizer, params, 5)
    copied = copy.deepcopy((optimizer, params))
    pickled = pickle.loads(pickle.dumps((optimizer, params)))
    loaded = values(*(p.data for p in params))
    twin = Momentum([{"params": loaded[:1]}, {"params": loaded[1:]}])
    twin.load_state_dict(json.loads(json.dumps(optimizer.state_dict())))
    expected = train(optimizer, params, 5)
    for one, its_params in (copied, pickled, (twin, loaded)):
        assert train(one, its_params, 5) == expected
    with pytest.raises(ValueError, match=r"state must be lists of \[1, 2\] dicts"):
        twin.load_state_dict({**optimizer.state_dict(), "state": [[{}], [{}]]})
    twin.load_state_dict(fresh)
    assert twin.state == {}


# Memory.


def test_an_optimizer_keeps_its_parameters_and_goes_with_them() -> None:
    before = nodes()
    optimizer = optim.Adam([Value(1.0), Value(2.0)])
    assert nodes() == before + 2
    optimizer.step()
    del optimizer
    assert nodes() == before


def test_a_parameter_that_knows_its_optimizer_is_collected_with_it() -> None:
    x = Value(1.0)
    x.optimizer = optim.SGD([x])  # type: ignore[attr-defined]
    gone = weakref.ref(x.optimizer)  # type: ignore[attr-defined]
    del x
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad])
@pytest.mark.parametrize("how", ["step", "add"])
def test_a_new_value_is_never_taken_for_a_dead_one(make: Any, how: str) -> None:
    """Memory is used again at once: a new Value is where the old one was."""
    params = [Value(float(k)) for k in range(50)]
    optimizer = make(params)
    optimizer.step()
    params.clear()
    group = optimizer.param_groups[0]["params"]
    for k in range(50):
        group[k] = None
        group[k] = Value(7.0)
        group[k].grad = 1.0
    with pytest.raises(RuntimeError, match="changed since the group was added"):
        optimizer.step()
    assert {p.data for p in group} == {7.0}
    if how == "add":
        optimizer.param_groups.clear()
        with pytest.raises(RuntimeError, match="0 param_groups, and 1 were added"):
            optimizer.step()


def test_steps_take_no_memory() -> None:
    params = values(*range(100))
    optimizer = optim.Adam(params)
    optimizer.step()
    before = nodes(), sys.getrefcount(params[0])
    for _ in range(1000):
        optimizer.step()
        optimizer.zero_grad()
    assert (nodes(), sys.getrefcount(params[0])) == before
