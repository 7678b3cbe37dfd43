"""``mtf schema``: JSON Schema of a config, by which editors complete and check YAML."""

from __future__ import annotations

import json


def main() -> None:
    """Print the schema, with the options of every plug-in that can be loaded."""
    from mtf.config.json_schema import json_schema

    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["schema", *sys.argv[1:]])
