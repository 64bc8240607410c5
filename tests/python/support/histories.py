"""Random histories of Values, each step done to plain Python objects too, which know nothing of it.

All numbers are integers far below 2**53, so that sums are the same in any order: every difference
is a fault. A number that would become larger is replaced first.
"""

from __future__ import annotations

import copy
import gc
import heapq
import itertools
import pickle
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tapegrad import Value, optim

LARGEST = 2**20  # of data
DEEPEST = 24
POOL = 20


class Scaled(Value):
    """Its __init__ gives Value's another number."""

    def __init__(self, data: float) -> None:
        super().__init__(data * 10)


class Named(Value):
    """Other parameters, and an attribute before super().__init__()."""

    def __init__(self, name: str, data: float, *, twice: bool = False) -> None:
        self.name = name
        super().__init__(data * 2 if twice else data)


class Slotted(Value):
    __slots__ = ("first", "second")


class SlottedToo(Slotted):
    __slots__ = ("third",)

    def __init__(self, data: float, third: Any) -> None:
        super().__init__(data)
        self.third = third


class Made(Value):
    """A __new__ of its own."""

    def __new__(cls, data: float) -> Made:
        return super().__new__(cls, data + 1)


class Both(Value):
    """A __new__ and an __init__, which says more."""

    def __new__(cls, data: float, more: float) -> Both:
        return super().__new__(cls, data)

    def __init__(self, data: float, more: float) -> None:
        super().__init__(data + more)
        self.more = more


class OwnState(Value):
    """Pickled without what can be computed anew."""

    def __getstate__(self) -> Any:
        return {k: v for k, v in vars(self).items() if k != "cache"}

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state)
        self.cache = None


KINDS: dict[str, type[Value]] = {
    kind.__name__: kind
    for kind in (Value, Scaled, Named, Slotted, SlottedToo, Made, Both, OwnState)
}
SLOTS = {"Slotted": ("first", "second"), "SlottedToo": ("first", "second", "third")}


class Push:
    """A backward function: gives each operand its weight times the gradient."""

    def __init__(self, value: Value, weights: list[int]) -> None:
        self.value, self.weights = value, weights

    def __call__(self) -> None:
        for child, weight in zip(self.value._children, self.weights, strict=True):
            child.grad += weight * self.value.grad


class Model:
    """What a Value should be: an object that holds its operands, as in micrograd."""

    numbers = itertools.count()

    def __init__(
        self,
        data: int,
        children: tuple[Model, ...] = (),
        partials: tuple[int, ...] = (),
        kind: str = "Value",
        constant: bool = False,
    ) -> None:
        self.data, self.children, self.partials = data, children, partials
        self.kind, self.constant = kind, constant
        self.grad = 0
        self.label = ""
        self.attributes: dict[str, Any] = {}
        self.slots: dict[str, Any] = {}
        self.weights: list[int] | None = None  # of its Push
        self.depth = 1 + max((c.depth for c in children), default=0)
        self.number = next(Model.numbers)

    def reached(self) -> list[Model]:
        """This and its ancestors, users before operands."""
        found, seen = [], {self}
        waiting = [(-self.number, self)]
        while waiting:
            _, one = heapq.heappop(waiting)
            found.append(one)
            for child in one.children:
                if child not in seen:
                    seen.add(child)
                    heapq.heappush(waiting, (-child.number, child))
        return found

    def passed_on(self) -> list[int]:
        return self.weights if self.weights is not None else list(self.partials)

    def backward(self) -> bool:
        """False where a gradient would become too large; nothing has changed then."""
        nodes = self.reached()
        for sign in (abs, int):
            grads = {one: sign(one.grad) for one in nodes}
            grads[self] = 1
            for one in nodes:
                for child, weight in zip(one.children, one.passed_on(), strict=False):
                    grads[child] += sign(weight) * grads[one]
            if max(grads.values()) > 2**50:
                return False
        for one in nodes:
            one.grad = grads[one]
        return True

    def copied(self, memo: dict[Any, Any]) -> Model:
        """As copy.deepcopy does it."""
        for one in reversed(self.reached()):
            if one not in memo:
                memo[one] = twin = Model(one.data, (), one.partials, one.kind, one.constant)
                twin.children = tuple(memo[c] for c in one.children)
                twin.depth, twin.grad, twin.label = one.depth, one.grad, one.label
                twin.weights = None if one.weights is None else list(one.weights)
                for given, taken in (
                    (one.attributes, twin.attributes),
                    (one.slots, twin.slots),
                ):
                    taken.update((name, copied(thing, memo)) for name, thing in given.items())
                if one.kind == "OwnState":
                    twin.attributes.pop("cache", None)
                    twin.attributes["cache"] = None
        return memo[self]  # type: ignore[no-any-return]


