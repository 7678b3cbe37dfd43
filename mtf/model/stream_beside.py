"""The tokens of a decision that stand beside the means over spans: forming candles, side inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from mtf.errors import DataError
from mtf.market.flow import Flow
from mtf.market.flow_parts import FormingSoFar
from mtf.market.forming import Forming, finer_streams, forming_channels
from mtf.model.hybrid import HybridModel
from mtf.model.mirror import FORMING, turn
from mtf.model.side import SideToken
from mtf.model.stream_kernels import LAST_SLOT
from mtf.model.stream_table import Table

Sides = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Side inputs by name: values and which are there, each ``[time, element]``."""


class Beside:
    """Fills in the tokens beside those of the streams' spans.

    Args:
        model: whose tokens they are.
        flows: rings of every stream, in order.
        table: what is filled in.
        symbol: of a panel.
    """

    def __init__(
        self, model: HybridModel, flows: Mapping[str, Flow], table: Table, symbol: int | None
    ) -> None:
        self.model, self.table = model, table
        self.names = list(flows)
        specs = {name: flow.spec for name, flow in flows.items()}
        self.forming = {
            name: {
                fine: FormingSoFar(flows[fine], specs[name].timeframe)
                for fine in finer_streams(specs.values(), specs[name])
            }
            for name in model.forming_streams
        }
        told = None if symbol is None else torch.tensor([symbol])
        with torch.no_grad():
            self.origin = {
                name: model.embeddings.origin(self.names.index(name), told).reshape(-1)
                for name in self.forming
            }
            self.absent = {name: self._reader(name).absent(1)[0, 0].numpy() for name in model.sides}

    def late(self, stream: str, slot: int, candle: Float64[np.ndarray, " 5"]) -> None:
        """Take a candle of a stream that came after later ones."""
        for finer in self.forming.values():
            if stream in finer:
                finer[stream].late(slot, candle)

    def fill(self, time_ms: int, sides: Sides) -> None:
        """Fill in the tokens of one decision, after those of the spans.

        Raises:
            DataError: a side input that the model has not, or of another shape.
        """
        for name in self.forming:
            self._fill_forming(name, time_ms)
        if unknown := sides.keys() - self.absent.keys():
            raise DataError(
                f"found side input {min(unknown)!r}",
                f"one that the model reads: {', '.join(self.absent) or 'it has none'}",
            )
        first = self.table.tokens.shape[1] - len(self.absent)
        for place, (name, absent) in enumerate(self.absent.items(), first):
            given = sides.get(name)
            self.table.tokens[:, place] = absent if given is None else self._side(name, *given)

    def _fill_forming(self, name: str, time_ms: int) -> None:
        """The token of the candle of a stream that is not closed yet."""
        table, index = self.table, self.names.index(name)
        place = int(table.spans[table.tokens_of(index)][-1, 2]) + 1
        present = table.present()
        table.shown[place] = False
        for fine, so_far in self.forming[name].items():
            at = self.names.index(fine)
            if not present[at]:
                continue
            candle, elapsed = so_far.at(time_ms, int(table.slots[at, LAST_SLOT]))
            seen = Forming(candle, elapsed, elapsed > 0)
            values, there = forming_channels(seen, table.known(index))
            if there[0] and present[index]:
                table.shown[place] = True
                table.tokens[:, place] = self._forming_tokens(name, values)
            break  # the finest that is present alone

    @torch.inference_mode()
    def _forming_tokens(self, name: str, values: np.ndarray) -> np.ndarray:
        """One token a view."""
        candle = torch.from_numpy(values)
        views = [candle, turn(candle, FORMING)][: len(self.table.tokens)]
        assert self.model.forming is not None
        tokens: np.ndarray = (
            self.model.forming(torch.cat(views))[:, 0] + self.origin[name]
        ).numpy()
        return tokens

    @torch.inference_mode()
    def _side(self, name: str, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The token of a side input that is given.

        Raises:
            DataError: another shape than the model reads.
        """
        reader = self._reader(name)
        first = reader.read[0]
        assert isinstance(first, nn.Linear)
        elements = first.in_features // 2
        values, valid = np.asarray(values), np.asarray(valid)
        if values.ndim != 2 or values.shape[1] != elements or values.shape != valid.shape:
            raise DataError(
                f"side input {name!r} has values of shape {list(values.shape)} and a mask of "
                f"{list(valid.shape)}",
                f"[time, element] = [steps, {elements}] of both",
            )
        there = torch.from_numpy(np.asarray(valid, np.bool_))[None]
        seen = torch.from_numpy(np.asarray(values, np.float32))[None]
        token: np.ndarray = reader(torch.where(there, seen, 0.0), there)[0, 0].numpy()
        return token

    def _reader(self, name: str) -> SideToken:
        reader = self.model.sides[name]
        assert isinstance(reader, SideToken)
        return reader


__all__ = ["Beside", "Sides"]
