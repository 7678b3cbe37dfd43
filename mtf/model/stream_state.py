"""What a stream engine carries from candle to candle, as plain arrays and JSON: saved, restored.

Restored, it goes on bit for bit. Nothing in a state executes; it is checked against the model, the
features and the streams that it belongs to before anything is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mtf.errors import CheckpointError
from mtf.market.flow import Flow
from mtf.model.hybrid import HybridModel
from mtf.model.streaming import Streaming

SCHEMA = 1
Arrays = dict[str, np.ndarray]
FLOW = ("ohlcv", "valid", "features", "usable", "scale", "last", "feature_state", "scale_state")
PLAIN = (bool, int, float, str, tuple, list)
"""Settings of features that are told apart; what else they hold has no text of its own."""
STATES = ("feature_states", "scale_states")


def state_of(streaming: Streaming) -> tuple[Arrays, dict[str, Any]]:
    """Everything that the next candles and decisions depend on.

    Returns:
        Arrays by name, copied, and what goes with them as JSON.
    """
    told = {
        "schema": SCHEMA,
        "belongs_to": identity(streaming),
        "time_ms": streaming.time_ms,
        "streams": {
            name: {
                "first": flow.first,
                "end": flow.end,
                "rescans": flow.rescans,
                "counts": dict(flow.counts),
                "encoded_to": track.at,
                "waiting": [list(one) for one in streaming.waiting[name]],
            }
            for (name, flow), track in zip(streaming.flows.items(), streaming.tracks, strict=True)
        },
    }
    return {name: array.copy() for name, array in arrays_of(streaming)}, told


def restore(streaming: Streaming, arrays: Mapping[str, np.ndarray], told: Any) -> None:
    """Go on where another engine of the same model was.

    Args:
        streaming: a fresh one.
        arrays: what ``state_of`` returned.
        told: the same.

    Raises:
        CheckpointError: the state is of another model, or no such state; nothing is changed then.
    """
    try:
        _check(streaming, arrays, told)
        plain = {name: _stream(told["streams"][name]) for name in streaming.flows}
        time_ms = int(told["time_ms"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"a state of streams can't be used: {error}",
            "one that was saved by this version, of the same model",
            "start without it: give the history again",
        ) from error
    for name, array in arrays_of(streaming):
        array[...] = arrays[name]
    for (name, flow), track in zip(streaming.flows.items(), streaming.tracks, strict=True):
        first, end, rescans, at, counts, waiting = plain[name]
        flow.first, flow.end, flow.rescans, track.at = first, end, rescans, at
        flow.counts.clear()
        flow.counts.update(counts)
        streaming.waiting[name] = waiting
        track.stand()
    streaming.time_ms = time_ms
    streaming.forget()


def arrays_of(streaming: Streaming) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of an engine by name, to be read or filled in place."""
    for (name, flow), track in zip(streaming.flows.items(), streaming.tracks, strict=True):
        for field in (*FLOW, *STATES):
            yield f"{name}/{field}", getattr(flow, field)
        yield f"{name}/count", track.count
        for view, encoding in enumerate(track.encoding):
            yield f"{name}/sums/{view}", track.sums[view]
            for part, array in encoding.state().items():
                yield f"{name}/encoder/{view}/{part}", array
        for buckets in streaming.buckets[name]:
            own = f"{buckets.flow.spec.name}/bucket"
            yield f"{own}/candles", buckets.candles
            yield f"{own}/count", buckets.count
            yield f"{own}/slot", buckets.bucket
    for name, finer in streaming.beside.forming.items():
        for fine, so_far in finer.items():
            yield f"{name}/forming/{fine}/state", so_far.state
            yield f"{name}/forming/{fine}/candle", so_far.candle


def identity(streaming: Streaming) -> str:
    """The sha256 over weights, features, streams and clock: what a state belongs to."""
    if not streaming.identity:  # the weights are those of its beginning
        digest = hashlib.sha256(f"{streaming.clock} {streaming.symbol}".encode())
        for flow in streaming.flows.values():
            digest.update(_stream_text(flow).encode())
        weights_of(streaming.model, digest)
        streaming.identity = digest.hexdigest()
    return streaming.identity


def weights_of(model: HybridModel, digest: Any) -> None:
    """Add all weights and buffers to a digest."""
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())


def _stream_text(flow: Flow) -> str:
    """A stream and its features in words."""
    features = flow.feature_set
    settings = [item for item in sorted(vars(features).items()) if isinstance(item[1], PLAIN)]
    return f"{flow.spec} {flow.size} {type(features).__qualname__} {features.channels} {settings}"


def _check(streaming: Streaming, arrays: Mapping[str, np.ndarray], told: Any) -> None:
    """Make sure that a state fits, array by array.

    Raises:
        ValueError: it does not.
    """
    if told["schema"] != SCHEMA:
        raise ValueError(f"it has schema {told['schema']}, not {SCHEMA}")
    if told["belongs_to"] != identity(streaming):
        raise ValueError("it is of another model, of other weights, features or streams")
    for name, array in arrays_of(streaming):
        found = arrays[name]
        if found.shape != array.shape or found.dtype != array.dtype:
            raise ValueError(f"{name} is {found.dtype} {list(found.shape)}")


def _stream(
    told: Any,
) -> tuple[int, int, int, int, dict[str, int], list[tuple[int, int, list[float]]]]:
    """What stands of one stream beside its arrays.

    Raises:
        ValueError: figures that can't be.
    """
    first, end, rescans, at = (int(told[key]) for key in ("first", "end", "rescans", "encoded_to"))
    if not first <= end or rescans < 0:
        raise ValueError(f"a stream from slot {first} to {end}")
    counts = {str(name): int(count) for name, count in told["counts"].items()}
    waiting = [
        (int(known), int(slot), [float(price) for price in candle])
        for known, slot, candle in told["waiting"]
    ]
    return first, end, rescans, at, counts, waiting


__all__ = ["restore", "state_of"]
