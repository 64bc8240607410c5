"""Subclasses of Value behave as subclasses of a class written in Python do."""

from __future__ import annotations

import abc
import gc
import itertools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pytest

import tapegrad
from support.contract import nodes
from tapegrad import Value

T = TypeVar("T")


class Scaled(Value):
    def __init__(self, d: float) -> None:
        super().__init__(d * 10)


class Other(Value):
    """Parameters that are not Value's."""

    def __init__(self, a: float, b: float, name: str = "x", **more: Any) -> None:
        self.name = name
        super().__init__(a + b, **more)


class Square(Value):
    """Makes operands of its own first."""

    def __init__(self, x: Value) -> None:
        inner = x * 1.0
        super().__init__(inner.data**2, (inner,), (2 * inner.data,))
        self.inner = inner


class Tenfold(Value):
    def __new__(cls, d: float) -> Tenfold:
        return super().__new__(cls, d * 10)


class Both(Value):
    def __new__(cls, d: float, name: str) -> Both:
        return super().__new__(cls, d * 10)

    def __init__(self, d: float, name: str) -> None:
        self.name = name


class BothAndMore(Both):
    def __init__(self, d: float, name: str) -> None:
        super().__init__(d, name)
        Value.__init__(self, d * 3)


class EmptyCall(Both):
    def __init__(self, d: float, name: str) -> None:
        Value.__init__(self)
        self.name = name


class NewWithoutArguments(Value):
    def __new__(cls, *args: Any) -> NewWithoutArguments:
        return super().__new__(cls)

    def __init__(self, a: float, b: float) -> None:
        super().__init__(a * b)


class Left(Value):
    def __init__(self, d: float, **rest: Any) -> None:
        super().__init__(d, **rest)
        self.left = True


class Right(Value):
    def __init__(self, d: float, **rest: Any) -> None:
        super().__init__(d * 2, **rest)
        self.right = True


class Diamond(Left, Right):
    def __init__(self, d: float) -> None:
        super().__init__(d, label="diamond")


class Mixin:
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.mixed = True


class Mixed(Mixin, Value):
    pass


class ByClass(Value):
    def __init__(self, d: float) -> None:
        Value.__init__(self, d)
        Value.__init__(self, d + 1)


class Box(Value, Generic[T]):
    def __init__(self, thing: T, d: float) -> None:
        super().__init__(d)
        self.thing = thing


class Counted(type):
    made: ClassVar[list[type]] = []

    def __call__(cls, *args: Any, **more: Any) -> Any:
        Counted.made.append(cls)
        return super().__call__(*args, **more)


class WithMeta(Value, metaclass=Counted):
    def __init__(self, d: float) -> None:
        super().__init__(d + 1)


@dataclass(eq=False)
class Record(Value):
    data: float
    name: str = "r"


@dataclass(eq=False)
class Post(Value):
    name: str
    start: float = 2.0

    def __post_init__(self) -> None:
        super().__init__(self.start)


MADE: list[tuple[Callable[[], Value], float]] = [
    (lambda: Scaled(2.0), 20.0),
    (lambda: Scaled(d=2.0), 20.0),
    (lambda: Other(1.0, 2.0), 3.0),
    (lambda: Other(1.0, b=2.0, name="y", label="sum"), 3.0),
    (lambda: Square(Value(3.0)), 9.0),
    (lambda: Tenfold(2.0), 20.0),
    (lambda: Both(2.0, "x"), 20.0),
    (lambda: BothAndMore(2.0, "x"), 6.0),
    (lambda: EmptyCall(2.0, "x"), 20.0),
    (lambda: NewWithoutArguments(2.0, 3.0), 6.0),
    (lambda: Diamond(2.0), 4.0),
    (lambda: Mixed(2.0, label="m"), 2.0),
    (lambda: ByClass(2.0), 3.0),
    (lambda: Box("thing", 2.0), 2.0),
    (lambda: Box[int](1, 2.0), 2.0),
    (lambda: WithMeta(2.0), 3.0),
    (lambda: type.__call__(WithMeta, 2.0), 3.0),
    (lambda: Record(2.0), 2.0),
    (lambda: Post("p"), 2.0),
    (lambda: type.__call__(Value, 2.0), 2.0),
    (lambda: type("Local", (Scaled,), {})(2.0), 20.0),
    (lambda: type("Slots", (Scaled,), {"__slots__": ("a",)})(2.0), 20.0),
]


@pytest.mark.parametrize(("make", "data"), MADE)
def test_its_init_makes_the_node(make: Callable[[], Value], data: float) -> None:
    before = nodes()
    value = make()
    assert value.data == data
    y = value * 3 + value
    y.backward()
    assert (y.data, value.grad) == (4 * data, 4.0)
    again = y._children[1]
    assert again is value
    del value, y, again
    assert nodes() == before


