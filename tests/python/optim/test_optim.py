"""tapegrad.optim: parameters, groups and options; its numbers are in test_optim_torch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from support.contract import output_of
from support.optimizers import Make, every_optimizer, train, values
from tapegrad import Value, nn, optim


@every_optimizer
def test_training_goes_down(make: Make) -> None:
    params = values(0.0, 0.0, 0.0)
    found = train(make(params), params, 400)
    assert found == pytest.approx([1.0, 2.0, 3.0], abs=0.2)


def test_a_network_learns_faster_than_nothing() -> None:
    random.seed(1)
    model = nn.MLP(2, [8, 1], nonlin="tanh")
    rows = [([0.0, 0.0], -1), ([0.0, 1.0], 1), ([1.0, 0.0], 1), ([1.0, 1.0], -1)]
    optimizer = optim.Adam(model.parameters(), lr=0.05)

    def loss() -> Any:
        optimizer.zero_grad()
        total: Any = sum((model(x) - y) ** 2 for x, y in rows)
        total.backward()
        return total

    first = optimizer.step(loss).data
    for _ in range(150):
        optimizer.step(loss)
    assert loss().data < 0.01 * first


def test_step_calls_the_closure_first_and_returns_its_loss() -> None:
    x = Value(3.0)
    optimizer = optim.SGD([x], lr=0.5)

    def closure() -> str:
        x.grad = 2.0
        return "the loss"

    assert optimizer.step(closure) == "the loss"
    assert x.data == 2.0
    assert optimizer.step() is None


def test_a_closure_that_raises_leaves_everything_as_it_was() -> None:
    x = Value(3.0)
    x.grad = 1.0
    optimizer = optim.Adam([x])
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    assert x.data == 3.0
    assert optimizer.state_dict()["state"] == [{"step": 0}]


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_clears_the_gradients_of_all_groups(set_to_none: bool) -> None:
    x, y, other = values(1.0, 2.0, 3.0)
    (x * y * other).backward()
    optim.SGD([{"params": [x]}, {"params": y}]).zero_grad(set_to_none=set_to_none)
    assert (x.grad, y.grad, other.grad) == (0.0, 0.0, 2.0)


# What may be given as params.


@pytest.mark.parametrize(
    "given", [list, tuple, iter, dict.fromkeys, lambda values: (v for v in values)]
)
def test_params_may_be_any_ordered_iterable(given: Callable[[list[Value]], Any]) -> None:
    params = values(1.0, 2.0)
    optimizer = optim.SGD(given(params))
    assert all(a is b for a, b in zip(optimizer.param_groups[0]["params"], params, strict=True))


def test_groups_have_options_of_their_own_or_the_defaults() -> None:
    x, y = values(1.0, 1.0)
    optimizer = optim.SGD([{"params": [x], "lr": 1.0}, {"params": (v for v in [y])}], lr=0.25)
    x.grad = y.grad = 1.0
    optimizer.step()
    assert (x.data, y.data) == (0.0, 0.75)
    optimizer.param_groups[1]["lr"] = 0.5
    optimizer.step()
    assert y.data == 0.25
    assert [group["momentum"] for group in optimizer.param_groups] == [0, 0]
    assert optimizer.defaults["lr"] == 0.25


def test_a_group_may_be_added_later_and_begins_its_own_steps() -> None:
    x, y, twin = values(1.0, 1.0, 1.0)
    optimizer = optim.Adam([x], lr=0.1)
    x.grad = y.grad = twin.grad = 1.0
    optimizer.step()
    group = {"params": y}
    optimizer.add_param_group(group)
    optimizer.step()
    optim.Adam([twin], lr=0.1).step()
    assert y.data == twin.data
    assert [entry["step"] for entry in optimizer.state_dict()["state"]] == [2, 1]
    assert group == {"params": y}


def test_parameters_may_have_names() -> None:
    model = nn.MLP(1, [1])
    optimizer = optim.SGD(model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == [n for n, _ in model.named_parameters()]
    assert optimizer.state_dict()["param_groups"][0]["param_names"][0] == "layers.0.neurons.0.w.0"
    assert "param_names" not in repr(optimizer)


def test_an_attribute_or_a_subclass_is_a_parameter_like_any_other() -> None:
    class Weight(Value):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    model = nn.Neuron(1)
    weights = [Weight(2.0), Weight(3.0)]
    optimizer = optim.SGD([*weights, model.b], lr=1.0)
    for weight in weights:
        weight.grad = 1.0
    model.b.grad = 1.0
    optimizer.step()
    assert [w.data for w in weights] == [1.0, 2.0]
    assert model.b.data == -1.0


def test_a_parameter_twice_in_a_group_is_kept_once_with_a_warning() -> None:
    x, y = values(1.0, 2.0)
    with pytest.warns(UserWarning, match="more than once"):
        optimizer = optim.SGD([x, y, x], lr=0.5)
    x.grad = 1.0
    optimizer.step()
    assert x.data == 0.5
    assert len(optimizer.param_groups[0]["params"]) == 2


x0 = Value(0.0)
WRONG_PARAMS: dict[str, tuple[Any, type[Exception], str]] = {
    "none": ([], ValueError, "params is empty"),
    "a Value": (x0, TypeError, "must be an iterable of Values or dicts, not a Value"),
    "a number": ([Value(1.0), 2.0], TypeError, r"params\[1\] must be a Value, not 'float'"),
    "nested": ([[Value(1.0)]], TypeError, r"params\[0\] must be a Value, not 'list'"),
    "a set": ([{"params": {x0}}], TypeError, "a set has none"),
    "a result": ([x0, x0 * 2], ValueError, r"params\[1\] is the result of an operation"),
    "two groups": ([{"params": x0}, {"params": [x0]}], ValueError, "another group has already"),
    "no dict": ([{"params": x0}, x0], TypeError, "must be a dict with 'params', not 'Value'"),
    "no params": ([{"lr": 1.0}], ValueError, "must be a dict with 'params'"),
    "some names": ([("x", x0), Value(1.0)], ValueError, "must all have names, or none"),
    "three": ([("x", x0, 1)], TypeError, "pairs of a name and a Value"),
    "names in one group": (
        [{"params": [("x", x0)]}, {"params": [Value(1.0)]}],
        ValueError,
        "names in all groups or in none",
    ),
    "not iterable": (3, TypeError, "not iterable"),
}


@pytest.mark.parametrize(("given", "error", "message"), WRONG_PARAMS.values(), ids=WRONG_PARAMS)
def test_wrong_params_are_named(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        optim.Adam(given)


def test_a_group_that_is_refused_changes_nothing() -> None:
    optimizer = optim.SGD(values(1.0))
    with pytest.raises(ValueError, match="lr must be 0 or more"):
        optimizer.add_param_group({"params": values(2.0), "lr": -1})
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optimizer.add_param_group([Value(1.0)])  # type: ignore[arg-type]
    assert len(optimizer.param_groups) == len(optimizer.state_dict()["state"]) == 1
    optimizer.step()


WRONG_OPTIONS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("SGD", {"lr": -0.1}, ValueError, "lr must be 0 or more, not -0.1"),
    ("SGD", {"lr": math.nan}, ValueError, "lr must be 0 or more, not nan"),
    ("SGD", {"momentum": -1}, ValueError, "momentum"),
    ("SGD", {"weight_decay": -1}, ValueError, "weight_decay"),
    ("SGD", {"nesterov": True}, ValueError, "nesterov needs a momentum"),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, "no dampening"),
    ("SGD", {"dampening": "0"}, TypeError, "dampening must be a real number, not 'str'"),
    ("Adam", {"lr": "0.1"}, TypeError, "lr must be a real number, not 'str'"),
    ("Adam", {"lr": Value(0.1)}, TypeError, "lr must be a real number, not 'Value'"),
    ("Adam", {"eps": -1}, ValueError, "eps"),
    ("Adam", {"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be 0 or more and below 1"),
    ("Adam", {"betas": (0.9, -0.1)}, ValueError, r"betas\[1\]"),
    ("Adam", {"betas": (0.9,)}, ValueError, "betas must be two numbers, not 1"),
    ("Adam", {"betas": (0.9, None)}, TypeError, r"betas\[1\] must be a real number"),
    ("AdamW", {"weight_decay": -0.1}, ValueError, "weight_decay"),
    ("RMSprop", {"alpha": -0.1}, ValueError, "alpha"),
    ("RMSprop", {"momentum": -0.1}, ValueError, "momentum"),
    ("Adagrad", {"lr_decay": -0.1}, ValueError, "lr_decay"),
    ("Adagrad", {"initial_accumulator_value": -1}, ValueError, "initial_accumulator_value"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), WRONG_OPTIONS)
def test_wrong_options_are_named(
    name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(optim, name)(values(1.0), **options)


# Options that a program changes between steps.


@pytest.mark.parametrize("lr", [1, True, Fraction(1), Decimal(1)])
def test_a_rate_may_be_any_real_number(lr: Any) -> None:
    x = Value(2.0)
    x.grad = 1.0
    optimizer = optim.SGD([x])
    optimizer.param_groups[0]["lr"] = lr
    optimizer.step()
    assert x.data == 1.0


BROKEN: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "no number": (
        lambda groups: groups[1].update(lr="fast"),
        TypeError,
        r"param_groups\[1\]\['lr'\] must be a real number, not 'str'",
    ),
    "no option": (
        lambda groups: groups[1].pop("eps"),
        KeyError,
        r"param_groups\[1\]\['eps'\] is not there",
    ),
    "one beta": (
        lambda groups: groups[1].update(betas=[0.9]),
        ValueError,
        r"\['betas'\] must be two numbers, not 1",
    ),
    "betas no pair": (lambda groups: groups[1].update(betas=0.9), TypeError, "two numbers"),
    "no truth": (lambda groups: groups[1].update(amsgrad=Untrue()), OverflowError, "neither"),
    "no dict": (lambda groups: groups.__setitem__(1, None), TypeError, "must be a dict"),
    "no list": (lambda groups: groups[1].update(params=(1,)), TypeError, "must be a list"),
    "a parameter less": (lambda groups: groups[1]["params"].pop(), RuntimeError, "changed since"),
    "another parameter": (
        lambda groups: groups[1]["params"].__setitem__(0, Value(1.0)),
        RuntimeError,
        r"param_groups\[1\]\['params'\] changed since the group was added",
    ),
    "a group less": (lambda groups: groups.pop(), RuntimeError, "1 param_groups, and 2 were"),
}


class Untrue:
    """Neither true nor false."""

    def __bool__(self) -> bool:
        raise OverflowError("neither")


@pytest.mark.parametrize(("harm", "error", "message"), BROKEN.values(), ids=BROKEN)
def test_a_step_is_taken_whole_or_not_at_all(
    harm: Callable[[Any], object], error: type[Exception], message: str
) -> None:
    x, y = values(1.0, 2.0)
    optimizer = optim.Adam([{"params": [x]}, {"params": [y]}], lr=0.1)
    x.grad = y.grad = 1.0
    harm(optimizer.param_groups)
    with pytest.raises(error, match=message):
        optimizer.step()
    assert (x.data, y.data) == (1.0, 2.0)
    assert {entry["step"] for entry in optimizer._states()} == {0}


# An optimizer of one's own.


class Plain(optim.Optimizer):
    """Descent in Python."""

    def __init__(self, params: optim.optimizer.Parameters, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= group["lr"] * p.grad


def test_a_subclass_defines_its_own_step() -> None:
    params = values(0.0, 0.0)
    found = train(Plain(params, lr=0.25), params, 60)
    assert found == pytest.approx([1.0, 2.0])
    with pytest.raises(NotImplementedError, match="Optimizer defines no step"):
        optim.Optimizer(params, {}).step()


def test_an_optimizer_shows_its_options() -> None:
    shown = repr(optim.SGD(values(1.0), lr=0.5)).splitlines()
    assert shown[:2] == ["SGD (", "Parameter Group 0"]
    assert "    lr: 0.5" in shown
    assert not any("params" in line for line in shown)


def test_options_that_run_code_may_do_so() -> None:
    program = """
        import gc
        from tapegrad import Value, optim
        class Evil:
            def __init__(self, act): self.act = act
            def __float__(self):
                self.act(); gc.collect(); [Value(9.0) * 2 for _ in range(1000)]
                return 0.1
            __bool__ = lambda self: bool(self.__float__())
        def made():
            return optim.Adam([{"params": [Value(1.0), Value(2.0)]}, {"params": [Value(3.0)]}])
        acts = [
            lambda o: o.param_groups.clear(),
            lambda o: o.param_groups[0]["params"].clear(),
            lambda o: o.param_groups[1]["params"].append(Value(1.0)),
            lambda o: o.add_param_group({"params": [Value(5.0)]}),
            lambda o: o.param_groups[1].clear(),
            lambda o: o.step() if o.param_groups[0].pop("once", 0) else None,
        ]
        for act in acts:
            for option in ("lr", "eps", "maximize"):
                optimizer = made()
                optimizer.param_groups[0]["once"] = 1
                optimizer.param_groups[0][option] = Evil(lambda: act(optimizer))
                try: optimizer.step()
                except (RuntimeError, KeyError) as error: print(type(error).__name__)
                repr(optimizer._states())
        rule = made()._update
        others = [dict(made().param_groups[0])] * 2
        for odd in ([], [{}, {}], [None, None], [{"params": None}] * 2, others):
            try: rule.step(odd)
            except (RuntimeError, KeyError, TypeError): pass
        class Numbers:
            def __float__(self): rule.add([Value(1.0)]); return 1.0
        try: rule.load([{"exp_avg": [Numbers(), 1.0]}, {}])
        except ValueError: print("loading", len(rule.state()))
        """
    lines = output_of(program)
    assert lines[-1] == "loading 3"
    assert set(lines[:-1]) == {"RuntimeError", "KeyError"}
