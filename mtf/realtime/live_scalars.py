"""What TensorBoard shows of a live session: figures of every decision, by path."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from mtf.realtime.decision import Decision
from mtf.realtime.screen import said_names
from mtf.realtime.view import AccountLook, View

ALL = 1_000


def live_scalars(view: View, decision: Decision) -> dict[str, float]:
    """The figures of a decision; what is undefined is left out.

    ``live/…`` is about the decision and the account, ``stream/<name>/…`` about the streams,
    ``faults/<kind>`` counts.

    Args:
        view: at the decision.
        decision: that was made.
    """
    figures = {**dict(_of_decision(view, decision)), **dict(_of_streams(view, decision))}
    if view.account is not None:
        figures |= _of_account(view.account)
    figures |= {f"faults/{_word(kind)}": float(count) for kind, count in view.faults.items()}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _of_decision(view: View, decision: Decision) -> Iterator[tuple[str, float]]:
    """What was said, wanted and allowed, and when."""
    for column, name in said_names(decision.said, ALL).items():
        prob = "prob_" if ".prob_" in column else ""
        yield f"live/{prob}{_word(name)}", decision.said[column]
    yield "live/wanted", decision.wanted
    yield "live/weight", decision.weight
    yield "live/confidence", decision.confidence
    yield "live/degraded", float(decision.degraded)
    yield "live/allowed", float(decision.allowed)
    yield "live/missed", float(view.num_missed)
    yield "live/late_ms", float(view.now_ms - decision.time_ms)
    yield "live/offset_ms", float(view.offset_ms)


def _of_account(account: AccountLook) -> dict[str, float]:
    """Money, and what it came from."""
    return {
        "live/equity": account.equity,
        "live/position": account.position,
        "live/unrealised": account.unrealised,
        "live/costs": account.costs,
        "live/fills": float(account.num_fills),
    }


def _of_streams(view: View, decision: Decision) -> Iterator[tuple[str, float]]:
    """How old the last candle of each is, and whether it was there."""
    for look in view.streams:
        path = f"stream/{_word(look.name)}"
        if look.closed_ms is not None:
            yield f"{path}/age_s", (view.now_ms - look.closed_ms) / 1_000
        if look.name in decision.streams:
            yield f"{path}/present", float(decision.streams[look.name] == "present")


def _word(name: str) -> str:
    """A name as TensorBoard takes it in a path."""
    return re.sub(r"[^\w.-]", "_", name)


__all__ = ["live_scalars"]
