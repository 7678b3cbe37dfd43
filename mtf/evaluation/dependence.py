"""How far a series depends on its own past: the block length that its autocorrelation asks for.

The automatic choice of Politis & White (2004) with the correction of Patton, Politis & White (2009)
for circular blocks: b = (2 G² / (4/3 g²))^(1/3) · n^(1/3), with g = Σ λ(k/M) ρ(k) and
G = Σ λ(k/M) |k| ρ(k) under a flat-top window λ whose half width is where ρ can't be told from 0.

It sees correlation only, and in a short series not much of that.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

Series = Float64[np.ndarray, " step"]


def autocorrelation(series: Series) -> Series:
    """Correlation at lags 0, 1, …, with the divisor n; 1, 0, 0, … of a constant series."""
    n = len(series)
    centred = series - series.mean()
    power = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(power * np.conj(power), 2 * n)[:n]
    if covariance[0] <= 1e-24 * n * np.square(series).sum():
        return np.asarray(np.eye(1, n)[0])
    return np.asarray(covariance / covariance[0])


def automatic_length(series: Series) -> float:
    """The length of circular blocks that estimates the variance of the mean best, in steps.

    1 where nothing can be told from noise; at most min(3·√n, n / 3), as published.
    """
    n = len(series)
    if n < 8:
        return 1.0
    rho = autocorrelation(series)
    last = _last_told(rho)
    if last == 0:
        return 1.0
    lag = np.arange(1, min(2 * last, n - 1) + 1)
    window = np.where(lag <= last, 1.0, 2.0 * (1 - lag / (2 * last)))
    spread = 1 + 2 * float((window * rho[lag]).sum())
    slope = 2 * float((window * lag * rho[lag]).sum())
    if spread <= 0:
        return 1.0
    length = (2 * slope**2 / (4 / 3 * spread**2) * n) ** (1 / 3)
    return float(np.clip(length, 1.0, min(3 * np.sqrt(n), n / 3)))


def _last_told(rho: Series) -> int:
    """The last lag before several in a row within the noise, 2·√(log10 n / n); at most √n."""
    n = len(rho)
    row = max(5, int(np.sqrt(np.log10(n))))
    most = int(np.ceil(np.sqrt(n))) + row
    within = np.abs(rho[1:]) < 2 * np.sqrt(np.log10(n) / n)
    for lag in range(min(most, n - row)):
        if within[lag : lag + row].all():
            return lag
    return min(most, n - 1)
