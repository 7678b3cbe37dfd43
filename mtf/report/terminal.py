"""What a run prints: where it writes, what came out.

On a terminal results are tables; elsewhere (a log file, a pipe) every target is a line or two
without boxes, so that a whole run stays within 25 lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from mtf.evaluation.bootstrap import Estimate
from mtf.evaluation.results import BaselineResult, Results, TargetResult

SURE = 0.05
"""Above this p an advantage or a loss is said to be possibly chance."""
PLAIN_METRICS = 4
"""So many metrics of a target are printed where the output is no terminal …"""
TELLING = ("log_loss", "accuracy", "rank_ic", "skill")
"""… after the primary metric these first."""


class Terminal:
    """Prints a run.

    Args:
        console: where to; by default the standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Print to ``console``."""
        self.console = console or Console()

    def line(self, text: str) -> None:
        """One line as it is: no colours, no markup, no wrapping."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def passed_over(self, damaged: Sequence[str]) -> None:
        """Damaged checkpoints, each with its reason; the one before them is used."""
        for reason in damaged:
            self.line(f"passed over: {reason}")

    def results(self, results: Results) -> None:
        """Figures of every head and target with intervals, beside the baselines."""
        if self.console.is_terminal:
            self._tables(results)
        else:
            for text in (*plain_lines(results), *symbol_lines(results)):
                self.line(text)

    def _tables(self, results: Results) -> None:
        for head, targets in results.heads.items():
            self.console.print(results_table(head, targets, results.part))
            for target, result in targets.items():
                name = " ".join(results.path(head, target))
                said = ", ".join((*related(result), *verdicts(result)))
                self.line(f"  {name}, {counted(result)}: {said}")
        if results.symbols:
            self.console.print(symbols_table(results))


def results_table(head: str, targets: Mapping[str, TargetResult], part: str = "test") -> Table:
    """One head: a row a target and metric, the model and each baseline a column."""
    names = list(dict.fromkeys(name for result in targets.values() for name in result.baselines))
    table = Table(title=f"{head} on the {part} part", title_justify="left")
    table.add_column("target")
    table.add_column("metric")
    for name in ("model", "95 % interval", *map(spoken, names)):
        table.add_column(name, justify="right")
    for target, result in targets.items():
        for row in _rows(target, result, names):
            table.add_row(*row)
        table.add_section()
    return table


def plain_lines(results: Results) -> Iterator[str]:
    """The same without boxes: the first metrics of a target, then what it beats and loses to."""
    yield f"{results.part} part: value [95 % interval], p of a paired test"
    for head, targets in results.heads.items():
        for target, result in targets.items():
            name = " ".join(results.path(head, target))
            metrics = _most_telling(result)
            figures = "  ".join(f"{key} {with_interval(metrics[key])}" for key in metrics)
            verdict = ", ".join((*related(result), *verdicts(result)))
            text = f"{name}: {figures}  {counted(result)}"
            if head in results.flat:
                yield text
                yield f"  {verdict}"
            else:
                yield f"{text}; {verdict}"


def symbols_table(results: Results) -> Table:
    """The primary metric of every target, all symbols together and each by itself a column."""
    title = f"symbol by symbol on the {results.part} part"
    table = Table(title=title, title_justify="left")
    table.add_column("target")
    table.add_column("metric")
    columns = [results, *results.symbols.values()]
    for name in ("all", *results.symbols):
        table.add_column(name, justify="right")
    for head, targets in results.heads.items():
        for target, result in targets.items():
            cells = [primary(one.heads[head][target]) for one in columns]
            table.add_row(" ".join(results.path(head, target)), spoken(result.primary), *cells)
    return table


def symbol_lines(results: Results) -> Iterator[str]:
    """The same without boxes: a line a symbol of a panel."""
    for symbol, own in results.symbols.items():
        figures = [
            f"{' '.join(own.path(head, target))} {result.primary} {primary(result)}"
            for head, targets in own.heads.items()
            for target, result in targets.items()
        ]
        yield f"{symbol} alone: {', '.join(figures)}"


def primary(result: TargetResult) -> str:
    """The primary metric with its interval, and which baselines it loses to."""
    if result.primary not in result.metrics:
        return "-"
    lost = [spoken(name) for name, one in result.baselines.items() if one.beaten is False]
    said = f" (loses to {', '.join(lost)})" if lost else ""
    return with_interval(result.metrics[result.primary]) + said


def verdicts(result: TargetResult) -> list[str]:
    """What the model beats and what it loses to, said plainly."""
    return [verdict(name, beside) for name, beside in result.baselines.items()]


def related(result: TargetResult) -> list[str]:
    """Whether what was said is related to what happened, by block permutations, if tested."""
    if result.permuted is None:
        return []
    p = result.permuted.p
    if not math.isfinite(p):
        return [f"not tested against chance ({result.permuted.reason})"]
    return [f"{'no better than chance' if p > SURE else 'not by chance'} (permutation p={p:.2g})"]


def verdict(name: str, beside: BaselineResult) -> str:
    """One sentence such as ``beats class prior (p=0.003)``."""
    if beside.beaten is None:
        return f"can't be compared with {spoken(name)}"
    p = beside.comparison.p_two_sided
    chance = ", may be chance" if p > SURE else ""
    if beside.comparison.difference == 0:
        return f"equals {spoken(name)}"
    sure = f" (p={p:.2g}{chance})" if math.isfinite(p) else ""
    return f"{'beats' if beside.beaten else 'loses to'} {spoken(name)}{sure}"


def counted(result: TargetResult) -> str:
    """How many decisions, and how many distinct targets are behind them."""
    n = max((one.n for one in result.metrics.values()), default=0)
    if not n:
        return "no decision has a label here"
    return f"{n:,} decisions, {result.n_distinct:,} distinct"


def with_interval(estimate: Estimate) -> str:
    """``0.0613 [0.0402, 0.0831]``."""
    if not math.isfinite(estimate.low):
        return number(estimate.value)
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def number(value: float) -> str:
    """Four decimals, fewer where they say nothing; a dash where undefined."""
    if not math.isfinite(value):
        return "-"
    return f"{value:z.4f}" if abs(value) < 100 else f"{value:.4g}"


def spoken(name: str) -> str:
    """A name in words: ``class_prior`` is ``class prior``."""
    return name.replace("_", " ")


def _rows(target: str, result: TargetResult, names: Sequence[str]) -> Iterator[list[str]]:
    """Rows of one target; only the first says its name."""
    if not result.metrics:
        yield [target, *["-"] * (3 + len(names))]
    for index, (key, estimate) in enumerate(result.metrics.items()):
        interval = f"{number(estimate.low)} … {number(estimate.high)}"
        beside = [_beside(result, name, key) for name in names]
        label = "" if index else target
        yield [label, spoken(key), number(estimate.value), interval, *beside]


def _beside(result: TargetResult, name: str, key: str) -> str:
    baseline = result.baselines.get(name)
    if baseline is None or key not in baseline.metrics:
        return ""
    return number(baseline.metrics[key].value)


def _most_telling(result: TargetResult) -> dict[str, Estimate]:
    """The primary metric and a few others."""
    order = sorted(result.metrics, key=lambda key: (key != result.primary, key not in TELLING))
    return {key: result.metrics[key] for key in order[:PLAIN_METRICS]}
