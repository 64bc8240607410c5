"""Program.to_c: the C function gives what the program gives, bit for bit."""

from __future__ import annotations

import builtins
import ctypes
import itertools
import math
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import tapegrad
from support.operations import OPERATIONS, Operation
from tapegrad import (
    _core,
    compile,
    exp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    log,
    sin,
    value_and_grad,
)
from tapegrad.transforms.program import Program

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_cc = pytest.mark.skipif(CC is None, reason="no C compiler is on PATH")

EDGES = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -7.0, 10.5, -20.25, 0.1, -0.9),
    *(1e-9, -1e-9, 40.0, -40.0, 709.9, -745.2, 1e18, -1e300, 1.7976931348623157e308),
    *(2.2250738585072014e-308, 5e-324, math.inf, -math.inf, math.nan),
)


class CFunction:
    """A program's C text, compiled."""

    def __init__(self, program: Program, folder: Path, level: str = "-O2") -> None:
        (folder / "f.c").write_text(program.to_c("f"), encoding="utf-8")
        library = folder / "f.so"
        assert CC is not None
        command = [CC, "-std=c99", level, "-Wall", "-Werror", "-pedantic-errors", "-shared"]
        subprocess.run(
            [*command, "-fPIC", "-o", str(library), str(folder / "f.c"), "-lm"], check=True
        )
        self.function = ctypes.CDLL(str(library)).f
        self.inputs, self.outputs = program._core.inputs, len(program._core.outputs)

    def __call__(self, inputs: Sequence[float]) -> list[float] | int:
        """The outputs, or the number of the broken guard."""
        assert len(inputs) == self.inputs
        outputs = (ctypes.c_double * max(1, self.outputs))(*[123.0] * self.outputs)
        broken = self.function((ctypes.c_double * max(1, self.inputs))(*inputs), outputs)
        if broken:
            assert list(outputs)[: self.outputs] == [123.0] * self.outputs
            return int(broken)
        return list(outputs)[: self.outputs]


def bits(numbers: Sequence[float]) -> list[str]:
    """As they are, but all nans are one."""
    return ["nan" if x != x else struct.pack(">d", x).hex() for x in numbers]


def assert_same(
    program: Program, folder: Path, points: Sequence[Sequence[float]], level: str = "-O2"
) -> None:
    function = CFunction(program, folder, level)
    for point in points:
        expected = program._core(list(point))
        given = function(point)
        if expected is None:
            assert isinstance(given, int), point
        else:
            assert isinstance(given, list), point
            assert bits(given) == bits(expected), point


def points(one: Operation) -> list[tuple[float, ...]]:
    """Edges in all combinations, thinned where they are many, and ordinary numbers."""
    count = len(one.parameters) - one.constant_last
    edges = list(itertools.product(EDGES, repeat=count))
    if count > 2:
        edges = random.Random(1).sample(edges, 2000)
    inside = [
        tuple(random.Random(f"{one.name} {k}").uniform(*bounds) for bounds in one.domain[:count])
        for k in range(200)
    ]
    return edges + inside


def function_of(one: Operation, constant: float) -> Callable[..., Any]:
    """The operation of its operands, with a plain number last where it takes one."""
    if one.constant_last:
        return lambda *operands: one(*operands, constant)
    return one


def up_to_second_order(one: Operation, constant: float) -> Program:
    f = function_of(one, constant)
    count = len(one.parameters) - one.constant_last
    every = tuple(range(count))

    def all_of_it(*operands: Any) -> Any:
        return f(*operands), grad(f, every)(*operands), hessian(f, every)(*operands)

    return compile(all_of_it).program(
        *(low + 0.3 * (high - low) for low, high in one.domain[:count])
    )


FIXED = [one for one in OPERATIONS if one.arity is not None]
EXPONENTS = (2.0, 0.5, -0.5, -1.0, -2.0, 3.0, 4.0, 2.5, -3.0)
CASES = [
    pytest.param(one, constant, id=f"{one}-{constant}" if one.constant_last else str(one))
    for one in FIXED
    for constant in (EXPONENTS if one.constant_last else (0.0,))
]


