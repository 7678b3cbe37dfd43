"""The sockets: what a plug-in of each kind must be. Everything interchangeable fits one of these.

Legend of axes, the same everywhere:
    batch     samples; for an encoder: blocks of candles
    decision  (symbol, time) pairs at which the model is asked
    time      slots of one stream, oldest first
    slot      slots of a whole history, oldest first
    channel   features of one candle
    token     vectors that streams hand to the fusion, all streams one after another
    stream    streams in the order of the config
    dim       embed_dim
    element   figures of a side input

One rule for constructors: **parameters before the ``*`` are handed in by mtf, those after it are
the keys of the config**, with their annotations as validation, their defaults as defaults and the
``Args:`` of the docstring as the manual. ``{name: dsc, kernel_size: 9}`` is ``DSC(in_channels,
embed_dim, kernel_size=9)``.

Masks are True where something is present.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor, nn

from mtf.market.candles import Candles
from mtf.market.feature_set import FeatureSet
from mtf.market.labels import Future, Label
from mtf.market.side_input import Moments, SideContext, SideInput
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.plugins.units import Units

State = tuple[Tensor, ...]
"""What an encoder carries from slot to slot; every tensor has one row a history."""

Arrays = Mapping[str, np.ndarray]
"""Named arrays with one row a decision: a head's outputs or label values outside of torch."""


@dataclass(frozen=True)
class Request:
    """Candles wanted of a data source: those with ``start_ms <= open_time < end_ms``."""

    symbol: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int


class DataSource(ABC):
    """A place where candles come from."""

    @abstractmethod
    def load(self, requests: Sequence[Request]) -> list[Candles]:
        """Return the candles of each request, in order; all wants of a run come in one call.

        A history that starts later or ends earlier is delivered as far as it goes.

        Raises:
            DataError: no such symbol or timeframe, or rows that are no candles.
        """

    def best_forecast(
        self, symbol: str, times: Int64[np.ndarray, " decision"], horizon_ms: int
    ) -> tuple[Float64[np.ndarray, " decision"], Float64[np.ndarray, " decision"]] | None:
        """Mean and variance of log(close at t + horizon / close at t) given all that happened to t.

        Only a source that knows its own law can say (synthetic worlds); others return None.
        """
        return None


