"""Random histories of Values against plain Python objects: no difference, and nothing left."""

from __future__ import annotations

import gc
import threading

import pytest

from support.contract import nodes
from support.histories import History

SEEDS = 10


@pytest.fixture
def steps(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--histories"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_values_are_what_plain_python_objects_would_be(seed: int, steps: int) -> None:
    before = nodes()
    history = History(seed)
    history.run(steps // SEEDS)
    history.check()
    assert len(history.counts) == len(history.steps)  # all kinds of steps
    history.pool.clear()
    assert nodes() == before


def test_histories_in_several_threads_at_once(steps: int) -> None:
    before = nodes()
    errors: list[BaseException] = []

    def run(seed: int) -> None:
        try:
            history = History(seed)
            history.run(steps // 100)
            history.check()
            history.pool.clear()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(100, 104)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    assert nodes() == before


def test_histories_with_an_eager_collector(steps: int) -> None:
    before, threshold = nodes(), gc.get_threshold()
    gc.set_threshold(7, 2, 2)
    try:
        history = History(1000)
        history.run(steps // 100)
        history.check()
    finally:
        gc.set_threshold(*threshold)
    history.pool.clear()
    assert nodes() == before
