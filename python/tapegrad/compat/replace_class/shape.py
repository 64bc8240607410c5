"""The attributes of the nodes of a program's own class, by meaning."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Parameter:
    """A parameter of the constructor: its role, and the attribute that an extra parameter sets."""

    name: str
    kind: inspect._ParameterKind
    default: Any
    role: str
    attribute: str = ""


@dataclass
class Shape:
    """The attributes of a class's nodes by meaning, and the parameters of its constructor."""

    cls: type
    parameters: list[Parameter] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)  # meaning -> name
    defaults: dict[str, Any] = field(default_factory=dict)  # meaning -> value in a leaf
    constants: dict[str, Any] = field(default_factory=dict)  # other attributes of every node
    unknown: set[str] = field(default_factory=set)  # attributes that only its operations set
    container: type = set
    takes_nodes: bool = False
    converts: bool = False  # True if its constructor converts text
    is_tried: bool = False  # True if an operation was tried
    sweeps: bool = True  # True if its backward() may be called to get derivatives

    def has_steps(self) -> bool:
        """True if its nodes propagate their gradients by closures without arguments."""
        return "step" in self.attributes

    def is_native(self) -> bool:
        """True if the program's own operations can construct tapegrad's nodes."""
        roles = {parameter.role for parameter in self.parameters}
        return (
            "unknown" not in roles
            and "children" in roles
            and (self.has_steps() or "local" in roles)
        )

    def get(self, node: Any, meaning: str) -> Any:
        return getattr(node, self.attributes[meaning])

    def set(self, node: Any, meaning: str, value: Any) -> None:
        setattr(node, self.attributes[meaning], value)

    def pull(self, root: Any) -> None:
        """Run the class's own sweep from a node, or one by its nodes' steps or local gradients."""
        if self.sweeps:
            root.backward()
        else:
            self._sweep(root)

    def _sweep(self, root: Any) -> None:
        order: list[Any] = []
        seen: set[int] = set()

        def visit(node: Any) -> None:
            if id(node) not in seen:
                seen.add(id(node))
                for child in self.get(node, "children"):
                    visit(child)
                order.append(node)

        visit(root)
        self.set(root, "grad", 1.0)
        for node in reversed(order):
            if "local" in self.attributes:
                pairs = zip(self.get(node, "children"), self.get(node, "local"), strict=True)
                for child, slope in pairs:
                    grad = self.get(child, "grad") + slope * self.get(node, "grad")
                    self.set(child, "grad", grad)
            else:
                step = self.get(node, "step")
                if step is not None:
                    step()


def state_of(node: Any) -> dict[str, Any]:
    """Return the attributes of an object, including those in slots."""
    found: dict[str, Any] = {}
    for base in type(node).__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else tuple(slots):
            name = f"_{base.__name__.lstrip('_')}{slot}" if _is_private(slot) else slot
            if name not in ("__dict__", "__weakref__") and hasattr(node, name):
                found[name] = getattr(node, name)
    found.update(getattr(node, "__dict__", {}))
    return found


def _is_private(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")
