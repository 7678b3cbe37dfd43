"""``mtf summary CONFIG``: parameters and multiply-adds of every part; reads no candle."""

from __future__ import annotations

if __name__ == "__main__":  # first, so that a line appears before torch is imported
    import sys

    from mtf.cli import main as cli

    cli(["summary", *sys.argv[1:]])

from collections.abc import Sequence

from mtf.config.load import load_config
from mtf.learning.cost import cost
from mtf.report.cost import print_cost


def main(config: str, overrides: Sequence[str] = ()) -> None:
    """Print what the model of a config costs.

    Args:
        config: a YAML file, or the name of a config that comes with mtf.
        overrides: such as ``model.embed_dim=128``.

    Raises:
        MtfError: a config that can't be used.
    """
    print_cost(cost(load_config(config, overrides)))