@needs_cc
@pytest.mark.parametrize(("one", "constant"), CASES)
def test_an_operation_and_its_derivatives_have_the_bits_of_the_program(
    one: Operation, constant: float, tmp_path: Path
) -> None:
    assert_same(up_to_second_order(one, constant), tmp_path, points(one))


INNER: dict[str, tuple[Callable[..., Any], Sequence[float]]] = {
    "remainder": (lambda x, y: (x % y, grad(lambda x, y: x % y, (0, 1))(x, y)), (3.5, 2.0)),
    "remainder of plain numbers": (lambda x, y: (-3.5 % x, y % -0.7, y % 3.0), (3.5, 2.0)),
    "polygamma": (lambda x: [f(x) for f in derivatives(tapegrad.lgamma, 6)], (1.5,)),
    "scaled": (lambda x, t: tapegrad.jvp(lambda x: x.sqrt() * x.log(), (x,), (t,))[1], (1.5, 2.0)),
    "sigmoid_slope": (lambda x: [f(x) for f in derivatives(tapegrad.sigmoid, 4)], (1.5,)),
    "tanh_slope": (lambda x: [f(x) for f in derivatives(tapegrad.tanh, 4)], (1.5,)),
    "tanh_curve": (lambda x: [f(x) for f in derivatives(tapegrad.tanh, 3)], (-0.5,)),
    "tanh_derivative": (
        lambda x, y: [f(z) for f in derivatives(tapegrad.tanh, 6) for z in (x, y)],
        (-0.5, 21.0),
    ),
    "expm1_slope": (lambda x: [f(x) for f in derivatives(tapegrad.expm1, 4)], (1.5,)),
    "slope of a power": (lambda x: [f(x) for f in derivatives(lambda x: x**-0.028, 3)], (1e-300,)),
    "cbrt_derivative": (lambda x: [f(x) for f in derivatives(tapegrad.cbrt, 4)], (-1.5,)),
    "acosh_derivative": (lambda x: [f(x) for f in derivatives(tapegrad.acosh, 4)], (1.5,)),
    "asinh_slope": (lambda x: [f(x) for f in derivatives(tapegrad.asinh, 4)], (1.5,)),
    "complement": (lambda x: [f(x) for f in derivatives(tapegrad.asin, 4)], (0.7,)),
    "gaussian": (lambda x: [f(x) for f in derivatives(tapegrad.erf, 4)], (0.7,)),
    "gelu_derivative": (lambda x: [f(x) for f in derivatives(tapegrad.gelu, 5)], (-0.7,)),
    "silu_derivative": (lambda x: [f(x) for f in derivatives(tapegrad.silu, 5)], (-0.7,)),
    "tails": (lambda x, y: (tapegrad.gelu(y), tapegrad.silu(x), x**-2.0), (-740.0, -38.0)),
    "quotient": (lambda x, y: thirds(tapegrad.div)(x, y), (1.5, -0.7)),
    "pow_derivative": (lambda x, y: thirds(tapegrad.pow)(x, y), (1.5, -0.7)),
    "atan2_derivative": (lambda x, y: thirds(tapegrad.atan2)(x, y), (1.5, -0.7)),
    "hypot_derivative": (lambda x, y: thirds(tapegrad.hypot)(x, y), (1.5, -0.7)),
    "powers of folded constants": (lambda x: (x ** (x * 0.0 + 2.0), 2.0**x, 10.0**x), (1.5,)),
    "sine and cosine of one number": (lambda x: (tapegrad.sin(x), tapegrad.cos(x)), (1.5,)),
}


def derivatives(f: Callable[..., Any], order: int) -> list[Callable[..., Any]]:
    return list(itertools.accumulate(range(order), lambda f, _: grad(f), initial=f))


def thirds(f: Callable[..., Any]) -> Callable[..., Any]:
    return jacfwd(hessian(f, (0, 1)), (0, 1))


@needs_cc
@pytest.mark.parametrize("what", INNER)
def test_what_derivatives_and_programs_are_made_of_has_the_bits_of_the_program(
    what: str, tmp_path: Path
) -> None:
    f, at = INNER[what]
    numbers = random.Random(2)
    inside = [[numbers.uniform(-9.0, 9.0) for _ in at] for _ in range(500)]
    edges = list(itertools.product(EDGES, repeat=len(at)))
    assert_same(compile(f).program(*at), tmp_path, [*inside, *edges])


