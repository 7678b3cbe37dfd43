"""A part measured with streams missing, late and frozen."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from panels import small_panel
from tasks import small_task

from mtf.evaluation.cells import SLOTS, Cell, disturbed_cells, goes_stale, present_cell
from mtf.evaluation.degraded import Degraded, degraded
from mtf.evaluation.degraded_values import MEAN
from mtf.evaluation.metrics import log_loss, point_value
from mtf.evaluation.part import evaluate_part_of
from mtf.learning.task import Task
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.report.degraded import COLUMNS, Steps, degraded_csv, degraded_lines, degraded_pictures

CANDLE = "next_candle"


@pytest.fixture(scope="module")
def task() -> Task:
    """Three streams, one of them derived, over three days; fresh weights."""
    decisions = {"clock": "5m", "end": "2024-01-04"}
    return small_task(decisions=decisions, split={"train": 0.4, "test": 0.45})


@pytest.fixture(scope="module")
def found(task: Task) -> Degraded:
    """The test part, a day and some hours."""
    return degraded(task, bootstrap=50)


def specs_of(count: int) -> tuple[StreamSpec, ...]:
    """Streams that differ in name alone."""
    minute = Timeframe.parse("1m")
    return tuple(StreamSpec(f"s{i}", "ETHUSDT", minute, "primary", 10) for i in range(count))


def test_a_derived_stream_is_never_there_without_its_source(found: Degraded) -> None:
    sets = [cell.streams for cell in found.cells if cell.kind == "present"]
    assert sets == [(), ("1m",), ("1m", "5m"), ("btc",), ("1m", "btc"), ("1m", "5m", "btc")]
    disturbed = {cell.streams for cell in found.cells if cell.kind != "present"}
    assert disturbed == {("1m",), ("btc",)}  # 5m goes with 1m


def test_every_delivered_stream_is_late_and_frozen_by_each_number_of_candles() -> None:
    cells = disturbed_cells(specs_of(2))
    assert len(cells) == 2 * 2 * len(SLOTS)
    assert [str(cell) for cell in cells[:2]] == ["s0 late by 1", "s0 late by 2"]
    assert str(cells[-1]) == "s1 frozen for 15"
    assert str(present_cell(specs_of(2), [])) == "none"


def test_beyond_its_max_age_a_late_stream_is_a_missing_one(found: Degraded) -> None:
    assert goes_stale(specs_of(1), Cell("late", ("s0",), 5))  # max_age is 3
    assert not goes_stale(specs_of(1), Cell("late", ("s0",), 2))
    late = Cell("late", ("1m",), 5)
    assert found.same[late] == Cell("present", ("btc",)) == found.without("1m")
    assert (
        found.value("action", "action", late) == found.values["action", "action"][found.same[late]]
    )


def test_with_everything_there_the_value_is_the_plain_one_to_the_last_bit(
    task: Task, found: Degraded
) -> None:
    results = evaluate_part_of(task, baselines=["class_prior"], bootstrap=2).results
    action = results.heads["action"]["action"]
    prior = action.baselines["class_prior"].metrics["log_loss"].value
    value = found.value("action", "action", found.everything)
    by_hand = prior - action.metrics["log_loss"].value
    assert value.value == pytest.approx(by_hand, abs=1e-12)
    assert value.n == action.metrics["log_loss"].n
    for target, result in results.heads[CANDLE].items():
        error = result.metrics["mse"].value
        names = ("naive_candle", "mean_candle")
        best = min(result.baselines[name].metrics["mse"].value for name in names)
        value = found.value(CANDLE, target, found.everything)
        assert value.value == pytest.approx(1 - error / best, abs=1e-12)
        assert value.value == pytest.approx(result.metrics["skill"].value, abs=1e-12)


def test_with_nothing_there_it_is_one_forecast_for_all(task: Task, found: Degraded) -> None:
    """The value of nobody, by hand: the probabilities of the missing tokens alone."""
    part = task.parts["test"]
    times = part.times(task.world.clock)
    dropped = np.ones((len(times), 3), bool)
    batch = task.builder.build(times[None, :], part.end_ms, dropped)
    task.model.eval()
    probs = task.model(batch)["action"]["probs"].detach().numpy()
    assert np.ptp(probs, axis=0).max() < 1e-6
    target = batch.targets["action"]["action"]
    there = target.present.numpy()
    loss = point_value(log_loss(probs[there], target.values["class"].numpy()[there]))
    both = found.value("action", "action", found.everything).value
    none = found.value("action", "action", Cell("present", ())).value
    plain = evaluate_part_of(task, baselines=["class_prior"], bootstrap=2).results
    full = plain.heads["action"]["action"].metrics["log_loss"].value
    assert none - both == pytest.approx(full - loss, abs=1e-7)


def test_what_the_streams_bring_adds_up(found: Degraded) -> None:
    for key, brought in found.shapley.items():
        assert list(brought) == ["1m", "5m", "btc"]
        total = sum(one.value for one in brought.values())
        ends = [found.value(*key, cell).value for cell in (found.everything, Cell("present", ()))]
        assert abs(total - (ends[0] - ends[1])) < 1e-9
        assert all(one.low <= one.value <= one.high for one in brought.values())


def test_a_head_with_several_targets_has_their_mean_too(found: Degraded) -> None:
    own = [found.value(CANDLE, name, found.everything).value for name in ("1m", "5m", "btc")]
    assert found.value(CANDLE, MEAN, found.everything).value == pytest.approx(np.mean(own))


def test_the_model_is_left_as_it_was(task: Task, found: Degraded) -> None:
    task.model.train()
    degraded(task, "calibration", bootstrap=2)
    assert task.model.training


def test_below_two_days_there_is_no_interval(task: Task) -> None:
    short = degraded(task, "calibration", bootstrap=10)
    value = short.value("action", "action", short.everything)
    assert value.days == 1
    assert np.isnan([value.se, value.low, value.high]).all()
    assert ",,," in degraded_csv(short)  # no NaN in the file


def test_the_table_fits_on_a_page_and_says_what_is_absent(found: Degraded) -> None:
    lines = list(degraded_lines(found))
    assert len(lines) == 1 + 2 * (2 + 3) + 2
    assert "2 days" in lines[0]
    assert lines[1].startswith("action, v = log loss of the class prior - log loss, nats: all ")
    assert lines[2].split()[:3] == ["only", "without", "Shapley"]
    assert lines[3].split()[0] == "1m"
    assert lines[3].split().count("absent") == 2
    assert lines[-2].strip().startswith("absent: so late that the stream is older than its max_age")
    assert lines[-1].strip().endswith("with their source: 5m with 1m")


def test_the_file_holds_every_cell_of_every_target(found: Degraded) -> None:
    rows = list(csv.DictReader(io.StringIO(degraded_csv(found))))
    assert tuple(rows[0]) == COLUMNS
    targets = 1 + 3 + 1  # action; three streams and their mean
    assert len(rows) == targets * (len(found.cells) + len(found.same) + 3)
    (full,) = (
        row
        for row in rows
        if (row["kind"], row["streams"], row["head"]) == ("present", "1m+5m+btc", "action")
    )
    assert float(full["value"]) == found.value("action", "action", found.everything).value
    assert full["n"] == str(found.value("action", "action", found.everything).n)
    (stale,) = (
        row
        for row in rows
        if (row["kind"], row["streams"], row["slots"]) == ("late", "1m", "15")
        and row["target"] == "action"
    )
    assert stale["same_as"] == "btc"


def test_the_pictures_show_all_sets_and_all_streams(found: Degraded) -> None:
    pictures = dict(degraded_pictures(found))
    assert {"degraded/action/sets", "degraded/action/streams"} <= set(pictures)
    assert f"degraded/{CANDLE}/mean/sets" in pictures
    for pixels in pictures.values():
        assert pixels.dtype == np.uint8
        assert pixels.std() > 0


def test_more_than_eight_streams_are_told_to_be_sampled(found: Degraded) -> None:
    many = type(found)(**{**vars(found), "orders": 200})
    assert any("200 random orders instead of all sets" in line for line in degraded_lines(many))
    assert not any(name.endswith("/sets") for name, _ in degraded_pictures(many))


def test_progress_is_a_few_lines() -> None:
    now = [0.0]
    lines: list[str] = []
    steps = Steps(lines.append, lambda: now[0])
    for done in range(1, 101):
        now[0] = float(done)
        steps(done, 100)
    assert lines[0] == "  1% of 100 decisions, 1:39 left"
    assert [line.split()[0] for line in lines] == ["1%", "25%", "50%", "75%"]


def test_symbols_of_a_panel_are_measured_together_and_one_by_one() -> None:
    decisions = {"clock": "5m", "end": "2024-01-03"}
    panel = small_panel(decisions=decisions, split={"train": 0.5, "test": 0.35})
    both = degraded(panel, bootstrap=2)
    plain = evaluate_part_of(panel, baselines=["class_prior"], bootstrap=2).results
    for found, results in (
        (both, plain),
        (degraded(panel, symbol="SOLUSDT", bootstrap=2), plain.symbols["SOLUSDT"]),
    ):
        action = results.heads["action"]["action"]
        prior = action.baselines["class_prior"].metrics["log_loss"].value
        value = found.value("action", "action", found.everything)
        assert value.value == pytest.approx(prior - action.metrics["log_loss"].value, abs=1e-9)
        assert value.n == action.metrics["log_loss"].n
