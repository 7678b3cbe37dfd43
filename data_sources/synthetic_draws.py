"""Random numbers as pure functions of what they are for: seed, symbol, purpose and UTC day.

So a draw depends neither on the order of requests nor on where a span starts or ends.
"""

from __future__ import annotations

import hashlib

import numpy as np

EPOCH_SHIFT = 1_000_000
"""Keeps days before 1970 positive: a key has no negative parts."""


def draws(seed: int, symbol: str, purpose: str, day: int) -> np.random.Generator:
    """A generator of its own for each key; ``day`` counts UTC days since the epoch."""
    digest = hashlib.sha256(f"{symbol}\n{purpose}".encode()).digest()
    key = int.from_bytes(digest[:8], "little")
    entropy = np.random.SeedSequence([seed, key, day + EPOCH_SHIFT])
    return np.random.Generator(np.random.SFC64(entropy))
