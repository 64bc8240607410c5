"""The base class of optimizers: parameter groups with options, and their state."""

from __future__ import annotations

import copy
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias

from tapegrad import _core
from tapegrad._core import Value

__all__ = ["Optimizer", "Parameters", "check_options", "need_real"]

Group: TypeAlias = dict[str, Any]
Parameters: TypeAlias = Iterable[Value | tuple[str, Value] | Group]


def check_options(group: Group, *names: str) -> None:
    """Raise unless the options `names` of a group are real numbers of 0 or more.

    Raises TypeError for an option that is no number, and ValueError if it is negative or NaN.
    """
    for name in names:
        need_real(name, group[name])
        if not group[name] >= 0.0:
            raise ValueError(f"{name} must be 0 or more, not {group[name]!r}")


def need_real(name: str, number: object) -> None:
    """Raise TypeError unless the option `name` is a real number."""
    try:
        math.isnan(number)  # type: ignore[arg-type]
    except TypeError:
        kind = type(number).__name__
        raise TypeError(f"{name} must be a real number, not '{kind}'") from None


class Optimizer:
    """The base class of optimizers.

    `params` is an iterable of Values, of pairs of a name and a Value, or of dicts, each of which is
    a parameter group with "params" and options. `defaults` has the options that a group leaves out.
    A subclass defines step(); the dict `self.state[p]` holds its state of the parameter p:

    >>> class SignSGD(Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 self.state[p]["last"] = p.data
    ...                 p.data -= group["lr"] * ((p.grad > 0) - (p.grad < 0))
    >>> x = Value(1.0)
    >>> (x * 5).backward()
    >>> SignSGD([x]).step()
    >>> x
    Value(data=0.9)

    Raises TypeError for a parameter that is no Value; ValueError if there are no parameters, if one
    is the result of an operation, and if one is in two groups. A Value that occurs twice in a group
    is kept once, with a warning.

    Unlike in PyTorch, a gradient is always a number. A parameter without a gradient is therefore
    not skipped but stepped with the gradient 0.
    """

    _rule: ClassVar[str | None] = None  # the name of the compiled rule that step() applies

    def __init__(self, params: Parameters, defaults: Group) -> None:
        if isinstance(params, Value):
            raise TypeError("params must be an iterable of Values or dicts, not a Value")
        self.defaults: Group = dict(defaults)
        self.param_groups: list[Group] = []
        self._update = None if self._rule is None else _core.UpdateRule(self._rule)
        self._added: list[tuple[Value, ...]] = []  # keeps Values alive: the rule has addresses
        self._remembered: defaultdict[Value, dict[str, Any]] = defaultdict(dict)  # if no rule
        given: list[Any] = list(params)
        if not given:
            raise ValueError("params is empty: there is nothing to optimize")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Add a parameter group: a dict with "params", and options that override the defaults.

        Raises the errors of the constructor.
        """
        if not isinstance(param_group, dict):
            kind = type(param_group).__name__
            raise TypeError(f"param_group must be a dict with 'params', not '{kind}'")
        group = {**self.defaults, **param_group, **_parameters_of(param_group)}
        self._check_group(group)
        earlier = {id(p) for other in self.param_groups for p in other["params"]}
        if not earlier.isdisjoint(map(id, group["params"])):
            raise ValueError("params has a Value that another group has already")
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ValueError("params must have names in all groups or in none")
        self.param_groups.append(group)
        try:
            self._add(group["params"])
        except BaseException:
            self.param_groups.pop()
            raise

    def _add(self, params: list[Value]) -> None:
        """Add a group to the compiled rule, and keep its Values alive as long as the rule."""
        if self._update is not None:
            self._added.append(tuple(params))
            self._update.add(params)

    def _check_group(self, group: Group) -> None:
        """Raise ValueError for invalid options. A subclass may define it."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradient of every parameter to 0.

        `set_to_none` has no effect, since a gradient is never None; PyTorch programs may pass it.
        """
        for group in self.param_groups:
            _core.write_grad(group["params"], 0.0)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter once by its gradient.

        `closure` is an optional function that is called first. It clears the gradients, computes
        them anew and returns the loss, which step() returns. Raises RuntimeError if the "params" of
        a group are no longer the Values that were added. No parameter has changed after an error.
        """
        if self._update is None:
            raise NotImplementedError(f"{type(self).__name__} defines no step()")
        loss = None if closure is None else closure()
        self._update.step(self.param_groups)
        return loss

    @property
    def state(self) -> dict[Value, dict[str, Any]]:
        """The state of each parameter: a dict of PyTorch's names, such as "momentum_buffer".

        For the optimizers of this package it is a copy; other optimizers write to it.
        """
        if self._update is None:
            return self._remembered
        found: dict[Value, dict[str, Any]] = {}
        for group, state in zip(self.param_groups, self._update.state(), strict=True):
            step = state.pop("step")
            for k, p in enumerate(group["params"]):
                found[p] = {"step": step, **{name: column[k] for name, column in state.items()}}
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the options as lists, dicts and numbers, which JSON can represent.

        "state" has a dict for each group, with the number of steps and lists of a number for each
        parameter. For an optimizer defined by a program it has a list for each group instead, with
        a dict for each parameter. "param_groups" has the options, with the indices of parameters in
        place of the Values.

        >>> from tapegrad.optim import SGD
        >>> optimizer = SGD([Value(1.0), Value(2.0)], lr=0.1, momentum=0.9)
        >>> optimizer.step()
        >>> optimizer.state_dict()["state"]
        [{'step': 1, 'momentum_buffer': [0.0, 0.0]}]
        """
        groups, first = [], 0
        for group in self.param_groups:
            options = {name: copy.deepcopy(o) for name, o in group.items() if name != "params"}
            count = len(group["params"])
            groups.append({**options, "params": list(range(first, first + count))})
            first += count
        return {"state": self._states(), "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state that state_dict() returned.

        Raises ValueError for another number of groups or parameters, and for the state of another
        kind of optimizer. Nothing has changed after an error.
        """
        saved = [dict(group) for group in state_dict["param_groups"]]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"state_dict has {len(saved)} param_groups, and the optimizer "
                f"{len(self.param_groups)}"
            )
        for k, (group, options) in enumerate(zip(self.param_groups, saved, strict=True)):
            if len(options["params"]) != len(group["params"]):
                raise ValueError(
                    f"param_groups[{k}] of state_dict has {len(options['params'])} parameters, "
                    f"and that of the optimizer {len(group['params'])}"
                )
        loaded = list(map(_loaded, self.param_groups, saved))
        for group in loaded:
            self._check_group(group)
        self._load(state_dict["state"])
        for group, new in zip(self.param_groups, loaded, strict=True):
            group.clear()
            group.update(new)

    def _states(self) -> list[Any]:
        if self._update is not None:
            return self._update.state()
        known = self._remembered
        return [
            [copy.deepcopy(known[p]) if p in known else {} for p in group["params"]]
            for group in self.param_groups
        ]

    def _load(self, states: list[Any]) -> None:
        if self._update is not None:
            self._update.load(states)
            return
        counts = [len(group["params"]) for group in self.param_groups]
        if [len(state) for state in states] != counts:
            raise ValueError(f"state must be lists of {counts} dicts, one for each parameter")
        parameters = [p for group in self.param_groups for p in group["params"]]
        entries = [entry for state in states for entry in state]
        remembered = {p: copy.deepcopy(dict(e)) for p, e in zip(parameters, entries, strict=True)}
        self._remembered.clear()
        self._remembered.update((p, entry) for p, entry in remembered.items() if entry)

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_update": self._update and self._update.state()}
        del state["_added"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._added = []
        self._update = None if self._rule is None else _core.UpdateRule(self._rule)
        if self._update is not None:
            for group in self.param_groups:
                self._add(group["params"])
            self._update.load(state["_update"])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            options = sorted(name for name in group if name not in ("params", "param_names"))
            lines.extend(f"    {name}: {group[name]}" for name in options)
        return "\n".join([*lines, ")"])


def _parameters_of(param_group: Group) -> Group:
    """Return the "params" of a group as a list of distinct leaves, and "param_names" if any."""
    if "params" not in param_group:
        raise ValueError("param_group must be a dict with 'params'")
    given: Any = param_group["params"]
    if isinstance(given, (set, frozenset)):
        raise TypeError("params must have an order, and a set has none: pass a list")
    items = [given] if isinstance(given, Value) else list(given)
    named = [isinstance(item, tuple) for item in items]
    if any(named) and not all(named):
        raise ValueError("params must all have names, or none")
    pairs = [item if isinstance(item, tuple) else (None, item) for item in items]
    if any(len(pair) != 2 for pair in pairs):
        raise TypeError("params must be Values, or pairs of a name and a Value")
    params = [pair[1] for pair in pairs]
    _core.check_parameters(params)
    once = {id(p): (name, p) for name, p in pairs}.values()  # a subclass may have its own __eq__
    if len(once) < len(params):
        warnings.warn("params has a Value more than once: it is kept once", stacklevel=5)
    names = {"param_names": [name for name, _ in once]} if any(named) else {}
    return {"params": [p for _, p in once], **names}


def _loaded(group: Group, saved: Group) -> Group:
    """Return a group with saved options and its own parameters.

    An option that is a tuple in the group becomes a tuple again, since JSON turns it into a list.
    """
    options = {
        name: tuple(option) if isinstance(group.get(name), tuple) else copy.deepcopy(option)
        for name, option in saved.items()
    }
    names = {"param_names": group["param_names"]} if "param_names" in group else {}
    return {**names, **options, "params": group["params"]}
