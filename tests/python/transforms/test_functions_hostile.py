"""Odd user code around compiled functions and transforms: an exception at most, never a crash."""

from __future__ import annotations

import textwrap

import pytest

from support.contract import run_program
from tapegrad import _core

PROGRAMS: dict[str, str] = {
    "a key that calls the function while its structures are compared": """
        class Key:
            armed = False
            def __init__(self, n): self.n = n
            def __hash__(self): return 7
            def __eq__(self, other):
                if Key.armed:
                    Key.armed = False
                    for k in range(20): f({str(k): 1.0, **{str(j): 2.0 for j in range(k)}})
                    gc.collect()
                    Key.armed = True
                return isinstance(other, Key) and self.n == other.n
        for most in (1, 2, 3, 256):
            f = compile(lambda d: sum(d.values()), max_programs=most)
            for armed in (False, True):
                for n in range(12):
                    Key.armed = armed
                    try: assert f({Key(n): 1.0, Key(n + 100): 2.0}) == 3.0
                    except RuntimeError as error: assert "nothing else" in str(error)
        Key.armed = False
        """,
    "a key that changes its dict": """
        class Key:
            def __init__(self, n): self.n = n
            def __hash__(self): return 7
            def __eq__(self, other):
                if trap: d.clear(); gc.collect()
                return isinstance(other, Key) and self.n == other.n
        trap = False
        f = compile(lambda d: sum(d.values()))
        for k in range(10):
            trap = False
            d = {Key(1): 1.0, Key(2): 2.0, Key(3): 3.0}
            f({Key(1): 1.0, Key(2): 2.0, Key(3): 3.0})
            trap = True
            try: f(d)
            except (KeyError, RuntimeError, TypeError): pass
        trap = False
        assert f({"a": 1.0}) == 1.0
        """,
    "a static argument that calls the function": """
        class Static:
            def __init__(self, n): self.n = n
            def __hash__(self):
                if Static.armed: again()
                return 7
            def __eq__(self, other):
                if Static.armed: again()
                return self.n == other.n
        Static.armed = False
        def again():
            Static.armed = False
            for k in range(10): f(1.0, Static(k + 1000))
            gc.collect()
            Static.armed = True
        f = compile(lambda x, s: x * s.n, static_argnums=1, max_programs=4)
        for k in range(40):
            Static.armed = True
            try: assert f(2.0, Static(k % 6)) == 2.0 * (k % 6)
            except RuntimeError as error: assert "nothing else" in str(error)
        """,
    "constants that call the function when they die": """
        class Constant:
            def __init__(self, n): self.n = n
            def __del__(self):
                try: f(1.0, "x" * self.n), f.programs
                except RecursionError: pass
        f = compile(lambda x, c: [x, x * 2.0], max_programs=3)
        for k in range(200):
            f(float(k), Constant(k))
        gc.collect()
        assert f(1.0, "x") == [1.0, 2.0]
        """,
    "outputs that call the function when they die": """
        import numpy as np, scipy.sparse
        from tapegrad import jacobian
        f = jacobian(compile(lambda x: x * x, max_programs=2), sparse=True)
        for n in range(1, 30): assert f(np.ones(n)).nnz == n
        """,
    "an array that lies about its elements": """
        import numpy as np
        class Liar(np.ndarray):
            @property
            def size(self): return 10**6
            @property
            def shape(self): return (10**6,)
            @property
            def dtype(self): return np.dtype(float)
            def ravel(self, *args): return np.array([1.0] * 100_000, dtype=object)
            def tolist(self): return [1.0] * 100_000
            def __len__(self): return 100_000
            def __iter__(self): return iter([1.0] * 100_000)
            def __array__(self, *args, **keywords): return np.ones(100_000)
            def copy(self, *args): return np.ones(100_000)
            def astype(self, *args): return np.ones(100_000)
        def total(x): return x[0] * x[1]
        for kind in (object, float, int, bool):
            for made in (Liar, np.ndarray):
                x = np.array([2, 3]).astype(kind).view(made)
                for make in (lambda g: g, compile):
                    f, g = make(total), grad(make(total))
                    for _ in range(3):
                        for call in (lambda: f(x), lambda: g(x)):
                            try: call()
                            except (TypeError, ValueError, IndexError): pass
                plain = compile(total)
                plain(np.array([2.0, 3.0]))
                try: plain(x)
                except (TypeError, ValueError, IndexError): pass
        """,
    "an array of objects that changes while it is read": """
        import numpy as np
        class Number:
            def __float__(self):
                x[:] = 0.0; gc.collect()
                try: x.resize(1, refcheck=False)
                except ValueError: pass
                return 2.0
        f = compile(lambda x: sum(x))
        f(np.array([1.0, 2.0, 3.0], dtype=object))
        for g in (f, grad(f), grad(lambda x: x[0])):
            for _ in range(20):
                x = np.array([Number() for _ in range(3)], dtype=object)
                try: g(x)
                except (TypeError, ValueError, RuntimeError): pass
        """,
    "a list of lists that is cleared by a number in it": """
        class Number:
            def __float__(self):
                for inner in xs: inner.clear()
                xs.clear(); gc.collect(); [[1.0, 2.0] for _ in range(100)]
                return 1.0
        f = compile(lambda xs: xs[0][0] * 2.0)
        f([[1.0, 2.0], [3.0, 4.0]])
        for g in (f, grad(f), grad(f.__wrapped__)):
            for _ in range(20):
                xs = [[Number(), 2.0], [3.0, 4.0]]
                try: g(xs)
                except (IndexError, TypeError, RuntimeError): pass
        """,
    "a dataclass whose fields lie": """
        import dataclasses
        @dataclasses.dataclass
        class Point:
            x: float
            y: float
        def broken(self): raise KeyError("x")
        f = compile(lambda p: p.x * p.y)
        assert f(Point(2.0, 3.0)) == 6.0
        Point.x = property(broken)
        for g in (f, grad(f), grad(f.__wrapped__)):
            try: g(Point.__new__(Point))
            except KeyError: pass
        """,
    "the collector while programs are listed": """
        class Cycle:
            def __del__(self): f([1.0] * 7); f([1.0] * 8)
        f = compile(lambda xs: sum(xs), max_programs=4)
        gc.set_threshold(1)
        for n in range(1, 100):
            c = Cycle(); c.me = c; del c
            f([1.0] * n); f.programs; grad(f)([1.0] * n); repr(f)
        gc.set_threshold(700)
        """,
    "functions made and dropped by their own calls": """
        for _ in range(50):
            @compile
            def f(x):
                global f
                del f
                gc.collect()
                return x * x
            g = f
            assert grad(f)(3.0) == 6.0
            f = g
        """,
    "numbers of arguments and options of any kind": """
        from tapegrad.transforms.compiled import Compiled
        core = tapegrad._core.Function
        for args in [(), (1,), (len, 1), (len, 0, 0, (), (), ()), (len, 1, -1, (), (), ()),
                     (len, 1, 1, [], (), ()), (len, 1, 1, (), [], ()), (len, 1, 1, (), (), 1),
                     (len, 1, 1, ("a",), (), ()), (len, 1, 1, (), (1,), ()),
                     (len, 10**30, 1, (), (), ()), (len, 1, 1, (10**30,), (), ())]:
            try: core(*args)
            except (TypeError, ValueError, OverflowError): continue
            raise AssertionError(args)
        f = core(len, 1, 1, (), (), ())
        for call in (lambda: f(1.0), lambda: f._add(1, 2, 3), lambda: f._flatten(1, 2, 3),
                     lambda: f._flatten((), {}, 3), lambda: f._add()):
            try: call()
            except (TypeError, AttributeError, RuntimeError): continue
            raise AssertionError(call)
        assert f._flatten((1.0, [2.0]), {"a": 3}, "f")[0] == [1.0, 2.0, 3.0]
        """,
}


