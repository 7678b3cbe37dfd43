"""What mtf does around side inputs: masks by source, history, fingerprints, shapes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pytest

from mtf.errors import PluginError
from mtf.market.side_input import (
    Moments,
    SideInput,
    Valid,
    Values,
    checked,
    joint_fingerprint,
    masked,
    with_history,
)


class Three(SideInput):
    """One element of no stream, one of btc, one of btc and 1m; two steps."""

    elements: Mapping[str, str] = {"free": "of none", "ref": "of btc", "pair": "of both"}
    time = 2
    sources: Mapping[str, tuple[str, ...]] = {"ref": ("btc",), "pair": ("btc", "1m")}
    history: Mapping[str, int] = {"btc": 500}

    def __init__(self, told: str = "") -> None:
        self.told = told

    def at(self, moments: Moments) -> tuple[Values, Valid]:
        raise NotImplementedError

    def fingerprint(self) -> str:
        return self.told


def test_an_element_goes_with_every_stream_that_it_is_computed_from() -> None:
    valid = np.ones((4, 2, 3), bool)
    valid[0, 1, 0] = False
    present = {"1m": np.array([1, 1, 0, 0], bool), "btc": np.array([1, 0, 1, 0], bool)}
    left = masked(Three(), valid, present)
    assert left[:, 0].tolist() == [
        [True, True, True],
        [True, False, False],
        [True, True, False],
        [True, False, False],
    ]
    assert left[0, 1].tolist() == [False, True, True]
    assert valid.sum() == 23  # what was given is left as it was


def test_history_is_the_longest_that_anybody_wants() -> None:
    assert with_history({"1m": 100, "btc": 100}, {"x": Three()}) == {"1m": 100, "btc": 500}
    assert with_history({"1m": 100, "btc": 900}, {"x": Three()}) == {"1m": 100, "btc": 900}
    assert with_history({"1m": 100}, {}) == {"1m": 100}


def test_the_fingerprint_is_that_of_the_candles_where_no_file_is_read() -> None:
    assert joint_fingerprint("candles", {}) == "candles"
    assert joint_fingerprint("candles", {"x": Three()}) == "candles"
    both = joint_fingerprint("candles", {"b": Three("2"), "a": Three("1")})
    assert both == hashlib.sha256(b"candles\na 1\nb 2").hexdigest()
    assert both != joint_fingerprint("candles", {"b": Three("1"), "a": Three("2")})


def test_another_shape_is_refused_by_name() -> None:
    values, valid = np.zeros((5, 2, 3)), np.ones((5, 2, 3), bool)
    taken, _ = checked("mine", Three(), values, valid, 5)
    assert taken.dtype == np.float32
    with pytest.raises(PluginError, match=r"side input 'mine' \(Three\).*\[5, 2, 3\]") as raised:
        checked("mine", Three(), values, valid, 4)
    assert raised.value.expected == "[decision, time, element] = [4, 2, 3] of both"
