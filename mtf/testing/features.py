"""The contract of a feature set, tried out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool

from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.times import iso
from mtf.testing.contract import Check, require
from mtf.testing.market import candle_words, random_candles
from mtf.testing.probe import defect

HIDDEN = (np.nan, np.inf, -1.0)
"""What may stand in an absent slot."""
TAIL = 200
"""Slots after the warm-up; every one of them is tried."""

Factory = Callable[[], FeatureSet]
Scanned = tuple[np.ndarray, np.ndarray]


def check_feature_set(factory: Factory) -> None:
    """Try whether a feature set keeps its contract.

    Args:
        factory: the class, or anything that builds one without arguments.

    Raises:
        ContractError: wrong shape; not finite; not 0 where not usable; absent slots that matter;
            a scan in pieces that differs from the whole; looks ahead; nothing usable in time.
    """
    require(checks_of_feature_set(factory))


def checks_of_feature_set(factory: Factory, *, seed: int = 0) -> tuple[Check, ...]:
    """The promises of a feature set, one by one."""
    trial = FeatureTrial(factory, seed)
    return (
        Check("build", trial.build, vital=True, seed=seed),
        Check("shape", trial.shape, vital=True, seed=seed),
        Check("warm-up", trial.warm_up, seed=seed),
        Check("pieces", trial.pieces, seed=seed),
        Check("determinism", trial.determinism, seed=seed),
        Check("causality", trial.causality, seed=seed),
        Check("masks", trial.masks, seed=seed),
    )


class FeatureTrial:
    """A feature set, and candles with gaps to scan.

    Args:
        factory: builds it.
        seed: of the candles.
    """

    def __init__(self, factory: Factory, seed: int) -> None:
        self.factory, self.seed = factory, seed

    @cached_property
    def features(self) -> FeatureSet:
        """What is tried."""
        return self.factory()

    @cached_property
    def candles(self) -> Candles:
        """The warm-up and a tail, both with gaps."""
        slots = max(self.features.warmup, 1) + TAIL
        return random_candles(slots, seed=self.seed, missing=0.02)

    @cached_property
    def whole(self) -> Scanned:
        """Features and usability in one go."""
        return self.scan(self.candles.ohlcv, self.candles.valid)

    def scan(self, ohlcv: np.ndarray, valid: np.ndarray) -> Scanned:
        """From the start."""
        return self.features.scan(ohlcv, valid, self.features.initial_state())

    def build(self) -> str:
        """It has channels and a warm-up."""
        return f"{', '.join(self.features.channels)}; warm-up {self.features.warmup} slots"

    def shape(self) -> str:
        """A row a slot; finite; 0 where not usable."""
        values, usable = self.whole
        valid, wanted = self.candles.valid, (len(self.candles), len(self.features.channels))
        if values.shape != wanted or usable.shape != valid.shape:
            raise defect(
                self.features,
                f"wrong shape: {values.shape} and {usable.shape}",
                f"[slot, channel] = {wanted} and [slot] = {valid.shape}",
            )
        if not np.isfinite(values).all():
            raise defect(
                self.features, "features are not finite", "finite features, 0 where not usable"
            )
        wrong = np.where(usable, ~valid, values.any(axis=1))
        if wrong.any():
            raise defect(
                self.features,
                "a slot that is not usable has features, or an absent one is usable (first: "
                f"{self._place(int(np.argmax(wrong)))})",
                "0 where not usable, and usable only where there is a candle",
            )
        return f"{list(values.shape)}"

    def warm_up(self) -> str:
        """Usable once it is over."""
        usable = self.whole[1][self.features.warmup :]
        if not usable.any():
            raise defect(
                self.features,
                f"nothing is usable after a warm-up of {self.features.warmup} slots",
                "usable features once the warm-up is over",
                "declare the true warmup",
            )
        return f"{usable.mean():.0%} usable after it"

    def pieces(self) -> str:
        """Slot by slot as they come in live, the same bits as in one go."""
        ohlcv, valid = self.candles.ohlcv, self.candles.valid
        state, start = self.features.initial_state(), len(valid) - TAIL
        cuts = [0, 1, 2, start // 3, *range(start, len(valid) + 1)]
        found = [
            self.features.scan(ohlcv[a:b], valid[a:b], state)
            for a, b in pairwise(sorted(set(cuts)))
        ]
        joined = np.concatenate([p[0] for p in found]), np.concatenate([p[1] for p in found])
        self._require_same(
            joined,
            len(valid),
            "scan in pieces differs from the scan of the whole",
            "the same bits, whatever the pieces",
            "keep all that is remembered in the state that scan() carries on in place; what comes "
            "later than the piece is not known yet",
        )
        return f"{len(found)} pieces, bit for bit"

    def determinism(self) -> str:
        """The same twice, and of one built anew."""
        ohlcv, valid = self.candles.ohlcv, self.candles.valid
        other = self.factory()
        again = (
            self.scan(ohlcv.copy(), valid.copy()),
            other.scan(ohlcv, valid, other.initial_state()),
        )
        for scanned in again:
            self._require_same(
                scanned, len(valid), "is random: two scans differ", "the same for the same candles"
            )
        return ""

    def causality(self) -> str:
        """Position by position: nothing up to a slot moves with what comes after it."""
        ohlcv, valid = self.candles.ohlcv, self.candles.valid
        rng = np.random.default_rng(self.seed)
        for cut in range(len(valid) - TAIL, len(valid)):
            later = np.arange(len(valid)) >= cut
            there = valid ^ (later & (rng.random(len(valid)) < 0.3))
            other = np.where(later[:, None], ohlcv * rng.uniform(1.02, 1.5, (len(valid), 1)), ohlcv)
            other[there & ~valid] = 100.0
            other[~there] = np.nan
            self._require_same(
                self.scan(other, there),
                cut,
                f"looks ahead: features move when the {candle_words(self.candles, cut)} and later "
                "ones change",
                "features of a slot depend on candles up to it",
                "no statistic of the whole series, no centred window, nothing filled from later",
            )
        return f"{TAIL} positions, bit for bit"

    def masks(self) -> str:
        """What stands in an absent slot is never read."""
        for hidden in HIDDEN:
            other = np.where(self.candles.valid[:, None], self.candles.ohlcv, hidden)
            self._require_same(
                self.scan(other, self.candles.valid),
                len(other),
                f"breaks behind a mask: features move when {hidden} stands in an absent slot",
                "slots with valid = False are never read",
            )
        return f"{', '.join(str(hidden) for hidden in HIDDEN)} in absent slots"

    def _place(self, slot: int) -> str:
        """``slot 7, 1970-01-01 00:07``."""
        return f"slot {slot}, {iso(self.candles.timeframe.open_time(slot))}"

    def _require_same(
        self, found: Scanned, end: int, what: str, expected: str, todo: str = ""
    ) -> None:
        """Refuse a scan that differs from the whole before slot ``end``; names slot and channel."""
        if found[0].shape != self.whole[0].shape:
            raise defect(self.features, f"{what} (in shape)", expected, todo)
        values = (found[0][:end] != self.whole[0][:end]) & ~(
            np.isnan(found[0][:end]) & np.isnan(self.whole[0][:end])
        )
        usable = found[1][:end] != self.whole[1][:end]
        moved: Bool[np.ndarray, " slot"] = values.any(axis=1) | usable
        if not moved.any():
            return
        slot = int(np.argmax(moved))
        channels = [self.features.channels[i] for i in np.flatnonzero(values[slot])]
        where = f"{', '.join(channels) or 'usable'} of {self._place(slot)}"
        raise defect(self.features, f"{what} (first: {where})", expected, todo)


__all__ = ["check_feature_set", "checks_of_feature_set"]
