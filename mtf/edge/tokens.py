"""The encoded slots of one stream, each encoded once, and the tokens that are means of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtf.edge.history import History

Turned = Sequence[Sequence[int]]
"""Of each channel, upside down: the channel that it comes from, and its sign."""


class Encoded:
    """Steps an encoder along a stream.

    Args:
        session: of the graph of one step.
        start: the states before the first slot.
        history: of the stream.
        spans: ``(newest, oldest)`` of each token, counted back from the last slot.
        turned: how the features are turned over; None = they are read as they are.
    """

    def __init__(
        self,
        session: Any,
        start: Sequence[np.ndarray],
        history: History,
        spans: Sequence[Sequence[int]],
        turned: Turned | None = None,
    ) -> None:
        """Nothing encoded."""
        self.session, self.start, self.history, self.turned = session, start, history, turned
        self.inputs = [one.name for one in session.get_inputs()]
        self.lookback = history.spec.lookback
        self.context = history.spec.required - self.lookback
        dim = session.get_outputs()[0].shape[1]
        self._vectors = np.zeros((self.lookback, dim), np.float32)
        self._state = list(start)
        self._end: int | None = None
        self._stale = True
        history.followers.append(self)
        ages = np.arange(self.lookback)
        self._single = [newest for newest, oldest in spans if oldest - newest == 1]
        self._single = self._single if len(self._single) == len(spans) else []
        self._members = np.array([[new <= a < old for a in ages] for new, old in spans], np.float32)

    def advance(self, last: int) -> None:
        """Encode what the stream scanned last, as far as a decision sees it."""
        visible = last - self.lookback + 1
        first = visible if self._end is None else max(self._end, visible)
        if first != self._end or self._stale:
            self._begin_at(first)
        for slot, x, valid in self._slots(first, last):
            vector = self._step(x, valid)
            self._vectors[slot % self.lookback] = vector if valid[0] else 0.0
        self._end = last + 1

    def tokens(self, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Means over the valid slots of each span ``[token, dim]``, and whether there are any."""
        rows = (last - np.arange(self.lookback)) % self.lookback
        usable = self.history.usable(last, self.lookback)[::-1]
        if self._single:
            mask = usable[self._single]
            return self._vectors[rows[self._single]], mask
        taken = self._members * usable
        count = taken.sum(1)
        sums = taken @ self._vectors[rows]
        return sums / np.maximum(count, 1)[:, None], count > 0

    def go_back(self, slot: int) -> None:
        """Encode anew from that slot on."""
        if self._end is not None and slot < self._end:
            self._end, self._stale = slot, True

    def _begin_at(self, slot: int) -> None:
        """Be in the state before a slot: that of the slots that its encoding reads."""
        self._state, self._stale = list(self.start), False
        for _, x, valid in self._slots(slot - self.context, slot - 1):
            self._step(x, valid)

    def _slots(self, first: int, last: int) -> Any:
        values, usable = self.history.window(last, max(last - first + 1, 0))
        if self.turned is not None:
            sources, signs = zip(*self.turned, strict=True)
            values = values[:, sources] * np.array(signs, np.float32)
        return zip(range(first, last + 1), values[:, None], usable[:, None], strict=True)

    def _step(self, x: np.ndarray, valid: np.ndarray) -> np.ndarray:
        given = {"x": x, "valid": valid}
        given |= {f"state/{i}": part for i, part in enumerate(self._state)}
        used = {name: given[name] for name in self.inputs}
        encoded, *self._state = self.session.run(None, used)
        vector: np.ndarray = encoded[0]
        return vector


__all__ = ["Encoded", "Turned"]
