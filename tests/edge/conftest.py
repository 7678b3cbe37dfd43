"""One export of a small run for all tests of the runner."""

from __future__ import annotations

from pathlib import Path

import exports
import pytest

from mtf.learning.task import Task


@pytest.fixture(scope="session")
def small_export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Task]:
    """The exported folder and the task whose weights are in it."""
    return exports.small_export(tmp_path_factory)[1:]
