"""The contract of a feature set, tried out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from mtf.market.feature_set import FeatureSet
from mtf.testing.market import random_candles
from mtf.testing.probe import defect

HIDDEN = (np.nan, np.inf, -1.0)
"""What may stand in an absent slot."""
TAIL = 200


def check_feature_set(factory: Callable[[], FeatureSet]) -> None:
    """Try whether a feature set keeps its contract.

    Args:
        factory: the class, or anything that builds one without arguments.

    Raises:
        ContractError: wrong shape; not finite; not 0 where not usable; absent slots that matter;
            a scan in pieces that differs from the whole; looks ahead; nothing usable in time.
    """
    features = factory()
    candles = random_candles(max(features.warmup, 1) + TAIL, missing=0.02)
    ohlcv, valid = candles.ohlcv, candles.valid
    values, usable = _scan(features, ohlcv, valid)
    _check_shape(features, values, usable, valid)
    _check_pieces(features, ohlcv, valid, values, usable)
    for cut in (len(valid) // 2, len(valid) - 2):
        _check_causal(features, ohlcv, valid, cut)
    for hidden in HIDDEN:
        other = np.where(valid[:, None], ohlcv, hidden)
        if not _same(_scan(features, other, valid), (values, usable)):
            raise defect(
                features,
                f"breaks behind a mask: features move when {hidden} stands in an absent slot",
                "slots with valid = False are never read",
            )


def _scan(
    features: FeatureSet, ohlcv: np.ndarray, valid: np.ndarray, state: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    return features.scan(ohlcv, valid, features.initial_state() if state is None else state)


def _same(left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(left, right, strict=True)
    )


def _check_shape(
    features: FeatureSet, values: np.ndarray, usable: np.ndarray, valid: np.ndarray
) -> None:
    wanted = (len(valid), len(features.channels))
    if values.shape != wanted or usable.shape != valid.shape:
        raise defect(
            features,
            f"wrong shape: {values.shape} and {usable.shape}",
            f"[slot, channel] = {wanted} and [slot] = {valid.shape}",
        )
    if not np.isfinite(values).all():
        raise defect(features, "features are not finite", "finite features, 0 where not usable")
    if values[~usable].any() or (usable & ~valid).any():
        raise defect(
            features,
            "a slot that is not usable has features, or an absent one is usable",
            "0 where not usable, and usable only where there is a candle",
        )
    if not usable[features.warmup :].any():
        raise defect(
            features,
            f"nothing is usable after a warm-up of {features.warmup} slots",
            "usable features once the warm-up is over",
            "declare the true warmup",
        )


def _check_pieces(
    features: FeatureSet,
    ohlcv: np.ndarray,
    valid: np.ndarray,
    values: np.ndarray,
    usable: np.ndarray,
) -> None:
    state = features.initial_state()
    cuts = [0, 1, 2, len(valid) // 3, len(valid) // 3 + 1, len(valid)]
    pieces = [features.scan(ohlcv[a:b], valid[a:b], state) for a, b in pairwise(cuts)]
    joined = np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])
    if not _same(joined, (values, usable)):
        raise defect(
            features,
            "scan in pieces differs from the scan of the whole",
            "the same bits, whatever the pieces",
            "keep all that is remembered in the state that scan() carries on in place",
        )


def _check_causal(features: FeatureSet, ohlcv: np.ndarray, valid: np.ndarray, cut: int) -> None:
    """Change everything from slot ``cut`` on: nothing before may move."""
    before = _scan(features, ohlcv, valid)
    other, there = ohlcv.copy(), valid.copy()
    other[cut:] *= 1.5
    there[cut + 1 :] = ~there[cut + 1 :]
    other[~there | ~valid] = np.where(there[~there | ~valid, None], 100.0, np.nan)
    after = _scan(features, other, there)
    if not _same((before[0][:cut], before[1][:cut]), (after[0][:cut], after[1][:cut])):
        raise defect(
            features,
            f"looks ahead: features before slot {cut} move when later candles change",
            "features of a slot depend on candles up to it",
        )


__all__ = ["check_feature_set"]
