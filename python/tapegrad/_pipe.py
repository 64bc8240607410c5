"""Handling of a closed output pipe, as in `python -m tapegrad info | head -1`."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ends_with_its_reader() -> Iterator[None]:
    """End this process silently, as Unix tools do, if the reader of its output has ended.

    The process ends by SIGPIPE, which a shell reports as status 141, or with status 1 on systems
    without that signal. The block flushes stdout when it ends, since the interpreter would
    otherwise do so later and report the error.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        if sys.stdout is None or not _has_lost_its_reader():
            raise
        # The interpreter flushes stdout again at exit, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.raise_signal(signal.SIGPIPE)
        raise SystemExit(1) from None


def _has_lost_its_reader() -> bool:
    """True if the broken pipe is stdout's, not another pipe's or socket's."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))
