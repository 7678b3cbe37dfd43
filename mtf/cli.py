"""The command line: one thin command a verb, everything heavy imported inside of it.

A user's mistake ends with its message and exit code 2, a defect of mtf with one line and exit
code 1; neither shows a traceback unless ``--debug`` is given.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from mtf import completion
from mtf.errors import MtfError
from mtf.plugins.blame import blame

app = typer.Typer(
    name="mtf",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich would double the time that --help takes
    pretty_exceptions_enable=False,
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Such as model.encoder.kernel_size=9; values as in YAML.",
        autocompletion=completion.overrides,
    ),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-plugins", help="Run the plug-in files that the run's config names. They are code."
    ),
]
Kind = Annotated[str, typer.Argument(metavar="KIND", autocompletion=completion.kinds)]
Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.plugins)]


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks. May stand anywhere on the line.")
    ] = False,
) -> None:
    """Multi-timeframe models of crypto candles: train, evaluate, look inside."""


@app.command()
def train(
    config: Annotated[
        str,
        typer.Argument(
            metavar="[CONFIG]",
            help="A YAML file, or the name of a config that comes with mtf, such as dsc_mtf.",
            autocompletion=completion.configs,
        ),
    ] = "",
    overrides: Overrides = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Train and evaluate; the last line names the run's folder."""
    if bool(config) == bool(resume):
        raise MtfError(
            "found both CONFIG and --resume RUN" if config else "found neither CONFIG nor --resume",
            "a config to start a run, or --resume with the folder of one to go on with",
            "such as `mtf train configs/dsc_mtf.yaml`",
        )
    print(f"mtf train {config or '--resume ' + str(resume)}", flush=True)  # torch takes seconds
    if config:
        from mtf.config.load import load_config

        load_config(config, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import train as verb

    verb.main(config, overrides or [], resume=resume, trust=trust)


@app.command()
def evaluate(
    run: Run,
    symbol: Annotated[
        str | None,
        typer.Option(help="Measure this symbol alone, also one left out of training."),
    ] = None,
    degraded: Annotated[
        bool,
        typer.Option(
            "--degraded",
            help="Measure what it is worth with streams missing, late or frozen, and what each "
            "brings: a table, degraded.csv and TensorBoard images.",
        ),
    ] = False,
    trust: Trust = False,
) -> None:
    """Compute the figures of a run's test part again."""
    print(f"mtf evaluate {run}", flush=True)  # torch takes seconds
    from mtf import evaluate as verb

    verb.main(run, symbol=symbol, missing=degraded, trust=trust)


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Candles as csv or parquet.")],
    against: Annotated[
        str | None, typer.Option(metavar="FILE", help="A second source of the same candles.")
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Save the report as JSON, too.")
    ] = None,
    timeframe: Annotated[
        str | None, typer.Option(help="Of the candles; by their distance where not said.")
    ] = None,
) -> None:
    """Print the data report of one file: gaps, duplicates, disorder, implausible prices."""
    from mtf import inspect as verb

    verb.main(file, against, json, timeframe)


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def bench(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Such as train; `mtf bench` lists them, `mtf bench NAME --help` their options.",
            autocompletion=completion.benchmarks,
        ),
    ] = "",
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[OPTIONS]...", help="Of the benchmark.")
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Save the figures as JSON, too.")
    ] = None,
) -> None:
    """Measure speed, memory or what is learned beside what one would do otherwise."""
    from mtf import bench as verb

    verb.main(name, options or [], json)


@app.command()
def summary(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A YAML file, or the name of a config that comes with mtf, such as dsc_mtf.",
            autocompletion=completion.configs,
        ),
    ],
    overrides: Overrides = None,
) -> None:
    """Count the parameters and multiply-adds of every part of a model; reads no data."""
    print(f"mtf summary {config}", flush=True)  # torch takes seconds
    from mtf.config.load import load_config

    load_config(config, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import summary as verb

    verb.main(config, overrides or [])


@app.command("list")
def list_(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="[KIND|GLOB]",
            help="A kind such as encoder, or a glob for kinds and names such as 'enc*'.",
            autocompletion=completion.kinds,
        ),
    ] = "*",
) -> None:
    """List the plug-ins there are; broken ones say why."""
    from mtf import list as verb

    verb.main(pattern)


@app.command()
def describe(kind: Kind, name: Name) -> None:
    """Explain one plug-in: options, types, defaults, and the YAML to copy."""
    from mtf import describe as verb

    verb.main(kind, name)


@app.command()
def check(
    kind: Kind,
    name: Name,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Its options, such as kernel_size=9."),
    ] = None,
    plugins: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Run this file first; it registers by decorator."),
    ] = None,
    ask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'SYMBOL TIMEFRAME START END'", help="What a data source is asked for."
        ),
    ] = None,
) -> None:
    """Try every promise of a plug-in's contract: shapes, causality, masks, state, speed."""
    from mtf import check as verb

    if not verb.main(kind, name, options or [], plugins or [], ask or []):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of configs, for editors."""
    from mtf import schema as verb

    verb.main()


@app.command()
def init(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="The file to write.")],
) -> None:
    """Write a config to start from; never overwrites."""
    from mtf import init as verb

    verb.main(config)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    Args:
        arguments: without the program's name; None = those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        app([word for word in given if word != "--debug"], prog_name="mtf")
    except MtfError as error:
        if debug:
            traceback.print_exc()
        print(error, file=sys.stderr)
        sys.exit(2)
    except Exception as error:  # the last resort: a defect of a plug-in or of mtf
        if debug:
            raise
        named = blame(error)
        if named:
            print(named, file=sys.stderr)
            sys.exit(2)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print("  this is a defect of mtf or of a plug-in, not of your config", file=sys.stderr)
        print("  to do: add --debug to see where it happened, and report it", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
