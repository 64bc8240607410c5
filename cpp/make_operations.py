"""Write the C++ functions and the Python stubs of the operations from the table.

Run it after a change to the table, with the changed module built: python cpp/make_operations.py

It replaces the lines between the comments `<operations ...>` and `</operations ...>` in
functions.hpp and _core.pyi. Operators, `pow` in C++ and operations of any number of operands are
written by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tapegrad
from tapegrad import _core

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ROOT / "cpp" / "include" / "tapegrad" / "detail" / "ops" / "functions.hpp"
STUB = ROOT / "python" / "tapegrad" / "_core.pyi"

# In C++, other operators and functions record these.
BY_HAND = {"add", "sub", "mul", "div", "neg", "pow"}

Operation = Mapping[str, Any]


def functions() -> list[Operation]:
    """The operations that are functions in Python, in the order of the table."""
    return [one for one in _core.operations() if not one["constant_last"]]


def parameters(one: Operation) -> list[tuple[str, str]]:
    """Each parameter of an operation, and its default as text or an empty text."""
    signature = inspect.signature(getattr(tapegrad, one["name"]))
    return [
        (name, "" if p.default is p.empty else f" = {p.default!r}")
        for name, p in signature.parameters.items()
    ]


def cpp_functions() -> Iterator[str]:
    """The definitions of the C++ functions."""
    for one in functions():
        name, count = one["name"], one["arity"]
        if name in BY_HAND or count is None:
            continue
        names = [parameter for parameter, _ in parameters(one)]
        arguments = ", ".join(names)
        yield f"/// {one['summary']}"
        if count == 1:
            yield f"template <Recorded T> auto {name}(const T& {names[0]}) {{ " + (
                f'return detail::apply<"{name}">({arguments}); }}'
            )
            continue
        types = ["X", "Y", "Z"][:count]
        typed = ", ".join(f"const {t}& {n}" for t, n in zip(types, names, strict=True))
        yield (
            f"template <{', '.join(f'class {t}' for t in types)}> "
            f"requires {'Pair' if count == 2 else 'Triple'}<{', '.join(types)}> "
            f"auto {name}({typed}) {{ "
            f'return detail::apply<"{name}">({arguments}); }}'
        )
        default = parameters(one)[-1][1]
        if default:
            yield f"/// The same with {names[-1]}{default}."
            yield f"template <Recorded X> auto {name}(const X& {names[0]}) {{ " + (
                f"return {name}({names[0]}, {default.removeprefix(' = ')}); }}"
            )


def all_names() -> Iterator[str]:
    """The entries of `__all__`."""
    for one in functions():
        yield f'    "{one["name"]}",'
        if one["alias"]:
            yield f'    "{one["alias"]}",'


def methods(number: str) -> Iterator[str]:
    """The methods of a number type."""
    for one in functions():
        if one["arity"] is None:
            continue
        others = "".join(
            f", {name}: {number} | _Number{default}" for name, default in parameters(one)[1:]
        )
        yield f"    def {one['name']}(self{others}) -> {number}: ..."
    for one in functions():
        if one["alias"]:
            yield f"    {one['alias']} = {one['name']}"


def overloads() -> Iterator[str]:
    """The functions: a Value in any place gives a Value, plain numbers give a float."""
    for one in functions():
        count = one["arity"]
        if count is None:
            continue
        # The first Value stands at `k`; what comes after it may be either.
        for k in range(count + 1):
            kinds = (["_Number"] * k + ["Value"] + ["Value | _Number"] * count)[:count]
            listed = [
                # A parameter before the first Value, or that Value itself, must be given.
                f"{name}: {kind}{default if k == 0 or k == count else ''}"
                for (name, default), kind in zip(parameters(one), kinds, strict=True)
            ]
            result = "Value" if k < count else "float"
            yield "@overload"
            yield f"def {one['name']}({', '.join(listed)}) -> {result}: ..."
    yield ""  # as ruff formats it


SECTIONS: dict[Path, dict[str, Callable[[], Iterator[str]]]] = {
    FUNCTIONS: {"functions": cpp_functions},
    STUB: {
        "names": all_names,
        "Value": lambda: methods("Value"),
        "functions": overloads,
        "Traced": lambda: methods("Traced"),
    },
}


def written(path: Path) -> str:
    """The file with its sections as the table says."""
    text = path.read_text()
    for name, lines in SECTIONS[path].items():
        section = re.compile(
            rf"(^ *(?://|#) <operations {name}>\n).*?(^ *(?://|#) </operations {name}>$)",
            re.DOTALL | re.MULTILINE,
        )
        found = section.search(text)
        if found is None:
            raise ValueError(f"{path} has no section <operations {name}>")
        body = "".join(f"{line}\n" for line in lines())
        text = text[: found.end(1)] + body + text[found.start(2) :]
    return text


if __name__ == "__main__":
    for path in SECTIONS:
        path.write_text(written(path))
