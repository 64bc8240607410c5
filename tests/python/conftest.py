"""Options of the tests."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

# Time decides no test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--histories",
        type=int,
        default=100_000,
        metavar="STEPS",
        help="steps of the random histories in test_histories.py",
    )


@pytest.fixture(autouse=True, scope="module")
def _small_heap() -> None:
    """Hides what pytest and earlier modules keep from the collector, which many tests call.

    Each of its runs would look at a million objects of no interest.
    """
    gc.collect()
    gc.freeze()
