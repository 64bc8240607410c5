"""Odd subclasses fail with an exception, never with a crash; their objects stay what they were."""

from __future__ import annotations

import pytest

from support.contract import run_program

PROGRAMS: dict[str, str] = {
    "keywords that are no str": """
        class Sub(Value): pass
        class Own(Value):
            def __init__(self, d, **more): super().__init__(d, **more)
        calls = (Value, Sub, Own, type.__call__, Value.__new__, Sub.__new__, Value(1.0).__init__)
        for call in calls:
            for given in ({1: 2.0}, {None: 1}, {(): 1, "label": "x"}, {1.5: Value(1.0)}):
                first = {type.__call__: (Value,), Value.__new__: (Value,), Sub.__new__: (Sub,)}
                try: call(*first.get(call, ()), 1.0, **given)
                except TypeError: continue
                raise SystemExit(f"no TypeError: {call} {given}")
        """,
    "keywords that a conversion takes away": """
        import functools
        class Sub(Value): pass
        class Evil:
            def __float__(self):
                part.keywords.clear(); gc.collect(); [[] for _ in range(1000)]
                return 1.0
        for kind in (Value, Sub):
            for _ in range(100):
                part = functools.partial(kind, data=Evil(), label="l" * 50, _op="o" * 50,
                                         children=[Value(1.0), Value(2.0)])
                value = part()
                assert (value.label, value._op, len(value._children)) == ("l" * 50, "o" * 50, 2)
        """,
    "slots whose objects look at the graph as they go": """
        class Looks:
            def __init__(self, see): self.see = see
            def __del__(self): seen.append(self.see())
        class S(Value): __slots__ = ("a", "b")
        class T(S): __slots__ = ("c",)
        class U(Value): pass
        seen = []
        for kind in (S, T, U):
            for k in range(50):
                s = kind(float(k)); u = s * 2
                s.a = Looks(lambda u=u: u._children[0]); s.b = Looks(lambda: gc.collect())
                s.c = Looks(lambda u=u: (u._children[0] + 1)._children)
                if k % 3 == 0: del u
                del s
                if k % 3 == 1: u.backward(); u._children[0].a = None; u._children[0].b = None
                if k % 3 == 2: u._children[0].a = u._children[0]; u.note = u
                u = None; seen.clear(); gc.collect()
        """,
    "slots of a class that was assigned": """
        class Looks:
            def __del__(self): seen.append(u._children[0])
        class A(Value): __slots__ = ("a",)
        class B(Value): __slots__ = ("a",)
        class C(A): pass
        seen = []
        for kind in (B, C):
            for set_class in (setattr, lambda v, n, k: object.__dict__[n].__set__(v, k)):
                for k in range(20):
                    s = A(3.0); u = s * 2
                    try: set_class(s, "__class__", kind)
                    except TypeError: pass
                    s.a = Looks()
                    del s
                    assert u._children[0].data == 3.0
                    u._children[0].a = 1
                    del u; gc.collect()
                    u = Value(1.0) * 2; seen.clear()
        """,
    "weak references to what sleeps": """
        import weakref
        class W(Value): pass
        heard = []
        for k in range(100):
            w = W(float(k)); u = w * 2
            ref = weakref.ref(w, lambda r, u=weakref.ref(u): heard.append(u()))
            proxy = weakref.proxy(w)
            del w
            assert ref().data == proxy.data == k and ref() is u._children[0]
            got = ref() if k % 2 else None
            x = ref() + 1
            if k % 5 == 0: ref().__init__(7.0)
            del u
            assert (got is None) or (got + x).data >= 0
            assert ref() is x._children[0]
            del x, got
            assert ref() is None, k
        assert len(heard) == 100
        """,
    "finalizers that use, keep and lose": """
        class F(Value):
            kept = []
            def __del__(self):
                F.kept.append(self * 2)
                if self.data > 5: F.kept.append(self)
                self.me = self
                if self.data > 8: raise ValueError
        sys.unraisablehook = lambda raised: None
        for k in range(200):
            f = F(float(k % 10)); f.note = k; y = f + 1
            del f
            if k % 2: y = y._children[0]
            del y
            if k % 7 == 0:
                for v in F.kept: v.backward(), [c.note for c in v._children if type(c) is F]
                F.kept.clear(); gc.collect()
        """,
    "a class that changes under its objects": """
        class A(Value): pass
        class M: __slots__ = ()
        a = A(1.0); y = a * 2; del a
        A.__init__ = lambda self, *args: None
        b = A(1.0)
        try: b + 1
        except RuntimeError: pass
        else: raise SystemExit("no error")
        A.__del__ = lambda self: y._children
        A.__slots__ = ("z",)
        assert y._children[0].data == 1.0
        try: A.__bases__ = (M, Value)
        except TypeError: pass
        del A.__init__; c = A(3.0); assert (c + 1).data == 4.0
        A.__new__ = staticmethod(lambda cls, *args: object.__new__(cls))
        try: d = A(5.0); assert d.data == 5.0
        except TypeError: pass
        A.__new__ = staticmethod(lambda cls, *args: Value.__new__(Value, 1.0))
        assert type(A(2.0)) is Value
        A.__new__ = staticmethod(lambda cls, *args: 3)
        assert A(2.0) == 3
        """,
    "an unfinished object that everybody finds": """
        class U(Value):
            def __init__(self, d):
                self.cycle = [self]
                all_of_them.append(self)
                if d > 1: raise LookupError
                gc.collect()
        all_of_them = []
        for k in range(20):
            try: U(float(k))
            except LookupError: pass
        for u in all_of_them:
            for use in (lambda: u + 1, lambda: [u] + [u.data], lambda: Value(1.0, (u,)),
                        lambda: u.backward(), lambda: tapegrad.sum([u]), lambda: u.tanh(),
                        lambda: pickle.dumps(u), lambda: copy.copy(u),
                        lambda: copy.deepcopy([u]), lambda: tapegrad.optim.SGD([u]),
                        lambda: u < 1, lambda: max(u, 2)):
                try: use()
                except (RuntimeError, TypeError): continue
                raise SystemExit("no error")
            repr(u); hash(u); u == u; u.note = 1
        del u, use; all_of_them.clear(); gc.collect()
        """,
    "states of every shape": """
        class S(Value): __slots__ = ("a",)
        for make in (lambda: Value(1.0), lambda: S(1.0), lambda: S.__new__(S)):
            for state in (None, 1, "s", {}, {1: 2}, {"data": 3}, (None, None), ({}, {"a": 1}),
                          ({}, {"x": 1}), (None, {1: 2}), (1, 2), (1, 2, 3, 4, 5), (None,) * 5,
                          ("l", "o", print, {"x": 1}, S), ("l", 1, 2, 3, 4),
                          (None, None, None, (None, {"a": [1]}), None), [1], object()):
                value = make()
                for set_state in (value.__setstate__, lambda s: core._set_state(value, s)):
                    try: set_state(state)
                    except (TypeError, ValueError, AttributeError, RuntimeError): pass
                value = None
        for given in ((), (1,), (int, 1.0, 1.0), (Value, "x", 1.0), (object(), 1, 1),
                      (Value, 1.0, 2.0, 3)):
            try: core._restored_leaf(*given)
            except TypeError: continue
            raise SystemExit("no TypeError")
        y = Value(1.0) * 2
        snapshot = y.__reduce_ex__(4)[1][0]
        for given in ((snapshot, 0, int), (snapshot, -1, Value), (snapshot, 99, Value),
                      (1, 0, Value), (snapshot, "0", Value)):
            try: core._value_at(*given)
            except (TypeError, IndexError): continue
            raise SystemExit("no error")
        """,
    "memos of every shape": """
        x = Value(1.0); y = x * 2
        for memo in ({"tapegrad nodes": 1}, {id(x): 3}, {id(x): None}, {id({}): 1},
                     {"tapegrad nodes": print}):
            try: copy.deepcopy(y, memo)
            except (TypeError, ValueError, AttributeError): pass
            try: y.__deepcopy__(memo)
            except (TypeError, ValueError, AttributeError): pass
        for memo in (None, 1, []):
            try: y.__deepcopy__(memo)
            except TypeError: continue
            raise SystemExit("no TypeError")
        """,
    "reductions that lie": """
        answers = ["name", (), (1,), (int,), (int, ()), (Value, (1.0,), 3),
                   (Value, (1.0,), {"x": 1}, 4), (Value, (1.0,), None, None, None, 5),
                   (Value, ("x",)), None, (list, (), None, [1], [2]), (1, 2, 3, 4, 5, 6, 7)]
        class R(Value):
            def __reduce_ex__(self, protocol): return answer
        for answer in answers:
            r = R(1.0); y = r * 2
            for how in (copy.copy, copy.deepcopy, pickle.dumps):
                for thing in (r, y, [y, r]):
                    try: how(thing)
                    except Exception: pass
        class G(Value):
            def __getstate__(self): self.__init__(9.0); gc.collect(); return {"y": y}
        g = G(1.0); y = g * 2
        for how in (copy.copy, copy.deepcopy, pickle.dumps): how([y, g])
        """,
    "half a million instances with slots in a chain": """
        class Link(Value): __slots__ = ("next",)
        link = None
        for k in range(500_000):
            one = Link(1.0); one.next = link; link = one
        del one, link; gc.collect()
        """,
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_the_interpreter_survives(what: str) -> None:
    head = (
        "import copy, gc, pickle, sys\nimport tapegrad\nfrom tapegrad import Value, _core as core\n"
    )
    lines = PROGRAMS[what].split("\n")
    body = "\n".join(line.removeprefix("        ") for line in lines)
    done = run_program(f"{head}{body}\nprint('to the end')\n")
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
    assert done.stdout == "to the end\n"
    assert "Exception ignored" not in done.stderr
