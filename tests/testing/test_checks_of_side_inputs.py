"""The contract of side inputs: what is built in keeps it, and every defect is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sides import MINUTE, write_book

from mtf.cli import main
from mtf.errors import ContractError
from mtf.market.asof import Known
from mtf.market.side.order_book import OrderBook
from mtf.plugins import registry
from mtf.plugins.contracts import Moments, SideContext, SideInput
from mtf.testing import check_side_input

NEED_FILES = {"order_book"}


@pytest.mark.parametrize("name", sorted({*registry.names("side_input")} - NEED_FILES))
def test_what_is_registered_keeps_the_contract(name: str) -> None:
    check_side_input(registry.load("side_input", name))


def test_the_order_book_keeps_the_contract(tmp_path: Path) -> None:
    """Snapshots at the times at which it is tried."""
    path = tmp_path / "book.parquet"
    write_book(path, np.arange(4_480, 4_570) * MINUTE - 20_000)
    check_side_input(partial(OrderBook, path=str(path), snapshots=4, max_age_ms=5 * MINUTE))


def test_the_market_keeps_the_contract_with_files(tmp_path: Path) -> None:
    path = tmp_path / "funding.csv"
    times = np.arange(10) * 8 * 60 * MINUTE
    pd.DataFrame({"time_ms": times, "funding_rate": times / 1e12}).to_csv(path, index=False)
    market = registry.load("side_input", "market")
    check_side_input(partial(market, funding=str(path)))


class Last(SideInput):
    """The last close of a stream: sound, and what the broken ones are made from."""

    elements: Mapping[str, str] = {"close": "the last close of btc, over 100"}
    sources: Mapping[str, tuple[str, ...]] = {"close": ("btc",)}

    def __init__(self, context: SideContext) -> None:
        self.context = context

    def at(self, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
        return self.answer(self.figures(moments, moments.known["btc"]))

    def figures(self, moments: Moments, known: Known) -> np.ndarray:
        found: np.ndarray = known.last_close / 100
        return found

    def answer(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        valid = np.isfinite(found)[:, None, None]
        return np.where(valid, found[:, None, None], 0).astype(np.float32), valid


class Ahead(Last):
    """Reads the row after the last one known."""

    def figures(self, moments: Moments, known: Known) -> np.ndarray:
        found: np.ndarray = moments.world.streams["btc"].candles.ohlcv[known.row + 1, 3] / 100
        return found


class Early(Last):
    """Reads candles by the timetable, not as they come."""

    def figures(self, moments: Moments, known: Known) -> np.ndarray:
        candles = moments.world.streams["btc"].candles
        found: np.ndarray = candles.ohlcv[known.last_slot - candles.first_slot, 3] / 100
        return found


class Whole(Last):
    """Subtracts the mean over the decisions that are asked together."""

    def figures(self, moments: Moments, known: Known) -> np.ndarray:
        found: np.ndarray = known.last_close - np.nanmean(known.last_close)
        return found


class Unnamed(Last):
    """Does not name its stream."""

    sources: Mapping[str, tuple[str, ...]] = {}


class Unknown(Last):
    """Names a stream that there is not."""

    sources: Mapping[str, tuple[str, ...]] = {"close": ("bitcoin",)}


class Random(Last):
    """Draws anew at training."""

    def figures(self, moments: Moments, known: Known) -> np.ndarray:
        noise = np.random.default_rng().random(len(moments.times))
        return known.last_close + noise * moments.training


class NotFinite(Last):
    """Says that NaN is there."""

    def answer(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, valid = super().answer(found)
        values[3] = np.nan
        return values, np.ones_like(valid)


class Flat(Last):
    """Forgets the axis of time."""

    def answer(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, valid = super().answer(found)
        return values[:, 0], valid[:, 0]


class Absent(Last):
    """Sums closes, of absent slots as well."""

    def figures(self, moments: Moments, known: Known) -> np.ndarray:
        candles = moments.world.streams["btc"].candles
        rows = known.row[:, None] - np.arange(60)
        assert candles.available_at is not None
        come = candles.available_at[rows] <= moments.times[:, None]
        found: np.ndarray = np.nansum(candles.ohlcv[rows, 3] * come, axis=1) / 6_000
        return found


class Mute(Last):
    """Does not say what its element means."""

    elements: Mapping[str, str] = {"close": " "}


BROKEN: dict[type[SideInput], str] = {
    Ahead: "looks ahead: moves when btc candles known only after",
    Early: "looks ahead: moves when btc candles known only after",
    Whole: "depends on which decisions are asked together",
    Unnamed: "element 'close' moves with stream btc, which is not among its sources (none)",
    Unknown: "'bitcoin' in its sources or history is no element and no stream here",
    Random: "is random: two calls differ",
    NotFinite: "element 'close' is not finite where it is said to be there",
    Flat: "wrong shape: (62, 1) and (62, 1)",
    Absent: "breaks behind a mask: moves when inf stands in an absent slot",
    Mute: "no meaning of element 'close'",
}


def test_a_sound_one_passes() -> None:
    check_side_input(Last)


@pytest.mark.parametrize("side", BROKEN, ids=lambda one: one.__name__)
def test_a_broken_one_is_named_with_its_defect(side: type[SideInput]) -> None:
    with pytest.raises(ContractError) as raised:
        check_side_input(side)
    assert str(raised.value).startswith(f"{side.__name__}: {BROKEN[side]}")


SOURCE = '''
import mtf
from mtf.market.side.position import PositionState

@mtf.register("side_input", "mine")
class Mine(PositionState):
    """Positions of my own."""
'''


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    registry.forget("side_input", "mine")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


def test_the_command_tries_a_strangers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "check", "side_input", "mine", "max_held=10", "--plugins", str(file))
    assert out.splitlines()[-1] == "7 of 7 checks passed"
    assert "5 elements, time 1" in out
    assert " times, bit for bit" in out


@pytest.mark.parametrize("name", registry.names("side_input"))
def test_every_element_is_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "describe", "side_input", name)
    elements = registry.load("side_input", name).elements
    assert f"\nElements ({len(elements)}):\n" in out
    for element, meaning in elements.items():
        assert [line for line in out.splitlines() if line.split()[:1] == [element]]
        assert meaning in out
    assert "  side_inputs:\n    " + name in out


def test_the_vectors_have_the_sizes_of_the_reference() -> None:
    sizes = {
        name: len(registry.load("side_input", name).elements)
        for name in ("order_book", "technical", "market", "position_state")
    }
    assert sizes == {"order_book": 100, "technical": 40, "market": 30, "position_state": 5}
