"""`python -m bench python`: the Python benchmark, against peers on the same work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tapegrad._pipe import ends_with_its_reader

__all__ = ["main"]

_PACKAGES = ("matplotlib", "rich")
_DESCRIPTION = """\
Times tapegrad beside every peer that is installed (micrograd, torch, autograd, xad, casadi, jax:
pip install those you want), beside a class like microgpt's in pure Python, and beside plain floats.
Contestants run in processes of their own and take turns; their results are compared before they are
timed. A peer that is not installed is absent.

Writes python.json (every sample), python.md and plots as SVG and PNG, and prints the tables.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench python",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="all workloads and peers, about a quarter of an hour, not a minute",
    )
    parser.add_argument("--list", action="store_true", help="print workloads and peers, and exit")
    parser.add_argument(
        "--workloads", nargs="+", metavar="NAME", help="these and no others (see --list)"
    )
    parser.add_argument(
        "--peers", nargs="+", metavar="NAME", help="tapegrad and these, no others (see --list)"
    )
    parser.add_argument(
        "--processes", type=_count, metavar="N", help="processes of each contestant, in succession"
    )
    parser.add_argument("--rounds", type=_count, metavar="N", help="turns in each process")
    parser.add_argument(
        "--turn", type=_seconds, metavar="SECONDS", help="how long a turn is at least"
    )
    parser.add_argument(
        "--budget", type=_seconds, metavar="SECONDS", help="after which a slow one has no turns"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("tapegrad-bench"),
        metavar="FOLDER",
        help="where the files go (default: tapegrad-bench)",
    )
    parser.add_argument(
        "--from",
        dest="stored",
        type=Path,
        metavar="JSON",
        help="measure nothing: make page and plots of these results",
    )
    parser.add_argument(
        "--readme", type=Path, metavar="FILE", help="put the short table between its markers too"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the benchmark with these options and return the exit status."""
    with ends_with_its_reader():
        return _run(make_parser().parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        return _fail(f'it needs {", ".join(missing)}: pip install ".[bench]"', 1)
    try:
        # Imported here: its packages are the extra's.
        from bench.python import session

        return session.run(args)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return 130
    except (LookupError, ValueError) as error:
        return _fail(str(error.args[0]), 2)
    except OSError as error:
        return _fail(str(error), 1)


def _fail(message: str, status: int) -> int:
    print(f"python -m bench python: error: {message}", file=sys.stderr)
    return status


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number
