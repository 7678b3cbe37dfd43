"""The encoder of Hugging Face's time series transformer, as one of mtf's.

The library's module takes features of every step of time and a mask, and gives a vector for every
step: all that is left to do is to name things alike.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import TimeSeriesTransformerConfig
from transformers.models.time_series_transformer.modeling_time_series_transformer import (
    TimeSeriesTransformerEncoder,
)

from mtf.errors import ConfigError
from mtf.plugins.contracts import Encoder


class TimeSeriesTransformer(Encoder):
    """Self-attention over the candles of a window, with sinusoidal positions.

    Every slot reads every valid slot of its window, later ones too: not causal and without a finite
    receptive field, so mtf encodes each window by itself (all of it lies before the decision). The
    time is that of the square of the lookback: keep it short.

    Args:
        num_layers: transformer layers.
        num_heads: attention heads; embed_dim is a multiple of it.
        feedforward_dim: width of the feed-forward layers.
        dropout: of the whole stack.
        max_slots: longest window.
    """

    causal = False
    receptive_field = None

    def __init__(
        self,
        in_channels: int,
        embed_dim: int,
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        feedforward_dim: int = 64,
        dropout: float = 0.1,
        max_slots: int = 1024,
    ) -> None:
        super().__init__()
        self.max_slots = max_slots
        config = TimeSeriesTransformerConfig(
            context_length=max_slots - 1,
            prediction_length=1,  # the library's decoder would want it
            d_model=embed_dim,
            encoder_layers=num_layers,
            encoder_attention_heads=num_heads,
            encoder_ffn_dim=feedforward_dim,
            encoder_layerdrop=0.0,
            dropout=dropout,
            attention_dropout=dropout,
            activation_dropout=dropout,
        )
        config.feature_size = in_channels  # the library counts lags and covariates; here are none
        self.encoder = TimeSeriesTransformerEncoder(config)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Encode every slot: ``[batch, time, channel] -> [batch, time, embed_dim]``."""
        if x.shape[1] > self.max_slots:
            raise ConfigError(
                f"a window of {x.shape[1]} candles for time_series_transformer",
                f"at most max_slots = {self.max_slots}",
                "lower the lookback, or raise model.encoder.max_slots",
            )
        # A softmax over nothing is no number: a window without candles reads its zeros.
        seen = valid | ~valid.any(1, keepdim=True)
        encoded: Tensor = self.encoder(
            inputs_embeds=x, attention_mask=seen.to(torch.long)
        ).last_hidden_state
        return encoded


__all__ = ["TimeSeriesTransformer"]
