"""Reports in tests: a run with everything, made up, and what a browser makes of a page."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtf.predictions import Predictions
from mtf.report.figures import Interval
from mtf.report.material import Material
from mtf.report.money import Against, CostByDelay, Coverage, Curve, Money

MINUTE = 60_000
START = 1_704_067_200_000
EVIL = "<script>alert('x')</script> & <b>\"bold\"</b>"
HARDENED = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=20000"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def trades(*rows: tuple[int, int, str, float, float]) -> pd.DataFrame:
    """Round trips of size 1 without costs: bars of entry and exit, type, both prices."""
    sign = {"long": 1.0, "short": -1.0}
    return pd.DataFrame(
        {
            "entry_time": [_utc(row[0]) for row in rows],
            "exit_time": [_utc(row[1]) for row in rows],
            "type": [row[2] for row in rows],
            "price": [row[3] for row in rows],
            "exit_price": [row[4] for row in rows],
            "size": 1.0,
            "pnl": [sign[row[2]] * (row[4] - row[3]) for row in rows],
            "commission": 0.0,
            "slippage": 0.0,
            "funding": 0.0,
            "confidence": 0.5,
            "exit": "target",
        }
    )


def _utc(bar: int) -> pd.Timestamp:
    return pd.Timestamp(START + bar * MINUTE, unit="ms", tz="UTC")


def money(bars: int = 1000) -> Money:
    """A strategy that lost 1 % beside one that won 2 %."""
    time = START + MINUTE * np.arange(bars, dtype=np.int64)
    close = 100.0 + np.sin(np.arange(bars) / 50)
    ohlc = np.stack([close, close + 0.1, close - 0.1, close + 0.05], axis=1)
    curves = {
        "strategy": Curve(time + MINUTE, np.linspace(100.0, 99.0, bars)),
        "buy_and_hold": Curve(time + MINUTE, np.linspace(100.0, 102.0, bars)),
    }
    metrics = {
        "strategy": {
            "total_return": Interval(-0.01, -0.02, 0.005),
            "sharpe_ratio": Interval(-0.5, -2.0, 1.0),
            "num_trades": Interval(2.0),
        },
        "buy_and_hold": {"total_return": Interval(0.02), "sharpe_ratio": Interval(1.0, 0.1, 2.0)},
    }
    levels = np.array([0.1, 1.0])
    return Money(
        "ETHUSDT",
        "test",
        100.0,
        curves,
        metrics,
        trades((10, 60, "long", 100.2, 101.0), (200, 300, "short", 99.0, 100.0)),
        time,
        ohlc,
        {"buy_and_hold": Against(-0.03, 0.2)},
        CostByDelay([0.0, 10.0], ["at once", "1m"], np.array([[0.02, 0.01], [-0.01, -0.03]])),
        Coverage(levels, np.array([0.01, -0.01]), levels - 1, levels, [1, 2], in_hindsight=True),
        {"policy": EVIL},
    )


def estimate(value: float, low: float = 0.9, high: float = 1.2) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 1200, "n_distinct": 80}


def metrics() -> dict[str, Any]:
    """Of a head with one target that loses to the logistic, and of one with two."""
    beside = {"paired_p_better": 0.5}
    candle = {"1m": {"mse": estimate(0.5)}, "1h": {}}
    return {
        "schema": 1,
        "test": {
            "action": {"accuracy": estimate(0.4), "log_loss": estimate(1.05), "null": {"p": 0.25}},
            "next_candle": candle,
        },
        "baselines": {
            "class_prior": {
                "action": {
                    "accuracy": estimate(0.3),
                    "log_loss": estimate(1.06),
                    "difference": 1.05 - 1.06,
                    "paired_p": 0.3,
                    "beaten": True,
                    **beside,
                }
            },
            "logistic": {
                "action": {
                    "accuracy": estimate(0.5),
                    "log_loss": estimate(1.01),
                    "difference": 1.05 - 1.01,
                    "paired_p": 0.001,
                    "beaten": False,
                    **beside,
                }
            },
        },
        "samples_per_second": {"train": 1.0},
    }


def predictions(n: int = 200, seed: int = 0) -> Predictions:
    """Every minute: an action, and a next candle of a stream of 5 minutes."""
    random = np.random.default_rng(seed)
    times = START + MINUTE * np.arange(n, dtype=np.int64)
    probs = random.dirichlet([2.0, 2.0, 2.0], n)
    columns = {f"action.prob_{side}": probs[:, i] for i, side in enumerate(("buy", "sell", "hold"))}
    columns["action.label_class"] = np.floor(3 * random.random(n))
    columns["action.label_class"][-3:] = np.nan
    true = np.repeat(random.normal(size=(n // 5, 4)), 5, axis=0)
    for i, channel in enumerate(("open", "high", "low", "close")):
        columns[f"next_candle.5m.{channel}"] = 0.5 * true[:, i]
        columns[f"next_candle.5m.label_{channel}"] = true[:, i]
    return Predictions(times, "ETHUSDT", "test", columns)


def degraded() -> pd.DataFrame:
    """Two streams: each alone, neither, both, late by 1, and what each brings."""
    rows = [
        ("present", "", 0, 0.0),
        ("present", "1m", 0, 0.1),
        ("present", "1h", 0, 0.3),
        ("present", "1m+1h", 0, 0.5),
        ("late", "1m", 1, 0.4),
        ("frozen", "1h", 1, 0.2),
        ("shapley", "1m", 0, 0.15),
        ("shapley", "1h", 0, 0.35),
    ]
    frame = pd.DataFrame(rows, columns=["kind", "streams", "slots", "value"])
    frame[["low", "high"]] = np.nan
    return frame.assign(head="action", target="action", measure="nats")


def attention() -> pd.DataFrame:
    """One layer of two streams."""
    rows = [("a", "a", 0.7, 0.5), ("a", "b", 0.3, 0.5), ("b", "a", 0.1, 0.5), ("b", "b", 0.9, 0.5)]
    frame = pd.DataFrame(rows, columns=["asking", "answering", "weight", "even"])
    return frame.assign(layer="layer 1")


def material(**others: Any) -> Material:
    """A run with everything, with HTML where a user can put some."""
    stream = {"symbol": "ETHUSDT", "timeframe": "1m", "candles": 10, "findings": [{"text": EVIL}]}
    known: dict[str, Any] = {
        "name": f"{EVIL}/2024",
        "verdict": f"Nothing is left after costs {EVIL}.",
        "metrics": metrics(),
        "predictions": [predictions()],
        "attention": attention(),
        "degraded": degraded(),
        "data": {"streams": {"1m": stream}},
        "config": f"name: {EVIL}\n",
        "environment": {"mtf": "0.1.0"},
        "money": [money()],
        "standing": {"num_trials": 37, "deflated_sharpe_ratio": 0.03},
        "trials": [{"name": EVIL, "sharpe_ratio": None}],
        "notes": [EVIL],
    }
    return Material(**{**known, **others})


def chromium() -> str | None:
    """The browser's program, where there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def browse(page: Path, profile: Path, *options: str) -> tuple[str, str]:
    """Open a page without a network: what it became, and what the browser had to say."""
    program = chromium()
    assert program is not None
    folder = f"--user-data-dir={profile}"
    done = subprocess.run(
        [program, *HARDENED, folder, *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "HOME": str(profile)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
