"""Where a value was written, so that every error and every page can say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "variable", "flag", "default"]


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in a file, a variable of the environment, a flag of the command line, or a default in code.

    Attributes:
        kind: What it is.
        name: The file's path as the reader would type it, the variable, the flag, or who holds the default.
        line: The line in the file, counted from 1; 0 where there is none.
        column: The column in the line, counted from 1; 0 where there is none.
    """

    kind: Kind
    name: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if self.kind == "file":
            return f"{self.name}:{self.line}" if self.line else self.name
        if self.kind == "variable":
            return f"environment variable {self.name}"
        if self.kind == "flag":
            return self.name
        return f"default of {self.name}" if self.name else "default"

    @property
    def exact(self) -> str:
        """The place with its column, `file:line:column`, where there is one."""
        return f"{self}:{self.column}" if self.kind == "file" and self.column else str(self)
