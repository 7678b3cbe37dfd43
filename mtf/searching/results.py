"""What a sweep leaves: its table, its best config, and what it prints of each trial."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtf.config.load import resolved
from mtf.config.schema import Config
from mtf.config.sweep_file import SweepPlan
from mtf.learning.disk import replace_synced
from mtf.learning.json_files import write_json
from mtf.market.finding import counted
from mtf.searching.job import Outcome
from mtf.searching.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST, TABLE, SUMMARY = "best.yaml", "trials.csv", "sweep.json"
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def write_results(folder: Path, plan: SweepPlan, study: Study) -> None:
    """Write trials.csv, sweep.json and best.yaml anew, each in one go.

    Raises:
        OSError: the disk refuses; old files stay as they were.
    """
    replace_synced(folder / TABLE, _table(plan, study).encode())
    write_json(folder / SUMMARY, summary(plan, study))
    best = study.best()
    if best is not None:
        params = study.drawn(best).params
        replace_synced(folder / BEST, best_text(plan.candidate(params), best, plan).encode())


def summary(plan: SweepPlan, study: Study) -> dict[str, Any]:
    """The content of sweep.json."""
    best, sweep = study.best(), plan.sweep
    states = Counter(STATES.get(trial.state.name, "waiting") for trial in study.trials)
    return {
        "schema": 1,
        "metric": metric_in_words(plan),
        "direction": sweep.direction,
        "planned": study.planned,
        **{state: states[state] for state in STATES.values()},
        "best": None
        if best is None
        else {
            "trial": best.number,
            "value": best.value,
            "params": dict(study.drawn(best).params),
        },
    }


def metric_in_words(plan: SweepPlan) -> str:
    """``validation loss``, or the mean of it over folds."""
    of = f" (mean of {plan.base.walk_forward.folds} folds)" if plan.sweep.walk_forward else ""
    return f"validation {plan.sweep.metric}{of}"


def best_text(config: Config, trial: FrozenTrial, plan: SweepPlan) -> str:
    """The best config, every default written out, so that ``mtf train`` takes it as it is."""
    return (
        f"# Trial {trial.number} of a sweep, the best so far: {metric_in_words(plan)} "
        f"{trial.value:.6g}.\n"
        "# The test part was not looked at: mtf train, or mtf evaluate of the trial, does that.\n"
        + resolved(config)
    )


def told(study: Study, number: int, outcome: Outcome) -> str:
    """One line on a trial that ended."""
    params = study.drawn(study.trials[number]).params
    drawn = ", ".join(f"{_short(key, study.plan)} {shown(value)}" for key, value in params.items())
    best = study.best()
    done = sum(trial.state.name in ("COMPLETE", "PRUNED", "FAIL") for trial in study.trials)
    parts = [f"trial {number}: {_came(outcome)}", drawn]
    if best is not None:
        parts.append(f"best {best.value:.4f} (trial {best.number})")
    return "; ".join(part for part in parts if part) + f" ({done} of {study.planned})"


def last_lines(folder: Path, plan: SweepPlan, study: Study) -> list[str]:
    """What a sweep says at its end, the folder last."""
    found, best = summary(plan, study), study.best()
    others = ", ".join(f"{found[name]} {name}" for name in ("pruned", "failed") if found[name])
    trials = counted(len(study.trials), "trial") + (f" ({others})" if others else "")
    if best is None:
        return [f"no trial is complete of {trials}", str(folder)]
    return [
        f"best of {trials}: trial {best.number}, {found['metric']} {best.value:.4f}",
        f"the test part was not looked at; train the best: mtf train {folder / BEST}",
        str(folder),
    ]


def shown(value: Any) -> str:
    """A value of the config in a line."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _short(key: str, plan: SweepPlan) -> str:
    """The last part of a key where that tells it from the others."""
    last = key.split(".")[-1]
    return last if [one.key.split(".")[-1] for one in plan.space].count(last) == 1 else key


def _came(outcome: Outcome) -> str:
    """What came of a trial, in a few words."""
    if outcome.wrong:
        return f"failed: {outcome.wrong}"
    again = f", gone on with from step {outcome.resumed}" if outcome.resumed else ""
    took = f"{outcome.seconds:.0f} s{again}"
    if outcome.pruned:
        return f"{outcome.value:.4f}, ended after {counted(len(outcome.values), 'epoch')}, {took}"
    return f"{outcome.value:.4f}, {took}"


def _table(plan: SweepPlan, study: Study) -> str:
    """A row a trial as csv."""
    keys = [one.key for one in plan.space]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *keys, "epochs", "starts", "seconds", "wrong"])
    for trial in study.trials:
        params, attributes = study.drawn(trial).params, trial.user_attrs
        writer.writerow(
            [
                trial.number,
                STATES.get(trial.state.name, "waiting"),
                "" if trial.value is None else repr(trial.value),
                *(_cell(params.get(key)) for key in keys),
                len(trial.intermediate_values),
                attributes.get("starts", ""),
                f"{attributes['seconds']:.1f}" if "seconds" in attributes else "",
                attributes.get("wrong", "").partition("\n")[0],
            ]
        )
    return text.getvalue()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


__all__ = ["BEST", "SUMMARY", "TABLE", "last_lines", "metric_in_words", "told", "write_results"]
