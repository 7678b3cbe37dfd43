"""A trained model at work: candles in, decisions out; numpy and onnxruntime are all it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtf.edge.asking import Feed, asking_of, beside
from mtf.edge.candle import Given
from mtf.edge.errors import RunnerError
from mtf.edge.folder import damaged, read_folder
from mtf.edge.frame import Frame
from mtf.edge.policy import Policy, Target
from mtf.edge.streams import Streams

CLASSES = ("BUY", "SELL", "HOLD")


@dataclass(frozen=True)
class Decision:
    """What the model says at one time.

    Attributes:
        time_ms: of the decision.
        symbol: that it is about.
        outputs: ``<head>.<output>`` → array, as in the run; calibrated where the run is.
        columns: the same flat, under the names of predictions.parquet: ``action.prob_buy``.
        action: BUY, SELL or HOLD, the likeliest; None = the model has no such head.
        target: what the policy of the run would hold; None = the export has no policy.
        present: which streams were there.
    """

    time_ms: int
    symbol: str
    outputs: Mapping[str, np.ndarray]
    columns: Mapping[str, float]
    action: str | None
    target: Target | None
    present: Mapping[str, bool]


class Runner:
    """A model that reads candles as they come and decides when it is asked.

    Args:
        folder: that ``mtf export`` wrote.
        symbol: the primary symbol; None = the first that the model was trained on. Another one is
            possible: where it was trained on several, the model is told that it is none of them.
    """

    def __init__(self, folder: str | Path, symbol: str | None = None) -> None:
        """No candle yet.

        Raises:
            RunnerError: no export, or one that is damaged or of another version.
        """
        exported = read_folder(Path(folder))
        self.about: dict[str, Any] = exported.about
        try:
            self.symbol = self.about["symbols"][0] if symbol is None else symbol
            self.clock = Frame(**self.about["clock"])
            self.streams = Streams(self.about, self.symbol)
            self._asking = asking_of(exported, self.streams)
            told = self.about["policy"]
            self.policy = told and Policy(told["name"], told["settings"])
            self._outputs = [(one["name"], one["columns"]) for one in self.about["outputs"]]
            self._action, self._symbol_told = self.about["action"], self.about["symbol_is_told"]
            sides = self.about["side_inputs"]
            self._shapes = {one["name"]: (one["time"], len(one["elements"])) for one in sides}
        except KeyError as error:
            raise damaged(exported.path, f"has a model.json without {error}") from error
        except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
            why = f"has a model.json that can't be used: {error!r}"
            raise damaged(exported.path, why) from error
        self._durations = {one["name"]: one["duration_ms"] for one in self.about["streams"]}
        self._inputs = [one.name for one in self._asking.session.get_inputs()]
        self._last: int | None = None

    def update(self, stream: str, candle: Given, available_at: int | None = None) -> None:
        """Take one closed candle, in any order; the same twice is one.

        Args:
            stream: a name of ``streams.delivered``.
            candle: open_time (ms UTC), open, high, low, close, volume: in that order or by name.
            available_at: when it may be known (ms); None = at its close plus the stream's latency,
                or from now on where that time has passed.

        Raises:
            RunnerError: no such stream, no candle, or another candle of the same time.
        """
        self.streams.update(stream, candle, available_at)

    def decide(self, t: int, side: Mapping[str, Any] | None = None) -> Decision:
        """What the model says at ``t`` of what is known by then.

        Args:
            t: decision time in ms UTC, a close of the clock, no earlier than the last one.
            side: side inputs that are known, ``[element]`` or ``[time, element]`` each, NaN where
                an element is not; those that are left out count as missing.

        Raises:
            RunnerError: not such a time, or no such side input.
        """
        self._check_time(t)
        known = self.streams.advance(t)
        feed = self._asking.slots(known) | beside(known, self._durations) | self._sides(side or {})
        if self._symbol_told:
            feed["symbol"] = np.array([self._symbol_row()], np.int64)
        if "forming" in self._inputs:
            values, there = self.streams.forming(t, known)
            feed["forming"], feed["forming_there"] = values[None], there[None]
        said = self._asking.session.run(None, {name: feed[name] for name in self._inputs})
        self._last = t
        return self._decision(t, said, {name: one.present for name, one in known.items()})

    def _decision(self, t: int, said: list[np.ndarray], present: Mapping[str, bool]) -> Decision:
        outputs: dict[str, np.ndarray] = {}
        columns: dict[str, float] = {}
        for (name, names), array in zip(self._outputs, said, strict=True):
            outputs[name] = array[0]
            flat = array[0].reshape(-1).tolist()
            columns |= dict(zip(names, flat, strict=True))
        action = None
        if self._action is not None:
            action = CLASSES[int(outputs[f"{self._action}.probs"].argmax())]
        target = self.policy.target(columns) if self.policy else None
        return Decision(t, self.symbol, outputs, columns, action, target, present)

    def _sides(self, given: Mapping[str, Any]) -> Feed:
        """Side inputs as the graph wants them."""
        if unknown := sorted(given.keys() - self._shapes):
            names = ", ".join(self._shapes)
            expected = f"one of {names}" if names else "none: the model has no such"
            raise RunnerError(f"found the side input {unknown[0]!r}", expected)
        feed: Feed = {}
        for name, shape in self._shapes.items():
            values = np.full(shape, np.nan, np.float32)
            if name in given:
                values = np.asarray(given[name], np.float32)
                if values.shape not in (shape, shape[1:] if shape[0] == 1 else shape):
                    found = f"side input {name!r} of shape {list(values.shape)}"
                    raise RunnerError(found, f"[time, element] = {list(shape)}")
            values = values.reshape(1, *shape)
            valid = ~np.isnan(values)
            feed[f"side/{name}/values"] = np.where(valid, values, np.float32(0))
            feed[f"side/{name}/valid"] = valid
        return feed

    def _symbol_row(self) -> int:
        symbols: list[str] = self.about["symbols"]
        return symbols.index(self.symbol) if self.symbol in symbols else -1

    def _check_time(self, t: int) -> None:
        if not self.clock.is_on_grid(t):
            name = self.clock.name
            raise RunnerError(f"found decision time {t}", f"a close of {name}, in ms UTC")
        if self._last is not None and t < self._last:
            raise RunnerError(
                f"found decision time {t} after {self._last}",
                "times that don't go back: what was known before is not kept",
                "start another Runner",
            )


__all__ = ["Decision", "Runner"]
