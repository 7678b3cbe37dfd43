"""The report from top to bottom: its first sentence, what matters most, and its sections."""

from __future__ import annotations

from collections.abc import Iterator

from mtf.report.figures import Content, Note, Section, Table
from mtf.report.figures_of_candles import candle_sections
from mtf.report.figures_of_forecasts import forecast_sections, with_interval
from mtf.report.figures_of_money import amount, money_sections, named
from mtf.report.figures_of_run import run_sections, shown
from mtf.report.figures_of_streams import stream_sections
from mtf.report.figures_of_walk import walk_sections
from mtf.report.material import Material
from mtf.report.money import Money
from mtf.report.scores import Score, scores
from mtf.report.terminal import spoken

NO_MONEY = (
    "Whether anything is left after costs is not known: the predictions of this run were not "
    "traded yet."
)
KEY_STANDING = (
    *("num_trials", "effective_trials", "deflated_sharpe_ratio", "probability_of_overfitting"),
    "looks_at_test",
)
KEY_MONEY = ("total_return", "sharpe_ratio", "max_drawdown", "num_trades")


def verdict(material: Material) -> str:
    """The first sentence."""
    return material.verdict or NO_MONEY


def sections(material: Material) -> list[Section]:
    """All sections, in order."""
    found = [Section("Key numbers", list(_key_numbers(material)))]
    found += money_sections(material)
    found += forecast_sections(material)
    found += walk_sections(material)
    found += candle_sections(material)
    found += stream_sections(material)
    found += material.more
    found += run_sections(material)
    return found


def _key_numbers(material: Material) -> Iterator[Content]:
    """Money, every head and the trials, a line each."""
    rows: list[list[str]] = []
    bad: set[int] = set()
    for money in material.money:
        for name in KEY_MONEY:
            found = [amount(name, of.get(name)) for of in money.metrics.values()]
            beside = zip(list(money.metrics)[1:], found[1:], strict=True)
            told = ", ".join(f"{spoken(of)} {one}" for of, one in beside if one)
            if name == "total_return" and _fails(money):
                bad.add(len(rows))
            rows.append([f"{money.symbol} {named(name)}", found[0] if found else "", told])
    for one in scores(material.metrics or {}, material.part):
        if one.metrics:
            if one.losing:
                bad.add(len(rows))
            figure = with_interval(one.metrics[one.primary])
            rows.append([f"{one.name}, {spoken(one.primary)}", figure, _lost(one)])
    standing = material.standing or {}
    rows += [[spoken(name), shown(standing[name]), ""] for name in KEY_STANDING if name in standing]
    if rows:
        yield Table("", ["", "this run", "beside it"], rows, frozenset(bad))
    yield from map(Note, material.notes)


def _fails(money: Money) -> bool:
    """Whether the strategy lost money, or earned less than a baseline."""
    own = next(iter(money.metrics.values()), {}).get("total_return")
    return bool(own and own.value <= 0) or any(one.difference < 0 for one in money.against.values())


def _lost(one: Score) -> str:
    """Which baselines are better, or that none is."""
    if one.losing:
        return f"LOSES to {', '.join(map(spoken, one.losing))}"
    better = [spoken(name) for name, of in one.baselines.items() if of.beaten]
    return f"better than {', '.join(better)}" if better else ""


__all__ = ["sections", "verdict"]
