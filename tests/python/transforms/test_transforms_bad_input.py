"""Bad input is a clear error of Python's own type, and nothing is left behind by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad
from tapegrad import (
    Value,
    compile,
    grad,
    gradcheck,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)

Function = Callable[..., Any]
TRANSFORMS = [grad, value_and_grad, jacobian, jacrev, jacfwd, hessian]
SCALAR = [grad, value_and_grad]


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    yield
    assert tapegrad._core.Recording.current() is None
    assert grad(lambda x: x * x)(3.0) == 6.0


class Point(NamedTuple):
    x: Any
    y: Any


class Broken:
    """Whatever is asked of it raises."""

    def __float__(self) -> float:
        raise LookupError("asked for its float")


class TestWhatIsTransformed:
    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize("thing", [None, 3.0, "f", [1.0]])
    def test_is_a_function(self, transform: Function, thing: Any) -> None:
        with pytest.raises(TypeError, match=f"for functions, not '{type(thing).__name__}'"):
            transform(thing)

    @pytest.mark.parametrize("thing", [None, 3.0, "f", [1.0]])
    def test_is_a_function_to_compile(self, thing: Any) -> None:
        with pytest.raises(
            TypeError, match=rf"compile\(\) is for functions, not '{type(thing).__name__}'"
        ):
            compile(thing)

    @pytest.mark.parametrize("bound", [0, -1])
    def test_keeps_a_program_at_least(self, bound: int) -> None:
        with pytest.raises(ValueError, match=f"at least 1, not {bound}"):
            compile(lambda x: x, max_programs=bound)

    def test_max_programs_is_an_int(self) -> None:
        with pytest.raises(TypeError):
            compile(lambda x: x, max_programs="many")  # type: ignore[arg-type]


class TestArgnums:
    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize("argnums", [1.0, "x", None, (0, "x"), (0.5,), {}.items])
    def test_are_ints(self, transform: Function, argnums: Any) -> None:
        with pytest.raises(TypeError, match="argnums must be an int or a sequence of ints, not"):
            transform(lambda x: x, argnums)

    @pytest.mark.parametrize("transform", TRANSFORMS)
    def test_are_not_empty(self, transform: Function) -> None:
        with pytest.raises(ValueError, match="argnums is empty: nothing to differentiate by"):
            transform(lambda x: x, ())

    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize(
        ("argnums", "named"), [(1, "1"), (-2, "-2"), ((0, 3), "3"), (10**30, str(10**30))]
    )
    def test_are_positions_of_the_call(self, transform: Function, argnums: Any, named: str) -> None:
        def squared(x: Any) -> Any:
            return x * x

        message = f"argnums has {named}, but squared was called with 1 positional argument$"
        with pytest.raises(TypeError, match=message):
            transform(squared, argnums)(2.0)

    @pytest.mark.parametrize("argnums", [(0, 0), (0, -2), (1, 0, 1)])
    def test_name_an_argument_once(self, argnums: Any) -> None:
        with pytest.raises(ValueError, match="argnums names an argument twice"):
            grad(lambda x, y: x * y, argnums)(1.0, 2.0)

    def test_no_positional_argument(self) -> None:
        with pytest.raises(TypeError, match="called with 0 positional arguments"):
            grad(lambda x=1.0: x)()
        with pytest.raises(TypeError, match="called with 0 positional arguments"):
            grad(lambda x: x)(x=1.0)


class TestArguments:
    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize(
        ("argument", "named"),
        [
            ("text", "'str'"),
            (None, "'NoneType'"),
            (True, "'bool'"),
            (1 + 2j, "'complex'"),
            (object(), "'object'"),
            ({1.0, 2.0}, "'set'"),
            (Value(1.0), "'Value'"),
            ([1.0, "text"], r"\[1\] must be .* not 'str'"),
            ({"w": {"b": None}}, r"\['w'\]\['b'\] must be .* not 'NoneType'"),
            (Point(1.0, [2.0, "x"]), r"\[1\]\[1\] must be .* not 'str'"),
            (np.array([1 + 2j]), "complex128, not of real numbers"),
            (np.array(["a"]), "not of real numbers"),
            (np.array([1, "a"], dtype=object), "element 1 is no number, but 'str'"),
            (np.zeros(1, dtype=[("a", "f8")]), "not of real numbers"),
            (np.array([0], dtype="M8[s]"), "datetime64.* not of real numbers"),
        ],
        ids=repr,
    )
    def test_hold_numbers_alone(self, transform: Function, argument: Any, named: str) -> None:
        def f(x: Any) -> Any:
            raise AssertionError("it must not be called")

        with pytest.raises(TypeError, match=rf"argument 0 of f.*{named}"):
            transform(f)(argument)
        with pytest.raises(TypeError, match=named):
            vjp(f, argument)
        with pytest.raises(TypeError, match=named):
            jvp(f, (argument,), (1.0,))
        with pytest.raises(TypeError, match=named):
            gradcheck(f, (argument,))

    @pytest.mark.parametrize("transform", TRANSFORMS)
    def test_the_transform_that_was_called_is_named(self, transform: Function) -> None:
        """Also where it is made of others, as the Hessian is."""
        name = re.escape(f"{transform.__name__}()")
        with pytest.raises(TypeError, match=f"^{name}: argument 0 of "):
            transform(lambda x: x)("a")
        with pytest.raises(TypeError, match=f"^{name}"):
            transform(lambda x: "a")(1.0)

    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize("argument", [[], (), {}, np.zeros((0, 2)), [[], {"a": ()}]], ids=repr)
    def test_hold_a_number_at_least(self, transform: Function, argument: Any) -> None:
        with pytest.raises(TypeError, match=r"argument 0 of .* has no number to differentiate by"):
            transform(lambda x: 1.0)(argument)

    def test_an_int_too_large(self) -> None:
        for f in (grad(lambda x: x), compile(lambda x: x)):
            with pytest.raises(OverflowError):
                f(10**400)

    def test_an_exception_of_an_argument_comes_out_as_it_was(self) -> None:
        for f in (grad(lambda x: x), jacfwd(lambda x: x), compile(lambda x: x)):
            for argument in (Broken(), [1.0, Broken()], {"a": Broken()}):
                with pytest.raises(LookupError, match="asked for its float"):
                    f(argument)
            assert f(1.0) == 1.0

    @pytest.mark.parametrize("transform", [*TRANSFORMS, compile])
    def test_a_container_that_holds_itself(self, transform: Function) -> None:
        loop: list[Any] = [1.0]
        loop.append(loop)
        with pytest.raises(RecursionError, match="tree of numbers"):
            transform(lambda x: 1.0)(loop)
        table: dict[str, Any] = {}
        table["self"] = [table]
        with pytest.raises(RecursionError):
            transform(lambda x: 1.0)(table)
        assert transform(lambda x: x * 1.0)(2.0) is not None

    def test_a_container_nested_too_deeply(self) -> None:
        deep: list[Any] = [1.0]
        for _ in range(100_000):
            deep = [deep]
        for f in (grad(lambda x: 1.0), compile(lambda x: 1.0)):
            with pytest.raises(RecursionError):
                f(deep)
        while deep:  # taken apart from the outside, or freeing it recurses
            deep = deep[0] if isinstance(deep[0], list) else []

    @pytest.mark.parametrize("transform", TRANSFORMS)
    def test_as_many_as_the_function_takes(self, transform: Function) -> None:
        with pytest.raises(TypeError, match="positional argument"):
            transform(lambda x: x)(1.0, 2.0)
        with pytest.raises(TypeError, match="unexpected keyword"):
            transform(lambda x: x)(1.0, y=2.0)


class TestResults:
    @pytest.mark.parametrize("transform", SCALAR)
    @pytest.mark.parametrize(
        ("result", "named"),
        [
            (lambda x: None, "None"),
            (lambda x: [x], "a list"),
            (lambda x: (x, x), "a tuple"),
            (lambda x: (), "a tuple"),
            (lambda x: {"a": x}, "a dict"),
            (lambda x: Point(x, x), "a Point"),
            (lambda x: np.array([x, x]), r"an array of shape \(2,\)"),
            (lambda x: np.array([x]), r"an array of shape \(1,\)"),
            (lambda x: np.array([[x]]), r"an array of shape \(1, 1\)"),
            (lambda x: "text", "a str"),
            (lambda x: x > 0, "a bool"),
            (lambda x: 1j, "a complex"),
            (lambda x: Value(1.0), "a Value"),
            (lambda x: lambda: x, "a function"),
        ],
    )
    def test_of_a_gradient_are_one_number(
        self, transform: Function, result: Function, named: str
    ) -> None:
        def f(x: Any) -> Any:
            return result(x)

        message = rf"{transform.__name__}\(\) is for functions that return one number; f returned "
        for g in (transform(f), compile(transform(f)), transform(compile(f))):
            with pytest.raises(TypeError, match=message + named):
                g(1.0)

    @pytest.mark.parametrize(
        ("result", "named"),
        [
            (lambda x: None, "None"),
            (lambda x: [x, None], r"\[1\].*'NoneType'"),
            (lambda x: {"a": "text"}, r"\['a'\].*'str'"),
            (lambda x: x > 0, "'bool'"),
            (lambda x: {x}, "'set'"),
            (lambda x: np.array([x, "text"], dtype=object), "element 1 is no number, but 'str'"),
        ],
    )
    def test_of_others_are_trees_of_numbers(self, result: Function, named: str) -> None:
        def f(x: Any) -> Any:
            return result(x)

        for call in (
            *(lambda t=t: t(f)(1.0) for t in (jacobian, jacrev, jacfwd, hessian, compile)),
            lambda: jvp(f, (1.0,), (1.0,)),
            lambda: vjp(f, 1.0),
        ):
            with pytest.raises(TypeError, match=named):
                call()

    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize(
        ("result", "named"),
        [
            (lambda x: x, "a Traced"),
            (lambda x: None, "None"),
            (lambda x: (x,), "a tuple"),
            (lambda x: (x, 1, 2), "a tuple"),
            (lambda x: [x, 1], "a list"),
        ],
    )
    def test_with_aux_are_pairs(self, transform: Function, result: Function, named: str) -> None:
        with pytest.raises(TypeError, match=rf"must return a pair \(result, aux\), not {named}"):
            transform(result, has_aux=True)(1.0)

    def test_a_list_that_holds_itself(self) -> None:
        def f(x: Any) -> Any:
            loop = [x]
            loop.append(loop)
            return loop

        for transform in (jacrev, jacfwd, compile):
            with pytest.raises(RecursionError):
                transform(f)(1.0)


class TestTangentsAndCotangents:
    @pytest.mark.parametrize(
        ("primals", "tangents"),
        [
            ((1.0,), ([1.0],)),
            (([1.0, 2.0],), ([1.0],)),
            (([1.0],), ((1.0,),)),
            ((np.ones(2),), (np.ones(3),)),
            ((np.ones(2),), (np.ones((2, 1)),)),
            ((np.ones(2),), ([1.0, 1.0],)),
            (({"a": 1.0},), ({"b": 1.0},)),
            ((1.0, 2.0), (1.0,)),
            ((1.0,), (1.0, 2.0)),
            ((Point(1.0, 2.0),), ((1.0, 2.0),)),
        ],
    )
    def test_tangents_have_the_structure_of_the_primals(self, primals: Any, tangents: Any) -> None:
        for call in (
            lambda: jvp(lambda *xs: 1.0, primals, tangents),
            lambda: hvp(lambda *xs: 1.0, primals, tangents),
        ):
            with pytest.raises(TypeError, match="tangents must have the structure and shapes of"):
                call()

    def test_tangents_are_numbers(self) -> None:
        with pytest.raises(TypeError, match=r"tangents\[0\] must be .* not 'NoneType'"):
            jvp(lambda x: x, (1.0,), (None,))

    @pytest.mark.parametrize("name", ["primals", "tangents"])
    def test_primals_and_tangents_are_sequences(self, name: str) -> None:
        given: dict[str, Any] = {"primals": (1.0,), "tangents": (1.0,), name: 1.0}
        for transform in (jvp, hvp):
            with pytest.raises(TypeError, match=f"{name} must be a tuple or list .* not float"):
                transform(lambda x: x, **given)

    @pytest.mark.parametrize(
        "cotangent", [1.0, [1.0], [1.0, 2.0, 3.0], (1.0, 2.0), np.ones(2), [1.0, [2.0]]], ids=repr
    )
    def test_cotangents_have_the_structure_of_the_result(self, cotangent: Any) -> None:
        _, pull = vjp(lambda x: [x, x], 1.0)
        with pytest.raises(TypeError, match="the cotangent must have the structure and shapes of"):
            pull(cotangent)
        assert pull([1.0, 2.0]) == (3.0,)

    @pytest.mark.parametrize("cotangent", [None, ["a", 1.0], [None, 1.0]], ids=repr)
    def test_cotangents_are_numbers(self, cotangent: Any) -> None:
        _, pull = vjp(lambda x: [x, x], 1.0)
        with pytest.raises(TypeError, match=r"the cotangent.* must be a number"):
            pull(cotangent)

    def test_stop_gradient_takes_anything(self) -> None:
        assert stop_gradient(None) is None
        assert stop_gradient(["text", {1}]) == ["text", {1}]
