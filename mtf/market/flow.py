"""A stream as it comes, candle by candle: rings of its candles, features and scale.

What a stream knows after every slot is what ``compute_stream`` says of a whole history, bit for
bit; only the newest slots are kept. A candle that comes after later ones is set in its place, and
all from there on is scanned again, from the nearest saved states before it. One that is older than
that, or another candle in the place of one that is there, is refused and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.flow_kernels import follow_scale
from mtf.market.scale import decay_of, scale_state
from mtf.market.stream import StreamSpec
from mtf.market.times import iso

PIECE = 64
"""Slots between saved states; no scan is of more at once."""
NO_SLOT = np.int64(-(2**62))
LONGEST_GAP = 2**27
"""Slots: four years of seconds. What lies further ahead has a wrong time stamp."""

Follower = Callable[[int, int], None]
"""Told of slots ``start … end`` of which features are new; they stand side by side in the rings."""


class Outcome(StrEnum):
    """What became of a candle.

    Attributes:
        TAKEN: it is part of the stream.
        LATE: it came after later ones; what they say was found anew.
        WAITING: it is there, but may be known only later.
        REPEATED: the same candle is there already.
        CONFLICTING: another candle is there already; that one stays.
        TOO_LATE: it is older than the rings reach back.
    """

    TAKEN = "taken"
    LATE = "late"
    WAITING = "waiting"
    REPEATED = "repeated"
    CONFLICTING = "conflicting"
    TOO_LATE = "too_late"


class Flow:
    """Rings of one stream; slot ``s`` stands at row ``s % size``.

    Args:
        spec: of the stream.
        feature_set: computes its features.
        window: slots, up to the last one, that a decision looks at.
        reach: how many slots before its newest one a stream still takes a late candle, and may be
            asked about.

    Attributes:
        first: the first slot of the history.
        end: one past the newest slot with a candle; ``first == end``: none yet.
        scale: sigma, mean volume and last close after every slot.
        last: slot of the last candle at or before every slot; ``NO_SLOT`` = none.
        rescans: how often slots that had been scanned were scanned again.
        counts: candles by what became of them.
    """

    def __init__(
        self, spec: StreamSpec, feature_set: FeatureSet, window: int, reach: int = 1024
    ) -> None:
        self.spec, self.feature_set = spec, feature_set
        self.window, self.reach = window, reach
        self.size = size = -(-(window + reach + PIECE) // PIECE) * PIECE
        self.first = self.end = 0
        self.rescans = 0
        self.counts: Counter[str] = Counter()
        self.followers: list[Follower] = []
        self.ohlcv = np.full((size, 5), np.nan)
        self.valid = np.zeros(size, np.bool_)
        self.features = np.zeros((size, len(feature_set.channels)), np.float32)
        self.usable = np.zeros(size, np.bool_)
        self.scale = np.full((size, 3), np.nan)
        self.last = np.full(size, NO_SLOT)
        self.feature_state = np.array(feature_set.initial_state(), np.float64)
        self.scale_state = scale_state()
        pieces = size // PIECE
        self.feature_states = np.tile(self.feature_state, (pieces, 1))
        self.scale_states = np.tile(self.scale_state, (pieces, 1))
        half_life = feature_set.volatility_half_life
        volume_half_life = getattr(feature_set, "volume_half_life", 60)
        self._decays = half_life, decay_of(half_life), decay_of(volume_half_life)

    def lodge(self, scale: Float64[np.ndarray, "slot 3"], last: Int64[np.ndarray, " slot"]) -> None:
        """Keep scale and last candles in arrays of the caller's, who reads many streams at once."""
        scale[...], last[...] = self.scale, self.last
        self.scale, self.last = scale, last

    def slot_of(self, open_time_ms: int) -> int:
        """The slot of a candle.

        Raises:
            DataError: no candle of this stream opens then.
        """
        timeframe = self.spec.timeframe
        slot, rest = divmod(open_time_ms - timeframe.anchor_ms, timeframe.duration_ms)
        if rest:
            raise DataError(
                f"stream {self.spec.name}: found a candle that opens at {iso(open_time_ms)} "
                f"({open_time_ms} ms)",
                f"the open of a {timeframe} candle in ms UTC",
                "stamp candles by their open time",
            )
        return int(slot)

    def take(self, slot: int, candle: Float64[np.ndarray, " 5"]) -> Outcome:
        """Take one candle.

        Args:
            slot: of the candle.
            candle: open, high, low, close, volume; checked before (see ``check_candle``).

        Raises:
            DataError: it lies far ahead of all others.
        """
        return self.count(self._take(slot, candle))

    def count(self, outcome: Outcome) -> Outcome:
        """Note what became of a candle."""
        self.counts[outcome] += 1
        return outcome

    def take_all(self, candles: Candles) -> None:
        """Take a history that lies behind all that is there, many slots at a time.

        Raises:
            DataError: it does not lie behind, or far ahead.
        """
        candles = candles.trim()
        if not len(candles):
            return
        self._begin(candles.first_slot)
        if candles.first_slot < self.end:
            raise DataError(
                f"stream {self.spec.name}: found a history that begins at "
                f"{iso(int(candles.timeframe.open_time(candles.first_slot)))}, but the stream has "
                f"candles up to {iso(int(candles.timeframe.close_time(self.end - 1)))}",
                "a history that begins where the stream ends",
                "give each candle once, in order of time",
            )
        self._pass_to(candles.first_slot)
        while self.end < candles.end_slot:
            start = self.end
            end = min(start + PIECE - start % PIECE, candles.end_slot)
            given = slice(start - candles.first_slot, end - candles.first_slot)
            rows = self.rows(start, end)
            self.valid[rows] = candles.valid[given]
            self.ohlcv[rows] = np.where(self.valid[rows, None], candles.ohlcv[given], np.nan)
            self.end = end
            self._scan(start, end)
        self.counts[Outcome.TAKEN] += int(candles.valid.sum())

    def rows(self, start: int, end: int) -> slice:
        """Where slots of one piece stand."""
        row = start % self.size
        return slice(row, row + end - start)

    def holds(self, slot: int) -> bool:
        """Whether there is a candle in the slot, as far as the rings reach."""
        inside = max(self.first, self.end - self.size) <= slot < self.end
        return inside and bool(self.valid[slot % self.size])

    def window_of(self, end: int, length: int) -> tuple[np.ndarray, Bool[np.ndarray, " slot"]]:
        """Features of the ``length`` slots before slot ``end``, and which are usable.

        Slots that are not there, not yet or no longer, are not usable.
        """
        slots = np.arange(end - length, end)
        rows = slots % self.size
        inside = (slots >= max(self.first, self.end - self.size)) & (slots < self.end)
        usable = self.usable[rows] & inside
        return np.where(usable[:, None], self.features[rows], np.float32(0)), usable

    def _take(self, slot: int, candle: Float64[np.ndarray, " 5"]) -> Outcome:
        self._begin(slot)
        if slot >= self.end:
            self._pass_to(slot)
            self._set(slot, candle)
            self.end = slot + 1
            self._scan(slot, slot + 1)
            return Outcome.TAKEN
        if slot < self.end - self.reach:
            return Outcome.TOO_LATE
        if slot >= self.first and self.valid[slot % self.size]:
            same = np.array_equal(self.ohlcv[slot % self.size], candle)
            return Outcome.REPEATED if same else Outcome.CONFLICTING
        if slot < self.first:
            self._blank(slot, self.first)
            self.first = slot
        self._set(slot, candle)
        self._rescan(slot)
        return Outcome.LATE

    def _begin(self, slot: int) -> None:
        """The first candle of all says where the history begins."""
        if self.first == self.end:
            self.first = self.end = slot
        if slot - self.end > LONGEST_GAP:
            raise DataError(
                f"stream {self.spec.name}: found a candle {slot - self.end:,} slots after the "
                "newest one",
                "candles in the order of time",
                "look at its open time, which is in ms UTC",
            )

    def _set(self, slot: int, candle: np.ndarray) -> None:
        row = slot % self.size
        self.ohlcv[row] = candle
        self.valid[row] = True

    def _blank(self, start: int, end: int) -> None:
        """Slots without a candle."""
        rows = np.arange(start, end) % self.size
        self.ohlcv[rows] = np.nan
        self.valid[rows] = False

    def _pass_to(self, slot: int) -> None:
        """Go on to a slot: those between have no candle."""
        while self.end < slot:
            start = self.end
            self.end = min(start + PIECE - start % PIECE, slot)
            self._blank(start, self.end)
            self._scan(start, self.end)

    def _rescan(self, slot: int) -> None:
        """Scan all from a slot on again."""
        self.rescans += 1
        start = max(slot - slot % PIECE, self.first)
        if start == self.first:
            self.feature_state[:] = self.feature_set.initial_state()
            self.scale_state[:] = scale_state()
        else:
            piece = start // PIECE % len(self.feature_states)
            self.feature_state[:] = self.feature_states[piece]
            self.scale_state[:] = self.scale_states[piece]
        while start < self.end:
            end = min(start + PIECE - start % PIECE, self.end)
            self._scan(start, end, max(slot, start))
            start = end

    def _scan(self, start: int, end: int, new: int | None = None) -> None:
        """Scan slots of one piece; followers are told of those from ``new`` on."""
        if start % PIECE == 0:
            piece = start // PIECE % len(self.feature_states)
            self.feature_states[piece] = self.feature_state
            self.scale_states[piece] = self.scale_state
        rows = self.rows(start, end)
        if start == self.first:
            self.last[rows.start - 1] = NO_SLOT
        ohlcv, valid = self.ohlcv[rows], self.valid[rows]
        self.features[rows], self.usable[rows] = self.feature_set.scan(
            ohlcv, valid, self.feature_state
        )
        follow_scale(
            start, (rows.start, rows.stop), self.ohlcv, self.valid, self.scale_state,
            *self._decays, self.scale, self.last,
        )  # fmt: skip
        for follower in self.followers:
            follower(start if new is None else new, end)


def check_candle(stream: str, open_time_ms: int, candle: Float64[np.ndarray, "*any"]) -> None:
    """Make sure that five figures are a candle.

    Raises:
        DataError: they are none.
    """
    if candle.shape != (5,):
        raise DataError(
            f"stream {stream}: found a candle of shape {list(candle.shape)}",
            "five figures: open, high, low, close, volume",
        )
    open_, high, low, close, volume = candle.tolist()
    inside = 0 < low <= open_ <= high and low <= close <= high and volume >= 0
    if not (inside and high < np.inf and volume < np.inf):
        raise DataError(
            f"stream {stream}: found open {open_}, high {high}, low {low}, close {close}, volume "
            f"{volume} for the candle of {iso(open_time_ms)}",
            "finite prices above 0 with low <= open, close <= high, and volume >= 0",
            "leave out what is no candle: a missing one is masked",
        )


__all__ = ["NO_SLOT", "PIECE", "Flow", "Outcome", "check_candle"]
