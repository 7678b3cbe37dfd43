"""A recurrent network: what it remembers reaches as far back as its window.

Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
Machine Translation"; the gates are those of ``torch.nn.GRU``.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mtf.plugins.contracts import Encoder


class GRU(Encoder):
    """Gated recurrent units over the valid slots, oldest first.

    A slot that is not valid does not update the state: its output is that of the last valid slot
    before it, 0 where there is none. A gap and no gap look the same from the inside; where the gap
    was, the mask of the tokens says.

    Causal, but without a bound on how far it looks back: what it says of a slot depends on where
    the window begins. So every window is encoded by itself, slot after slot, and that is slow.

    Args:
        num_layers: layers one above the other.
        dropout: after each layer.
    """

    causal = True
    receptive_field = None

    def __init__(
        self, in_channels: int, embed_dim: int, *, num_layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        self.gru = nn.GRU(in_channels, embed_dim, num_layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self._start()

    def _start(self) -> None:
        """Weights that pass the variance of the input on to the gates, and that of the state.

        With PyTorch's defaults a candle hardly moves the state of a fresh network.
        """
        for name, parameter in self.gru.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            elif name.startswith("weight_ih"):
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
            else:
                for gate in parameter.chunk(3):
                    nn.init.orthogonal_(gate)

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot.

        Valid slots are moved together, so that the recurrence sees nothing else; each slot then
        takes the state after as many steps as there are valid slots up to it.
        """
        order = valid.int().argsort(dim=1, descending=True, stable=True)
        states, _ = self.gru(x.take_along_dim(order.unsqueeze(-1), dim=1))
        states = F.pad(self.dropout(states), (0, 0, 1, 0))
        return states.take_along_dim(valid.cumsum(1).unsqueeze(-1), dim=1)
