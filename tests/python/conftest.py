"""Options of the tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--histories",
        type=int,
        default=100_000,
        metavar="STEPS",
        help="steps of the random histories in test_histories.py",
    )
