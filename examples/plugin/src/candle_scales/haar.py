"""Candles seen at every scale at once: a causal Haar wavelet transform, then a perceptron.

A slow trend and the last candle meet in the same vector after log2(span) additions, where a stack
of convolutions needs as many layers. It reads a finite number of candles and none from the future,
so mtf encodes each candle once for all decisions that see it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtf.errors import ConfigError
from mtf.plugins.contracts import Encoder


class Haar(Encoder):
    """Means over 2, 4, 8, … candles and what each of them loses, mixed slot by slot.

    With ``a[0] = x``, ``a[j]`` the mean over the valid slots among the last ``2 ** j``, and
    ``d[j] = a[j - 1] - a[j]`` (the undecimated or à trous transform), a slot is described by
    ``2 ** (j / 2) * d[j]`` for j = 1, …, J and by ``2 ** (J / 2) * a[J]``. The factors give all of
    them the same variance where candles are independent of each other.

    Receptive field: ``2 ** levels`` candles.

    Args:
        levels: J, how often the span doubles.
        hidden: width of the perceptron.
        dropout: in the perceptron.
    """

    causal = True

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        *,
        levels: int = 6,
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 1 <= levels <= 16 or hidden < 1:
            raise ConfigError(
                f"found levels {levels} and hidden {hidden}",
                "1 to 16 levels, a hidden unit or more",
            )
        self.levels, self.receptive_field = levels, 2**levels
        self.mix = nn.Sequential(
            nn.Linear((levels + 1) * in_channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, embed_dim),
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Encode every slot: ``[batch, time, channel] -> [batch, time, embed_dim]``."""
        return self.mix(haar(x, valid, self.levels))  # type: ignore[no-any-return]


def haar(x: Tensor, valid: Tensor, levels: int) -> Tensor:
    """The transform: ``[batch, time, channel] -> [batch, time, (levels + 1) * channel]``.

    Args:
        x: 0 where not valid.
        valid: ``[batch, time]``.
        levels: details, finest first; the last mean follows them.
    """
    total, count = x, valid.to(x.dtype).unsqueeze(-1)
    mean, parts = x, []
    for level in range(1, levels + 1):
        shift = 2 ** (level - 1)
        total, count = total + _earlier(total, shift), count + _earlier(count, shift)
        coarser = total / count.clamp(min=1)
        parts.append(2 ** (level / 2) * (mean - coarser))
        mean = coarser
    return torch.cat([*parts, 2 ** (levels / 2) * mean], dim=-1)


def _earlier(x: Tensor, shift: int) -> Tensor:
    """What stood ``shift`` slots earlier; 0 before the first slot."""
    return F.pad(x, (0, 0, shift, 0))[:, : x.shape[1]]


__all__ = ["Haar", "haar"]
