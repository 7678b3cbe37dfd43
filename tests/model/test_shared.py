"""One set of weights for all streams, with running statistics for each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float
from small_models import HISTORY, answers, features, gradients, make_batch, small_model
from torch import Tensor, nn

from mtf.encoders.dsc import DSC
from mtf.errors import ConfigError
from mtf.model.shared import stream_encoders, tied_copy
from mtf.plugins.contracts import Encoder


class Recurrent(Encoder):
    """A stranger's encoder whose module keeps references to its own weights."""

    causal = True

    def __init__(self, in_channels: int, embed_dim: int) -> None:
        super().__init__()
        self.cells = nn.GRU(in_channels, embed_dim, batch_first=True)

    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        states: Tensor = self.cells(x)[0]
        return states


CHANNELS = {"1m": 5, "1h": 5}


def test_shared_weights_are_the_same_objects() -> None:
    first, second = stream_encoders(lambda c: DSC(c, 8, norm="batch"), CHANNELS, "shared")
    pairs = list(zip(first.named_parameters(), second.named_parameters(), strict=True))
    assert pairs
    assert all(left is right for (_, left), (_, right) in pairs)
    own = list(zip(first.buffers(), second.buffers(), strict=True))
    assert own
    assert all(left is not right for left, right in own)


def test_own_weights_are_drawn_apart() -> None:
    first, second = stream_encoders(lambda c: DSC(c, 8), CHANNELS, "per_stream")
    left, right = first.get_parameter("stem.weight"), second.get_parameter("stem.weight")
    assert not torch.equal(left, right)


def test_a_strangers_recurrent_encoder_can_share() -> None:
    original = Recurrent(5, 8)
    copy = tied_copy(original)
    assert isinstance(copy, Recurrent)
    with torch.no_grad():
        original.get_parameter("cells.weight_hh_l0").add_(1.0)
    x, valid = torch.randn(2, 6, 5), torch.ones(2, 6, dtype=torch.bool)
    assert torch.equal(original(x, valid), copy(x, valid))


def test_streams_with_other_features_cannot_share() -> None:
    with pytest.raises(ConfigError, match="different feature channels") as caught:
        stream_encoders(lambda c: DSC(c, 8), {"1m": 5, "1h": 9}, "shared")
    assert "1m: 5, 1h: 9" in str(caught.value)
    assert "per_stream" in str(caught.value)
    assert len(stream_encoders(lambda c: DSC(c, 8), {"1m": 5, "1h": 9}, "per_stream")) == 2


def test_unknown_choice() -> None:
    with pytest.raises(ConfigError, match="one of shared, per_stream"):
        stream_encoders(lambda c: DSC(c, 8), CHANNELS, "some")


def test_shared_gradients_are_the_sum_over_streams() -> None:
    shared, own = small_model(weights="shared"), small_model(weights="per_stream")
    state = shared.state_dict()
    own.load_state_dict(state)
    batch = make_batch(shared, features(), np.array([[100, 130]]), once=True)
    together, apart = gradients(shared, batch), gradients(own, batch)
    assert all(torch.equal(answers(shared, batch)[n], v) for n, v in answers(own, batch).items())
    total = sum(apart[f"encoders.{i}.stem.weight"] for i in range(len(HISTORY)))
    torch.testing.assert_close(together["encoders.0.stem.weight"], total)
