"""The run itself: its data, its config, where it was made, and how many others were tried."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mtf.report.figures import Content, Note, Section, Table, Text
from mtf.report.material import Material
from mtf.report.terminal import spoken

HOW_TRIALS = (
    "Not known here: without the trial ledger nobody can tell how many runs were tried until this "
    "one looked good. Read no Sharpe ratio above as if it were the only one."
)


def run_sections(material: Material) -> Iterator[Section]:
    """Trials, data, config and environment."""
    yield Section("Trials", list(_trials(material)))
    yield Section("Data", list(_data(material.data)))
    yield Section("Config and environment", list(_settings(material)))


def _trials(material: Material) -> Iterator[Content]:
    if material.standing is None:
        yield Note(HOW_TRIALS)
    else:
        rows = [[spoken(name), shown(value)] for name, value in material.standing.items()]
        yield Table("This run among all that was tried", ["", ""], rows)
    if material.trials:
        names = list(dict.fromkeys(name for one in material.trials for name in one))
        cells = [[shown(one.get(name)) for name in names] for one in material.trials]
        yield Table("Trials", list(map(spoken, names)), cells)


def shown(value: Any) -> str:
    """A figure or words; a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _data(data: Mapping[str, Any] | None) -> Iterator[Content]:
    if data is None:
        yield Note("No data.json in the run's folder: mtf train writes it.")
        return
    streams = data.get("streams", {})
    header = ["stream", "symbol", "timeframe", "candles", "first", "last", "missing", "found"]
    rows, bad = [], set()
    for index, (name, of) in enumerate(streams.items()):
        findings = of.get("findings") or []
        if any(one.get("broken") for one in findings):
            bad.add(index)
        found = "; ".join(str(one.get("text", "")) for one in findings)
        cells = [shown(of.get(key)) for key in header[1:6]]
        missing = (of.get("gaps") or {}).get("missing")
        rows.append([name, *cells, shown(missing), found or "nothing"])
    yield Table("Candles that were read", header, rows, frozenset(bad), "Times are UTC.")
    if paths := data.get("paths"):
        told = [[name, str(reason)] for name, reason in paths.items()]
        yield Table("How streams are encoded", ["stream", "path"], told)


def _settings(material: Material) -> Iterator[Content]:
    if material.config is not None:
        yield Text("config.yaml", material.config)
    if material.environment is not None:
        yield Text("environment.json", json.dumps(material.environment, indent=2))
    if material.config is None and material.environment is None:
        yield Note("No config.yaml in the run's folder: mtf train writes it.")


__all__ = ["run_sections", "shown"]
