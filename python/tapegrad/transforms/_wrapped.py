"""Base classes of transformed functions: metadata, binding to instances, and pickling."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

from tapegrad.transforms._functions import Function
from tapegrad.transforms._pickling import by_name, named, remade

__all__ = ["Bound", "Transformed"]

_LAZY = frozenset(functools.WRAPPER_ASSIGNMENTS) - {"__module__", "__doc__"}


class Transformed:
    """A function that a transform made of another function, `__wrapped__`.

    It has that function's name, documentation, signature and attributes, binds to instances like a
    method, and pickles by name. Attributes are looked up in `__wrapped__` on access and not copied,
    since `grad(f)(x)` constructs an object for each call.
    """

    __slots__ = ("__dict__", "__weakref__", "__wrapped__")

    # This class and its subclasses have no annotations: __annotations__ of an instance would
    # otherwise be theirs, not the function's.

    # Positions of the arguments to differentiate with respect to, where integers count as floats.
    _floating = ()  # type: tuple[int, ...]

    def __init__(self, f: Function) -> None:
        self.__wrapped__: Function = f
        shown = self.__dict__
        try:
            shown["__module__"] = f.__module__
            shown["__doc__"] = f.__doc__
        except AttributeError:  # a callable object may have neither
            shown.setdefault("__module__", None)
            shown["__doc__"] = None

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name != "__wrapped__":
            f = self.__wrapped__
            if name in _LAZY or isinstance(f, Transformed) or name in getattr(f, "__dict__", ()):
                return getattr(f, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind to an instance, which becomes the first argument."""
        return self if instance is None else Bound(self, instance)

    def __repr__(self) -> str:
        transform, _ = self._remaking()
        return f"<{transform} of {self.__wrapped__!r}>"

    # Copying a function returns the function itself, as for Python's own functions.
    def __copy__(self) -> Transformed:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Transformed:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        return by_name(self) or self._by_parts()

    def _by_parts(self) -> tuple[Any, ...]:
        transform, options = self._remaking()
        return remade, (transform, named(self.__wrapped__), options)

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        """Return the transform's name in `tapegrad` and its options, for pickles."""
        raise NotImplementedError


class Bound:
    """A transformed or compiled function bound to an instance.

    It is not a `types.MethodType`, because that pickles as the instance's attribute of the
    function's name. Here that may be another method: `slope = grad(energy)` has the name `energy`.
    """

    __slots__ = ("__func__", "__self__", "__weakref__")

    def __init__(self, function: Any, instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.__func__(self.__self__, *args, **keywords)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        doc: str | None = self.__func__.__doc__
        return doc

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__func__)
        return signature.replace(parameters=[*signature.parameters.values()][1:])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Bound)
            and self.__func__ is other.__func__
            and self.__self__ is other.__self__
        )

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __repr__(self) -> str:
        return f"<bound method {self.__func__!r} of {self.__self__!r}>"

    def __copy__(self) -> Bound:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Bound:
        """Return the function bound to a deep copy of the instance, as for Python's methods."""
        return Bound(self.__func__, copy.deepcopy(self.__self__, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        name = getattr(self.__func__, "__name__", "")
        if getattr(self.__self__, name, None) == self:
            return getattr, (self.__self__, name)
        return Bound, (self.__func__, self.__self__)
