"""Terminal output: text and progress."""

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

_SMOOTHED = 100  # losses averaged in the status, since those of single documents vary much
_SECONDS_A_FRAME = 0.1


def say(console: Console, text: str, style: str = "", wrap: bool = True) -> None:
    """Print text literally, without markup; lines break between words if `wrap` is true."""
    console.print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=not wrap)


@contextmanager
def progress(console: Console, title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show progress, and yield the function to call with the loss after each step.

    A terminal shows a bar; any other output gets a line of text after every tenth of the steps.
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
    # The bar is drawn between steps: a drawing thread would delay them.
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
    """Return a function that takes each loss and formats the recent mean loss and the speed."""
    losses: deque[float] = deque(maxlen=_SMOOTHED)
    begin, count = time.monotonic(), 0

    def status(loss: float) -> str:
        nonlocal count
        count += 1
        losses.append(loss)
        speed = count / max(time.monotonic() - begin, 1e-9)
        return f"loss {sum(losses) / len(losses):.3f}, {speed:,.0f}/s"

    return status
