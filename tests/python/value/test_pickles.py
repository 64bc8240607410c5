"""Pickles: by plain names, which stay; subclasses whole; sharing kept whatever runs between."""

from __future__ import annotations

import copy
import functools
import io
import itertools
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tapegrad
from tapegrad import Value, nn, optim

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
DATA = Path(__file__).parents[1] / "data"


def by_c(thing: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(thing, protocol))


def by_python(thing: Any, protocol: int) -> Any:
    return pickle._loads(pickle._dumps(thing, protocol))  # type: ignore[attr-defined]


def by_deepcopy(thing: Any, protocol: int) -> Any:
    return copy.deepcopy(thing)


ways = [
    pytest.param(functools.partial(way, protocol=p), id=f"{way.__name__} {p}")
    for way, p in [*itertools.product([by_c, by_python], PROTOCOLS), (by_deepcopy, 0)]
]
every_way = pytest.mark.parametrize("duplicate", ways)


OURS = ("tapegrad", __name__)
HARMLESS = {
    ("collections", "defaultdict"),
    ("copyreg", "_reconstructor"),  # protocols 0 and 1, of any class
    ("copy_reg", "_reconstructor"),
    *((module, name) for module in ("builtins", "__builtin__") for name in ("object", "dict")),
    ("_codecs", "encode"),  # bytes
}


