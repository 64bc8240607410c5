"""Sparse Jacobians and Hessians."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tapegrad import _core
from tapegrad.transforms._argnums import Chosen
from tapegrad.transforms._derivative import Derivative
from tapegrad.transforms._functions import Function, name_of, scalar
from tapegrad.transforms._pickling import by_name, remade
from tapegrad.transforms._tracing import Trace
from tapegrad.transforms._wrapped import Transformed
from tapegrad.transforms.compiled import Compiled, Statics

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CompiledSparse", "SparseHessian", "SparseJacobian", "need_scipy"]


class Entries(Transformed):
    """The base of functions that return sparse matrices.

    `entries` returns the stored numbers, the `_core.Compression` with their positions, and the
    auxiliary data if there is any.
    """

    __slots__ = ()

    def entries(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        raise NotImplementedError

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        _refuse_traces()
        return _matrix(self.entries(args, keywords))

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        transform, options = super()._remaking()
        return transform, {**options, "sparse": True}


class SparseJacobian(Entries, Derivative):
    """The function that returns a sparse Jacobian; `forward` as in `Jacobian`."""

    __slots__ = ("forward",)

    def __init__(self, f: Function, chosen: Chosen, has_aux: bool, forward: bool | None) -> None:
        Derivative.__init__(self, f, chosen, has_aux)
        self.forward = forward

    def entries(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        f, chosen = self.__wrapped__, self.chosen
        with Trace() as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, self.has_aux)
            name = f"{chosen.transform}(): the result of {name_of(f)}"
            numbers, _ = _core.flatten(result, name)
            forward = self.forward
            if forward is None and trace.recording.needs_backward(variables.numbers, numbers):
                forward = False
            found = _core.jacobian_entries(variables.numbers, numbers, trace.nested, forward)
            return (*found, trace.outcome(aux)) if self.has_aux else found


class SparseHessian(Entries, Derivative):
    """The function that returns a sparse Hessian."""

    __slots__ = ()

    def entries(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        f, chosen, has_aux = self.__wrapped__, self.chosen, self.has_aux
        with Trace(order=2) as trace:
            variables, result, aux = chosen.apply(trace, f, args, keywords, has_aux)
            value = scalar(result, chosen.transform, f)
            gradient = trace.recording.reverse(variables.numbers, [value], [1.0], True)
            found = _core.hessian_entries(variables.numbers, gradient, trace.nested)
            return (*found, trace.outcome(aux)) if has_aux else found


class Recordable(Transformed):
    """`Entries` as a function that `compile` can record: it returns the numbers as an array."""

    __slots__ = ()

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        import numpy as np

        made = self._entries()
        numbers, compression, *aux = made.entries(args, keywords)
        transform, _ = made._remaking()
        name = f"{transform}(): what {name_of(made)} returned besides the result"
        _core.flatten(aux, name)
        return np.fromiter(numbers, dtype=object, count=len(numbers)), compression, *aux

    def _remaking(self) -> tuple[str, dict[str, Any]]:
        return self._entries()._remaking()

    def _entries(self) -> Entries:
        assert isinstance(self.__wrapped__, Entries)
        return self.__wrapped__


class CompiledSparse(Compiled):
    """A compiled function whose programs compute the stored numbers of a sparse matrix."""

    __slots__ = ()

    _constants = True  # the sparsity pattern, a constant of the program

    def __new__(
        cls,
        f: Entries,
        max_programs: int,
        max_bytes: int,
        statics: Statics = ((), ()),
        floating: tuple[int, ...] | None = (),
    ) -> Self:
        floating = (*(floating or ()), *f._floating)
        return super().__new__(cls, Recordable(f), max_programs, max_bytes, statics, floating)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        _refuse_traces()
        return _matrix(super().__call__(*args, **keywords))

    def __reduce__(self) -> str | tuple[Any, ...]:
        made = self.__wrapped__._entries()  # type: ignore[attr-defined]  # of a Recordable
        transform, options = made._remaking()
        return by_name(self) or (
            remade,
            (transform, Compiled(made.__wrapped__, *self._options[:3]), options),
        )


def need_scipy(transform: str) -> None:
    """Raise ImportError if scipy is not installed."""
    try:
        import scipy.sparse  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{transform}(): sparse=True needs scipy: pip install 'tapegrad[sparse]'"
        ) from error


def _matrix(found: Any) -> Any:
    """Make the matrix of the result of an `Entries`, or with aux a pair of it and aux."""
    import numpy as np
    from scipy.sparse import csr_array

    numbers, compression, *aux = found
    data = np.asarray(numbers, dtype=float)
    matrix = csr_array((data, compression.indices, compression.indptr), shape=compression.shape)
    return (matrix, *aux) if aux else matrix


def _refuse_traces() -> None:
    if _core.Recording.current() is not None:
        raise TypeError(
            "sparse=True inside another transform or compiled function: a scipy.sparse array holds "
            "no traced numbers; use the dense matrix there, or compile the inner function, as in "
            "jacobian(compile(f), sparse=True)"
        )
