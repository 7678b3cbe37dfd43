"""How candles compare with those of a second source, candle by candle, in plain numbers.

Two sources of one market agree exactly; two markets of one asset to about 0.1 %. A price level
that is off, closes that wander around the other's, or a few candles that differ each have their
own usual cause, and ``findings`` names it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.market.finding import Finding, counted
from mtf.market.times import iso

EXACT = 1e-6
"""Relative difference up to which two values are the same."""
OTHER_LEVEL = 0.2
"""Log ratio of the closes above which it is another asset, unit or currency."""
OTHER_MARKET = 0.003
"""Typical log ratio of the closes above which it is another market."""
FAR = 3.0
"""A price that many times the other's close, or that small a part of it, can't be of its market."""
MOSTLY = 0.8
MADE_UP = "looks like another asset, unit or currency, or made-up prices"
ORIGIN = "check where the file comes from"


@dataclass(frozen=True)
class Agreement:
    """This source against a second one, on the candles that both have.

    Attributes:
        timeframe: on which they were compared (the coarser of the two).
        compared: candles that both have.
        differing: of those, candles with any price or the volume different (by more than 1e-6).
        smaller: differing candles whose volume is smaller here, the range not wider.
        ratio: median of close / other close; NaN = nothing compared.
        typical: median of abs(log(close / other close)).
        shifted: candles by which this source lies later (+1) or earlier (-1) than the other; 0 =
            none.
        worst: (open time in ms, close here, close there) of the largest differences.
        missing_here: candles with trades that the other has and this source, within its span, has
            not.
        far: of the compared candles, those with a price more than 3 times, or less than a third
            of, the other's close.
        farthest: (open time in ms, price here, close there) of the worst of those.
        nearest: closes of the two candles nearest in time where the sources do not overlap: (open
            time in ms, close) here and there.
    """

    name: str
    timeframe: str
    compared: int
    differing: int = 0
    smaller: int = 0
    ratio: float = float("nan")
    typical: float = 0.0
    shifted: int = 0
    worst: tuple[tuple[int, float, float], ...] = ()
    missing_here: int = 0
    far: int = 0
    farthest: tuple[int, float, float] | None = None
    nearest: tuple[tuple[int, float], tuple[int, float]] | None = None

    @property
    def share(self) -> float:
        """Share of the compared candles that differ."""
        return self.differing / self.compared if self.compared else 0.0

    @classmethod
    def of(
        cls,
        name: str,
        timeframe: str,
        open_time: Int64[np.ndarray, " slot"],
        ours: Float64[np.ndarray, "slot 5"],
        theirs: Float64[np.ndarray, "slot 5"],
    ) -> Agreement:
        """Compare rows of the same times; NaN rows are candles that a source does not have."""
        here, there = ~np.isnan(ours[:, 3]), ~np.isnan(theirs[:, 3])
        both = here & there
        traded = there & ~here & (theirs[:, 4] > 0)
        a, b, times = ours[both], theirs[both], open_time[both]
        differ = (np.abs(a - b) > EXACT * np.maximum(np.abs(a), np.abs(b))).any(axis=1)
        log_ratio = np.log(a[:, 3] / b[:, 3])
        far, farthest = _far(times, a, b)
        return cls(
            name=name,
            timeframe=timeframe,
            compared=len(times),
            differing=int(np.count_nonzero(differ)),
            smaller=int(np.count_nonzero(differ & _cut_short(a, b))),
            ratio=float(np.median(a[:, 3] / b[:, 3])) if len(times) else float("nan"),
            typical=float(np.median(np.abs(log_ratio))) if len(times) else 0.0,
            shifted=_shift(ours[:, 3], theirs[:, 3]),
            worst=_worst(times, a, b),
            missing_here=int(np.count_nonzero(traded)),
            far=far,
            farthest=farthest,
        )

    def summary(self) -> str:
        """One line: how many candles were compared, and how they compare."""
        if self.compared == 0:
            return f"nothing to compare with {self.name}"
        told = f"compared with {self.name}: {counted(self.compared, f'{self.timeframe} candle')}"
        if self.differing == 0:
            return f"{told}, all equal"
        ratio = f"closes {self.ratio:.4g} times those (median)"
        return f"{told}, {self.differing:,} differ ({100 * self.share:.3g} %), {ratio}"

    def findings(self) -> list[Finding]:
        """What the numbers say, the most likely cause first."""
        if self.compared == 0:
            return self._level_findings()
        if abs(np.log(self.ratio)) > OTHER_LEVEL:
            return [self._other_level()]
        found = [*self._far_findings(), *self._market_findings()]
        if self.missing_here:
            what = counted(self.missing_here, f"{self.timeframe} candle")
            text = f"{self.name} has {what} with trades that this file lacks"
            advice = "load these from there: the market was open, the download lost them"
            found.append(Finding("missing", text, advice))
        return found

    def _level_findings(self) -> list[Finding]:
        """No common candle: only the nearest two can be compared."""
        advice = "compare with a source of the same time"
        found = [Finding("no_overlap", f"no candle in common with {self.name}", advice)]
        if self.nearest is None:
            return found
        (here, ours), (there, theirs) = self.nearest
        if abs(np.log(ours / theirs)) > np.log(FAR):
            days = abs(here - there) / 86_400_000
            text = (
                f"the price {_price(ours)} at {iso(here)} is {ours / theirs:.3g} times the nearest "
                f"known close, {_price(theirs)} at {iso(there)} in {self.name} "
                f"({days:.3g} days {'earlier' if there < here else 'later'}): {MADE_UP}"
            )
            found.insert(0, Finding("level", text, ORIGIN, broken=True))
        return found

    def _other_level(self) -> Finding:
        """Prices of something else, candle by candle."""
        text = (
            f"price level differs by factor {self.ratio:.3g} from {self.name} "
            f"(median of {counted(self.compared, 'candle')}): {MADE_UP}"
        )
        return Finding("level", text, ORIGIN, broken=True)

    def _far_findings(self) -> list[Finding]:
        """The level is right, but single prices can't be."""
        if self.farthest is None:
            return []
        time, price, close = self.farthest
        what = "candle has a price" if self.far == 1 else "candles have prices"
        text = (
            f"{self.far:,} {what} more than {FAR:g} times away from the close in {self.name} "
            f"(worst: {_price(price)} at {iso(time)} against {_price(close)})"
        )
        return [Finding("far", text, "load these candles again", broken=True)]

    def _market_findings(self) -> list[Finding]:
        """The level is right: shifted, another market, or single candles that differ."""
        if self.shifted:
            way = "later" if self.shifted > 0 else "earlier"
            text = f"the candles lie one {self.timeframe} {way} than in {self.name}"
            advice = "look for close times taken for open times"
            return [Finding("shifted", text, advice, broken=True)]
        if self.typical > OTHER_MARKET:
            text = (
                "looks like another market, such as an exchange's testnet: closes are typically "
                f"{100 * self.typical:.2g} % away from {self.name}{self._worst_words()}"
            )
            advice = "do not train on these as if they were its prices"
            return [Finding("other_market", text, advice, broken=True)]
        if self.differing == 0 or self.share > 1 - MOSTLY:
            return []
        return [self._differing_finding()]

    def _differing_finding(self) -> Finding:
        """Nearly all candles agree exactly; why not these?"""
        if self.smaller >= MOSTLY * self.differing:
            text = (
                "looks like candles stored before they closed: "
                f"differs from {self.name} in {counted(self.smaller, 'candle')} "
                f"whose volume is smaller{self._worst_words()}"
            )
            return Finding("unclosed", text, "load these candles again", broken=True)
        text = f"differs from {self.name} in {self.differing:,} of {self.compared:,} candles"
        return Finding("differs", text + self._worst_words(), "load these candles again")

    def _worst_words(self) -> str:
        """The largest differences with their dates."""
        if not self.worst:
            return ""
        told = ", ".join(f"{iso(time)} close {a:g} against {b:g}" for time, a, b in self.worst)
        return f" (largest: {told})"


