"""``mtf sandbox``: it prints its address, serves, and ends with Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from mtf import sandbox
from mtf.errors import MtfError

START = 1_748_736_000_000  # 2025-06-01


def started(**options: Any) -> subprocess.Popen[str]:
    """The verb in a process of its own."""
    code = f"from mtf import sandbox; sandbox.main(**{options!r})"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def write(folder: Path) -> None:
    """Twenty flat minutes of ETH."""
    names = ["open_time", "open", "high", "low", "close", "volume"]
    columns = [[START + 60_000 * row for row in range(20)]] + [[5.0] * 20 for _ in range(5)]
    table = pa.table([pa.array(column) for column in columns], names=names)
    pq.write_table(table, folder / "ETHUSDT_1m.parquet")


def test_it_serves_until_it_is_interrupted() -> None:
    process = started(speed=60, start="2025-06-01T12:00", symbols=["ETHUSDT"])
    assert process.stdout is not None
    with process:
        lines = [process.stdout.readline() for _ in range(4)]
        address = re.fullmatch(r"REST +(http://127\.0\.0\.1:\d+)\n", lines[0])
        assert address is not None
        assert lines[1] == f"websockets  {address[1].replace('http', 'ws')}\n"
        assert re.fullmatch(r"market +ETHUSDT; from 2025-06-01 12:00.* UTC at 60x\n", lines[2])
        answer = requests.get(f"{address[1]}/v5/market/time", timeout=5).json()
        assert 0 <= int(answer["time"]) - START - 12 * 3_600_000 < 60 * 60_000
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout.read() == "\nended\n"


@pytest.mark.parametrize("inside", ["", "linear"])  # the store of mtf fetch has a folder a category
def test_a_folder_of_candles(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir(exist_ok=True)
    write(tmp_path / inside)
    process = started(data=str(tmp_path), speed=0, start="2025-06-01T00:10:00+00:00")
    assert process.stdout is not None
    with process:
        url = process.stdout.readline().split()[1]
        process.stdout.readline()
        assert "ETHUSDT; from 2025-06-01 00:10 UTC at 0x" in process.stdout.readline()
        query = "category=linear&symbol=ETHUSDT&interval=1"
        rows = requests.get(f"{url}/v5/market/kline?{query}", timeout=5).json()["result"]["list"]
        assert len(rows) == 11
        assert rows[1][:5] == [str(START + 9 * 60_000), "5", "5", "5", "5"]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_what_can_not_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(MtfError, match="found --start 'soon'"):
        sandbox.main(start="soon")
    with pytest.raises(MtfError, match="0 to 65535; 0 is any free one"):
        sandbox.main(port=99_999)
    with pytest.raises(MtfError, match="no file or folder"):
        sandbox.main(tmp_path / "nothing")
    with pytest.raises(MtfError, match="found speed -1"):
        sandbox.main(speed=-1.0)
    write(tmp_path)
    with pytest.raises(MtfError, match="from 2025-06-01 00:00 to 2025-06-01 00:20"):
        sandbox.main(tmp_path, start="2025-06-02")
