"""Sparse matrices of derivatives, as `jacobian` and `hessian` return them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tapegrad import _core
from tapegrad._trace import name_of
from tapegrad._wrapped import Transformed, by_name, remade
from tapegrad.compiled import Compiled, Statics

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CompiledSparse", "Entries", "need_scipy"]


class Entries(Transformed):
    """A function of sparse matrices, made of one that returns what is in them.

    `entries` returns the numbers, the `_core.Compression` that says where they are, and aux where
    it has any.
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


class Recordable(Transformed):
    """The same as a function of an array of the numbers, which replays fill."""

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
    """A compiled function whose programs compute what is stored of a sparse matrix."""

    __slots__ = ()

    _constants = True  # the pattern, which belongs to the program
    _depth = 4

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
    """Raises ImportError where there is no scipy."""
    try:
        import scipy.sparse  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{transform}(): sparse=True needs scipy: pip install 'tapegrad[sparse]'"
        ) from error


def _matrix(found: Any) -> Any:
    """The matrix of what a function of entries returned; with aux a pair."""
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
            "no traced numbers; take the dense matrix there, or compile what is differentiated, as "
            "in jacobian(compile(f), sparse=True)"
        )
