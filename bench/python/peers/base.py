"""What a contestant is to the suite: functions, spellings of operators, recordings, gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, TypeAlias

from bench.python.updates import Update, in_python

__all__ = [
    "OPERATORS",
    "Build",
    "Functions",
    "NodePeer",
    "NodeSession",
    "Parameter",
    "Peer",
    "Program",
    "Replay",
    "Session",
    "largest_data",
]

Function: TypeAlias = Callable[[Any], Any]
# A forward pass; what builds it from the numbers to differentiate by; a gradient's answer.
Program: TypeAlias = Callable[[], Any]
Build: TypeAlias = Callable[[Sequence[Any], "Functions", str], Program]
Gradient: TypeAlias = tuple[float, list[float]]

# The operators that are timed, and how micrograd's dialect spells them.
OPERATORS = {
    "a + b": "a + b",
    "a + 1.5": "a + 1.5",
    "a * 2.0": "a * 2.0",
    "2.0 * a": "2.0 * a",
    "a ** 2": "a ** 2",
    "a.tanh()": "a.tanh()",
    "a.relu()": "a.relu()",
    "a.data": "a.data",
    "Value(x)": "Value(x)",
    "sum of 1000": "sum(xs)",
}


@dataclass(frozen=True, slots=True)
class Functions:
    """A peer's functions of one number, None where it has none.

    `number` makes an input that nothing is differentiated by, `largest` gives the largest of
    some as a constant; `nn` is the peer's own module of networks in micrograd's interface; `grad`
    gives the derivative of a function of one number, also inside one that is differentiated.
    """

    largest: Callable[[Iterable[Any]], Any]
    number: Function = float
    relu: Function | None = None
    tanh: Function | None = None
    exp: Function | None = None
    log: Function | None = None
    erf: Function | None = None
    grad: Callable[[Function], Function] | None = None
    nn: Any = None


def largest_data(numbers: Iterable[Any]) -> float:
    """The largest `data`, as microgpt has it."""
    return float(max(number.data for number in numbers))


class Session(ABC):
    """A program bound to parameters, recorded and swept again and again."""

    # With `data` and `grad`, which updates read and write.
    parameters: Sequence[Any]

    @abstractmethod
    def forward(self) -> Any:
        """Record the program; the graph lives as long as what is returned."""

    @abstractmethod
    def backward(self, recorded: Any) -> None:
        """Add to (or set) the gradients of the parameters."""

    @abstractmethod
    def value(self, recorded: Any) -> float:
        """The program's result, after backward()."""

    def gradients(self) -> list[float]:
        """The parameters' gradients as numbers."""
        return [float(p.grad) for p in self.parameters]


@dataclass(frozen=True, slots=True)
class Replay:
    """Value and gradient of a function, made ready: `run(*arguments)` is one call.

    `read` makes of what it returns what all contestants are compared by.
    """

    run: Callable[..., Any]
    arguments: Sequence[Any]
    read: Callable[[Any], Gradient]


class Peer(ABC):
    """A library, or a way of using one, that takes part."""

    name: ClassVar[str]
    # The package to import and its name on PyPI; None for what comes with Python or tapegrad.
    package: ClassVar[str | None] = None
    # The module that a program imports, where it is not the package itself.
    imported: ClassVar[str | None] = None
    # Whether the program runs anew in each step; the others run it once and keep a compiled form.
    eager: ClassVar[bool] = True
    # Whether it leaves much to Python's garbage collector, and so is timed with and without it.
    pure: ClassVar[bool] = False
    # Whether it only computes the forward pass: the floor, not a contestant.
    floor: ClassVar[bool] = False
    # The operations that it can do within seconds.
    largest: ClassVar[int] = 10**9
    # Where its spelling of an operator is not the dialect's; None where it has none.
    spellings: ClassVar[Mapping[str, str | None]] = {}

    functions: Functions

    @classmethod
    def installed(cls) -> bool:
        """Whether its package can be imported; it is not imported for that."""
        return cls.package is None or find_spec(cls.package) is not None

    @abstractmethod
    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        """The program that `build` makes, with parameters that start there."""

    @abstractmethod
    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> Gradient:
        """Value and gradient of f at x, everything made and dropped in this call."""

    def function(self, build: Build, variant: str) -> Callable[..., Any]:
        """What `build` makes, as a function of the numbers."""
        functions = self.functions
        return lambda *numbers: build(numbers, functions, variant)()

    def program(self, build: Build, x: Sequence[float], gradient: bool) -> object:
        """A new program of this function, or of its value and gradient."""
        raise TypeError(f"{self.name} keeps no programs")

    def replay(self, build: Build, x: Sequence[Any], variant: str) -> Replay:
        """This function at x made ready; without programs, each call does everything."""
        f = self.function(build, variant)
        return Replay(lambda *numbers: self.gradient(f, numbers), x, lambda answer: answer)

    def names(self) -> dict[str, Any]:
        """What the spellings of the operators refer to, besides a, b, x and xs."""
        return {}

    def update(self, rule: str, session: Session, variant: str) -> Update:
        """The loop that moves the session's parameters."""
        return in_python(rule, session.parameters)


class Parameter:
    """A number to train, for peers whose gradients come from a function."""

    __slots__ = ("data", "grad")

    def __init__(self, data: float) -> None:
        self.data = data
        self.grad = 0.0


class NodeSession(Session):
    """For classes whose objects are the graph, and which have `data`, `grad` and backward()."""

    def __init__(self, parameters: Sequence[Any], program: Program) -> None:
        self.parameters = parameters
        self.program = program

    def forward(self) -> Any:
        return self.program()

    def backward(self, recorded: Any) -> None:
        recorded.backward()

    def value(self, recorded: Any) -> float:
        return float(recorded.data)


class NodePeer(Peer):
    """A peer in micrograd's dialect."""

    make: Callable[[float], Any]

    def session(self, build: Build, start: Sequence[float], variant: str) -> Session:
        parameters = [self.make(x) for x in start]
        return NodeSession(parameters, build(parameters, self.functions, variant))

    def gradient(self, f: Callable[..., Any], x: Sequence[float]) -> Gradient:
        make = self.make
        inputs = [make(number) for number in x]
        y = f(*inputs)
        y.backward()
        return y.data, [number.grad for number in inputs]

    def replay(self, build: Build, x: Sequence[Any], variant: str) -> Replay:
        """The inputs are made once; their gradients add up, and are cleared to be read."""
        inputs = [self.make(number) for number in x]
        program = build(inputs, self.functions, variant)

        def run() -> Any:
            y = program()
            y.backward()
            return y

        def read(_: Any) -> Gradient:
            for number in inputs:
                number.grad = 0.0
            return run().data, [number.grad for number in inputs]

        return Replay(run, (), read)

    def names(self) -> dict[str, Any]:
        return {"Value": self.make}
