"""A model that is called by keywords: raw arrays in, named outputs out.

    model = mtf.load("fast").model()
    answer = model(price_data_1m=candles, btc_data_1m=others)  # [batch, time, 5] each
    answer["action_probs"]  # [batch, 3]

It is a torch module like any other, with ``to("cuda")``, ``train()`` and ``parameters()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mtf.calling import arrays
from mtf.calling.answer import Answer
from mtf.calling.names import chosen, input_names, symbol_rows, target_names
from mtf.calling.targets import CandleUnits, candle_target, class_target
from mtf.calling.worlds import Reader
from mtf.config.load import load_config
from mtf.config.schema import Config
from mtf.errors import DataError
from mtf.learning.load import feature_sets
from mtf.learning.objective import count_labels, target_losses, total_loss
from mtf.market.side_input import masked
from mtf.model.batch import Batch, SideBatch, StreamBatch, TargetBatch
from mtf.model.build import build_model, build_side_inputs
from mtf.model.hybrid import HybridModel

DEFAULT_TIME_MS = 1_704_067_200_000
"""A Monday at midnight, 2024-01-01: a candle of every timeframe has just closed."""


class KeywordModel(nn.Module):
    """The model of a config, called by keywords.

    Args:
        config: that ``hybrid`` was built from.
        hybrid: the network.

    Attributes:
        inputs: every keyword → the streams or side inputs that it feeds.
    """

    def __init__(self, config: Config, hybrid: HybridModel) -> None:
        super().__init__()
        self.config, self.hybrid = config, hybrid
        clock = config.decisions.clock
        self.reader = Reader(hybrid, feature_sets(config), config.symbol, clock)
        self.sides = build_side_inputs(config, hybrid.streams, clock)
        plugins = {name: config.side_inputs[name].name for name in self.sides}
        self.inputs = input_names(hybrid.streams, plugins)

    @classmethod
    def of(cls, config: Config | str | Path, overrides: Sequence[str] = ()) -> KeywordModel:
        """The model of a config with fresh weights, drawn from its seed, in evaluation.

        Args:
            config: a ``Config``, a file, or the name of a shipped config. Its data is not read.
            overrides: of a file, such as ``model.embed_dim=128``.

        Raises:
            ConfigError: a config that can't be used.
        """
        if not isinstance(config, Config):
            config = load_config(config, overrides)
        channels = {name: len(one.channels) for name, one in feature_sets(config).items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            hybrid = build_model(config, config.stream_specs(), channels, config.decisions.clock)
        return cls(config, hybrid).eval()

    def forward(
        self,
        by_name: Mapping[str, object] | None = None,
        /,
        *,
        batch_size: int | None = None,
        time_ms: object = None,
        symbol: str | Sequence[str] | None = None,
        **inputs: object,
    ) -> Answer:
        """Ask about some decisions; every input may be left out.

        Candles are numpy or torch, ``[batch, time, 5]``: open, high, low, close, volume, the oldest
        first, the last one the last that is known at the decision. A row of NaN is a missing
        candle. Features and their scales are computed from the array itself, so it should begin
        well before the lookback; what comes before they are known is masked. Side inputs are
        ``[batch, element]`` or ``[batch, time, element]``, in the elements that ``mtf describe
        side_input`` names, NaN where one is not known; what is computed from a stream is masked
        with it. The default of what is left out is always that it is missing.

        Args:
            by_name: inputs by any name in ``self.inputs``, such as that of a stream.
            batch_size: number of decisions where no input says it; 1 where nothing does.
            time_ms: decision times in ms UTC, one or ``[batch]``. They say how much of the candle
                that is not closed yet has elapsed in each stream. By default none has.
            symbol: of a panel: which one the decisions are about, one or ``[batch]``; None = one
                that it has not learned.
            inputs: by keyword: ``price_data_1m``, ``btc_data_1m``, ``cob_data``, …;
                ``price_data`` is 1m. None = left out.

        Returns:
            The outputs of every head by name, see ``named`` of the heads.

        Raises:
            DataError: inputs that the model does not have, or that are no such arrays.
        """
        there = {k: v for k, v in {**(by_name or {}), **inputs}.items() if v is not None}
        feeds = chosen(there, self.inputs, "input")
        read = {name: self._array(name, key, there[key]) for name, key in feeds.items()}
        size = arrays.batch_size({feeds[name]: array for name, array in read.items()}, batch_size)
        times = arrays.times_of(DEFAULT_TIME_MS if time_ms is None else time_ms, size)
        sides = {name: read.pop(name) for name in self.sides if name in read}
        streams, units = self.reader.read(read, times)
        told = None
        if symbol is not None:
            told = torch.tensor(symbol_rows(symbol, self.config.panel, size))
        batch = Batch(streams, {}, self._side_batches(sides, streams), told)
        outputs = self.hybrid(batch.to(self._device))
        return Answer(self.hybrid.heads_by_name, outputs, units)

    def loss(
        self, answer: Answer, targets: Mapping[str, object], *, units: CandleUnits = "prices"
    ) -> Tensor:
        """The training loss of an answer, with the weights of the config.

        Args:
            answer: of this model.
            targets: ``target_1s``, ``target_1m``, …, ``target_btc``: the next candle of each
                stream, ``[batch, 5]``; ``target_action``: classes ``[batch]``, 0 BUY, 1 SELL,
                2 HOLD. NaN, in classes a negative number, = no target.
            units: of the candles: open, high, low, close, volume as delivered, or in the channels
                of the stream, as ``next_candles`` has them. Prices need the scale of the stream:
                they are no target where that is missing.

        Raises:
            DataError: a target that the model does not have, or that is no such array; none at all.
        """
        labels = self.targets(answer, targets, units=units)
        if not labels:
            raise DataError("no targets", "at least one", "such as target_1m, or target_action")
        batch = Batch({}, labels).to(self._device)
        heads = {name: self.hybrid.heads_by_name[name] for name in labels}
        sums = target_losses(heads, answer.outputs, batch)
        weights = {name: self.config.heads[name].weight for name in heads}
        return total_loss(heads, weights, sums, count_labels([batch]))[0]

    def targets(
        self, answer: Answer, targets: Mapping[str, object], *, units: CandleUnits = "prices"
    ) -> dict[str, dict[str, TargetBatch]]:
        """Targets by keys as those of the heads: head → target → labels.

        Arguments and errors as of ``loss``.
        """
        names = target_names(self.hybrid.streams, self.hybrid.heads_by_name)
        found: dict[str, dict[str, TargetBatch]] = {}
        for (head, target), key in chosen(targets, names, "target").items():
            if self.hybrid.heads_by_name[head].task == "candle":
                timeframe = self.config.streams[target].timeframe
                known = answer.units.known[target]
                label = candle_target(key, targets[key], timeframe, known, units)
            else:
                label = class_target(key, targets[key], *answer.outputs[head]["logits"].shape)
            found.setdefault(head, {})[target] = label
        return found

    def _array(self, name: str, keyword: str, value: object) -> np.ndarray:
        """What was given for a stream or a side input, checked."""
        if side := self.sides.get(name):
            return arrays.side_of(keyword, value, side.time, len(side.elements))
        return arrays.candles_of(keyword, value, self.config.streams[name].timeframe)

    def _side_batches(
        self, sides: Mapping[str, np.ndarray], streams: Mapping[str, StreamBatch]
    ) -> dict[str, SideBatch]:
        """Side inputs, masked where NaN and with the streams that they are computed from."""
        present = {name: stream.present.numpy() for name, stream in streams.items()}
        found = {}
        for name, values in sides.items():
            valid = masked(self.sides[name], ~np.isnan(values), present)
            values = np.where(valid, values, np.float32(0))
            found[name] = SideBatch(torch.from_numpy(values), torch.from_numpy(valid))
        return found

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device


__all__ = ["KeywordModel"]
