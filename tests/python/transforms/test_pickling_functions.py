"""Functions made by transforms pickle by name, with the standard library and for processes."""

from __future__ import annotations

import copy
import importlib
import io
import multiprocessing
import operator
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad
from support import pickled_functions
from support.paths import DATA
from support.pickled_functions import FUNCTIONS, Model, called, decorated, with_options
from tapegrad import (
    checkpoint,
    compile,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    value_and_grad,
)
from tapegrad.transforms.compiled import Compiled

Function = Callable[..., Any]

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
            assert module.partition(".")[0] in {"tapegrad", "support"} or (
                (module, name)
                in {("builtins", "getattr"), ("copyreg", "_reconstructor"), ("builtins", "object")}
            )
            return super().find_class(module, name)

    assert Restricted(io.BytesIO(pickle.dumps(f))).load()(*args) == f(*args)


# Where functions and classes were before their modules moved: pickles name these.
FORMER = {
    "_digraph": {"Digraph": "draw.graphviz"},
    "_picture": {"Picture": "draw.model", "Shape": "draw.model"},
    "_wrapped": {
        "Bound": "transforms._wrapped",
        "remade": "transforms._pickling",
        "unwrapped": "transforms._pickling",
    },
    "anomaly": {"detect_anomaly": "modes"},
    "bulk": dict.fromkeys(("get_data", "get_grad", "set_data", "set_grad"), "arrays"),
    "check": {
        "GradcheckError": "transforms.gradient_check",
        "gradcheck": "transforms.gradient_check",
    },
    "compiled": {"Compiled": "transforms.compiled", "compile": "transforms.compiling"},
    "dropin": {"install_as_micrograd": "compat.micrograd"},
    "rules": {
        "checkpoint": "transforms.checkpointing",
        "custom_jvp": "transforms.custom",
        "custom_vjp": "transforms.custom",
    },
    "switches": {"no_grad": "modes"},
}


@pytest.mark.parametrize("module", FORMER)
def test_former_names_are_loaded(module: str) -> None:
    for name, home in FORMER[module].items():
        if home.startswith("draw"):
            pytest.importorskip("graphviz")
        loaded = pickle.loads(f"ctapegrad.{module}\n{name}\n.".encode())
        assert loaded is getattr(importlib.import_module(f"tapegrad.{home}"), name)


def test_a_pickle_from_before_modules_moved_is_loaded() -> None:
    stored = pickle.loads((DATA / "functions-0.pickle").read_bytes())
    sin, pow = tapegrad.sin, tapegrad.pow
    fresh = [
        grad(sin),
        value_and_grad(pow, argnums=(0, 1)),
        compile(sin),
        compile(pow, static_argnums=1, max_programs=2),
        grad(compile(pow), 1),
        compile(grad(sin)),
        hessian(grad(sin)),
        jacrev(sin),
        jacfwd(sin),
        jacobian(sin),
        hvp(sin),
        grad(checkpoint(sin)),
        compile(operator.mul).__get__(3.0),
    ]
    for (f, args), g in zip(stored, fresh, strict=True):
        assert f(*args) == g(*args)
        assert type(f) is type(g)
        assert repr(f) == repr(g)
        assert getattr(f, "_options", None) == getattr(g, "_options", None)


@pytest.mark.parametrize("f", [f for f, _ in FUNCTIONS.values()], ids=FUNCTIONS)
def test_a_copy_is_the_function_itself(f: Any) -> None:
    assert copy.copy(f) is f
    if not hasattr(f, "__self__"):
        assert copy.deepcopy(f) is f


class Spring:
    def __init__(self, k: float) -> None:
        self.k = k

    @compile
    def energy(self, x: Any, scale: Any = 1.0) -> Any:
        return self.k * x**2 * scale


DERIVED_METHODS: list[Function] = [
    lambda method: method,
    grad,
    value_and_grad,
    jacobian,
    hessian,
    lambda method: grad(method, (0, 1)),
    lambda method: grad(grad(method)),
]


@pytest.mark.parametrize("derive", [*DERIVED_METHODS, lambda method: hvp(method)])
def test_a_method_keeps_its_instance(derive: Function) -> None:
    spring = Spring(3.0)
    f = derive(spring.energy)
    args = (2.0, 5.0)
    assert pickle.loads(pickle.dumps(f))(*args) == f(*args)
    # As a method of Python's, a deep copy is of a copy of the instance.
    copied = copy.deepcopy(f)
    assert copied(*args) == f(*args)
    assert copied.__self__ is not spring
    assert copied.__self__.k == 3.0


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


def test_cloudpickle_takes_along_what_is_in_main(tmp_path: Path) -> None:
    pytest.importorskip("cloudpickle")
    script, pickled = tmp_path / "script.py", tmp_path / "pickled"
    script.write_text(
        f"""
import cloudpickle
from tapegrad import compile, custom_jvp, grad

@compile
def f(x):
    return x ** 3

@custom_jvp
def g(x):
    return x

g.defjvps(lambda t, y, x: 7.0 * t)
class Model:
    @compile
    def f(self, x):
        return x * x

with open({str(pickled)!r}, "wb") as file:
    cloudpickle.dump([f, grad(f), grad(g), grad(lambda x: f(x) * x), Model().f], file)
"""
    )
    subprocess.run([sys.executable, str(script)], check=True, timeout=120)
    loaded = pickle.loads(pickled.read_bytes())
    assert [f(2.0) for f in loaded] == [8.0, 12.0, 7.0, 32.0, 4.0]
