"""Odd user code may fail with an exception, but never takes the interpreter down."""

from __future__ import annotations

import pytest

from support.contract import run_program

PROGRAMS: dict[str, str] = {
    "assignment of __class__": """
        class A(Value): pass
        class B(Value): __slots__ = ("q",)
        for i in range(1000):
            v = Value(1.0); w = A(2.0); w.y = w; v.x = 1
            for one, kind in ((v, A), (w, Value), (v, B), (w, B)):
                try: one.__class__ = kind
                except TypeError: continue
                raise SystemExit("no TypeError")
            del v, w, one
        try: Value(1.0).__class__ = B
        except TypeError: gc.collect()
        """,
    "conversions that drop the operands": """
        class Evil:
            def __float__(self):
                x.clear(); gc.collect(); [Value(9.0) + 1 for _ in range(1000)]
                return 2.0
        x, e = [], Evil()
        calls = [
            lambda: x[0] + e, lambda: e * x[0], lambda: x[0] ** e, lambda: x[0] < e,
            lambda: tapegrad.clip(x[0], e, e), lambda: x[0].clip(e, e),
            lambda: tapegrad.maximum(e, x[0]), lambda: tapegrad.sum([x[0], e]),
            lambda: tapegrad.sum(x + [e]), lambda: tapegrad.dot(x + [e], [e, 1.0]),
            lambda: x[0].backward(e), lambda: (x[0] * 2).backward(e),
            lambda: setattr(x[0], "data", e), lambda: setattr(x[0], "grad", e),
            lambda: Value(e, x), lambda: Value(1.0, x, (e,)),
        ]
        for call in calls:
            x[:] = [Value(3.0)]
            try: result = call()
            except (IndexError, ValueError): continue
            if isinstance(result, Value): result.backward(), result._prev, repr(result)
        """,
    "iterators that drop what they gave": """
        def given():
            v = Value(1.0); yield v; del v; gc.collect()
            [Value(9.0) * 2 for _ in range(1000)]
            yield Value(2.0); yield 3
        assert tapegrad.sum(given()).data == 6.0
        assert tapegrad.dot(given(), given()).data == 14.0
        assert Value(1.0, (v for v in [Value(2.0)]))._children[0].data == 2.0
        """,
    "conversions that lie about their dtype": """
        class Interrupting:
            def __float__(self): return 1.0
            @property
            def dtype(self): raise KeyboardInterrupt
        class Enormous:
            def __float__(self): return 1.0
            class dtype: kind = "f"
            ndim = 10**30
        for odd in (Interrupting(), Enormous()):
            for call in (lambda: Value(1.0) + odd, lambda: Value(odd), lambda: tapegrad.exp(odd)):
                try: call()
                except (KeyboardInterrupt, OverflowError, TypeError): pass
        """,
    "methods of the class replaced and deleted": """
        Value.__init__ = lambda self, *a, **k: None
        repr(Value(1.0)), repr(Value(1.0) + 1); del Value.__init__; repr(Value(1.0))
        Value.__repr__ = lambda self: "R"; repr(Value(1.0)); del Value.__repr__
        assert "Value" in repr(Value(1.0))
        Value.__add__ = lambda a, b: "add"; assert Value(1.0) + 1 == "add"; del Value.__add__
        """,
    "object.__new__ in place of Value's": """
        a = Value(3.0); k = a * 2; keep = Value(7.0)
        Value.__new__ = staticmethod(lambda cls, *args: object.__new__(cls))
        for i in range(5): Value(1.0)
        del Value.__new__
        repr((a, k, k._prev))
        try: repr([Value() for i in range(3)])
        except TypeError: pass
        assert keep.data == 7.0
        """,
    "object.__new__ in place of Value's, for a subclass that turns into a Value": """
        Value.__new__ = staticmethod(lambda cls, *args: object.__new__(cls))
        class Weight(Value): __slots__ = ()
        w = Weight(1.0)
        repr((w, w.data, w.grad, w + w, w * 2.0, 2 - w, w.tanh(), -w, w**2, sum([w, w])))
        try: w.__class__ = Value
        except TypeError: pass
        y = w * w + w / 3.0; y.backward(); w.data = 4.0; w.grad = 1
        repr((w, w.data, w.grad, w + w, w * 2.0, 2 - w, w.tanh(), -w, w**2, sum([w, w])))
        del Value.__new__, w, y
        """,
    "finalizers that resurrect and record": """
        class Saved(Value):
            saved = []
            def __del__(self): Saved.saved.append(self); self.n = getattr(self, "n", 0) + 1
        class Recording(Value):
            def __del__(self):
                v = self * 2; v.backward(); self._backward = lambda: self; self.me = self
        for i in range(100):
            r = Saved(1.0); s = r * 2; del r; s.backward(); del s; Saved.saved.clear()
            Recording(1.0)
        gc.collect(); gc.collect()
        """,
    "weak reference callbacks that reach back": """
        import weakref
        out = []
        for i in range(100):
            v = Value(1.0); u = v + 1
            first = weakref.ref(v, lambda r, u=u: out.append(u._children[0]))
            def second(r, u=u, i=i):
                u._children[0].z = 1
                if i % 10 == 0: gc.collect()
            w = weakref.ref(v, second)
            v.attr = i
            del v; out.clear()
        """,
    "slots that hold the value itself": """
        class S(Value): __slots__ = ("a", "b")
        for i in range(100):
            s = S(1.0); s.a = s; s.b = [s]; s.c = 1; t = s * 2; del s; t._children[0]; del t
        gc.collect()
        """,
    "games with __dict__": """
        v = Value(1.0); v.__dict__["__class__"] = 3; v.__dict__[1] = 2
        v.__dict__ = dict(data=3); assert v.data == 1.0; v.__dict__.clear()
        for name in (1, None):
            try: v.__setattr__(name, 2)
            except TypeError: pass
        d = v.__dict__; d["v"] = v; del v; gc.collect(); assert len(d) == 1
        """,
    "backward that calls itself": """
        sys.setrecursionlimit(200)
        y = Value(1.0); z = Value(1.0, (y,))
        y._backward = lambda: y.backward()
        for root in (z, y):
            try: root.backward()
            except RecursionError: continue
            raise SystemExit("no RecursionError")
        """,
    "a million operands": """
        v = Value(1.0)
        assert tapegrad.sum([Value(1.0)] * 10**6).data == 1e6
        big = Value(1.0, [v] * 10**6, [1.0] * 10**6); big.backward()
        assert v.grad == 1e6 and len(big._children) == 10**6
        """,
    "everything that the collector knows": """
        kept = [Value(1.0) * 2 for _ in range(10)]
        kept[0].note = kept
        for o in gc.get_objects():
            try:
                if isinstance(o, Value): repr(o), o._prev
            except ReferenceError: pass
        """,
    "a collector callback that reads the graph": """
        class Sub(Value): pass
        gc.disable()
        y = Sub(3.0); y.note = {"x": 1}; z = y * 2; del y
        busy, got = False, []
        def callback(phase, info):
            global busy
            if phase == "start" and not busy:
                busy = True; got.append(z._children); busy = False
        gc.callbacks.append(callback); gc.enable(); gc.set_threshold(1, 1, 1)
        for i in range(20):
            operands = z._children; [[] for _ in range(10)]
            assert type(operands[0]) is Sub and operands[0].note == {"x": 1}
            for other in got: assert other[0] is operands[0]
            del operands; other = None; got.clear()
        """,
    "finalizers at exit": """
        class X(Value):
            def __del__(self): (self * 2).backward()
        keep = X(1.0); more = Value(1.0); more.k = keep
        tapegrad.keep = X(2.0); sys.keep = [X(3.0), Value(3.0)]
        """,
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_the_interpreter_survives(what: str) -> None:
    head = "import gc, sys\nimport tapegrad\nfrom tapegrad import Value\n"
    lines = PROGRAMS[what].split("\n")
    body = "\n".join(line.removeprefix("        ") for line in lines)
    done = run_program(f"{head}{body}\nprint('to the end')\n")
    assert done.returncode >= 0, done.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout == "to the end\n"
    assert "Exception ignored" not in done.stderr