class Encoder(nn.Module, ABC):
    """Reads the candles of one stream: ``[batch, time, channel] -> [batch, time, embed_dim]``.

    ``x`` is 0 where not valid. An encoder that is ``causal`` (output ``k`` depends on slots
    ``<= k`` only) and has a finite ``receptive_field`` is encoded once per candle; any other takes
    the window path, which is slower. Constructor: ``(in_channels, embed_dim, *, config keys)``.
    """

    causal: bool = False
    receptive_field: int | None = None

    @property
    def steps(self) -> bool:
        """Whether it gives ``step``; of any other its receptive field is encoded anew."""
        return type(self).step is not Encoder.step

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "batch time channel"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Encode every slot."""

    def initial_state(self, batch: int) -> State:
        """What ``step`` starts from: as if endless slots without a candle had gone before."""
        raise NotImplementedError

    def step(
        self, x: Float[Tensor, "batch channel"], valid: Bool[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch dim"], State]:
        """Encode one more slot, in evaluation: what ``forward`` says of the last slot.

        Only of a causal encoder with a finite receptive field. It must be made of torch's own
        operations, which exported models are made of; ``state`` is left as it was.

        Args:
            x: the slot's features, 0 where not valid.
            valid: whether the slot is valid.
            state: what ``initial_state`` or the step before returned.

        Returns:
            The encoded slot, and the state for the next step.
        """
        raise NotImplementedError

    def stepper(self) -> Stepper | None:
        """The same step compiled for one history on the CPU, with the weights as they are now.

        None = there is none; ``step`` is taken.
        """
        return None


class Stepper(ABC):
    """A compiled ``step`` of one history, outside of torch.

    Attributes:
        state: arrays that ``step`` changes in place; saved and restored by name.
    """

    state: dict[str, np.ndarray]

    @abstractmethod
    def step(self, x: Float32[np.ndarray, " channel"], valid: bool) -> Float32[np.ndarray, " dim"]:
        """Encode one more slot; what is returned may be overwritten by the next step."""


@dataclass
class Fused:
    """What the fusion hands to the heads.

    Attributes:
        state: one vector a decision.
        streams: one vector a stream, also for streams that are missing.
        said: outputs of the heads that were asked before, detached: head name → output → tensor.
            Only a head that ``reads`` others finds something there.
    """

    state: Float[Tensor, "batch dim"]
    streams: Float[Tensor, "batch stream dim"]
    said: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


class Fusion(nn.Module, ABC):
    """Lets the tokens of all streams read each other.

    Constructor: ``(embed_dim, token_stream, *, config keys)`` where ``token_stream[i]`` is the
    index of the stream that token ``i`` belongs to. Every stream has at least one token, and at
    least one unmasked: an absent stream shows its learned "missing" token.
    """

    @abstractmethod
    def forward(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]
    ) -> Fused:
        """Fuse; masked tokens must not influence the result."""

    def among(
        self,
        some: Int64[Tensor, " some"] | slice,
        tokens: Float[Tensor, "batch token dim"],
        mask: Bool[Tensor, "batch token"],
    ) -> Fused:
        """What ``forward`` says where no decision has other tokens than ``some``, to rounding.

        A fusion may leave the others out of its work; this one does not.
        """
        return self(tokens, mask)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Metric:
    """A figure that is a function of sums over decisions, so that it can be bootstrapped by group.

    Attributes:
        statistics: what each decision adds to the sums.
        finish: sums ``[..., statistic]`` to values ``[...]``; NaN where undefined.
        higher_is_better: the direction; None where there is none.
    """

    statistics: Float64[np.ndarray, "decision statistic"]
    finish: Callable[[np.ndarray], np.ndarray]
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class HeadContext:
    """What mtf tells a head about the run.

    Attributes:
        embed_dim: size of the vectors in ``Fused``.
        streams: the streams in order; ``Fused.streams`` has the same order.
        clock: the timeframe at whose closes decisions are made.
        order_latency_ms: from the decision to the earliest fill.
        round_trip_cost: fraction paid for one entry and one exit, slippage included.
        heads: heads built before, for one that ``reads`` others.
        stride: clock steps from one decision of a training group to the next.
    """

    embed_dim: int
    streams: tuple[StreamSpec, ...]
    clock: Timeframe
    order_latency_ms: int = 0
    round_trip_cost: float = 0.0
    heads: Mapping[str, Head] = field(default_factory=dict)
    stride: int = 1


class Head(nn.Module, ABC):
    """One task: its module, its label and how far that looks, its loss, its metrics.

    A head has one or more targets (``next_candle`` has one a stream), each with a label of its
    own. Constructor: ``(context: HeadContext, *, config keys)``.
    """

    targets: tuple[str, ...]
    task: str = ""
    """``classification`` (outputs ``probs``, label values ``class`` and ``log_return``),
    ``regression`` (outputs ``[batch, 1]`` a target, under its name; label value ``target``),
    ``candle`` (outputs one tensor a stream), ``pivots`` or ``position`` (output ``weight``
    ``[batch, 1]``): tells which baselines can stand beside it."""
    primary_metric: str
    """The metric on which baselines are compared (paired test)."""
    columns: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Names of the columns of an output or target in predictions.parquet; others are numbered."""
    reads: bool = False
    """Whether it is built and asked after the others, and finds them in its context and what they
    said in ``Fused.said``."""
    learns: bool = True
    """Whether its loss trains the model; one that does not is fitted by ``calibrate`` alone."""

    @abstractmethod
    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Predict. Keys are the head's own; every tensor has one row a decision."""

    def named(self, name: str, outputs: Mapping[str, Tensor], units: Units) -> dict[str, Any]:
        """The outputs under the names by which they are called for, natural units beside them.

        By default output ``probs`` of the head ``action`` is ``action_probs``.

        Args:
            name: of the head in the config.
            outputs: what ``forward`` returned.
            units: what they are measured in; natural units are NaN where a scale is not known, and
                carry no gradients.

        Returns:
            Tensors with one row a decision, or dictionaries of such.
        """
        return {f"{name}_{output}": value for output, value in outputs.items()}

    def turned(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is said of the market upside down, where every price p is 1 / p, the right way up.

        Together with ``turned_label`` it is what ``model.mirror`` needs. A head that ``reads``
        others is asked once, about what they say, and needs no ``turned``; one that does not learn
        needs no ``turned_label``.

        Args:
            outputs: what ``forward`` returned.
        """
        raise NotImplementedError

    def turned_label(self, target: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The label values of a target, as they are upside down; those that change, at least."""
        raise NotImplementedError

    @property
    def turns(self) -> bool:
        """Whether the head can be asked upside down."""
        asked = self.reads or type(self).turned is not Head.turned
        return asked and (not self.learns or type(self).turned_label is not Head.turned_label)

    @abstractmethod
    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """How far after each decision the label of ``target`` looks, in ms."""

    @abstractmethod
    def label(self, target: str, future: Future) -> Label:
        """Compute the label, from what is known at t and from ``future`` alone."""

    @abstractmethod
    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Loss of each decision; mtf selects those with a label and averages."""

    def calibrate(self, target: str, outputs: Arrays, label: Label) -> None:
        """Fit buffers on the calibration part, once, after training; nothing by default.

        Args:
            target: one of ``targets``.
            outputs: what ``forward`` returned, as numpy, of decisions that all have a label.
            label: the label of the same decisions.
        """

    @abstractmethod
    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """Metrics of the decisions given (all of them have a label).

        Args:
            target: one of ``targets``.
            outputs: what ``forward`` returned, as numpy.
            label: the label of the same decisions.
            references: outputs of baselines on the same decisions by name, for skill scores.
        """


__all__ = [
    "Arrays",
    "DataSource",
    "Encoder",
    "FeatureSet",
    "Fused",
    "Fusion",
    "Head",
    "HeadContext",
    "Metric",
    "Moments",
    "Request",
    "SideContext",
    "SideInput",
    "State",
    "Stepper",
    "Units",
]
