"""The naive next candle: the candle that is forming, taken as if it were finished.

Volume is scaled up by the share of the slot that has elapsed. Where nothing has elapsed: flat at
the last close, with the mean volume. Everything here is known at ``t``. Values are the five
channels of the next-candle label: log ratio to the last close, in sigma; volume as
log((v + εm) / (m + εm)).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.candles import VOLUME
from mtf.market.channels import encode
from mtf.market.forming import forming
from mtf.market.world import World


def naive_candle(
    world: World, times: Int64[np.ndarray, " decision"], stream: str
) -> Float64[np.ndarray, "decision 5"]:
    """Forecast the next candle of a stream from what has been seen of it.

    0 (flat at the last close, mean volume) where nothing has been seen or its scale is not known.
    """
    known = world.known(times)
    seen = forming(world, times, stream, known, {name: k.present for name, k in known.items()})
    candle = seen.candle.copy()
    candle[:, VOLUME] /= np.where(seen.found, seen.elapsed, 1.0)
    return np.where(seen.found[:, None], np.nan_to_num(encode(candle, known[stream])), 0.0)
