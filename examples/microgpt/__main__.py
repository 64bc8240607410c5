"""The command line: `python -m microgpt --help`."""

from __future__ import annotations

import argparse
import math
import random
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from . import checkpoint as checkpoints
from .data import Alphabet, DataError, load_documents, make_corpus
from .model import GPT
from .options import OptionError, Options
from .training import Training, model_of

if TYPE_CHECKING:
    from rich.console import Console

_DESCRIPTION = (
    "Train a character-level GPT made of scalar Values, then sample documents from it. Ctrl-C "
    "stops the training after the current step; --resume continues from there."
)
_OPTIONS = [field.name for field in fields(Options)]
_CHANGEABLE = ("steps", "rate")  # a resumed run may change these; the others shaped the model


def make_parser() -> argparse.ArgumentParser:
    """Return the argument parser.

    An option whose default depends on a checkpoint is None if it is not given.
    """
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m microgpt", description=_DESCRIPTION, allow_abbrev=False
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", type=Path, metavar="FILE", help="continue from this checkpoint")
    start.add_argument(
        "--load", type=Path, metavar="FILE", help="sample from this checkpoint; do not train"
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--data",
        metavar="FILE",
        help="UTF-8 text, one document per line (default: the first names in the package names)",
    )
    for name, what in (
        ("steps", "training steps, one document each"),
        ("layers", "transformer blocks"),
        ("width", "size of a token's embedding"),
        ("heads", "attention heads; must divide the width"),
        ("context", "length of the context in tokens"),
    ):
        _add(training, name, _whole(1), what, getattr(defaults, name))
    _add(training, "rate", _positive, "initial learning rate; it decays to 0", defaults.rate)
    _add(training, "seed", _whole(0), "seed of all random numbers", defaults.seed)
    training.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="file for checkpoints, replaced if it exists "
        "(default: the file of --resume, otherwise microgpt.json)",
    )
    training.add_argument(
        "--every", type=_whole(1), metavar="N", help="steps between checkpoints (default: 500)"
    )
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "--sample",
        type=_whole(0),
        default=20,
        metavar="N",
        help="documents to sample (default: 20)",
    )
    writing.add_argument(
        "--temperature",
        type=_positive,
        default=0.5,
        metavar="T",
        help="sampling temperature; lower prefers likely characters (default: 0.5)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default the process's, and return the exit status."""
    parser = make_parser()
    args = parser.parse_args(argv)
    given = {name: found for name in _OPTIONS if (found := getattr(args, name)) is not None}
    if args.load is not None:
        _refuse_training(parser, args)
    if find_spec("rich") is None:
        return _fail("the package rich is not installed: pip install rich")
    try:
        if args.load is not None:
            return _write_only(args)
        return _train(args, given)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except OptionError as error:
        parser.error(str(error))
    except (ArithmeticError, DataError, OSError, checkpoints.CheckpointError) as error:
        return _fail(str(error))


def _train(args: argparse.Namespace, given: dict[str, Any]) -> int:
    from rich.console import Console

    from .screen import say

    console = Console()
    save = args.save or args.resume or Path("microgpt.json")
    if save.is_dir() or not save.parent.is_dir():
        raise OptionError(
            f"argument --save: {save} is no place for a file: it is a folder, or its folder does "
            "not exist"
        )
    training = _resumed(args, given) if args.resume else _started(args, given)
    say(console, _summary(training), style="bold")

    stopped = _run(console, training, save, args.every or 500)
    if stopped:
        command = f"python -m microgpt --resume {shlex.quote(str(save))}"
        say(console, f"Stopped. To go on: {command}", wrap=False)
        return 130
    _show_losses(console, training)
    source = random.Random(training.options.seed)
    _show_samples(console, training.model, training.corpus.alphabet, args, source)
    return 0


def _started(args: argparse.Namespace, given: dict[str, Any]) -> Training:
    options = Options(**given)
    return Training(options, make_corpus(load_documents(args.data), options.seed), args.data)


def _resumed(args: argparse.Namespace, given: dict[str, Any]) -> Training:
    path: Path = args.resume
    found = checkpoints.read(path)
    for name, number in given.items():
        made = getattr(found.options, name)
        if name not in _CHANGEABLE and number != made:
            raise OptionError(f"argument --{name}: {path} was made with {made}, not {number}")
    options = replace(found.options, **given)
    if found.step >= options.steps:
        raise OptionError(
            f"{path} has done {found.step} steps: --steps for more, or --load to write"
        )
    data = args.data or found.data
    training = Training(options, make_corpus(load_documents(data), options.seed), data)
    training.restore(found, path)
    if training.corpus.digest != found.digest:
        print(
            f"note: these are not the documents that {path} was trained on; it may know some that "
            "are held out now",
            file=sys.stderr,
        )
    return training


def _summary(training: Training) -> str:
    """Describe the model and its data in a sentence or two."""
    options, corpus = training.options, training.corpus
    count = len(training.model.parameters())
    text = (
        f"{count:,} parameters, {len(corpus.alphabet.letters):,} characters; documents: "
        f"{len(corpus.train):,} to learn from, {len(corpus.held_out):,} held out."
    )
    longer = corpus.longer_than(options.context)
    if longer:
        text += f" Of {longer:,} of them only the first {options.context} characters are read."
    return text


def _run(console: Console, training: Training, save: Path, every: int) -> bool:
    """Do the remaining steps, writing checkpoints. Return True if Ctrl-C stopped them early."""
    from .screen import progress

    total = training.options.steps
    with _interrupts() as asked, progress(console, "training", total, training.done) as advance:
        while training.done < total and not asked():
            advance(training.step())
            if training.done % every == 0 and training.done < total:
                checkpoints.write(save, training.checkpoint())
        checkpoints.write(save, training.checkpoint())
    return training.done < total


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True once Ctrl-C was pressed.

    The first Ctrl-C is only noted; a second one raises KeyboardInterrupt.
    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _show_losses(console: Console, training: Training) -> None:
    from .screen import progress, say

    losses: list[float] = []
    with progress(console, "held out", len(training.corpus.held_out)) as advance:
        for loss in training.held_out_losses():
            losses.append(loss)
            advance(loss)
    size = training.corpus.alphabet.size
    say(
        console,
        f"Loss on held-out documents {sum(losses) / len(losses):.4f}; of guessing evenly among "
        f"{size} tokens {math.log(size):.4f}.",
    )


def _write_only(args: argparse.Namespace) -> int:
    from rich.console import Console

    found = checkpoints.read(args.load)
    model, alphabet = model_of(found, args.load)
    seed = found.options.seed if args.seed is None else args.seed
    _show_samples(Console(), model, alphabet, args, random.Random(seed))
    return 0


def _show_samples(
    console: Console,
    model: GPT,
    alphabet: Alphabet,
    args: argparse.Namespace,
    source: random.Random,
) -> None:
    from .screen import say

    for _ in range(args.sample):
        say(console, alphabet.decode(model.sample(alphabet.boundary, args.temperature, source)))


def _refuse_training(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exit with an error if --load comes with an option of the training other than --seed."""
    for name in ("data", "save", "every", *_OPTIONS):
        if name != "seed" and getattr(args, name) is not None:
            parser.error(f"argument --{name}: not allowed with argument --load")


def _fail(message: str) -> int:
    print(f"python -m microgpt: error: {message}", file=sys.stderr)
    return 1


def _add(
    group: argparse._ArgumentGroup, name: str, kind: Callable[[str], Any], what: str, default: float
) -> None:
    """Add the option `--name` of a run to the parser's `group`."""
    group.add_argument(f"--{name}", type=kind, metavar="N", help=f"{what} (default: {default})")


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return number

    return parse


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