HEADER = "import gc, tapegrad\nfrom tapegrad import compile, grad, hvp\n"


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_survives(program: str) -> None:
    if "scipy" in program:
        pytest.importorskip("scipy")
    done = run_program(HEADER + textwrap.dedent(program))
    assert done.returncode == 0, done.stderr


# What is called while one allocation of Python's after the other fails, and the next two with it.
CALLS = {
    "compile": "compile(plain)",
    "compile and record": "compile(plain)(2.0)",
    "replay": "c(3.0)",
    "record another path": "c(-3.0 - start)",
    "another structure": "many([1.0] * (start + 1))",
    "programs": "c.programs",
    "grad": "grad(plain)(2.0)",
    "grad of compile": "grad(compile(plain))(2.0)",
    "grad of compiled": "grad(c)(2.0)",
    "hvp": "hvp(plain, (2.0,), (1.0,))",
    "hvp of compiled": "hvp(c)(2.0, 1.0)",
    "vjp": "vjp(plain, 2.0)[1](1.0)",
    "jvp": "jvp(c, (2.0,), (1.0,))",
    "jacobian": "jacobian(lambda x: [x, x * x])(2.0)",
    "hessian": "hessian(lambda x: x[0] * x[1])([1.0, 2.0])",
    "containers": "grad(lambda p: p['a'] * p['b'][0])({'a': 1.0, 'b': [2.0]})",
    "static arguments": "compile(power, static_argnums=1)(2.0, 3)",
    "rules": "grad(ruled)(2.0)",
    "checkpoint": "grad(checkpoint(plain))(2.0)",
}


@pytest.mark.skipif(
    "NDEBUG" not in _core.build()["flags"], reason="pybind11's assertions abort where memory fails"
)
@pytest.mark.parametrize("failures", [1, 3])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_survives_failing_allocations(call: str, failures: int) -> None:
    pytest.importorskip("_testcapi")
    done = run_program(
        f"""
        import _testcapi, tapegrad
        from tapegrad import *
        from tapegrad import compile
        def plain(x): return x * x if x > 0 else -x
        def power(x, n): return x ** n
        c, many = compile(plain), compile(lambda xs: sum(xs))
        ruled = custom_jvp(lambda x: x * x)
        ruled.defjvps(lambda t, y, x: 2.0 * t * x)
        start = 0
        {call}
        passed = 0
        while passed < 10 and start < 600:
            try:
                _testcapi.set_nomemory(start, start + {failures})
                {call}
                _testcapi.remove_mem_hooks()
                passed += 1
            except MemoryError:
                _testcapi.remove_mem_hooks()
                passed = 0
            except BaseException:
                _testcapi.remove_mem_hooks()
                raise
            assert tapegrad._core.Recording.current() is None, start
            assert c(3.0) == 9.0 and grad(plain)(3.0) == grad(c)(3.0) == 6.0
            start += 1
        """
    )
    assert done.returncode == 0, done.stderr
