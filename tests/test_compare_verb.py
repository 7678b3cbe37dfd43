from __future__ import annotations

from pathlib import Path

import pytest
import reports

from mtf.compare import compare, main
from mtf.config.load import load_config
from mtf.errors import ConfigError, DataError
from mtf.predictions import save_all
from mtf.run import Run, create_run


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(name: str, *overrides: str, seed: int = 0) -> Run:
    """A run that was never trained, with predictions all the same."""
    run = create_run(load_config("dsc_mtf", [f"name={name}", *overrides]), {})
    said = reports.predictions(seed=0)
    for side in ("buy", "sell", "hold"):
        said.arrays[f"action.prob_{side}"][:] = reports.predictions(seed=seed).arrays[
            f"action.prob_{side}"
        ]
    save_all([said], run.path / "predictions.parquet")
    return run


def test_runs_are_told_apart_in_the_terminal_and_on_a_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made("first")
    made("second", "training.epochs=3", seed=1)
    main(["first", "second"], html="found.html")
    told = capsys.readouterr().out
    assert "in action log loss (p=" in told.splitlines()[0]
    assert "training.epochs" in told
    assert told.splitlines()[-1] == "found.html"
    assert "training.epochs" in Path("found.html").read_text()


def test_one_run_alone_is_a_mistake() -> None:
    for runs in ([], ["first"], ["first", "first"]):
        with pytest.raises(ConfigError, match="at least two runs"):
            main(runs)


def test_runs_without_predictions_say_what_to_do() -> None:
    runs = [create_run(load_config("dsc_mtf", [f"name={name}"]), {}) for name in "ab"]
    with pytest.raises(DataError, match=r"has no predictions\.parquet") as told:
        compare(runs)
    assert "mtf evaluate" in told.value.todo
