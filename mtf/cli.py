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
    run: Annotated[
        str,
        typer.Argument(metavar="RUN|CONFIG", help="A run folder; with --walk-forward a config."),
    ],
    overrides: Overrides = None,
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
    walk_forward: Annotated[
        bool,
        typer.Option(
            "--walk-forward",
            help="Train CONFIG anew along time, fold by fold and seed by seed, and measure all "
            "that lies outside of training in one piece.",
        ),
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, help="Of a walk-forward: trainings side by side.")
    ] = 1,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the walk-forward that RUN names."),
    ] = False,
    trust: Trust = False,
) -> None:
    """Compute the figures of a run's test part again, or of a config walking forward in time."""
    _check_evaluate(overrides, walk_forward, symbol is not None or degraded, resume, processes)
    print(f"mtf evaluate {run}", flush=True)  # torch takes seconds
    if walk_forward and not resume:
        from mtf.config.load import load_config

        load_config(run, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import evaluate as verb

    if walk_forward:
        verb.walk_forward(run, overrides or [], processes=processes, resume=resume, trust=trust)
    else:
        verb.main(run, symbol=symbol, missing=degraded, trust=trust)


def _check_evaluate(
    overrides: list[str] | None, walk_forward: bool, of_run: bool, resume: bool, processes: int
) -> None:
    """Refuse what does not go together.

    Raises:
        MtfError: options of a walk-forward without it, or those of a run with it.
    """
    if walk_forward and (of_run or (resume and overrides)):
        raise MtfError(
            "found --walk-forward with --symbol, --degraded, or with --resume and overrides",
            "a config and overrides, or --resume and the folder of a walk-forward",
            "such as `mtf evaluate configs/dsc_mtf.yaml --walk-forward --processes 2`",
        )
    if not walk_forward and (overrides or resume or processes > 1):
        raise MtfError(
            "found overrides, --resume or --processes without --walk-forward",
            "a run, which is evaluated as it is",
            "add --walk-forward to train a config anew along time",
        )


@app.command()
def backtest(
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Of costs and backtest, such as costs.commission=0.0005."
        ),
    ] = None,
    part: Annotated[str, typer.Option(help="train, validation, calibration or test.")] = "test",
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another backtest plug-in; `mtf list backtest`."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another policy; `mtf list policy`.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Trade this symbol alone.")] = None,
    trust: Trust = False,
) -> None:
    """Trade what a run said: costs, trades, baselines, and whether anything is left."""
    print(f"mtf backtest {run}", flush=True)  # imports take seconds
    from mtf import backtest as verb

    chosen = {"backtest.name": engine, "backtest.policy.name": policy}
    given = [f"{key}={name}" for key, name in chosen.items() if name is not None]
    verb.main(run, [*given, *(overrides or [])], part=part, symbol=symbol, trust=trust)


@app.command()
def null(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A YAML file, or the name of a config that comes with mtf, such as dsc_mtf.",
            autocompletion=completion.configs,
        ),
    ],
    overrides: Overrides = None,
    worlds: Annotated[int, typer.Option(min=1, help="Worlds of each null.")] = 19,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each training.")] = 150,
) -> None:
    """Retrain a small form of a config where nothing is to be found, and where something is."""
    print(f"mtf null {config}", flush=True)  # torch takes seconds
    from mtf.config.load import load_config

    load_config(config, overrides or [])  # so that its mistakes show before torch is loaded
    from mtf import null as verb

    verb.main(config, overrides or [], worlds=worlds, steps=steps)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN ...", help="Two runs or more; the others are tested against the first."
        ),
    ],
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Save the comparison as a page, too.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Put runs side by side: settings, figures, and paired tests on the decisions they share."""
    print(f"mtf compare {' '.join(runs)}", flush=True)  # imports take seconds
    from mtf import compare as verb

    verb.main(runs, html=html, trust=trust)


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
