"""What modules of the application remember, for each simulated process its own: a process that crashes forgets it."""

from __future__ import annotations

import sys
from collections import deque
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_DATA = (dict, list, set, frozenset, deque, tuple, bytearray, bytes, str, int, float, type(None))

State = dict[str, dict[str, Any]]


class ModuleState:
    """The globals of modules that are data: containers, texts, numbers, instances of the modules' own classes.

    Each process works on copies; the modules have their own values back after `put_back`.

    Args:
        names: The modules, which are imported.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)
        self._own: State = {}
        self._in: State | None = None
        for name in names:
            data = {key: value for key, value in vars(sys.modules[name]).items() if self._is_data(key, value)}
            if data:
                self._own[name] = data

    def fresh(self) -> State:
        """What a process begins with."""
        memo: dict[int, Any] = {}
        return {name: {key: deepcopy(value, memo) for key, value in data.items()} for name, data in self._own.items()}

    def enter(self, state: State) -> None:
        """Let the modules have a process's values; those of the process before are kept for it."""
        if self._in is state:
            return
        self._leave()
        for name, data in state.items():
            vars(sys.modules[name]).update(data)
        self._in = state

    def put_back(self) -> None:
        """Let the modules have their own values."""
        self.enter(self._own)

    def _leave(self) -> None:
        for name, data in (self._in or {}).items():
            known = vars(sys.modules[name])
            data.update({key: known[key] for key in data if key in known})

    def _is_data(self, key: str, value: Any) -> bool:
        if key.startswith("__") or isinstance(value, type):
            return False
        if not isinstance(value, _DATA) and type(value).__module__ not in self.names:
            return False
        try:
            deepcopy(value)
        except Exception:  # a lock or a connection: nothing that could be copied for each process
            return False
        return True
