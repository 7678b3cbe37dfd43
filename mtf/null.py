"""``mtf null CONFIG``: does a config learn more than it learns where there is nothing to learn?

A small model of the config is trained on its data, on worlds of three nulls and on planted signals
(``mtf.evaluation.nulls``); overrides given by the user go on top of what makes it small.
"""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["null", *sys.argv[1:]])

from collections.abc import Sequence
from pathlib import Path

from mtf.config.load import load_config, resolved
from mtf.errors import CheckpointError
from mtf.evaluation.null_worlds import preset
from mtf.evaluation.nulls import STEPS, WORLDS, run_nulls
from mtf.learning.json_files import json_text
from mtf.report.nulls import null_json, null_lines
from mtf.report.terminal import Terminal
from mtf.run import RUNS
from mtf.run_folder import create_folder

FOLDER = "null"


def main(
    config: str, overrides: Sequence[str], *, worlds: int = WORLDS, steps: int = STEPS
) -> Path:
    """Run the null suite: prints the table, writes runs/null/<name>/<time>/null.json.

    Args:
        config: a file, or the name of a shipped config.
        overrides: such as ``model.embed_dim=32``.
        worlds: of each null; p is at least 1 / (1 + worlds).
        steps: optimiser steps of each training.

    Returns:
        The folder.

    Raises:
        MtfError: config, data or disk can't be used.
    """
    terminal = Terminal()
    small = load_config(config, [*preset(load_config(config, overrides)), *overrides])
    found = run_nulls(small, worlds, steps, terminal.line)
    for line in null_lines(found):
        terminal.line(line)
    parent = RUNS / FOLDER / small.name
    files = {"config.yaml": resolved(small), "null.json": json_text(null_json(found))}
    try:
        path = create_folder(parent, files)
    except OSError as error:
        raise CheckpointError(
            f"could not write a folder in {parent}: {error.strerror or error}",
            "a writable folder with room for it",
            "free space, fix the permissions, or start from another folder",
        ) from error
    terminal.line(str(path))
    return path
