"""What a walk-forward prints: all folds in one piece, then seed by seed and fold by fold.

The figures of all folds are printed as those of a run are; below them stands what one lucky seed or
one lucky fold would hide: the primary metric of every target, of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.table import Table

from mtf.evaluation.results import Results, TargetResult
from mtf.evaluation.walk_results import FoldFigures, Spread, Spreads, WalkResults, spreads
from mtf.market.times import iso
from mtf.report.terminal import Terminal, number, primary, spoken


def print_walk_forward(results: WalkResults, terminal: Terminal) -> None:
    """Print all figures: tables on a terminal, a line a seed and a fold elsewhere."""
    terminal.line(f"out of sample: {len(results.folds)} folds in one piece, {mean_of(results)}")
    terminal.results(results.together)
    if terminal.console.is_terminal:
        terminal.console.print(seeds_table(results))
        terminal.console.print(folds_table(results))
        return
    for line in (*seed_lines(results), *fold_lines(results)):
        terminal.line(line)


def mean_of(results: WalkResults) -> str:
    """Whose answer the figures are of."""
    count = len(results.seeds)
    return f"mean answer of {count} seeds" if count > 1 else "one seed"


def seed_lines(results: WalkResults) -> Iterator[str]:
    """A line a seed, and one of their spread; nothing of a single seed."""
    if len(results.seeds) < 2:
        return
    for seed, own in results.seeds.items():
        yield f"seed {seed} alone: {', '.join(_figures(own))}"
    told = [
        f"{name} {result.primary} {spread_text(_spread(results.spread, head, target, result))}"
        for head, target, name, result in _targets(results.together)
    ]
    yield f"mean ± sd over {len(results.seeds)} seeds: {', '.join(told)}"


def fold_lines(results: WalkResults) -> Iterator[str]:
    """A line a fold: its test block, and the mean answer of all seeds on it."""
    for fold in results.folds:
        yield f"{fold_name(fold)}: {', '.join(_figures(fold.together))}"


def seeds_table(results: WalkResults) -> Table:
    """The primary metric of every target: a column a seed, their spread, and their mean answer."""
    table = _table("seed by seed, all folds")
    for seed in results.seeds:
        table.add_column(f"seed {seed}", justify="right")
    table.add_column("mean ± sd", justify="right")
    table.add_column("all seeds together", justify="right")
    for head, target, name, result in _targets(results.together):
        own = [primary(one.heads[head][target]) for one in results.seeds.values()]
        spread = spread_text(_spread(results.spread, head, target, result))
        table.add_row(name, spoken(result.primary), *own, spread, primary(result))
    return table


def folds_table(results: WalkResults) -> Table:
    """The primary metric of every target: a column a fold, with the spread over the seeds."""
    table = _table("fold by fold, mean answer of all seeds ± sd over the seeds")
    for fold in results.folds:
        table.add_column(fold_name(fold), justify="right")
    spread = [spreads(fold.seeds) for fold in results.folds]
    for head, target, name, result in _targets(results.together):
        cells = [
            _with_sd(fold.together.heads[head][target], _spread(of, head, target, result))
            for fold, of in zip(results.folds, spread, strict=True)
        ]
        table.add_row(name, spoken(result.primary), *cells)
    return table


def fold_name(fold: FoldFigures) -> str:
    """``fold 2, 2023-04-01 00:00 to 2023-07-01 00:00``."""
    test = fold.parts["test"]
    return f"fold {fold.fold}, {iso(test.start_ms)} to {iso(test.end_ms)}"


def spread_text(spread: Spread) -> str:
    """``1.0613 ± 0.0021``; the mean alone of one seed."""
    return f"{number(spread.mean)} ± {number(spread.sd)}" if spread.n > 1 else number(spread.mean)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("target")
    table.add_column("metric")
    return table


def _with_sd(result: TargetResult, spread: Spread) -> str:
    """The primary metric, and how much the seeds differ in it."""
    return primary(result) + (f" ± {number(spread.sd)}" if math.isfinite(spread.sd) else "")


def _spread(found: Spreads, head: str, target: str, result: TargetResult) -> Spread:
    """The spread of a target's primary metric; undefined where no decision has a label."""
    return found[head][target].get(result.primary, Spread.of(()))


def _targets(results: Results) -> Iterator[tuple[str, str, str, TargetResult]]:
    """Head, target, both in words, and the figures."""
    for head, targets in results.heads.items():
        for target, result in targets.items():
            yield head, target, " ".join(results.path(head, target)), result


def _figures(results: Results) -> list[str]:
    """The primary metric of every target."""
    return [f"{name} {one.primary} {primary(one)}" for _, _, name, one in _targets(results)]


__all__ = ["print_walk_forward"]
