"""The JSON files of a run: ASCII without NaN, written atomically, read within limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtf.errors import CheckpointError
from mtf.learning.disk import MAX_JSON, parse_json, read_bounded, replace_synced


def json_text(content: Mapping[str, Any]) -> str:
    """JSON as it stands in a run's files: ASCII, and no NaN, which JSON does not have."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically.

    Raises:
        OSError: the disk refuses; an old file stays as it was.
    """
    replace_synced(path, json_text(content).encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run.

    Raises:
        CheckpointError: it is missing, too large, or no JSON object.
    """
    try:
        content = parse_json(read_bounded(path, MAX_JSON))
        reason = "" if isinstance(content, dict) else "no JSON object"
    except OSError as error:
        reason = str(error.strerror)
    except ValueError as error:
        reason = str(error)
    if reason:
        todo = "evaluate the run again" if path.stem == "metrics" else "use another run"
        raise CheckpointError(f"{path} can't be read: {reason}", "a JSON file written by mtf", todo)
    found: dict[str, Any] = content
    return found
