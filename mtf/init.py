"""``mtf init CONFIG``: writes a config to start from, with a comment on every line."""

from __future__ import annotations

from pathlib import Path

from mtf.errors import ConfigError

STARTER = """\
# yaml-language-server: $schema={schema}
# Trains on candles of your own and predicts where the price goes in the next 15 steps.
#   needs:    one file of candles (columns time, open, high, low, close, volume in any common names)
#   run:      mtf train {file}
#   override: mtf train {file} data.path=other.csv training.epochs=2
# Every other key has a default: `mtf schema` lists them, `mtf describe encoder dsc` explains one.
data: {{name: csv, path: my.csv}}     # or {{name: synthetic}}, which needs no file
decisions:
  clock: 1m                         # decide at every close of this candle length
  start: "2024-01-01"               # UTC; earlier history is used for warming up
  end: "2024-03-01"                 # not included
  symbols: [ETHUSDT]
streams:                            # what the model reads; 600 candles of each by default
  1m: {{}}
  15m: {{from: 1m}}                   # built from the 1m candles
  1h: {{from: 1m, lookback: 168}}
"""


def main(config: str) -> None:
    """Write the starter config.

    Raises:
        ConfigError: there is a file of that name, or it can't be written.
    """
    path = Path(config)
    text = STARTER.format(file=path, schema=_schema_file())
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists", "a new file", "choose another name, or remove it first"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", "a file that can be written", "choose another place"
        ) from error
    print(f"{path} is written: set data.path, dates and symbol, then `mtf train {path}`")


def _schema_file() -> Path:
    """The schema that is installed with mtf, for editors."""
    from importlib import util

    spec = util.find_spec("mtf.configs")
    folders = (spec.submodule_search_locations if spec else None) or ["configs"]
    return Path(folders[0]) / "schema.json"


if __name__ == "__main__":
    import sys

    from mtf.cli import main as cli

    cli(["init", *sys.argv[1:]])
