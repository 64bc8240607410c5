"""Output into a pipe that nobody reads any more, as in `python -m tapegrad info | head -1`."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ends_with_its_reader() -> Iterator[None]:
    """Let this process end as other Unix tools do when what reads its output has ended.

    It ends by SIGPIPE, which a shell shows as status 141; where there is no such signal, with
    status 1. Nothing is written to stderr. What is still in the buffer is written first, since the
    interpreter would do that later and complain.
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
        # The interpreter flushes once more before it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.raise_signal(signal.SIGPIPE)
        raise SystemExit(1) from None


def _has_lost_its_reader() -> bool:
    """Whether it is stdout that broke, and not another pipe or socket."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))
