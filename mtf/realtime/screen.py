"""What a live session looks like on a terminal, and as lines where nobody watches.

Fits 80 columns and 24 rows. What needs more room than there is ends in an ellipsis, and what is
well gives way first. Words come from outside: none of them is read as markup, or can move the
cursor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest

from rich.console import Console, ConsoleOptions, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from mtf.market.times import iso
from mtf.realtime.decision import Decision
from mtf.realtime.view import AccountLook, StreamLook, View

LINE_WIDTH = 160
WIDE, HIGH = 110, 30
"""From so many columns and rows on there is room for more."""
SHOWN_FAULTS = 4
PROBABILITY = ".prob_"
GOOD, WAITING, BAD = "green", "yellow", "bold red"
STYLES = {
    "live": GOOD,
    "starting": WAITING,
    "filling": WAITING,
    "stale": BAD,
    "frozen": BAD,
    "lost": BAD,
    "present": GOOD,
    "absent": BAD,
}


def screen(view: View) -> RenderableType:
    """A session at a moment, as large as the terminal."""
    return _Screen(view)


def plain_line(decision: Decision, account: AccountLook | None) -> str:
    """A decision on one line of at most 160 characters."""
    names = said_names(decision.said, 6)
    said = " ".join(f"{name} {_figure(decision.said[key])}" for key, name in names.items())
    parts = [f"{iso(decision.time_ms)} UTC", said, f"weight {_weight(decision)}"]
    if account is not None:
        parts += [f"position {account.position:+.6g}", f"equity {_money(account.equity)}"]
    missing = (f"{name} {how}" for name, how in decision.streams.items() if how != "present")
    parts.append(decision.why or ", ".join(missing))
    line = _printable("  ".join(part for part in parts if part))
    return line if len(line) <= LINE_WIDTH else f"{line[: LINE_WIDTH - 1]}…"


def said_names(said: Mapping[str, float], most: int) -> dict[str, str]:
    """Columns to show and their short names: probabilities if there are any, else the first.

    What a second head says of the same (``confidence`` beside ``action``) is left out.
    """
    chosen = {key.split(PROBABILITY)[-1]: key for key in reversed([*said]) if PROBABILITY in key}
    keys = [key for key in said if key in chosen.values()] or list(said)
    heads = {key.split(PROBABILITY)[0] for key in keys}
    named = {key: key.replace(PROBABILITY, " ") for key in keys[:most]}
    return {
        key: key.split(PROBABILITY)[-1] if len(heads) == 1 else name for key, name in named.items()
    }


class _Screen:
    """Lays a view out on as much room as there is."""

    def __init__(self, view: View) -> None:
        self.view = view

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """What is said in words comes first, then streams and account; decisions take the rest."""
        width, height = options.max_width, options.height or console.height
        warnings = _warnings(self.view, console, width, 4 if height >= HIGH else 2)
        middle = _account(self.view), _faults(self.view)
        left = height - 2 - len(warnings) - 1 - max(len(lines) for _, lines in middle)
        streams = max(min(len(self.view.streams), left - 2 - 3), 1)
        yield from (*_header(self.view), *warnings)
        yield from _streams(self.view, streams, wide=width >= WIDE)
        yield _side_by_side(*middle)
        yield from _decisions(self.view, max(left - 2 - streams - 2, 1), wide=width >= WIDE)


def _header(view: View) -> Iterator[RenderableType]:
    """Two lines: what and when."""
    clock = iso(view.now_ms // 1_000 * 1_000)
    kind = "signals only" if view.signals_only else "paper"
    up = "" if view.started_ms is None else f"up {span(view.now_ms - view.started_ms)}  "
    then = "waits for its history"
    if view.next_ms is not None:
        then = f"next decision in {span(view.next_ms - view.now_ms)}"
    at = f"{clock if clock.count(':') == 2 else f'{clock}:00'} UTC"
    yield _ends(f"{view.run}  {view.symbol}", f"{at}  {view.speed:g}×  {kind}", "bold")
    missed = f", {view.num_missed:,} missed" if view.num_missed else ""
    told = f"{up}{view.num_decisions:,} decisions{missed}  exchange's clock {view.offset_ms:+,} ms"
    yield _ends(told, then)


def _ends(left: str, right: str, style: str = "") -> RenderableType:
    """A line with something at both ends; the left one gives way."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True, overflow="ellipsis")
    grid.add_row(_text(left, style), _text(right, style))
    return grid


def _warnings(view: View, console: Console, width: int, most: int) -> list[Text]:
    """What is halted or missing, in bold, each on a few lines."""
    lines: list[Text] = []
    for label, words, style in (
        ("HALTED", view.halted, "bold white on red"),
        ("DEGRADED", view.degraded, "bold yellow"),
    ):
        if not words:
            continue
        wrapped = Text(_printable(f"{label}: {words}"), style).wrap(console, width)
        if len(wrapped) > most:
            wrapped[most - 1].truncate(width - 1)
            wrapped[most - 1].append("…")
        lines += wrapped[:most]
    return lines


def _streams(view: View, rows: int, *, wide: bool) -> Iterator[RenderableType]:
    """Streams with state and age; where there is no room for all, those in trouble."""
    well = [look.state == "live" and look.known in ("", "present") for look in view.streams]
    chosen = sorted(sorted(range(len(well)), key=lambda index: well[index])[:rows])
    some = "" if rows == len(well) else f", {rows} of {len(well)}"
    yield _rule(f"streams{some}")
    table = _table(("stream", 12), ("of", 16), ("state", 16), ("age", 8))
    table.add_column("decided on", no_wrap=True)
    if wide:
        table.add_column("candles", justify="right", no_wrap=True)
    table.add_column("why", ratio=1, no_wrap=True, overflow="ellipsis")
    for index in chosen:
        table.add_row(*_stream_cells(view.streams[index], view.now_ms, wide=wide))
    yield table


