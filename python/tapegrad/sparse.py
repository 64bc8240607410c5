"""Sparse matrices of derivatives, as `jacobian` and `hessian` return them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tapegrad import _core
from tapegrad._trace import Function, name_of, need_function
from tapegrad.compiled import Compiled

__all__ = ["CompiledSparse", "assembled"]


class CompiledSparse(Compiled):
    """A compiled function whose programs compute what is stored of a sparse matrix."""

    __slots__ = ()

    _constants = True  # the pattern, which belongs to the program
    _depth = 4

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        _refuse_traces()
        return _matrix(super().__call__(*args, **keywords))


def assembled(f: Function, transform: str) -> Callable[[Function], Function]:
    """Makes a function of matrices, compiled where `f` is, of one that returns what is in them.

    That one returns the numbers, the `_core.Compression` that says where they are, and aux where
    it has any.
    """
    need_function(f)
    try:
        import scipy.sparse  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{transform}(): sparse=True needs scipy: pip install 'tapegrad[sparse]'"
        ) from error

    def decorate(entries: Function) -> Function:
        if isinstance(f, Compiled):
            return CompiledSparse(_recordable(entries, transform, f))

        @functools.wraps(entries)
        def matrix(*args: Any, **keywords: Any) -> Any:
            _refuse_traces()
            return _matrix(entries(*args, **keywords))

        return matrix

    return decorate


def _recordable(entries: Function, transform: str, f: Function) -> Function:
    """The same with its numbers in an array, which replays fill."""

    @functools.wraps(entries)
    def recordable(*args: Any, **keywords: Any) -> Any:
        import numpy as np

        numbers, compression, *aux = entries(*args, **keywords)
        _core.flatten(aux, f"{transform}(): what {name_of(f)} returned besides the result")
        return np.fromiter(numbers, dtype=object, count=len(numbers)), compression, *aux

    return recordable


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