def test_init_gives_operands_partials_symbol_and_label() -> None:
    x = Value(3.0)
    square = Square(x)
    (square * 2).backward()
    assert x.grad == 12.0
    assert square._children == (square.inner,)
    named = Other(1.0, 2.0, _children=(x,), _op="o", label="l")
    assert (named._op, named.label, named._prev, named.name) == ("o", "l", {x}, "x")


def test_the_node_is_newer_than_operands_made_before_it() -> None:
    late = Value.__new__(Scaled)
    x = Value(2.0)
    y = x * x
    Value.__init__(late, 5.0, (y,), (3.0,))
    (late * 2).backward()
    assert x.grad == 24.0


UNSET = [Scaled, Other, Value, type("Slots", (Scaled,), {"__slots__": ("a",)})]


@pytest.mark.parametrize("kind", UNSET)
def test_without_super_init_every_use_is_a_clear_error(kind: type[Value]) -> None:
    before = nodes()
    uses: list[Callable[[Value, Value], Any]] = [
        lambda u, v: u.data,
        lambda u, v: u.grad,
        lambda u, v: u.label,
        lambda u, v: u._op,
        lambda u, v: u._prev,
        lambda u, v: u._children,
        lambda u, v: u._local_grads,
        lambda u, v: u._backward,
        lambda u, v: setattr(u, "grad", 1.0),
        lambda u, v: setattr(u, "label", "x"),
        lambda u, v: setattr(u, "_op", "x"),
        lambda u, v: setattr(u, "_backward", lambda: None),
        lambda u, v: u.backward(),
        lambda u, v: u.zero_grad(),
        lambda u, v: u + v,
        lambda u, v: v * u,
        lambda u, v: 2 - u,
        lambda u, v: u / 2,
        lambda u, v: u**2,
        lambda u, v: v**u,
        lambda u, v: -u,
        lambda u, v: abs(u),
        lambda u, v: u.tanh(),
        lambda u, v: u.clip(0, 1),
        lambda u, v: u.maximum(v),
        lambda u, v: u < v,
        lambda u, v: v < u,
        lambda u, v: f"{u:.2f}",
        lambda u, v: u.__copy__(),  # type: ignore[attr-defined]
        lambda u, v: u.__deepcopy__({}),  # type: ignore[attr-defined]
        lambda u, v: u.__reduce_ex__(4),
        lambda u, v: Value(1.0, (v, u)),
        lambda u, v: Value(u),
        lambda u, v: tapegrad.sum([v, u]),
        lambda u, v: tapegrad.dot([v, u], [u, v]),
        lambda u, v: tapegrad.exp(u),
    ]
    for use in uses:
        value = kind.__new__(kind)
        with pytest.raises((RuntimeError, TypeError)):
            use(value, Value(1.0))
        assert "Value" in repr(value)
        Value.__init__(value, 4.0)  # it still can be called
        assert (value.data, value.grad) == (4.0, 0.0)
    del value
    assert nodes() == before


def test_the_error_names_the_class_and_the_remedy() -> None:
    class Forgets(Value):
        def __init__(self, d: float) -> None:
            self.d = d

    with pytest.raises(RuntimeError, match=r"this Forgets has no data yet.*super\(\).__init__\("):
        _ = Forgets(1.0).data
    assert Forgets(1.0).d == 1.0


def test_an_init_may_set_data_by_itself() -> None:
    class Own(Value):
        def __init__(self, d: float) -> None:
            self.data = d
            self.grad = 0.5

    value = Own(2.0)
    assert (value.data, value.grad, (value * 2).data) == (2.0, 0.5, 4.0)
    assert Own(3.0).data == 3.0


def test_abstract_classes_are_not_made() -> None:
    class Abstract(Value, abc.ABC):
        @abc.abstractmethod
        def f(self) -> int: ...

    class Concrete(Abstract):
        def f(self) -> int:
            return 1

    with pytest.raises(TypeError, match="abstract"):
        Abstract(1.0)  # type: ignore[abstract]
    assert Concrete(1.0).f() == 1


def test_class_hooks_are_called() -> None:
    seen = []

    class Named:
        def __set_name__(self, owner: type, name: str) -> None:
            seen.append((owner.__name__, name))

    class Base(Value):
        def __init_subclass__(cls, tag: str = "", **more: Any) -> None:
            super().__init_subclass__(**more)
            seen.append((cls.__name__, tag))

    class Derived(Base, tag="t"):
        field = Named()

    assert seen == [("Derived", "field"), ("Derived", "t")]
    assert Derived(1.0).data == 1.0


