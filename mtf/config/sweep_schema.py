"""The manual of every key of a sweep file: what is searched, how, and by which figure.

A sweep file is no config: it names one under ``base``. Values of the searched keys are checked by
the config's own schema, see ``sweep_file``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mtf.config.plugin_spec import Strict, mistake
from mtf.errors import ConfigError

Number = int | float


class SearchConfig(Strict):
    """Where the values of one key come from: a range, or a list of choices."""

    low: Number | None = Field(None, description="smallest value; with `high`")
    high: Number | None = Field(None, description="largest value, included")
    log: bool = Field(False, description="draw evenly in the logarithm")
    step: Number | None = Field(
        None, gt=0, description="from value to value; null: 1 of whole numbers, else none"
    )
    choices: list[Any] | None = Field(
        None,
        min_length=1,
        description="the values themselves; a mapping is put upon that of the base config",
    )

    @property
    def ends(self) -> list[Any]:
        """All choices, or both ends of the range."""
        return [self.low, self.high] if self.choices is None else self.choices

    @model_validator(mode="after")
    def _one_or_the_other(self) -> SearchConfig:
        wrong = self._wrong()
        if wrong:
            raise mistake(ConfigError(*wrong))
        return self

    def _wrong(self) -> tuple[str, str] | None:
        """What is found and expected where keys do not go together."""
        low, high = self.low, self.high
        if self.choices is not None:
            if (low, high, self.step, self.log) != (None, None, None, False):
                return "found choices beside keys of a range", "either `choices`, or `low`, `high`"
            if any(one in self.choices[:index] for index, one in enumerate(self.choices)):
                return "found a choice twice", "every choice once"
            return None
        if low is None or high is None:
            return "found no whole range", "`low` and `high`, or `choices: [a, b]`"
        if low >= high:
            return f"found low: {low}, high: {high}", "a low end below the high one"
        if self.log and low <= 0:
            return f"found log: true with low: {low}", "a low end above 0"
        if self.log and self.step is not None:
            return "found a step with log: true", "one of the two"
        return None


class SweepConfig(Strict):
    """A whole sweep file."""

    base: str = Field(
        min_length=1,
        description="the config that is varied: a file, relative to the folder of this one, or the "
        "name of a shipped config",
    )
    overrides: list[str] = Field(
        [], description="of the base config in every trial, such as [training.epochs=2]"
    )
    search: dict[str, SearchConfig] = Field(
        min_length=1,
        description="dotted key of the config → its values, such as "
        "training.optimizer.lr: {low: 1.0e-4, high: 1.0e-2, log: true}",
    )
    trials: int = Field(20, ge=1, description="how many; raised later, the same sweep goes on")
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe",
        description="tpe: near what was good; random: anywhere; grid: every combination, in order",
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="of the sampler; that of trainings is `base`'s"
    )
    metric: str = Field(
        "loss",
        min_length=1,
        description="what trials are compared by, measured on the validation part: loss, the whole "
        "sum that training minimises, or a figure of a head, such as action/log_loss",
    )
    direction: Literal["minimize", "maximize"] = Field(
        "minimize", description="which way the metric is better"
    )
    walk_forward: bool = Field(
        False,
        description="true: the mean of the metric over the validation parts of the folds that the "
        "config's walk_forward cuts from what lies before the test part",
    )
    pruner: Literal["median"] | None = Field(
        None,
        description="median: end a trial whose best epoch is worse than the median of the others "
        "after as many epochs; null: every trial trains to its end",
    )
    workers: int = Field(
        1, ge=1, description="trainings side by side, over Ray; 1 works without Ray, in one process"
    )
    gpus: float = Field(0, ge=0, description="of each worker; a share such as 0.5 is one, too")
    address: str | None = Field(
        None,
        min_length=1,
        description="of a Ray cluster whose machines share this file system, such as auto or "
        "ray://host:10001; null: this machine",
    )


__all__ = ["SearchConfig", "SweepConfig"]