def test_these_programs_have_every_operation_that_a_program_can_have() -> None:
    seen = {
        name
        for program in (
            *(up_to_second_order(*case.values) for case in CASES),  # type: ignore[arg-type]
            *(compile(f).program(*at) for f, at in INNER.values()),
        )
        for name in program.counts
    }
    variadic = {str(one) for one in OPERATIONS if one.arity is None}
    renamed = {"copy", "stop"}  # the number itself, in a program
    assert seen == set(_core.symbols()) - variadic - renamed


@needs_cc
def test_constants_are_exact(tmp_path: Path) -> None:
    numbers = random.Random(3)
    constants = [struct.unpack("d", numbers.randbytes(8))[0] for _ in range(500)]
    constants += [*EDGES, 2.0**53, 2.0**53 - 1, -(2.0**53) - 2, 2.0**63, 1 / 3, 0.1, 1e22, 1e23]
    program = compile(lambda x: constants).program(1.0)
    given = CFunction(program, tmp_path)([2.0])
    assert isinstance(given, list)
    assert bits(given) == bits(constants)


@needs_cc
def test_negative_constants_are_operands(tmp_path: Path) -> None:
    def f(x: Any) -> list[Any]:
        return [
            x - -2.5,
            -2.5 - x,
            x * -2.5,
            -(x - -0.0),
            -(-2.5 * x),
            x**-2.5,
            tapegrad.relu(-x) - -x,
        ]

    assert_same(compile(f).program(1.5), tmp_path, [[1.5], [-0.0], [math.inf]])


def branches(x: Any, y: Any) -> Any:
    """Something of each kind that a function can be told."""
    if x < y and not x <= -50.0 and x != 4.0:
        x = x * float(y)
    total = x + int(y * 10) + math.floor(x) - math.ceil(y) + round(x) + x // 0.75
    return total if total > 0 else (total, x)


@needs_cc
def test_a_broken_guard_is_returned_by_its_number(tmp_path: Path) -> None:
    program = compile(branches).program(1.25, 3.0)
    function = CFunction(program, tmp_path)
    kinds = [kind for kind, *_ in program._core.guards]
    assert set(kinds) == {"<", "<=", "==", "float", "int", "floor", "ceil", "round", "//"}
    assert function([1.25, 3.0]) == program._core([1.25, 3.0])
    first_broken = {function([5.0, 3.0]), function([-60.0, 3.0]), function([1.25, 3.5])}
    assert first_broken == {1, 1 + kinds.index("<="), 1 + kinds.index("float")}
    assert_same(program, tmp_path, list(itertools.product((*EDGES, 1.25, 1.26), repeat=2)))


@needs_cc
@pytest.mark.parametrize("told", [0.0, -0.0, math.nan, math.inf, -math.inf, 0.1, -7.0])
def test_a_guard_tells_zeros_apart_and_knows_nan(told: float, tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        float(x)
        return x * 2.0

    function = CFunction(compile(f).program(told), tmp_path)
    for other in EDGES:
        same = bits([other]) == bits([told])
        assert isinstance(function([other]), list) is same


def test_each_guard_names_the_line_that_asked() -> None:
    program = compile(branches).program(1.25, 3.0)
    text = program.to_c()
    for k, guard in enumerate(program.guards):
        source = guard.split("  # ")[1]
        assert re.search(rf"return {k + 1}; /\* {re.escape(source)} \*/\n", text)
    assert "or k > 0 where guard k is broken" in text


def loss(weights: Any, x: Any) -> Any:
    hidden = [tapegrad.tanh(a * x[0] + b * x[1]) for a, b in weights]
    return log(1.0 + exp(sum(hidden))) + 0.5 * sum(h * h for h in hidden)


def newton(a: Any) -> Any:
    x = a
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


WEIGHTS = [(0.1 * k, 0.7 - 0.3 * k) for k in range(5)]
PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a value and its gradient": (value_and_grad(loss), (WEIGHTS, [1.5, -0.5])),
    "a hessian": (lambda x: hessian(lambda x: loss(WEIGHTS, x))(x), ([1.5, -0.5],)),
    "a product with a hessian": (
        lambda x, v: hvp(lambda x: loss(WEIGHTS, x), (x,), (v,)),
        ([1.5, -0.5], [1.0, 2.0]),
    ),
    "a jacobian": (jacobian(lambda x: [sin(x[0]) * x[1], x[0] / x[1]]), ([1.5, -0.5],)),
    "a loop that ends on data": (value_and_grad(newton), (2.0,)),
    "inputs as they come, twice": (lambda x, y: [y, x, y], (1.0, 2.0)),
    "an input that nothing reads": (lambda x, y: y * 3.0, (1.0, 2.0)),
    "no result": (lambda x: [], (1.0,)),
    "no argument": (lambda: 3.0, ()),
}


