"""An encoder trained at one timeframe used at another, beside one trained there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated

import typer

from mtf.benchmarks.encoders import SCORED_PARTS, Scores, told_of_learning
from mtf.config.load import changed, load_config, parse_config
from mtf.config.schema import Config
from mtf.evaluation.short_run import scores, trained
from mtf.learning.task import prepare
from mtf.model.hybrid import HybridModel
from mtf.plugins.contracts import Encoder
from mtf.report.side_by_side import Line, SideBySide

FROZEN = "frozen: its weights are not trained; statistics of batch norms follow what they see"


def run(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]")] = "dsc_mtf",
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    source: Annotated[str, typer.Option(help="Timeframe to learn at.")] = "1m",
    target: Annotated[str, typer.Option(help="Timeframe to use it at.")] = "1h",
    there: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the target alone; repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each.")] = 40,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 2,
    every: Annotated[int, typer.Option(min=1, help="Clock steps between scored decisions.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the CPU.")] = 1,
) -> SideBySide:
    """Does what an encoder learned at one timeframe serve another?

    Models of one stream whose clock is its timeframe. An encoder is trained at the source; at the
    target, models with that encoder frozen, with it as a start, and with a random one frozen stand
    beside one that is trained there. Give the source dates before the target's test part.
    """
    given = [*(overrides or []), f"fabric.threads={threads}", "fabric.accelerator=cpu"]
    base = load_config(config, given)
    first, second = at_timeframe(base, source), changed(at_timeframe(base, target), there or [])
    lines = compared(first, second, source, steps, range(seeds), every)
    names = list(lines[0].values)
    settings = {"config": config, "overrides": overrides or [], "source": source, "target": target,
                "there": there or [], "steps": steps, "seeds": seeds, "every": every}  # fmt: skip
    notes = [*told_of_learning(prepare(second), steps, seeds), FROZEN]
    return SideBySide(names, lines, settings, notes)


def at_timeframe(base: Config, timeframe: str) -> Config:
    """The config with one stream of the primary symbol, whose closes are the clock."""
    values = base.model_dump(mode="json", by_alias=True)
    known = values["streams"].get(timeframe)
    lookback = next(iter(base.streams.values())).lookback
    values["streams"] = {timeframe: known or {"timeframe": timeframe, "lookback": lookback}}
    values["streams"][timeframe]["from"] = None
    values["decisions"]["clock"] = timeframe
    return parse_config(values)


def compared(
    source: Config, target: Config, name: str, steps: int, seeds: Sequence[int], every: int
) -> list[Line]:
    """Scores at the target of every way to come by an encoder, one a seed."""
    kept = Scores()
    for seed in seeds:
        learned = trained(source, steps, seed).model.encoders[0]
        assert isinstance(learned, Encoder)
        for way, change in ways(learned, name).items():
            task = trained(target, steps, seed, change)
            for part in SCORED_PARTS:
                kept.add(part, way, scores([task], part, every))
    return kept.lines()


def ways(learned: Encoder, name: str) -> Mapping[str, Callable[[HybridModel], object] | None]:
    """What to do to a fresh model, by the name of the column."""
    return {
        "trained there": None,
        f"of {name}, frozen": partial(take, learned=learned, frozen=True),
        f"of {name}, trained on": partial(take, learned=learned, frozen=False),
        "random, frozen": freeze,
    }


def take(model: HybridModel, learned: Encoder, frozen: bool) -> None:
    """Give the model's encoder the weights of another, and freeze it where asked."""
    model.encoders[0].load_state_dict(learned.state_dict())
    if frozen:
        freeze(model)


def freeze(model: HybridModel) -> None:
    """Train everything but the encoder."""
    model.encoders.requires_grad_(False)
