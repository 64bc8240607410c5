"""Operators: numbers on either side, order, text, and what IEEE 754 says at the edges."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tapegrad import Value

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
# By hand, and not from the table: the partial derivatives of each operator at (x, y).
PARTIALS: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "+": lambda x, y: (1.0, 1.0),
    "-": lambda x, y: (1.0, -1.0),
    "*": lambda x, y: (y, x),
    "/": lambda x, y: (1 / y, -x / y**2),
    "**": lambda x, y: (y * x ** (y - 1), x**y * math.log(x)),
}
NUMBERS = [3, 2.5, True, Fraction(5, 2), Decimal("2.5"), np.float32(2.5), np.int64(3)]

every_operator = pytest.mark.parametrize("symbol", list(BINARY))
every_number = pytest.mark.parametrize("number", NUMBERS, ids=lambda n: type(n).__name__)


@every_operator
def test_value_with_value(symbol: str) -> None:
    x, y = Value(1.75), Value(2.5)
    z = BINARY[symbol](x, y)
    assert type(z) is Value
    assert z.data == pytest.approx(BINARY[symbol](1.75, 2.5), rel=1e-15)
    z.backward()
    assert (x.grad, y.grad) == pytest.approx(PARTIALS[symbol](1.75, 2.5), rel=1e-14)


@every_operator
@every_number
def test_value_with_a_number_on_the_right(symbol: str, number: Any) -> None:
    x = Value(1.75)
    z = BINARY[symbol](x, number)
    assert type(z) is Value
    assert z.data == pytest.approx(BINARY[symbol](1.75, float(number)), rel=1e-15)
    z.backward()
    assert x.grad == pytest.approx(PARTIALS[symbol](1.75, float(number))[0], rel=1e-14)


@every_operator
@every_number
def test_value_with_a_number_on_the_left(symbol: str, number: Any) -> None:
    y = Value(1.75)
    z = BINARY[symbol](number, y)
    assert type(z) is Value
    assert z.data == pytest.approx(BINARY[symbol](float(number), 1.75), rel=1e-15)
    z.backward()
    assert y.grad == pytest.approx(PARTIALS[symbol](float(number), 1.75)[1], rel=1e-14, abs=1e-300)


@every_operator
def test_a_value_with_itself(symbol: str) -> None:
    x = Value(1.75)
    z = BINARY[symbol](x, x)
    z.backward()
    assert x.grad == pytest.approx(sum(PARTIALS[symbol](1.75, 1.75)), rel=1e-14, abs=1e-15)


@every_operator
def test_augmented_assignment_makes_a_new_node(symbol: str) -> None:
    x = before = Value(1.75)
    x = getattr(operator, f"i{BINARY[symbol].__name__.strip('_')}")(x, 2)
    assert x is not before
    assert before.data == 1.75
    assert before in x._prev


def test_unary_operators() -> None:
    x = Value(-2.0)
    assert ((-x).data, (+x).data, abs(x).data) == (2.0, -2.0, 2.0)
    (-x).backward()
    abs(x).backward()
    (+x).backward()
    assert x.grad == 1.0  # -1 and -1, then the root's own 1 takes their place


strangers = ["x", None, 1j, [1], (1,), {}, object(), np.complex128(1j), b"x"]


@every_operator
@pytest.mark.parametrize("stranger", strangers, ids=lambda s: type(s).__name__)
def test_what_an_operator_does_not_know_is_left_to_the_other_side(
    symbol: str, stranger: Any
) -> None:
    name = BINARY[symbol].__name__.strip("_")
    assert getattr(Value(2), f"__{name}__")(stranger) is NotImplemented
    assert getattr(Value(2), f"__r{name}__")(stranger) is NotImplemented


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Value(2) + "x", r"unsupported operand type\(s\) for \+: 'Value' and 'str'"),
        (lambda: Value(2) - None, r"unsupported operand type\(s\) for -: 'Value' and 'NoneType'"),
        (lambda: None * Value(2), r"unsupported operand type\(s\) for \*: 'NoneType' and 'Value'"),
        (lambda: Value(2) ** 1j, r"for \*\* or pow\(\): 'Value' and 'complex'"),
        (lambda: 1j ** Value(2), r"for \*\* or pow\(\): 'complex' and 'Value'"),
        (lambda: Value(2) / [], r"unsupported operand type\(s\) for /: 'Value' and 'list'"),
        (lambda: "x" + Value(2), "can only concatenate str"),
        (lambda: Value(2) // 2, "unsupported operand"),
        (lambda: Value(2) % 2, "unsupported operand"),
        (lambda: divmod(Value(2), 2), "unsupported operand"),
        (lambda: Value(2) @ Value(2), "unsupported operand"),
        (lambda: pow(Value(2), 2, 3), "unsupported operand"),
        (lambda: ~Value(2), "bad operand type"),
        (lambda: Value(2) < "x", "'<' not supported between instances of 'Value' and 'str'"),
        (
            lambda: operator.gt(None, Value(2)),
            "'>' not supported between .*'NoneType' and 'Value'",
        ),
        (lambda: Value(2)[0], "not subscriptable"),
        (lambda: len(Value(2)), "has no len"),
        (lambda: iter(Value(2)), "not iterable"),
        (lambda: Value(2)(), "not callable"),
    ],
)
def test_what_a_value_cannot_do_is_a_type_error(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_another_type_may_take_over() -> None:
    class Other:
        def __radd__(self, value: Value) -> str:
            return f"other took {value.data}"

        def __lt__(self, value: Value) -> str:
            return "less"

        def __gt__(self, value: Value) -> str:
            return "greater"

        def __eq__(self, value: object) -> Any:
            return "equal"

        __hash__ = None  # type: ignore[assignment]

    assert Value(2) + Other() == "other took 2.0"
    assert (Value(2) < Other()) == "greater"
    assert (Value(2) == Other()) == "equal"


def test_an_error_in_a_conversion_comes_out_of_the_operator() -> None:
    class Refuses:
        def __float__(self) -> float:
            raise LookupError("no number today")

    for operate in (*BINARY.values(), operator.lt):
        with pytest.raises(LookupError, match="no number today"):
            operate(Value(2), Refuses())
        with pytest.raises(LookupError, match="no number today"):
            operate(Refuses(), Value(2))


def test_an_integer_beyond_every_float_is_an_overflow_error() -> None:
    with pytest.raises(OverflowError):
        Value(2) + 10**400


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
@pytest.mark.parametrize("pair", [(1, 2), (2, 1), (1, 1), (math.nan, 1), (0.0, -0.0)])
def test_order_is_that_of_the_data(compare: Any, pair: tuple[float, float]) -> None:
    x, y = pair
    wanted = compare(x, y)
    assert compare(Value(x), Value(y)) is wanted
    assert compare(Value(x), y) is wanted
    assert compare(x, Value(y)) is wanted


def test_max_min_and_sorted_choose_among_the_values_themselves() -> None:
    a, b, c = Value(2), Value(3), Value(1)
    assert max(a, b, c) is b
    assert min([a, b, c]) is c
    assert sorted([a, b, c]) == [c, a, b]
    assert max(a, 5) == 5
    assert max(a, 0) is a


def test_builtin_sum_begins_with_its_zero() -> None:
    xs = [Value(k) for k in range(5)]
    total = sum(xs)
    assert type(total) is Value
    assert total.data == 10.0
    total.backward()
    assert [x.grad for x in xs] == [1.0] * 5


@pytest.mark.parametrize(
    "convert", [float, math.exp, math.sqrt, math.floor, complex, lambda v: f"{v:s}%f" % v]
)
def test_no_conversion_to_float_drops_the_gradient(convert: Callable[[Any], Any]) -> None:
    if convert not in (float, math.exp, math.sqrt, math.floor, complex):
        with pytest.raises((TypeError, ValueError)):
            convert(Value(1))
        return
    with pytest.raises(TypeError, match=r"use v\.data .*tapegrad\.exp\(v\) in place of math\.exp"):
        convert(Value(1))


@pytest.mark.parametrize("convert", [int, round, operator.index, bytes, range])
def test_nor_to_an_integer(convert: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="Value"):
        convert(Value(1))


texts = [
    (-6, "Value(data=-6.0)"),
    (0.1, "Value(data=0.1)"),
    (-0.0, "Value(data=-0.0)"),
    (1e16, "Value(data=1e+16)"),
    (1e22, "Value(data=1e+22)"),
    (5e-324, "Value(data=5e-324)"),
    (1 / 3, "Value(data=0.3333333333333333)"),
    (math.nan, "Value(data=nan)"),
    (-math.inf, "Value(data=-inf)"),
]


@pytest.mark.parametrize(("data", "text"), texts, ids=[t for _, t in texts])
def test_repr_is_the_seeds(data: float, text: str) -> None:
    value = Value(data)
    assert repr(value) == str(value) == f"{value}" == format(value, "") == text
    assert repr([value]) == f"[{text}]"


@pytest.mark.parametrize("spec", [".3f", "10.2e", "+.1f", "g", "%", ",.2f", "^12"])
def test_format_is_that_of_the_data(spec: str) -> None:
    assert format(Value(1234.5678), spec) == format(1234.5678, spec)


def test_a_wrong_format_is_pythons_own_error() -> None:
    with pytest.raises(ValueError, match="Unknown format code 'x' for object of type 'float'"):
        format(Value(1), "x")
    with pytest.raises(TypeError, match="must be str, not 'int'"):
        Value(1).__format__(3)  # type: ignore[arg-type]


ieee = [
    (lambda: 1 / Value(0), math.inf),
    (lambda: -1 / Value(0), -math.inf),
    (lambda: 1 / Value(-0.0), -math.inf),
    (lambda: 0 / Value(0), math.nan),
    (lambda: Value(0) ** -1, math.inf),
    (lambda: Value(0) ** 0, 1.0),
    (lambda: Value(math.nan) ** 0, 1.0),
    (lambda: Value(-8) ** (1 / 3), math.nan),
    (lambda: Value(-8) ** 3, -512.0),
    (lambda: Value(1e308) * 10, math.inf),
    (lambda: Value(math.inf) - math.inf, math.nan),
    (lambda: Value(10) ** 400, math.inf),
    (lambda: Value(0).log(), -math.inf),
    (lambda: Value(-1).log(), math.nan),
    (lambda: Value(-1).sqrt(), math.nan),
    (lambda: Value(1000).exp(), math.inf),
    (lambda: Value(-1000).exp(), 0.0),
    (lambda: Value(2).asin(), math.nan),
    (lambda: Value(1).atanh(), math.inf),
    (lambda: Value(1e9).tanh(), 1.0),
    (lambda: Value(-1e9).tanh(), -1.0),
    (lambda: Value(-1e9).sigmoid(), 0.0),
    (lambda: Value(1e9).sigmoid(), 1.0),
    (lambda: Value(1e9).softplus(), 1e9),
]


@pytest.mark.parametrize(("make", "data"), ieee, ids=[str(k) for k in range(len(ieee))])
def test_edges_follow_ieee_without_an_exception(make: Callable[[], Value], data: float) -> None:
    assert make().data == pytest.approx(data, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu", "gelu"])
@pytest.mark.parametrize("x", [-1e308, -1000.0, 1000.0, 1e308])
def test_stable_forms_have_finite_gradients_everywhere(name: str, x: float) -> None:
    value = Value(x)
    result = getattr(value, name)()
    result.backward()
    assert math.isfinite(result.data)
    assert value.grad in (0.0, 1.0)


def test_the_power_of_a_negative_base_differentiates_for_whole_exponents() -> None:
    x = Value(-2.0)
    (x**3).backward()
    assert x.grad == 12.0


def test_methods_answer_to_maths_names_and_numpys() -> None:
    x = Value(0.5)
    for math_name, numpy_name in [
        ("asin", "arcsin"),
        ("acos", "arccos"),
        ("atan", "arctan"),
        ("asinh", "arcsinh"),
        ("atanh", "arctanh"),
        ("abs", "absolute"),
        ("neg", "negative"),
    ]:
        assert getattr(x, math_name)().data == getattr(x, numpy_name)().data
    assert Value(1).atan2(2).data == Value(1).arctan2(2).data == math.atan2(1, 2)