@needs_cc
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("what", PROGRAMS)
def test_a_program_and_its_c_function_agree(what: str, level: str, tmp_path: Path) -> None:
    f, arguments = PROGRAMS[what]
    program = compile(f).program(*arguments)
    numbers = random.Random(4)
    points = [[numbers.uniform(-3, 3) for _ in range(program._core.inputs)] for _ in range(100)]
    recorded, _ = _core.flatten((arguments, {}), "the arguments", True)
    assert isinstance(CFunction(program, tmp_path)(recorded), list)
    assert_same(program, tmp_path, [recorded, *points], level)


@needs_cc
def test_outputs_may_lie_where_inputs_do(tmp_path: Path) -> None:
    function = CFunction(compile(lambda x, y: (y, x + y, x)).program(1.0, 2.0), tmp_path).function
    numbers = (ctypes.c_double * 3)(1.0, 2.0)
    assert function(numbers, numbers) == 0
    assert list(numbers) == [2.0, 3.0, 1.0]


@needs_cc
def test_functions_can_be_put_into_one_file(tmp_path: Path) -> None:
    texts = [
        compile(f).program(0.5).to_c(name)
        for f, name in ((tapegrad.sigmoid, "f"), (value_and_grad(tapegrad.silu), "g"))
    ]
    (tmp_path / "both.c").write_text("".join(texts))
    assert CC is not None
    subprocess.run([CC, "-std=c99", "-c", "both.c"], cwd=tmp_path, check=True)


def c_function_name(text: str) -> str:
    match = re.search(r"^int (\w+)\(const double \*inputs, double \*outputs\) \{$", text, re.M)
    assert match is not None
    return match[1]


@pytest.mark.parametrize(
    ("python", "c"),
    [
        ("loss", "loss"),
        ("_loss", "loss"),
        ("<lambda>", "lambda"),
        ("grad(f)", "grad_f"),
        ("exp", "exp_"),
        ("tanhf", "tanhf_"),
        ("double", "double_"),
        ("main", "main_"),
        ("3", "f_3"),
        ("größe", "gr_e"),
        ("*/ int x; /*", "int_x"),
        ("", "f"),
        ("\ud800", "f"),
    ],
)
def test_the_name_is_that_of_the_python_function_as_far_as_c_allows(python: str, c: str) -> None:
    program = compile(lambda x: x * x).program(2.0)
    text = Program(program._core, python).to_c()
    assert c_function_name(text) == c
    assert text.count("/*") == text.count("*/") == 1


@needs_cc
def test_a_hostile_source_stays_in_its_comment(tmp_path: Path) -> None:
    scope: dict[str, Any] = {}
    source = "def f(x):\n    return x if x > 0 else -x\n"
    exec(builtins.compile(source, "a*/b/*c\n#error\\", "exec"), scope)
    assert CFunction(compile(scope["f"]).program(2.0), tmp_path)([3.0]) == [3.0]


@pytest.mark.parametrize(
    "name", ["", "2x", "a b", "f()", "größe", "f\n", "int", "sin", "_f", "NAN"]
)
def test_a_name_that_c_cannot_have_is_a_value_error(name: str) -> None:
    program = compile(lambda x: x * x).program(2.0)
    with pytest.raises(ValueError, match="name must be"):
        program.to_c(name)


@pytest.mark.parametrize("name", [3, b"f", ["f"]])
def test_a_name_that_is_no_string_is_a_type_error(name: Any) -> None:
    program = compile(lambda x: x * x).program(2.0)
    with pytest.raises(TypeError, match="name must be a string, not"):
        program.to_c(name)
