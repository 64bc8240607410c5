"""What is shown while work is under way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

__all__ = ["Advance", "progress", "say"]

Advance: TypeAlias = Callable[[float], None]

_SMOOTHED = 100  # losses of single documents jump: a mean of the last ones is shown
_SECONDS_A_FRAME = 0.1


def say(console: Console, text: str, style: str = "", wrap: bool = True) -> None:
    """Print text as it is; unless not `wrap`, with lines broken between words."""
    console.print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=not wrap)


@contextmanager
def progress(console: Console, title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """What is to be called with the loss after each step.

    A terminal shows a bar, anything else gets a line of text after each tenth of the way.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield _lines(console, title, total, done)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    # Drawn between steps and not by a thread, whose turns would hold up the steps.
    with Progress(*columns, console=console, auto_refresh=False) as bar:
        task = bar.add_task(title, total=total, completed=done, status="")
        status = _statuses()
        drawn = 0.0

        def advance(loss: float) -> None:
            nonlocal drawn
            bar.update(task, advance=1, status=status(loss))
            if time.monotonic() - drawn > _SECONDS_A_FRAME:
                bar.refresh()
                drawn = time.monotonic()

        yield advance


def _lines(console: Console, title: str, total: int, done: int) -> Advance:
    status = _statuses()

    def advance(loss: float) -> None:
        nonlocal done
        done += 1
        text = status(loss)
        if done * 10 // total > (done - 1) * 10 // total:
            say(console, f"{title} {done}/{total}, {text}")

    return advance


def _statuses() -> Callable[[float], str]:
    """A function of each loss that tells the mean of the last ones and the speed so far."""
    losses: deque[float] = deque(maxlen=_SMOOTHED)
    begin, count = time.monotonic(), 0

    def status(loss: float) -> str:
        nonlocal count
        count += 1
        losses.append(loss)
        speed = count / max(time.monotonic() - begin, 1e-9)
        return f"loss {sum(losses) / len(losses):.3f}, {speed:,.0f}/s"

    return status
