"""Files of the store that are damaged: what is wrong, and what can be done about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtf.errors import DataError
from mtf.realtime.stored_files import read_table


def test_what_can_be_done_about_a_damaged_file_is_its_owners_word(tmp_path: Path) -> None:
    path = tmp_path / "torn.parquet"
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="fetched again"):
        read_table(path, ("time",))
    with pytest.raises(DataError, match="gone for good") as caught:
        read_table(path, ("time",), todo="move it away: that hour is gone for good")
    assert "fetched" not in str(caught.value)
