"""The transform by hand, and the contract that mtf holds encoders to."""

from __future__ import annotations

import pytest
import torch

from candle_scales.haar import Haar, haar
from mtf.errors import ConfigError
from mtf.testing import check_encoder


def test_it_keeps_the_contract() -> None:
    check_encoder(Haar)
    check_encoder(lambda channels, dim: Haar(channels, dim, levels=1, hidden=3))


def test_two_levels_by_hand() -> None:
    x = torch.tensor([[[1.0], [3.0], [5.0], [9.0]]])
    parts = haar(x, torch.ones(1, 4, dtype=torch.bool), levels=2)[0]
    # The last slot: mean of 5 and 9 is 7, mean of all four is 4.5.
    expected = torch.tensor([2**0.5 * (9 - 7), 2 * (7 - 4.5), 2 * 4.5])
    torch.testing.assert_close(parts[3], expected)
    # The first slot has nothing before it: every mean is the candle itself.
    torch.testing.assert_close(parts[0], torch.tensor([0.0, 0.0, 2.0]))


def test_a_missing_candle_does_not_count() -> None:
    x = torch.tensor([[[1.0], [0.0], [0.0], [9.0]]])
    valid = torch.tensor([[True, False, False, True]])
    last = haar(x, valid, levels=2)[0, 3]
    torch.testing.assert_close(last, torch.tensor([0.0, 2 * (9 - 5.0), 2 * 5.0]))


def test_the_scales_of_independent_candles_have_the_same_variance() -> None:
    x = torch.randn(400, 200, 1, generator=torch.Generator().manual_seed(0))
    parts = haar(x, torch.ones(400, 200, dtype=torch.bool), levels=4)
    torch.testing.assert_close(
        parts[:, 16:].flatten(0, 1).var(0), torch.full((5,), 1.0), atol=0.1, rtol=0
    )


@pytest.mark.parametrize("options", [{"levels": 0}, {"levels": 17}, {"hidden": 0}])
def test_options_without_meaning_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="1 to 16 levels"):
        Haar(5, 16, **options)