def test_missing_attributes_go_to_getattr_and_no_others() -> None:
    class Open(Value):
        def __init__(self, d: float) -> None:
            super().__init__(d)

        def __getattr__(self, name: str) -> str:
            return name.upper()

    value = Open(2.0)
    assert (value.other, value.data, value.grad, (value + 1).data) == ("OTHER", 2.0, 0.0, 3.0)


@pytest.mark.parametrize("operands", [False, True])
def test_init_once_more_is_a_new_start(operands: bool) -> None:
    x = Value(1.0)
    for kind in (Value, Tenfold, Left):
        value = kind(2.0) if kind is not Value else Value(2.0)
        value.label, value.grad, value.colour = "l", 3.0, "red"  # type: ignore[attr-defined]
        given = ((x,), (5.0,)) if operands else ()
        Value.__init__(value, 2.5)
        Value.__init__(value, 7.0, *given)
        assert (value.data, value.grad, value.label) == (7.0, 0.0, "")
        assert value.colour == "red"  # type: ignore[attr-defined]
        assert value._children == ((x,) if operands else ())
        x.grad = 0.0
        value.backward()
        assert x.grad == 5.0 * operands


def test_a_leaf_that_is_initialised_again_is_the_same_operand() -> None:
    x = Value(1.0)
    y = x * 2
    x.__init__(5.0, label="x")  # type: ignore[misc]
    assert y._children[0] is x
    assert (x.data, x.label) == (5.0, "x")
    y.backward()
    assert x.grad == 2.0


def test_what_others_were_computed_from_gets_no_other_operands() -> None:
    x = Value(1.0)
    y = x * 2
    z = y + 1
    for value, given in ((y, ()), (x, ((Value(1.0),),))):
        with pytest.raises(RuntimeError, match="make a new Value"):
            value.__init__(5.0, *given)  # type: ignore[misc]
    z.backward()
    assert (y.data, x.data, x.grad) == (2.0, 1.0, 2.0)


def test_init_that_fails_changes_nothing() -> None:
    x = Value(1.0, label="x")
    for given in (("1",), (2.0, (3,)), (2.0, (x,), (1.0, 2.0)), (2.0, 3), ()):
        with pytest.raises((TypeError, ValueError)):
            x.__init__(*given)  # type: ignore[misc]
        assert (x.data, x.label, x._children) == (1.0, "x", ())


def test_a_conversion_may_initialise_the_operand_it_meets() -> None:
    class Evil:
        def __float__(self) -> float:
            Value.__init__(x, 9.0, (Value(1.0),), (1.0,))
            gc.collect()
            [Value(3.0) * 2 for _ in range(100)]
            return 2.0

    x = Value(0.0)
    calls: list[Callable[[Value], Any]] = [
        lambda x: x * Evil(),  # type: ignore[operator]
        lambda x: Value(1.0, (x, x), (Evil(), 2.0)),  # type: ignore[arg-type]
        lambda x: tapegrad.clip(x, Evil(), Evil()),  # type: ignore[arg-type]
        lambda x: tapegrad.sum([x, Evil(), x]),  # type: ignore[list-item]
        lambda x: tapegrad.dot([x, Evil()], [Evil(), x]),  # type: ignore[list-item]
        lambda x: x.backward(Evil()),  # type: ignore[arg-type]
        lambda x: Value.__init__(x, Evil()),  # type: ignore[arg-type]
        lambda x: setattr(x, "data", Evil()),
        lambda x: x < Evil(),  # type: ignore[operator]
    ]
    for call in calls:
        for start in (Value(1.0), Value(1.0) * 2, Scaled(1.0), Scaled.__new__(Scaled)):
            x = start
            try:
                result = call(x)
            except RuntimeError:
                continue
            if isinstance(result, Value):
                result.backward()
                _ = result._children, repr(result)


CLASSES = [Value, Scaled, Other, type("Plain", (Value,), {})]


@pytest.mark.parametrize(("kind", "wanted"), list(itertools.permutations(CLASSES, 2)))
def test_a_class_is_assigned_as_to_a_float(kind: type[Value], wanted: type[Value]) -> None:
    values = [Value(float(k)) for k in range(20)] + [kind.__new__(kind) for _ in range(20)]
    for k, value in enumerate(values[20:], 20):
        Value.__init__(value, float(k))
    for assign in (
        lambda v: setattr(v, "__class__", wanted),
        lambda v: object.__dict__["__class__"].__set__(v, wanted),
    ):
        for value in values[20:]:
            if Value in (kind, wanted):
                with pytest.raises(TypeError):
                    assign(value)
                assert type(value) is kind
            else:
                assign(value)
                assert type(value) is wanted
    total = Value(0.0)
    for value in values:
        total = total + value
    del value
    more = [Value(1.0) for _ in range(40)]
    assert total.data == sum(v.data for v in values) == 780.0
    assert len(more) == 40


