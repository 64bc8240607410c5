"""`python -m tapegrad demo`: train networks of scalar Values on data sets and draw the results."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["add_arguments", "main"]

_PACKAGES = ("graphviz", "matplotlib", "numpy", "rich", "sklearn")
_DATA = ("moons", "cancer")
_LARGEST_SEED = 2**32 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to `parser`."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument(
        "--data",
        choices=[*_DATA, "both"],
        default="both",
        help="micrograd's two moons, scikit-learn's breast-cancer data, or both",
    )
    parser.add_argument(
        "--steps", type=_steps, default=200, metavar="N", help="training steps for each data set"
    )
    parser.add_argument(
        "--pure-steps",
        type=_count,
        default=3,
        metavar="N",
        help="steps to run also in pure Python, with and without the garbage collector, "
        "to see how much faster the engine is; 0 for none",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        default=1337,
        metavar="N",
        help="seed of the data, the initial weights and the batches",
    )
    parser.add_argument(
        "--out", type=_folder, default="tapegrad-demo", metavar="FOLDER", help="folder for pictures"
    )


def main(args: argparse.Namespace) -> int:
    """Run the demo with parsed options and return the exit status."""
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        wanted = ", ".join(missing).replace("sklearn", "scikit-learn")
        return _fail(f'it needs {wanted}: pip install "tapegrad[demo]"', 1)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _fail(f"argument --out: {args.out}: {error.strerror}", 2)

    written: list[Path] = []
    try:
        from tapegrad.demo import session

        names: tuple[str, ...] = _DATA if args.data == "both" else (args.data,)
        return session.run(names, args.steps, args.pure_steps, args.seed, args.out, written)
    except KeyboardInterrupt:
        so_far = ", ".join(map(str, written)) or "nothing"
        print(f"\ninterrupted; written so far: {so_far}", file=sys.stderr)
        return 130
    except OSError as error:
        return _fail(str(error), 1)


def _fail(message: str, status: int) -> int:
    print(f"python -m tapegrad demo: error: {message}", file=sys.stderr)
    return status


def _steps(text: str) -> int:
    return _whole(text, 1)


def _count(text: str) -> int:
    return _whole(text, 0)


def _seed(text: str) -> int:
    return _whole(text, 0, _LARGEST_SEED)


def _whole(text: str, least: int, most: int | None = None) -> int:
    """Parse an int in a range; the error that it raises becomes argparse's message."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        limits = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
    return number


def _folder(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file, not a folder")
    return path
