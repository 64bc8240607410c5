"""Functions made by transforms pickle by name, with the standard library and for processes."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pickled_functions
from pickled_functions import FUNCTIONS, Model, called, decorated, with_options
from tapegrad import compile, grad, hessian, jacobian
from tapegrad.compiled import Compiled

PROTOCOLS = [*range(2, pickle.HIGHEST_PROTOCOL + 1)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("f", "args"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_is_the_same_after_pickling(
    f: Any, args: tuple[Any, ...], protocol: int
) -> None:
    again = pickle.loads(pickle.dumps(f, protocol))
    assert again(*args) == f(*args)
    assert isinstance(again, Compiled) == isinstance(f, Compiled)


@pytest.mark.parametrize(
    "name", ["decorated", "with_options", "slope", "both", "recomputed", "ruled", "pushed"]
)
def test_a_decorated_function_is_found_by_its_name(name: str) -> None:
    f = getattr(pickled_functions, name)
    assert pickle.loads(pickle.dumps(f)) is f


def test_a_decorated_method_too() -> None:
    assert pickle.loads(pickle.dumps(Model.energy)) is Model.energy
    assert pickle.loads(pickle.dumps(Model.slope)) is Model.slope


def test_options_are_kept() -> None:
    f = compile(pickled_functions.plain, static_argnames="n", max_programs=2, max_bytes=1000)
    again = pickle.loads(pickle.dumps(f))
    assert again._options == f._options
    assert pickle.loads(pickle.dumps(grad(f)))._options == grad(f)._options


def test_programs_do_not_travel() -> None:
    f = compile(pickled_functions.plain)
    f(1.5)
    assert pickle.loads(pickle.dumps(f)).programs == ()


def test_sparse_ones() -> None:
    pytest.importorskip("scipy")
    x = np.arange(1.0, 4.0)
    for f in (squares, compile(squares)):
        for g, point in [(jacobian(f, sparse=True), x), (hessian(total, sparse=True), x)]:
            again = pickle.loads(pickle.dumps(g))
            assert (again(point) != g(point)).sum() == 0
            assert type(again) is type(g)
    again = pickle.loads(pickle.dumps(hessian(compile(total), sparse=True)))
    assert again(x).toarray().tolist() == hessian(total)(x).tolist()


def squares(x: Any) -> Any:
    return x * x


def total(x: Any) -> Any:
    return (x * x * x).sum()


def test_what_has_no_name_is_an_error_of_pickles() -> None:
    for f in (grad(lambda x: x), compile(lambda x: x), grad(compile(lambda x: x))):
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(f)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(grad(pickled_functions.anonymous_vjp))


@pytest.mark.parametrize(("f", "args"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_pickles_name_importable_functions_alone(f: Any, args: tuple[Any, ...]) -> None:
    class Restricted(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            assert module.partition(".")[0] in {"tapegrad", "pickled_functions"} or (
                (module, name)
                in {("builtins", "getattr"), ("copyreg", "_reconstructor"), ("builtins", "object")}
            )
            return super().find_class(module, name)

    assert Restricted(io.BytesIO(pickle.dumps(f))).load()(*args) == f(*args)


@pytest.mark.parametrize("f", [f for f, _ in FUNCTIONS.values()], ids=FUNCTIONS)
def test_a_copy_is_the_function_itself(f: Any) -> None:
    assert copy.copy(f) is f
    if not hasattr(f, "__self__"):
        assert copy.deepcopy(f) is f


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    decorated(1.5)
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        results = list(pool.map(called, *zip(*FUNCTIONS.values(), strict=True)))
    assert results == [f(*args) for f, args in FUNCTIONS.values()]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_script_whose_functions_are_in_main(method: str, tmp_path: Path) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import multiprocessing
from tapegrad import compile, grad, hvp, value_and_grad

@compile
def f(x):
    return x ** 3 if x > 0 else -x

@grad
def g(x):
    return x * x

def h(x):
    return x ** 4

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    with multiprocessing.Pool(1) as pool:
        for each in (f, grad(f), g, grad(g), grad(h), compile(h), value_and_grad(compile(h))):
            print(pool.map(each, [1.0, 2.0]))
"""
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines() == [
        "[1.0, 8.0]",
        "[3.0, 12.0]",
        "[2.0, 4.0]",
        "[2.0, 2.0]",
        "[4.0, 32.0]",
        "[1.0, 16.0]",
        "[(1.0, 4.0), (16.0, 32.0)]",
    ], done.stderr


@pytest.mark.parametrize("f", [with_options, decorated])
def test_cloudpickle(f: Any) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    assert pickle.loads(cloudpickle.dumps(f)) is f
    local = compile(lambda x: x * x)
    assert pickle.loads(cloudpickle.dumps(grad(local)))(3.0) == 6.0