def copied(thing: Any, memo: dict[Any, Any]) -> Any:
    if isinstance(thing, Model):
        return thing.copied(memo)
    if isinstance(thing, list):
        if id(thing) not in memo:
            memo[id(thing)] = twin = []
            twin += [copied(one, memo) for one in thing]
        return memo[id(thing)]
    return thing


class DifferenceError(AssertionError):
    """A Value is not what the model says."""


class History:
    """A pool of Values with their models, and steps that change them."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.pool: list[tuple[Value, Model]] = []
        self.counts: dict[str, int] = {}
        self.recent: list[str] = []
        self.steps: list[tuple[Callable[[], None], int]] = [
            (self.make, 12),
            (self.make_subclass, 12),
            (self.make_open, 4),
            (self.operate, 40),
            (self.drop, 16),
            (self.drop_all_but_one, 1),
            (self.come_back, 14),
            (self.write, 12),
            (self.set_attribute, 8),
            (self.set_slot, 6),
            (self.set_container, 5),
            (self.delete_attribute, 4),
            (self.set_backward, 3),
            (self.backward, 10),
            (self.zero_grad, 3),
            (self.initialise_again, 2),
            (self.initialise_late, 2),
            (self.fail, 4),
            (self.assign_class, 1),
            (self.copy, 3),
            (self.deepcopy, 2),
            (self.pickle, 2),
            (self.optimise, 2),
            (self.collect, 1),
        ]
        self.weights = list(itertools.accumulate(weight for _, weight in self.steps))

    # --- running

    def run(self, count: int) -> None:
        for k in range(count):
            step = self.source.choices(self.steps, cum_weights=self.weights)[0][0]
            name = step.__name__
            self.counts[name] = self.counts.get(name, 0) + 1
            self.recent = [*self.recent[-30:], name]
            if self.source.random() < 0.003:
                in_thread(step)
            else:
                step()
            while len(self.pool) > POOL:
                self.drop()
            if k % 100 == 99:
                self.check()

    def check(self) -> None:
        known: dict[Model, Value] = {}
        waiting: list[tuple[Value, Model]] = list(self.pool)
        while waiting:
            value, model = waiting.pop()
            if model in known:
                # A constant becomes a node when somebody looks, of each copy by itself.
                self.need(known[model] is value or model.constant, model, "is two objects")
                continue
            known[model] = value
            waiting += self.compare(value, model)

    def need(self, true: bool, model: Model, what: str) -> None:
        if not true:
            raise DifferenceError(f"{model.kind} {model.number} {what}; before: {self.recent}")

    def compare(self, value: Value, model: Model) -> Iterator[tuple[Value, Model]]:
        """Compare one; gives the pairs that it leads to."""
        need = self.need
        need(type(value).__name__ == model.kind, model, f"is a {type(value).__name__}")
        need(value.data == model.data, model, f"has the data {value.data}, not {model.data}")
        if not model.constant:
            need(value.grad == model.grad, model, f"has the grad {value.grad}, not {model.grad}")
        need(value.label == model.label, model, f"has the label {value.label!r}")
        children = value._children
        need(len(children) == len(model.children), model, f"has {len(children)} children")
        need(value._prev == set(children), model, "has another _prev than _children")
        for ours, theirs, child in zip(
            value._local_grads, model.partials, model.children, strict=True
        ):
            need(ours == theirs or child.constant, model, f"has the partial {ours}, not {theirs}")
        own = isinstance(value._backward, Push)
        need(own == (model.weights is not None), model, "has another _backward")
        if own:
            need(value._backward.value is value, model, "has another's _backward")  # type: ignore[attr-defined]
            need(value._backward.weights == model.weights, model, "has other weights")  # type: ignore[attr-defined]
        yield from zip(children, model.children, strict=True)
        found = vars(value)
        need(list(found) == list(model.attributes), model, f"has attributes {list(found)}")
        slots = {
            name: getattr(value, name) for name in SLOTS.get(model.kind, ()) if hasattr(value, name)
        }
        need(slots.keys() == model.slots.keys(), model, f"has slots {list(slots)}")
        for ours, theirs in ((found, model.attributes), (slots, model.slots)):
            for name, thing in ours.items():
                yield from self.compare_things(thing, theirs[name], model, name)

    def compare_things(
        self, thing: Any, want: Any, model: Model, name: str
    ) -> Iterator[tuple[Value, Model]]:
        if isinstance(want, Model):
            yield thing, want
        elif isinstance(want, list):
            self.need(len(thing) == len(want), model, f"has another {name}")
            for one, other in zip(thing, want, strict=True):
                yield from self.compare_things(one, other, model, name)
        else:
            self.need(thing == want, model, f"has {name}={thing!r}, not {want!r}")

    # --- what steps choose from

    def number(self) -> int:
        return self.source.randint(-4, 4)

    def any(self) -> tuple[Value, Model]:
        if not self.pool:
            self.make()
        return self.source.choice(self.pool)

    def shallow(self) -> tuple[Value, Model]:
        """A Value that may become an operand."""
        value, model = self.any()
        if model.depth < DEEPEST and abs(model.data) < LARGEST:
            return value, model
        return self.add(Value(1.0), Model(1))

    def add(self, value: Value, model: Model) -> tuple[Value, Model]:
        self.pool.append((value, model))
        return value, model

    def leaves(self) -> list[tuple[Value, Model]]:
        """Each once."""
        return list({m: (v, m) for v, m in self.pool if not m.children}.values())

    # --- steps

    def make(self) -> None:
        n = self.number()
        value, model = self.add(Value(n), Model(n))
        if self.source.random() < 0.3:
            value.label = model.label = f"v{n}"

    def make_subclass(self) -> None:
        n = self.number()
        kind = self.source.choice([name for name in KINDS if name != "Value"])
        if kind == "Scaled":
            self.add(Scaled(n), Model(10 * n, kind=kind))
        elif kind == "Named":
            twice = self.source.random() < 0.5
            _, model = self.add(
                Named(f"n{n}", n, twice=twice), Model(2 * n if twice else n, kind=kind)
            )
            model.attributes["name"] = f"n{n}"
        elif kind == "SlottedToo":
            third, known = self.any()
            _, model = self.add(SlottedToo(n, [third]), Model(n, kind=kind))
            model.slots["third"] = [known]
        elif kind == "Made":
            self.add(Made(n), Model(n + 1, kind=kind))
        elif kind == "Both":
            _, model = self.add(Both(n, 3), Model(n + 3, kind=kind))
            model.attributes["more"] = 3
        else:
            self.add(KINDS[kind](n), Model(n, kind=kind))

    def make_open(self) -> None:
        children = [self.shallow() for _ in range(self.source.randint(1, 3))]
        partials = tuple(self.number() for _ in children)
        n = self.number()
        kind = self.source.choice(["Value", "Slotted", "OwnState"])
        value = KINDS[kind](n, tuple(v for v, _ in children), partials)
        self.add(value, Model(n, tuple(m for _, m in children), partials, kind))

    def operate(self) -> None:
        (a, x), (b, y) = self.shallow(), self.shallow()
        n = self.source.choice([1, 2, 3, -1])
        c = Model(n, constant=True)
        name = self.source.choice(["+", "-", "*", "+n", "n-", "n*", "neg", "relu", "sub+"])
        if name == "+":
            self.add(a + b, Model(x.data + y.data, (x, y), (1, 1)))
        elif name in ("-", "sub+"):
            self.add(a - b, Model(x.data - y.data, (x, y), (1, -1)))
        elif name == "*":
            self.add(a * b, Model(x.data * y.data, (x, y), (y.data, x.data)))
        elif name == "+n":
            self.add(a + n, Model(x.data + n, (x, c), (1, 1)))
        elif name == "n-":
            self.add(n - a, Model(n - x.data, (c, x), (1, -1)))
        elif name == "n*":
            self.add(n * a, Model(n * x.data, (c, x), (x.data, n)))
        elif name == "neg":
            self.add(-a, Model(-x.data, (x,), (-1,)))
        else:
            active = x.data > 0
            self.add(a.relu(), Model(max(x.data, 0), (x,), (int(active),)))

    def drop(self) -> None:
        if self.pool:
            del self.pool[self.source.randrange(len(self.pool))]

    def drop_all_but_one(self) -> None:
        self.pool[:] = [self.any()]

    def come_back(self) -> None:
        """An operand, an attribute or a slot is looked up and kept."""
        value, model = self.any()
        for _ in range(self.source.randint(1, 4)):
            choices = [k for k, c in enumerate(model.children) if not c.constant]
            if not choices:
                break
            k = self.source.choice(choices)
            value, model = value._children[k], model.children[k]
        self.add(value, model)

    def write(self) -> None:
        value, model = self.any()
        what = self.source.choice(["data", "grad", "label", "+="])
        if what == "data":
            value.data = model.data = self.number()
        elif what == "grad":
            value.grad = model.grad = self.number()
        elif what == "label":
            value.label = model.label = self.source.choice(["", "a", "b"])
        else:
            value.data += 1
            model.data += 1

    def set_attribute(self) -> None:
        value, model = self.any()
        name = self.source.choice(["momentum", "note", "cache"])
        if name == "cache" and model.kind != "OwnState":
            return
        thing = self.source.choice([self.number(), "text", (1, "two")])
        setattr(value, name, thing)
        model.attributes[name] = thing

    def set_slot(self) -> None:
        slotted = [pair for pair in self.pool if pair[1].kind in SLOTS]
        if not slotted:
            return
        value, model = self.source.choice(slotted)
        name = self.source.choice(SLOTS[model.kind])
        other, known = self.any()
        kind = self.source.choice(["number", "value", "list", "none"])
        if kind == "none":
            if name in model.slots:
                delattr(value, name)
                del model.slots[name]
            return
        ours: Any = {"number": 5, "value": other, "list": [other, value]}[kind]
        setattr(value, name, ours)
        model.slots[name] = {"number": 5, "value": known, "list": [known, model]}[kind]

    def set_container(self) -> None:
        """An attribute through which the graph leads to itself."""
        (value, model), (other, known) = self.any(), self.any()
        if self.source.random() < 0.5:
            value.friend, model.attributes["friend"] = other, known  # type: ignore[attr-defined]
        else:
            value.friends = [other, value]  # type: ignore[attr-defined]
            model.attributes["friends"] = [known, model]

    def delete_attribute(self) -> None:
        value, model = self.any()
        names = [
            name for name in ("friend", "friends", "note", "momentum") if name in model.attributes
        ]
        if names:
            name = self.source.choice(names)
            delattr(value, name)
            del model.attributes[name]

    def set_backward(self) -> None:
        value, model = self.any()
        if model.children:
            model.weights = [self.number() for _ in model.children]
            value._backward = Push(value, model.weights)

    def backward(self) -> None:
        value, model = self.any()
        if model.backward():
            value.backward()

    def zero_grad(self) -> None:
        value, model = self.any()
        value.zero_grad()
        for one in model.reached():
            one.grad = 0

    def initialise_again(self) -> None:
        """A leaf becomes another leaf, seen by all that were computed from it."""
        leaves = self.leaves()
        if leaves:
            value, model = self.source.choice(leaves)
            n = self.number()
            Value.__init__(value, n)
            model.data, model.grad, model.label = n, 0, ""

    def initialise_late(self) -> None:
        """Operands that are made after the object, and before its node."""
        value = Value.__new__(Scaled)
        with pytest.raises(RuntimeError):
            value.data  # noqa: B018
        a, x = self.shallow()
        value.mark = [value]  # type: ignore[attr-defined]
        made, model = self.add(a + 1, Model(x.data + 1, (x, Model(1, constant=True)), (1, 1)))
        Value.__init__(value, 7, (made,), (2,))
        _, late = self.add(value, Model(7, (model,), (2,), "Scaled"))
        late.attributes["mark"] = [late]

    def fail(self) -> None:
        """A call that raises changes nothing."""
        value, _ = self.any()
        for call in (
            lambda: value + "1",
            lambda: Value(1.0, (value,), (1.0, 2.0)),
            lambda: Value(1.0, (value, 3)),  # type: ignore[arg-type]
            lambda: Value.__init__(value, "1"),  # type: ignore[misc, arg-type]
            lambda: setattr(value, "data", "1"),
            lambda: value.backward("1"),  # type: ignore[arg-type]
            lambda: Named(1.0),  # type: ignore[call-arg, arg-type]
            lambda: Value(1.0, **{1: 2.0}),  # type: ignore[misc]
            lambda: Slotted(1.0, **{1: 2.0}),  # type: ignore[misc]
        ):
            with pytest.raises((TypeError, ValueError)):
                call()

    def assign_class(self) -> None:
        value, model = self.any()
        kind = self.source.choice(["Value", "Scaled", "Slotted"])
        if kind != model.kind and "Value" in (kind, model.kind):
            with pytest.raises(TypeError):
                value.__class__ = KINDS[kind]

    def copy(self) -> None:
        value, model = self.any()
        if model.weights is not None:
            return  # its _backward would be the original's
        twin = Model(model.data, model.children, model.partials, model.kind)
        twin.grad, twin.label = model.grad, model.label
        twin.attributes, twin.slots = dict(model.attributes), dict(model.slots)
        if model.kind == "OwnState":
            twin.attributes.pop("cache", None)
            twin.attributes["cache"] = None
        self.add(copy.copy(value), twin)

    def some(self) -> list[tuple[Value, Model]]:
        return [self.any() for _ in range(self.source.randint(1, 3))]

    def duplicate(self, how: Callable[[list[Value]], list[Value]]) -> None:
        pairs = self.some()
        memo: dict[Any, Any] = {}
        twins = [model.copied(memo) for _, model in pairs]
        for value, model in zip(how([value for value, _ in pairs]), twins, strict=True):
            self.add(value, model)
        self.check()

    def deepcopy(self) -> None:
        self.duplicate(copy.deepcopy)

    def pickle(self) -> None:
        protocol = self.source.randint(0, pickle.HIGHEST_PROTOCOL)
        if self.source.random() < 0.2:
            self.duplicate(lambda values: pickle._loads(pickle._dumps(values, protocol)))  # type: ignore[attr-defined]
        else:
            self.duplicate(lambda values: pickle.loads(pickle.dumps(values, protocol)))

    def optimise(self) -> None:
        leaves = [pair for pair in self.leaves() if abs(pair[1].grad) < 4]
        if leaves:
            optim.SGD([value for value, _ in leaves], lr=1.0).step()
            for _, model in leaves:
                model.data -= model.grad

    def collect(self) -> None:
        gc.collect()


def in_thread(step: Callable[[], None]) -> None:
    """The step in a thread of its own; its error is raised here."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            step()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
