"""The command line: `python -m bench python` and `python -m bench cpp`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

# The module of each suite, whose `main` takes the arguments after the suite's name.
_SUITES = {"python": "bench.python", "cpp": "bench.cpp.run"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite that the first argument names and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in _SUITES:
        # Imported here: neither suite needs the packages of the other.
        return int(import_module(_SUITES[arguments[0]]).main(arguments[1:]))
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        usage="%(prog)s [-h] (python | cpp) ...",
        description="suites (each has its own --help):\n"
        "  python  this installation of tapegrad beside its peers in Python\n"
        "  cpp     the C++ core beside a hand-written adjoint and its peers",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("suite", choices=_SUITES, help=argparse.SUPPRESS)
    parser.parse_args(arguments)
    return 2


if __name__ == "__main__":
    sys.exit(main())
