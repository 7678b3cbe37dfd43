"""What tests of side inputs share: moments of a small market, and order books in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mtf.market.side.order_book import COLUMNS
from mtf.market.side_input import Moments, SideContext, SideInput
from mtf.market.world import World

MINUTE = 60_000


def context(world: World, seed: int = 0) -> SideContext:
    """What mtf would tell a side input of a world."""
    specs = tuple(stream.spec for stream in world.streams.values())
    return SideContext(world.symbol, specs, world.clock, seed)


def asked(
    side: SideInput, world: World, times: list[int] | np.ndarray, training: bool = False
) -> pd.DataFrame:
    """A vector at some times (ms), by element; NaN where it is masked."""
    at = np.asarray(times, np.int64)
    values, valid = side.at(Moments(world, at, world.known(at), training))
    assert values.dtype == np.float32
    assert not values[~valid].any()
    return pd.DataFrame(np.where(valid, values, np.nan)[:, 0], columns=list(side.elements))


def write_book(
    path: Path, times: np.ndarray, seed: int = 0, mid: float = 100.0, tick: float = 0.01
) -> pd.DataFrame:
    """Random order books, a snapshot a time; returned as they stand in the file."""
    rng = np.random.default_rng(seed)
    middle = mid * np.exp(np.cumsum(rng.normal(0, 1e-4, len(times))))[:, None]
    steps = tick * np.cumsum(rng.integers(1, 4, (len(times), 2, 25)), axis=2)
    sizes = rng.gamma(1.0, 2.0, (len(times), 2, 25))
    parts = [middle - steps[:, 0], sizes[:, 0], middle + steps[:, 1], sizes[:, 1]]
    frame = pd.DataFrame(np.concatenate(parts, axis=1), columns=COLUMNS)
    frame.insert(0, "time_ms", times)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return frame
