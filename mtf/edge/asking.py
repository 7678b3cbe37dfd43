"""The two ways to ask a model: slot by slot, every candle encoded once, or by whole windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mtf.edge.errors import RunnerError
from mtf.edge.folder import Exported
from mtf.edge.history import Known
from mtf.edge.streams import Streams
from mtf.edge.tokens import Encoded

WINDOWS, ANSWER = "model.onnx", "answer.onnx"

Feed = dict[str, np.ndarray]


@runtime_checkable
class Asking(Protocol):
    """What turns the slots of all streams into the inputs of a graph."""

    session: Any

    def slots(self, known: Mapping[str, Known]) -> Feed:
        """The inputs by which slots come in, of one decision."""
        ...


class BySteps:
    """Every slot is encoded once, when it closes; a decision answers from the tokens.

    Args:
        exported: the folder.
        streams: as candles come in.
    """

    def __init__(self, exported: Exported, streams: Streams) -> None:
        """Nothing encoded."""
        self.session = session_of(exported, ANSWER)
        states = exported.states()
        steps = {one["step"] for one in exported.about["streams"]}
        sessions = {name: session_of(exported, name) for name in steps}
        self.views: list[list[Encoded]] = []
        for over in (False, True) if exported.about["mirror"] else (False,):
            view = []
            for one in exported.about["streams"]:
                count = sum(name.startswith(f"{one['step']}/") for name in states)
                start = [states[f"{one['step']}/{i}"] for i in range(count)]
                turned = one["features"]["turned"] if over else None
                history = streams.histories[one["name"]]
                view.append(Encoded(sessions[one["step"]], start, history, one["spans"], turned))
            self.views.append(view)

    def slots(self, known: Mapping[str, Known]) -> Feed:
        """The tokens of all streams, upside down as well where the model has a mirror."""
        feed: Feed = {}
        for name, view in zip(("tokens", "over"), self.views, strict=False):
            parts = []
            for encoded, of in zip(view, known.values(), strict=True):
                encoded.advance(of.last_slot)
                parts.append(encoded.tokens(of.last_slot))
            feed[name] = np.concatenate([tokens for tokens, _ in parts])[None]
            feed["mask"] = np.concatenate([mask for _, mask in parts])[None]
        return feed


class ByWindows:
    """Every decision brings its windows: for encoders that can't go slot by slot."""

    def __init__(self, exported: Exported, streams: Streams) -> None:
        """As ``BySteps``."""
        self.session, self.streams = session_of(exported, WINDOWS), streams

    def slots(self, known: Mapping[str, Known]) -> Feed:
        """The window of every stream."""
        feed: Feed = {}
        for name, of in known.items():
            history = self.streams.histories[name]
            values, usable = history.window(of.last_slot, history.spec.required)
            feed[f"{name}/values"], feed[f"{name}/valid"] = values[None], usable[None]
        return feed


def asking_of(exported: Exported, streams: Streams) -> Asking:
    """The fastest way that the model allows."""
    steps = all(one["step"] for one in exported.about["streams"])
    return BySteps(exported, streams) if steps else ByWindows(exported, streams)


def beside(known: Mapping[str, Known], durations: Mapping[str, int]) -> Feed:
    """What stands beside the slots: which streams are there, their volatility, their age."""
    return {
        "present": np.array([[one.present for one in known.values()]]),
        "log_sigma": np.array([[log_sigma(one.scale.sigma) for one in known.values()]], np.float32),
        "age": np.array(
            [[log_age(one.age_ms, durations[name]) for name, one in known.items()]], np.float32
        ),
    }


def log_sigma(sigma: float) -> float:
    """``(ln sigma_bps - 2) / 2``; 0 where unknown."""
    return 0.0 if math.isnan(sigma) else (math.log(sigma * 1e4) - 2) / 2


def log_age(age_ms: int | None, duration_ms: int) -> float:
    """``log(1 + age in durations)``; 0 where there is no candle."""
    return 0.0 if age_ms is None else math.log1p(max(age_ms / duration_ms, 0))


def session_of(exported: Exported, name: str) -> Any:
    """A graph of the folder made ready, on one thread.

    Raises:
        RunnerError: no such graph, or one that this onnxruntime can't run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            exported.graph(name), options, providers=["CPUExecutionProvider"]
        )
    except RunnerError:
        raise
    except Exception as error:  # onnxruntime has no base class of its own for its errors
        raise RunnerError(
            f"onnxruntime {onnxruntime.__version__} can't read {exported.path / name}: {error}",
            f"onnxruntime of at least {exported.about['versions']['onnxruntime']}",
            "pip install --upgrade onnxruntime",
        ) from error


__all__ = ["ANSWER", "WINDOWS", "Asking", "Feed", "asking_of", "beside"]
