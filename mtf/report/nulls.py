"""What the null suite found, as lines and as the content of ``null.json``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mtf.evaluation.nulls import Nulls, Score

SPOKEN = {
    "shuffled": "shuffled labels",
    "bootstrapped": "candles in an order of chance",
    "random_walk": "random walks",
    "momentum": "momentum",
    "lead_lag": "BTC leading",
}


def null_lines(found: Nulls) -> Iterator[str]:
    """A line a target and null, and one a target and planted signal."""
    yield (
        "gain: share of the best naive forecast's loss that is removed on the test part; "
        "p: its rank among worlds where nothing is"
    )
    for target, real in found.real.items():
        if not math.isfinite(real.gain):
            yield f"{target}: nothing to compare with"
            continue
        yield f"{target}: gain {real.gain:.4f}, permutation p={real.permutation_p:.2g}"
        for null, worlds in found.nulls.items():
            gains = [world[target].gain for world in worlds]
            largest = max(gains, key=lambda gain: math.inf if math.isnan(gain) else gain)
            yield f"  {SPOKEN[null]}: p={found.p(null, target):.2g} (largest gain {largest:.4f})"
        for signal, scores in found.planted.items():
            yield f"  planted, {SPOKEN[signal]}: {_planted(found, target, scores[target], signal)}"


def null_json(found: Nulls) -> dict[str, Any]:
    """The same as a tree without NaN."""
    return {
        "schema": 1,
        "steps": found.steps,
        "real": {target: _tree(score) for target, score in found.real.items()},
        "nulls": {
            null: {
                target: {
                    "p": _number(found.p(null, target)),
                    "worlds": [_tree(world[target]) for world in worlds],
                }
                for target in found.real
            }
            for null, worlds in found.nulls.items()
        },
        "planted": {
            signal: {
                target: {
                    **_tree(score),
                    "best_gain": _number(score.best),
                    "share_of_best": _number(score.share),
                    "p": _number(found.p("random_walk", target, scores)),
                }
                for target, score in scores.items()
            }
            for signal, scores in found.planted.items()
        },
    }


def _planted(found: Nulls, target: str, score: Score, signal: str) -> str:
    p = found.p("random_walk", target, found.planted[signal])
    share = f", {score.share:.0%} of the best player's" if math.isfinite(score.share) else ""
    return f"gain {score.gain:.4f}{share}, p={p:.2g}, permutation p={score.permutation_p:.2g}"


def _tree(score: Score) -> dict[str, float | None]:
    return {"gain": _number(score.gain), "permutation_p": _number(score.permutation_p)}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


__all__ = ["null_json", "null_lines"]