class Restricted(pickle.Unpickler):
    """Takes what tapegrad and this file define, and nothing of builtins."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] not in OURS and (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"{module}.{name} is refused")
        return super().find_class(module, name)


# --- subclasses


class Scaled(Value):
    def __init__(self, d: float) -> None:
        super().__init__(d * 10)


class Named(Value):
    def __init__(self, a: float, b: float, name: str = "x") -> None:
        self.name = name
        super().__init__(a + b)


class Slotted(Value):
    __slots__ = ("__hidden", "a")

    def __init__(self, d: float, a: Any) -> None:
        super().__init__(d)
        self.a = a
        self.__hidden = "h"

    def hidden(self) -> str:
        return self.__hidden


class Deeper(Slotted):
    __slots__ = ("b",)


class Open(Value):
    """Has every attribute."""

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Stateful(Value):
    def __init__(self, d: float, cache: Any) -> None:
        super().__init__(d)
        self.cache, self.kept = cache, "kept"

    def __getstate__(self) -> Any:
        return {"kept": self.kept}

    def __setstate__(self, state: Any) -> None:
        self.kept, self.cache = state["kept"], "made anew"


class Slim(Value):
    """Its state is no dict."""

    def __getstate__(self) -> Any:
        return ("any", "thing", 3)

    def __setstate__(self, state: Any) -> None:
        assert state == ("any", "thing", 3)
        self.seen = True


class SetsOnly(Value):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        self.restored = True


class Reduced(Value):
    def __init__(self, d: float, name: str) -> None:
        super().__init__(d)
        self.name = name

    def __reduce__(self) -> Any:
        return Reduced, (self.data, self.name + "!")


class ReducedEx(Value):
    def __reduce_ex__(self, protocol: Any) -> Any:
        function, arguments, *rest = super().__reduce_ex__(protocol)
        return remade, (function, arguments), *rest


def remade(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    value = function(*arguments)
    value.remade = True
    return value


class Mixin:
    mixed = True


class Both(Mixin, Value):
    def __new__(cls, d: float, more: int) -> Both:
        return super().__new__(cls, d)

    def __init__(self, d: float, more: int) -> None:
        self.more = more


def step() -> None:
    pass


SUBCLASSES: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (lambda: Scaled(2.0), lambda v: v.data == 20.0),
    (lambda: Named(1.0, 2.0, "n"), lambda v: (v.data, v.name) == (3.0, "n")),
    (lambda: Slotted(2.0, [1]), lambda v: (v.a, v.hidden()) == ([1], "h")),
    (lambda: Deeper(2.0, 5), lambda v: v.a == 5 and not hasattr(v, "b")),
    (lambda: Open(2.0), lambda v: v.anything == "anything"),
    (lambda: Stateful(2.0, step), lambda v: (v.kept, v.cache) == ("kept", "made anew")),
    (lambda: Slim(2.0), lambda v: v.seen),
    (lambda: Both(2.0, 3), lambda v: (v.more, v.mixed) == (3, True)),
]


def with_everything(value: Any) -> Any:
    value.label, value._op, value.grad = "label", "op", 0.25
    if not isinstance(value, (Slim, Stateful)):
        value.note = [value]
    return value


@every_way
@pytest.mark.parametrize(("make", "is_right"), SUBCLASSES)
@pytest.mark.parametrize("held", [True, False])
def test_nothing_of_a_subclass_is_lost(
    duplicate: Callable[[Any], Any], make: Any, is_right: Any, held: bool
) -> None:
    value = with_everything(make())
    user = value * 3
    if held:
        again, twin = duplicate([value, user])
    else:
        kind = type(value)
        del value
        twin = duplicate(user)
        again = twin._children[0]
        value = user._children[0]
        assert type(value) is kind
    assert twin._children[0] is again
    assert again is not value
    assert type(again) is type(value)
    assert is_right(again)
    assert (again.data, again.grad, again.label, again._op) == (value.data, 0.25, "label", "op")
    if not isinstance(value, (Slim, Stateful)):
        assert again.note == [again]
    twin.backward()
    assert (again.grad, value.grad) == (3.25, 0.25)


@pytest.mark.parametrize(("make", "is_right"), SUBCLASSES)
def test_a_shallow_copy_of_a_subclass(make: Any, is_right: Any) -> None:
    value = make()
    again = copy.copy(value)
    assert type(again) is type(value)
    assert is_right(again)
    assert again.data == value.data


@every_way
@pytest.mark.parametrize("operand", [False, True])
def test_its_own_setstate_may_call_values(duplicate: Callable[[Any], Any], operand: bool) -> None:
    value = SetsOnly(2.0, (Value(1.0),) if operand else ())
    value.note = 5  # type: ignore[attr-defined]
    again = duplicate(value)
    assert (again.data, again.note, again.restored) == (2.0, 5, True)


@every_way
def test_its_own_reduction_is_used(duplicate: Callable[[Any], Any]) -> None:
    value = Reduced(2.0, "n")
    user = value * 3
    again, twin = duplicate([value, user])
    assert again.name == "n!"
    assert twin._children[0] is again
    del value, again, twin
    assert duplicate(user)._children[0].name == "n!"
    assert copy.copy(user._children[0]).name == "n!"


@every_way
@pytest.mark.parametrize("operand", [False, True])
def test_its_own_reduction_may_call_values(duplicate: Callable[[Any], Any], operand: bool) -> None:
    x = Value(1.0)
    value = ReducedEx(2.0, (x,), (3.0,)) if operand else ReducedEx(2.0)
    value.note, value.label = [value], "l"  # type: ignore[attr-defined]
    again, x_again = duplicate([value, x])
    assert (again.data, again.label, again.remade, again.note) == (2.0, "l", True, [again])
    if operand:
        assert again._children[0] is x_again


# --- names


def things() -> dict[str, Any]:
    x, y = Value(0.5, label="x"), Named(1.0, 2.0)
    x.note, x._op = [y], "op"  # type: ignore[attr-defined]
    z = (x * y).tanh() + 3 / x
    z._backward = step
    s = Slotted(1.0, z)
    p = Value(2.0)
    optimizer = optim.Adam([p, x], lr=0.1)
    optimizer.step()
    model = nn.MLP(2, [3, 1])
    return {
        "leaf": Value(1.0),
        "rich leaf": x,
        "subclass": y,
        "graph": z,
        "slots": s,
        "own state": Stateful(1.0, 2.0),
        "list": [x, y, z, s],
        "optimizer": optimizer,
        "model": model,
        "model and optimizer": (model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)),
    }


def globals_of(pickled: bytes) -> set[tuple[str, str]]:
    found = set()

    class Listens(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found.add((module, name))
            return super().find_class(module, name)

    Listens(io.BytesIO(pickled)).load()
    return found


@pytest.mark.parametrize("what", list(things()))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_names_nothing_but_plain_functions_and_classes(what: str, protocol: int) -> None:
    thing = things()[what]
    for dumps in (pickle.dumps, pickle._dumps):  # type: ignore[attr-defined]
        pickled = dumps(thing, protocol)
        assert b"eval" not in pickled
        for module, name in globals_of(pickled):
            assert (module.partition(".")[0] in OURS) or (module, name) in HARMLESS
        if protocol >= 2 and "optim" not in what:
            assert Restricted(io.BytesIO(pickled)).load() is not None
        pickletools.dis(pickled, io.StringIO())


# Written by `python tests/python/value/test_pickles.py`; loaded for ever.


def stored() -> dict[str, Any]:
    x, y = Value(0.5, label="x"), Value(-1.5)
    x.note = [y]  # type: ignore[attr-defined]
    inner = x * y + 2
    z = inner.tanh() / x - y**3 + Value(4.0, (x, inner), (2.0, 3.0), label="open")
    z.backward()
    optimizer = optim.Adam([x, y], lr=0.5)
    optimizer.step()
    return {"x": x, "y": y, "z": z, "optimizer": optimizer}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stored_pickle_is_loaded(protocol: int) -> None:
    pickled = (DATA / f"values-{protocol}.pickle").read_bytes()
    loaded, fresh = pickle.loads(pickled), stored()
    for name in ("x", "y", "z"):
        ours, theirs = loaded[name], fresh[name]
        assert (ours.data, ours.grad, ours.label) == (theirs.data, theirs.grad, theirs.label)
        assert ours._op == theirs._op
    assert loaded["x"].note == [loaded["y"]]
    for each in (loaded, fresh):
        each["optimizer"].zero_grad()
        each["z"].backward()
        each["optimizer"].step()
    assert loaded["x"].grad == pytest.approx(fresh["x"].grad, rel=1e-14)
    assert loaded["x"].data == pytest.approx(fresh["x"].data, rel=1e-14)
    assert loaded["optimizer"].param_groups[0]["params"][0] is loaded["x"]


def test_what_release_0_9_wrote_is_loaded() -> None:
    """The state of a Value was then set by its __setstate__, of five parts."""
    leaf = tapegrad._core._restored_leaf(Value, 2.0, 0.5)
    leaf.__setstate__(("label", "op", step, {"note": 1}, None))  # type: ignore[attr-defined]
    assert (leaf.label, leaf._op, leaf._backward, vars(leaf)) == ("label", "op", step, {"note": 1})


# --- sharing


class Touches(Value):
    """Pickling it changes attributes, but no node."""

    def __getstate__(self) -> Any:
        state = dict(vars(self))
        self.cache = object()
        TOUCHED.colour = "red"  # type: ignore[attr-defined]
        return {k: v for k, v in state.items() if k != "cache"}


TOUCHED = Value(0.0)


@every_way
def test_what_no_name_refers_to_is_shared(duplicate: Callable[[Any], Any]) -> None:
    x = Value(2.0)
    inner = x * 2
    a, b = inner * 3, inner * 8
    del inner
    for pair in ([a, b], [b, a], [a, x, b], [[a], {"b": b}]):
        again = duplicate(pair)
        first, last = again[0], again[-1]
        first = first[0] if isinstance(first, list) else first
        last = last["b"] if isinstance(last, dict) else last
        assert first._children[0] is last._children[0]
        (first + last).backward()
        assert first._children[0]._children[0].grad == 22.0
        assert first._children[0]._children[0] is not x
        assert x.grad == 0.0


def test_a_product_of_shared_nodes_has_the_whole_gradient() -> None:
    x = Value(1.0)
    inner = x * 2
    a, b = inner * inner, inner * 4 * inner
    del inner
    c, d = copy.deepcopy([a, b])
    (a + b).backward()
    (c + d).backward()
    leaf = c._children[0]._children[0]
    assert leaf.grad == x.grad


@every_way
@pytest.mark.parametrize("first", [True, False])
def test_code_that_runs_meanwhile_parts_nothing(
    duplicate: Callable[[Any], Any], first: bool
) -> None:
    inner = Value(1.0) * 2
    touching = [Touches(float(k), (inner,), (1.0,)) for k in range(5)]
    leaves = [Touches(float(k)) for k in range(5)]
    users = [inner * t * leaf for t, leaf in zip(touching, leaves, strict=True)]
    del inner
    thing = [touching, leaves, users] if first else [users, leaves, touching]
    again = duplicate(thing)
    twins = again if first else again[::-1]
    shared = {id(t._children[0]): t._children[0] for t in twins[0]}
    assert len(shared) == 1
    assert {id(u._children[0]._children[0]) for u in twins[2]} == set(shared)
    assert [u._children[0]._children[1] for u in twins[2]] == twins[0]
    assert [u._children[1] for u in twins[2]] == twins[1]


def test_two_pickles_from_one_pickler_share() -> None:
    file = io.BytesIO()
    pickler = pickle.Pickler(file)
    inner = Value(1.0) * 2
    a, b = inner * 3, inner * 4
    del inner
    pickler.dump(a)
    TOUCHED.colour = "blue"  # type: ignore[attr-defined]
    pickler.dump(b)
    file.seek(0)
    unpickler = pickle.Unpickler(file)
    first, last = unpickler.load(), unpickler.load()
    assert first._children[0] is last._children[0]


def test_constants_that_were_looked_at_between_two_pickles() -> None:
    file = io.BytesIO()
    pickler = pickle.Pickler(file)
    y = Value(1.0) * 2
    z = y * 3
    pickler.dump(y)
    y._children[1].label = "two"
    pickler.dump(z)
    again = pickle.loads(pickle.dumps(z))
    assert [c.label for c in again._children[0]._children] == ["", "two"]
    file.seek(0)
    unpickler = pickle.Unpickler(file)
    assert (unpickler.load().data, unpickler.load().data) == (2.0, 6.0)


@every_way
def test_a_bound_method_as_backward_function_is_the_copys(duplicate: Callable[[Any], Any]) -> None:
    y = Stepper(2.0, (Value(1.0),))
    y._backward = y.step
    again = duplicate(y)
    again.backward()
    assert (again._children[0].grad, y._children[0].grad) == (7.0, 0.0)


class Stepper(Value):
    def step(self) -> None:
        self._children[0].grad += 7.0


def test_many_results_of_one_sum_are_no_chain_of_calls() -> None:
    total, sums = Value(0.0), []
    for _ in range(3_000):
        total = total + 1
        sums.append(total)
    again = pickle.loads(pickle.dumps(sums))
    again[-1].backward()
    assert again[0].grad == 1.0


def test_memo_of_another_program() -> None:
    x = Value(1.0)
    other = Value(5.0)
    y = x * 2
    memo: dict[Any, Any] = {id(x): other}
    again = copy.deepcopy(y, memo)
    assert again._children[0] is other
    assert copy.deepcopy(y, memo) is again


if __name__ == "__main__":
    for number in PROTOCOLS:
        (DATA / f"values-{number}.pickle").write_bytes(pickle.dumps(stored(), number))
