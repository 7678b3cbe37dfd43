"""The trial ledger: parallel writers lose nothing, a kill damages nothing, what is one trial."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tasks

from mtf.config.load import parse_config
from mtf.data_sources.synthetic import Synthetic
from mtf.errors import CheckpointError
from mtf.evaluation.ledger import FOLDER, Ledger
from mtf.evaluation.trial import REAL, Trial, config_hash, market_of, trial_of
from mtf.plugins.contracts import DataSource
from mtf.run import RUNS, load

DAY_MS = 86_400_000
JANUARY_2023 = 19_358
"""Days from 1970 to 2023-01-01."""


def trial(**changes: object) -> Trial:
    """A backtest of three days of January 2023."""
    usual = Trial(
        kind="backtest",
        run="runs/small/2023-02-01T00-00-00Z",
        name="small",
        config_hash="c0ffee",
        data_hash="da7a",
        market=REAL,
        symbols=("ETHUSDT",),
        seed=0,
        part="test",
        start_ms=JANUARY_2023 * DAY_MS,
        end_ms=(JANUARY_2023 + 3) * DAY_MS,
        terms={"policy": {"name": "argmax"}, "costs": {"commission": 0.001}},
        days=JANUARY_2023 + np.arange(3),
        net_return=np.array([0.01, -0.02, 0.005]),
        figures={"sharpe_ratio": -2.1},
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_what_was_recorded_is_read_again_and_a_person_can_read_it(tmp_path: Path) -> None:
    file = Ledger(tmp_path / "ledger").record(trial())
    (read,) = Ledger(tmp_path / "ledger").read().trials
    assert read.key == trial().key
    assert read.days.tolist() == [19_358, 19_359, 19_360]
    assert read.net_return.tolist() == [0.01, -0.02, 0.005]
    assert read.figures == {"sharpe_ratio": -2.1}
    assert read.run == "runs/small/2023-02-01T00-00-00Z"
    text = file.read_text()
    day, net_return = '"day": ["2023-01-01", "2023-01-02", ', '"net_return": [0.01, -0.02, 0.005]'
    assert day in text
    assert net_return in text
    assert len(text.splitlines()) == 18


def test_a_day_without_a_figure_is_null_on_the_disk_and_nan_in_memory(tmp_path: Path) -> None:
    gone = trial(net_return=np.array([0.01, -1.0, np.nan]), figures={"calmar": np.nan})
    file = Ledger(tmp_path).record(gone)
    assert "[0.01, -1.0, null]" in file.read_text()
    (read,) = Ledger(tmp_path).read().trials
    assert np.isnan(read.net_return).tolist() == [False, False, True]
    assert np.isnan(read.figures["calmar"])


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "guess"},
        {"daily": {"day": ["2023-01-03", "2023-01-02"], "net_return": [0.0, 0.0]}},
        {"daily": {"day": ["2023-01-02", "2023-01-03"], "net_return": [0.0]}},
        {"daily": {"day": ["2023-01-02"], "net_return": [True]}},
        {"figures": {"sharpe_ratio": "good"}},
        {"symbols": "ETHUSDT"},
    ],
)
def test_what_is_no_trial_is_refused(changes: dict[str, object]) -> None:
    trial_of(trial().as_dict())
    with pytest.raises(ValueError, match=r"not a record|not ascending|none of train|2 days, but 1"):
        trial_of({**trial().as_dict(), **changes})


def _write(folder: Path, writer: int, records: int) -> None:
    for number in range(records):
        Ledger(folder).record(trial(seed=1_000 * writer + number))


def test_eight_writers_of_fifty_records_each_lose_none(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write, args=(tmp_path, one, 50)) for one in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = Ledger(tmp_path).read()
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert sorted(one.seed for one in records.trials) == [
        1_000 * writer + number for writer in range(8) for number in range(50)
    ]
    assert records.passed_over == ()
    times = [one.time for one in records.trials]
    assert times == sorted(times)


def _told(folder: Path, told: int) -> None:
    """Record for ever, telling after each that it is done."""
    long = trial(days=np.arange(2_000), net_return=np.zeros(2_000))
    for number in range(10**6):
        Ledger(folder).record(replace(long, seed=number))
        os.write(told, b".")


def test_a_writer_killed_at_any_moment_leaves_all_that_it_had_recorded(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    for attempt in range(16):
        folder = tmp_path / str(attempt)
        reading, writing = os.pipe()
        writer = fork.Process(target=_told, args=(folder, writing))
        writer.start()
        os.close(writing)
        assert os.read(reading, 1) == b"."  # it is warmed up: from here on it is killed anywhere
        time.sleep(0.0021 * attempt)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        recorded = 1
        while said := os.read(reading, 65_536):
            recorded += len(said)
        os.close(reading)
        records = Ledger(folder).read()
        assert records.passed_over == ()
        assert len(records.trials) in (recorded, recorded + 1)  # killed before it could tell
        assert {one.seed for one in records.trials} == set(range(len(records.trials)))


def test_bad_files_are_named_with_their_reason_and_the_others_read(tmp_path: Path) -> None:
    good = Ledger(tmp_path).record(trial())
    record = json.loads(good.read_text())
    bad = {
        "torn": good.read_text()[:-40],
        "empty": "",
        "list": "[]",
        "later": json.dumps({**record, "schema": 2}),
        "without_seed": json.dumps({key: value for key, value in record.items() if key != "seed"}),
        "seed_in_words": json.dumps({**record, "seed": "one"}),
        "disorder": json.dumps({**record, "daily": {"day": ["2023-01-02", "2023-01-01"]}}),
        "no_date": json.dumps({**record, "daily": {"day": ["soon"], "net_return": [0]}}),
        "not_aligned": json.dumps({**record, "daily": {"day": [], "net_return": [0]}}),
        "deep": "[" * 100_000,
        "huge": " " * 4_000_001,
    }
    for name, text in bad.items():
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / ".2023.json.77.partial").write_text("{")  # what a kill leaves: no record, no news
    (tmp_path / "2023-01-01T00-00-00Z").mkdir()  # of a run that is called as the ledger is
    records = Ledger(tmp_path).read()
    assert [one.key for one in records.trials] == [trial().key]
    names = {Path(said.split(": ")[0]).stem for said in records.passed_over}
    assert names == {*bad, "bytes", "dangling", "pipe"}
    said = "\n".join(records.passed_over)
    for reason in ("schema 2, not 1", "'seed'", "found 'one', not int", "nested too deeply"):
        assert reason in said
    assert (tmp_path / "torn.json").exists()


def test_a_ledger_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "ledger").read().trials == ()
    assert not (tmp_path / "ledger").exists()


def test_the_ledger_is_not_mistaken_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Ledger(RUNS / FOLDER).record(trial())
    with pytest.raises(CheckpointError, match=r"no run 'ledger'.*\n.*no runs yet"):
        load("ledger")


def test_a_folder_that_refuses_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match="could not write a trial in "):
        Ledger(tmp_path / "ledger").record(trial())
    with pytest.raises(CheckpointError, match="can't be read"):
        Ledger(tmp_path / "ledger").read()


def test_records_are_found_by_what_they_are_of(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.record(trial())
    ledger.record(trial(seed=1, symbols=("SOLUSDT", "ETHUSDT"), data_hash="0ther"))
    ledger.record(trial(seed=2, part="validation", market="a random walk"))
    ledger.record(trial(seed=3, start_ms=0, end_ms=JANUARY_2023 * DAY_MS))
    seeds = [one.seed for one in ledger.trials()]
    assert seeds == [0, 1, 2, 3]
    assert [one.seed for one in ledger.trials(data_hash="da7a")] == [0, 2, 3]
    assert [one.seed for one in ledger.trials(symbol="SOLUSDT")] == [1]
    assert [one.seed for one in ledger.trials(part="test", market=REAL)] == [0, 1, 3]
    day = (JANUARY_2023 * DAY_MS, (JANUARY_2023 + 1) * DAY_MS)
    assert [one.seed for one in ledger.trials(span_ms=day)] == [0, 1, 2]  # an end is not included


SAME: list[dict[str, Any]] = [
    {"name": "another"},
    {"seed": 5},
    {"fabric": {"threads": None}},
    {"fabric": {"accelerator": "auto"}},
    {"evaluation": {"bootstrap": 7, "baselines": ["momentum"]}},
    {"training": {"checkpoint_every": 1}},
    {"training": {"measure_train": True}},
    {"data": {"seed": 2}},
    {"backtest": None},
]
OTHER: list[dict[str, Any]] = [
    {"model": {"embed_dim": 8}},
    {"model": {"encoder": {"kernel_size": 5}}},
    {"training": {"epochs": 3}},
    {"training": {"optimizer": {"lr": 0.002}}},
    {"streams": {"1m": {"lookback": 33}}},
    {"streams": {"15m": {"lookback": 8, "from": "1m"}}},
    {"decisions": {"end": "2024-01-03"}},
    {"costs": {"commission": 0.0}},
    {"fabric": {"precision": "64-true"}},
    {"split": {"train": 0.6, "validation": 0.2}},
    {"heads": {"action": {"weight": 2.0}}},
]


def test_the_hash_of_a_config_changes_with_every_real_change_and_with_no_other() -> None:
    plain = config_hash(tasks.small_config())
    for changes in SAME:
        assert config_hash(tasks.small_config(**changes)) == plain, changes
    hashes = [plain, *(config_hash(tasks.small_config(**changes)) for changes in OTHER)]
    assert len(set(hashes)) == len(hashes)


def test_the_order_of_keys_matters_only_where_it_draws_other_weights() -> None:
    plain = tasks.small_config()
    turned = parse_config(dict(reversed(tasks.SMALL.items())))
    assert config_hash(turned) == config_hash(plain)
    streams = dict(reversed(tasks.SMALL["streams"].items()))
    assert config_hash(parse_config({**tasks.SMALL, "streams": streams})) != config_hash(plain)


def test_a_plugin_file_counts_by_its_content_not_by_its_place() -> None:
    config = tasks.small_config()
    here = config_hash(config, {"here/mine.py": "5ad"})
    assert config_hash(config, {"there/mine.py": "5ad"}) == here
    assert config_hash(config, {"here/mine.py": "be77e4"}) != here


def test_a_market_that_is_made_up_is_another_than_the_real_one() -> None:
    class Files(DataSource):
        def load(self, requests):  # type: ignore[no-untyped-def]
            return []

    one, other = (tasks.small_config(data={"seed": seed}) for seed in (1, 2))
    assert market_of(one, Files()) == market_of(other, Files()) == REAL
    assert market_of(one, Synthetic(seed=1)) != market_of(other, Synthetic(seed=2))
    assert '"world":"market"' in market_of(one, Synthetic(seed=1))


def test_records_of_the_same_are_one_trial_and_terms_make_another() -> None:
    assert trial().key == trial(run="runs/again", name="again", figures={}).key
    cheaper = {**trial().terms, "costs": {"commission": 0.0}}
    assert trial().key != trial(terms=cheaper).key
    assert trial().trained == trial(terms=cheaper).trained


def test_a_record_is_a_plain_file_that_others_may_read(tmp_path: Path) -> None:
    mode = Ledger(tmp_path).record(trial()).stat().st_mode
    assert stat.S_ISREG(mode)
    assert trial_of(trial().as_dict()).key == trial().key
