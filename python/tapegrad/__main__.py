"""The command line: `python -m tapegrad`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import tapegrad
from tapegrad._pipe import ends_with_its_reader

_COMMANDS = {
    "run": "run a script or a notebook with tapegrad in the place of micrograd",
    "demo": "train a network on real data, and draw what it learned",
    "info": "print how tapegrad was built and what its arena holds",
}


def find_folder(name: str) -> Path:
    """Return the path of the folder `name` that is installed with the package.

    Raises FileNotFoundError if there is none.
    """
    # An editable install has several package folders, all of them in __path__.
    folders = [Path(entry) / name for entry in tapegrad.__path__ if not entry.endswith("_former")]
    for folder in folders:
        if folder.is_dir():
            return folder.resolve()
    searched = ", ".join(map(str, folders))
    raise FileNotFoundError(
        f"this installation of tapegrad has no {name} folder: not in {searched}"
    )


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the options outside commands; each command has its own parser."""
    commands = "\n".join(f"  {name:6}{purpose}" for name, purpose in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tapegrad",
        usage="%(prog)s [-h] [--version] [--cmakedir] [--includedir] [command ...]",
        description=f"commands (each has its own --help):\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"tapegrad {tapegrad.__version__}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument(
        "--cmakedir", action="store_true", help="print the folder of the CMake package and exit"
    )
    parser.add_argument(
        "--includedir", action="store_true", help="print the folder of the C++ headers and exit"
    )
    parser.add_argument("command", nargs="?", choices=_COMMANDS, help=argparse.SUPPRESS)
    return parser


def run_command(name: str, argv: Sequence[str]) -> int:
    """Run the command `name` with the arguments after it and return the exit status."""
    # Imported here, so that no command pays for the imports of another.
    command = import_module(f"tapegrad.{'compat.run' if name == 'run' else name}")
    if name == "run":
        return int(command.main(argv))
    parser = argparse.ArgumentParser(
        prog=f"python -m tapegrad {name}", description=_COMMANDS[name], allow_abbrev=False
    )
    command.add_arguments(parser)
    return int(command.main(parser.parse_args(argv)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default the process's, and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] == "run":
        # A broken pipe in the program behaves as under plain Python.
        return run_command(arguments[0], arguments[1:])
    with ends_with_its_reader():
        return _do(arguments)


def _do(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in _COMMANDS:
        return run_command(arguments[0], arguments[1:])
    parser = make_parser()
    if arguments and arguments[0] == "bench":
        parser.error(
            "the benchmark is not in the package: run python -m bench python in a checkout"
        )
    options = parser.parse_args(arguments)
    names = ["cmake"] * options.cmakedir + ["include"] * options.includedir
    if not names:
        parser.print_help()
        return 0
    try:
        for name in names:
            print(find_folder(name))
    except FileNotFoundError as error:
        print(f"tapegrad: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