def _price(price: float) -> str:
    """A price as people write it: 49,850 or 0.0123."""
    return f"{price:,.6g}"


def _far(
    times: Int64[np.ndarray, " candle"],
    a: Float64[np.ndarray, "candle 5"],
    b: Float64[np.ndarray, "candle 5"],
) -> tuple[int, tuple[int, float, float] | None]:
    """Candles with a price far from the other's close: how many, and the worst."""
    distance = np.abs(np.log(a[:, :4] / b[:, 3:4]))
    far = (distance > np.log(FAR)).any(axis=1)
    if not far.any():
        return 0, None
    row, column = np.unravel_index(int(np.argmax(distance)), distance.shape)
    worst = (int(times[row]), float(a[row, column]), float(b[row, 3]))
    return int(np.count_nonzero(far)), worst


def _cut_short(
    a: Float64[np.ndarray, "candle 5"], b: Float64[np.ndarray, "candle 5"]
) -> Bool[np.ndarray, " candle"]:
    """Candles like those of the other source, but ended early: less volume, no wider range."""
    inside = (a[:, 1] <= b[:, 1] * (1 + EXACT)) & (a[:, 2] >= b[:, 2] * (1 - EXACT))
    return (a[:, 4] < b[:, 4]) & inside


def _shift(ours: Float64[np.ndarray, " slot"], theirs: Float64[np.ndarray, " slot"]) -> int:
    """+1 or -1 where the closes agree one slot later or earlier, and not in place."""
    place = _same(ours, theirs)
    if len(ours) < 10 or place > 0.5:
        return 0
    later, earlier = _same(ours[1:], theirs[:-1]), _same(ours[:-1], theirs[1:])
    if max(later, earlier) < MOSTLY:
        return 0
    return 1 if later > earlier else -1


def _same(a: Float64[np.ndarray, " slot"], b: Float64[np.ndarray, " slot"]) -> float:
    """Share of equal closes among those that both have."""
    both = ~(np.isnan(a) | np.isnan(b))
    if not both.any():
        return 0.0
    return float(np.mean(np.abs(a[both] - b[both]) <= EXACT * b[both]))


def _worst(
    times: Int64[np.ndarray, " candle"],
    a: Float64[np.ndarray, "candle 5"],
    b: Float64[np.ndarray, "candle 5"],
    count: int = 3,
) -> tuple[tuple[int, float, float], ...]:
    """The candles whose closes differ most; among equal closes, those whose volumes do."""
    close = np.abs(np.log(a[:, 3] / b[:, 3]))
    volume = np.abs(a[:, 4] - b[:, 4])
    order = np.lexsort((-volume, -close))[:count]
    differ = (close > EXACT) | (volume > EXACT * b[:, 4])
    return tuple((int(times[i]), float(a[i, 3]), float(b[i, 3])) for i in order if differ[i])
