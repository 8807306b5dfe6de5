"""`kafkaboot.circuits.<name>`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kafkaboot.config import Duration, Ratio, kebab

Positive = Annotated[int, Field(ge=1)]

ROW = 5
CALLS = 20
LONGEST = 120.0


class CircuitSettings(BaseModel):
    """When a circuit opens, and how it closes again."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    window: Positive = Field(100, description="Calls that are looked back on.")
    minimum_calls: Positive | None = Field(
        None, description="Calls before the two rates count; 20, or the window where that is smaller."
    )
    failure_rate: Ratio = Field(0.5, gt=0, description="Opens when so many of the window's calls failed.")
    slow_call: Duration | None = Field(None, gt=0, description="A call that takes longer is slow; none: no call is.")
    slow_rate: Ratio = Field(0.8, gt=0, description="Opens when so many of the window's calls were slow.")
    consecutive: int | None = Field(
        None, ge=0, description="Opens at so many failures in a row; 5, or the window where that is smaller; 0: never."
    )
    open_for: Duration = Field(
        5.0, gt=0, description="Time until the first trial; twice as long each time that a trial fails."
    )
    open_max: Duration | None = Field(
        None, gt=0, description="The longest such time; 2m, or open-for where that is longer."
    )
    half_open: Positive = Field(5, description="Trial calls at once, and trials that must succeed before it closes.")
    failures: list[str] = Field(
        default_factory=list, description="Dotted names of exceptions that count though they are passed over otherwise."
    )
    ignore: list[str] = Field(
        default_factory=list, description="Dotted names of exceptions that do not count as failures."
    )

    @property
    def calls_needed(self) -> int:
        """Calls before the rates count."""
        return self.minimum_calls or min(CALLS, self.window)

    @property
    def row(self) -> int:
        """Failures in a row at which it opens; 0: never for that."""
        return min(ROW, self.window) if self.consecutive is None else self.consecutive

    @property
    def longest(self) -> float:
        """The longest time that it stays open, in seconds."""
        return self.open_max or max(LONGEST, self.open_for)

    @model_validator(mode="after")
    def _fit_together(self) -> CircuitSettings:
        for name, value in (("minimum-calls", self.minimum_calls), ("consecutive", self.consecutive)):
            if value is not None and value > self.window:
                raise ValueError(f"{name} ({value}) must be at most the window ({self.window}): it is never reached")
        if self.open_max is not None and self.open_max < self.open_for:
            raise ValueError(f"open-max ({self.open_max:g} s) must be at least open-for ({self.open_for:g} s)")
        return self
