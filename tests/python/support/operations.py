"""The table of operations as the tests use it: each entry, and the ways to apply it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tapegrad
from tapegrad import Value, _core

OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
    "pow_const": operator.pow,
    "neg": operator.neg,
    "abs": operator.abs,
}


@dataclass(frozen=True)
class Operation:
    """An entry of the table; arity None is any number of operands."""

    name: str
    alias: str | None
    symbol: str
    summary: str
    arity: int | None
    parameters: tuple[str, ...]
    domain: tuple[tuple[float, float], ...]
    constant_last: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Its names in Python: math's, then NumPy's."""
        return (self.name,) if self.alias is None else (self.name, self.alias)

    def __str__(self) -> str:
        return self.name

    def __call__(self, *arguments: Any) -> Any:
        """Apply it the plain way; sequences of an n-ary operation are given one after the other."""
        if self.constant_last:
            return OPERATORS[self.name](*arguments)
        function = getattr(tapegrad, self.name)
        return function(*(self.sequences(arguments) if self.arity is None else arguments))

    def sequences(self, arguments: Sequence[Any]) -> list[Sequence[Any]]:
        """The arguments of an n-ary operation as the sequences that it takes."""
        length = len(arguments) // len(self.parameters)
        return [arguments[k : k + length] for k in range(0, len(arguments), length)]

    def operands(self, arguments: Sequence[float]) -> list[Any]:
        """The arguments with a new Value for each that is differentiated by."""
        constants = arguments[-1:] if self.constant_last else ()
        return [*map(Value, arguments[: len(arguments) - len(constants)]), *constants]

    def evaluate(self, arguments: Sequence[float]) -> tuple[float, list[float]]:
        """The value, and the derivative by each argument that is no constant."""
        return evaluate(self, self.operands(arguments))


OPERATIONS = tuple(Operation(**entry) for entry in _core.operations())


def operation(name: str) -> Operation:
    """The operation of this name."""
    return next(one for one in OPERATIONS if one.name == name)


def evaluate(form: Callable[..., Any], arguments: Sequence[Any]) -> tuple[float, list[float]]:
    """The value of `form` at the arguments, and its derivative by each Value among them."""
    result = form(*arguments)
    assert type(result) is Value
    result.backward()
    return result.data, [argument.grad for argument in arguments if isinstance(argument, Value)]
