"""gradcheck: right derivatives pass, wrong ones are a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from support.custom_rules import doubled_sine
from tapegrad import (
    compile,
    custom_vjp,
    gradcheck,
    log,
    no_grad,
    sin,
)
from tapegrad.transforms.gradient_check import GradcheckError


class TestGradcheck:
    def test_right_derivatives(self) -> None:
        assert gradcheck(lambda x, y: x * sin(y), (2.0, 3.0)) is True
        assert gradcheck(
            lambda p: {"a": np.exp(p["x"]), "b": p["y"][0]}, [{"x": np.ones((2, 2)), "y": (1.0,)}]
        )
        assert gradcheck(compile(lambda x: x * x if x > 0 else x), (2.0,))

    def test_wrong_derivatives_are_a_table_of_the_worst(self) -> None:
        def f(x: Any, y: Any) -> Any:
            with no_grad():
                z = x * 10.0
            return z * y, x + y, z + x

        with pytest.raises(GradcheckError) as caught:
            gradcheck(f, (2.0, 3.0))
        first, header, *rows = str(caught.value).splitlines()
        assert first == "4 of 12 derivatives of f differ from differences; the worst:"
        assert header.split() == ["output", "input", "mode", "derivative", "difference"]
        entries = [
            (int(output), int(by), mode, float(slope), round(float(quotient), 4))
            for output, by, mode, slope, quotient in map(str.split, rows)
        ]
        assert entries == [
            (0, 0, "reverse", 0.0, 30.0),
            (0, 0, "forward", 0.0, 30.0),
            (2, 0, "reverse", 1.0, 11.0),
            (2, 0, "forward", 1.0, 11.0),
        ]

    def test_at_most_ten_rows(self) -> None:
        with pytest.raises(GradcheckError) as caught:
            gradcheck(no_grad()(lambda x: np.sin(x)), (np.linspace(0.1, 1.0, 20),))
        assert len(str(caught.value).splitlines()) == 12

    def test_without_an_exception(self) -> None:
        assert gradcheck(no_grad()(lambda x: x * x), (1.0,), raise_exception=False) is False
        assert gradcheck(lambda x: x * x, (1.0,), raise_exception=False) is True

    def test_a_wrong_rule_is_found(self) -> None:
        with pytest.raises(GradcheckError):
            gradcheck(doubled_sine(), (1.0,), forward=False)
        with pytest.raises(TypeError, match="custom_vjp"):
            gradcheck(doubled_sine(), (1.0,))

    def test_nan_is_wrong(self) -> None:
        with pytest.raises(GradcheckError, match="nan"):
            gradcheck(lambda x: log(x), (-1.0,))

    def test_tolerances(self) -> None:
        f = custom_vjp(lambda x: x)
        f.defvjp(lambda x: (x, None), lambda kept, g: (1.05 * g,))
        assert gradcheck(f, (1.0,), rtol=0.1, forward=False)
        assert gradcheck(f, (1.0,), atol=0.1, forward=False)
        with pytest.raises(GradcheckError):
            gradcheck(f, (1.0,), forward=False)

    def test_bad_arguments(self) -> None:
        with pytest.raises(TypeError, match=r"inputs must be a tuple or list .* not float"):
            gradcheck(lambda x: x, 1.0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"eps must be positive, not 0\.0"):
            gradcheck(lambda x: x, (1.0,), eps=0.0)
        with pytest.raises(ValueError, match="eps"):
            gradcheck(lambda x: x, (1.0,), eps=math.nan)
        with pytest.raises(TypeError, match="result of <lambda>"):
            gradcheck(lambda x: None, (1.0,))