def _stream_cells(look: StreamLook, now_ms: int, *, wide: bool) -> Iterator[Text]:
    """One row."""
    yield _text(look.name)
    yield _text(look.of)
    since = "" if look.since_ms is None else f" {span(now_ms - look.since_ms)}"
    yield _text(f"{look.state}{since}", STYLES[look.state])
    yield _text("none" if look.closed_ms is None else span(now_ms - look.closed_ms))
    yield _text(look.known, STYLES.get(look.known, WAITING))
    if wide:
        yield _text(f"{look.candles:,}")
    yield _text(look.why)


def _account(view: View) -> tuple[str, list[Text]]:
    """Title and lines of the paper account."""
    account = view.account
    if view.signals_only:
        return "account", [_text("none: signals only")]
    if account is None:
        return "paper account", [_text("is opened at the first decision")]
    profit = account.equity - account.capital
    share = profit / account.capital if account.capital else math.nan
    held = f"{account.position:+.6g} at {_money(account.entry_price)}"
    ordered = "" if account.ordered is None else f", ordered {account.ordered:+.2f}"
    return "paper account", [
        _text(f"equity    {_money(account.equity)} ").append(
            f"{profit:+,.2f} {share:+.2%}", GOOD if profit >= 0 else BAD
        ),
        _text(f"position  {held if account.position else 'none'}{ordered}"),
        _text(f"mark      {_money(account.mark)}, unrealised {account.unrealised:+,.2f}"),
        _text(f"fills {account.num_fills:,}  trades {account.num_trades:,}  costs "
              f"{account.costs:,.2f}"),
        _text(f"last      {account.last_fill or 'none'}"),
    ]  # fmt: skip


def _faults(view: View) -> tuple[str, list[Text]]:
    """Title and lines of the faults so far: counts by kind, the newest first."""
    if not view.faults:
        return "faults", [_text("none so far", GOOD)]
    counts = sorted(view.faults.items(), key=lambda item: -item[1])
    newest = view.last_faults[::-1][:SHOWN_FAULTS]
    words = (f"{_short(one.at_ms, view.now_ms)} {one.kind}: {one.words}" for one in newest)
    lines = [", ".join(f"{kind} {count:,}" for kind, count in counts), *words]
    return f"faults: {sum(view.faults.values()):,}", [_text(line) for line in lines]


def _side_by_side(*sections: tuple[str, list[Text]]) -> RenderableType:
    """Sections of a few lines."""
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in sections:
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_row(*(_rule(title) for title, _ in sections))
    for lines in zip_longest(*(lines for _, lines in sections), fillvalue=Text()):
        grid.add_row(*lines)
    return grid


def _decisions(view: View, rows: int, *, wide: bool) -> Iterator[RenderableType]:
    """The last decisions, newest first."""
    yield _rule("decisions")
    if not view.decisions:
        yield _text("none so far")
        return
    names = said_names(view.decisions[-1].said, 8 if wide else 4)
    table = _table(("at", 11), *((name, 12) for name in names.values()), ("weight", 12))
    table.add_column("why", ratio=1, no_wrap=True, overflow="ellipsis")
    for decision in view.decisions[::-1][:rows]:
        said = (_figure(decision.said.get(key, math.nan)) for key in names)
        style = "" if decision.allowed and not decision.degraded else WAITING
        cells = (_short(decision.time_ms, view.now_ms), *said, _weight(decision), decision.why)
        table.add_row(*(_text(cell, style) for cell in cells))
    yield table


def _table(*columns: tuple[str, int]) -> Table:
    """Columns of at most a width; words from outside as names."""
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name, width in columns:
        table.add_column(_text(name), max_width=width, no_wrap=True, overflow="ellipsis")
    return table


def _rule(title: str) -> Rule:
    return Rule(_text(title, "bold"), align="left", style="dim")


def _text(words: str, style: str = "") -> Text:
    """Words from outside on one line."""
    return Text(_printable(words), style, no_wrap=True, overflow="ellipsis")


def _printable(words: str) -> str:
    """Without line breaks, and without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in words)


def _short(time_ms: int, now_ms: int) -> str:
    """The time of a day; the day and its time where that was another day."""
    day, _, clock = iso(time_ms // 1_000 * 1_000).partition(" ")
    return clock if day == iso(now_ms).partition(" ")[0] else f"{day[5:]} {clock[:5]}"


def span(duration_ms: int) -> str:
    """A time in two units at most: ``53s``, ``3m05s``, ``5h03m``, ``3d04h``."""
    minutes, second = divmod(max(duration_ms // 1_000, 0), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hours}h{minute:02}m"
    return f"{minutes}m{second:02}s" if minutes else f"{second}s"


def _weight(decision: Decision) -> str:
    """What is ordered, and what was wanted where that may not be."""
    wanted, weight = map(_holding, (decision.wanted, decision.weight))
    return weight if wanted == weight else f"{wanted}→{weight}"


def _holding(weight: float) -> str:
    if math.isnan(weight):
        return "keep"
    return f"{weight:+.2f}" if weight else "flat"


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else "-" if math.isnan(value) else f"{value:.4g}"


def _money(value: float) -> str:
    """Cents of what is large, six digits of what is small."""
    if math.isnan(value):
        return "-"
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.6g}"


__all__ = ["plain_line", "said_names", "screen", "span"]
