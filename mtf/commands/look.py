"""Commands that look inside: data, plug-ins, configs, speed."""

from __future__ import annotations

from typing import Annotated

import typer

from mtf import completion
from mtf.commands.app import Config, Kind, Name, Overrides, app


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
    config: Config,
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