def test_an_attribute_set_behind_its_back_is_on_no_other_value() -> None:
    class Sets(Value):
        def __setattr__(self, name: str, thing: Any) -> None:
            object.__setattr__(self, name, thing)

    value, other = Value(1.0), Value(2.0)
    for one in (value, Sets(1.0), value + 1):
        with pytest.raises(TypeError):
            object.__setattr__(one, "x", 1)
        if type(one) is Sets:
            with pytest.raises(TypeError):
                one.x = 1
        else:
            one.y = 1  # type: ignore[attr-defined]
    for one in (other, Value(3.0), Sets(1.0)):
        assert not hasattr(one, "x")
        assert not hasattr(one, "y")
        assert vars(one) == {}


class Slotted(Value):
    __slots__ = ("a", "b")


def test_slots_are_kept_by_the_node() -> None:
    value = Slotted(2.0)
    value.a = "kept"
    y = value * 3
    del value
    gc.collect()
    assert y._children[0].a == "kept"  # type: ignore[attr-defined]
    assert not hasattr(y._children[0], "b")
    y._children[0].b = [1]  # type: ignore[attr-defined]
    assert y._children[0].b == [1]  # type: ignore[attr-defined]


def test_slots_that_lead_back_are_collected_and_not_before() -> None:
    before = nodes()
    value = Slotted(2.0)
    value.a = [value]
    y = value * 3
    value.b = y
    gone = weakref.ref(y)
    del y
    for _ in range(3):
        gc.collect()
    assert value.b._children[0].a == [value]
    again = value.b
    del value
    gc.collect()
    assert again._children[0].b is again
    del again
    assert nodes() == before
    assert gone() is None


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_slots_in_a_cycle_that_a_live_graph_needs_are_never_cleared(generation: int) -> None:
    before = nodes()
    value = Slotted(2.0)
    user = value * 3
    value.a, value.b = [value], user
    again = user + 1
    del value, user
    for _ in range(3):
        gc.collect(generation)
    slotted = again._children[0]._children[0]
    assert slotted.a == [slotted]  # type: ignore[attr-defined]
    assert slotted.b is again._children[0]  # type: ignore[attr-defined]
    del slotted, again
    assert nodes() == before


def test_an_object_of_a_subclass_lives_as_long_as_its_node() -> None:
    finalised = []

    class Watched(Value):
        def __del__(self) -> None:
            finalised.append(self.data)

    value = Watched(2.0)
    name, reference = id(value), weakref.ref(value)
    y = value * 3
    del value
    gc.collect()
    assert finalised == []
    assert reference() is y._children[0]
    assert id(y._children[0]) == name
    del y
    assert finalised == [2.0]
    assert reference() is None


def test_a_long_chain_of_sleeping_objects_goes_without_recursion() -> None:
    class Link(Value):
        __slots__ = ("before",)

    before = nodes()
    value: Value = Link(1.0)
    for k in range(100_000):
        value = Link(1.0, (value,), (1.0,))
        if k % 2:
            value.before = value._children[0]
    value.backward()
    del value
    assert nodes() == before


def test_results_are_plain_values_whatever_the_operands() -> None:
    for make, _ in MADE:
        value = make()
        assert {type(v) for v in (value + 1, -value, value * value, value.exp())} == {Value}


def test_numpy_arrays_of_subclasses() -> None:
    values = np.array([Scaled(k) for k in range(3)])
    assert [v.data for v in values * 2] == [0.0, 20.0, 40.0]


def test_init_patched_on_value_itself() -> None:
    original = Value.__init__

    def init(self: Value, data: float, *rest: Any, **more: Any) -> None:
        original(self, data * 2, *rest, **more)  # type: ignore[misc]
        self.patched = True  # type: ignore[attr-defined]

    try:
        Value.__init__ = init  # type: ignore[method-assign, assignment]
        value, scaled = Value(3.0), Scaled(1.0)
        assert (value.data, value.patched) == (6.0, True)  # type: ignore[attr-defined]
        assert scaled.data == 20.0
        assert (value + 1).data == 7.0
    finally:
        del Value.__init__  # type: ignore[misc]
        Value.__init__ = original  # type: ignore[method-assign]
    assert Value(3.0).data == 3.0


def test_slots_in_a_dead_cycle_that_a_live_graph_needs_are_never_cleared() -> None:
    class Slotted(Value):
        __slots__ = ("mark",)
        mark: int

    before = nodes()
    x = Slotted(1.0)
    user = x + 1.0
    x.mark = 5
    cycle: list[object] = [x]
    cycle.append(cycle)
    del x, cycle
    gc.collect(0)
    assert user._children[0].mark == 5  # type: ignore[attr-defined]
    del user
    assert nodes() == before
