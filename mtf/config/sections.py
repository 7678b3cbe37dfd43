"""The sections of a config that say how to learn: sampling, optimiser, schedule, devices, costs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtf.config.plugin_spec import Strict
from mtf.config.values import LengthKey, TimeframeKey

BaselineName = Literal[
    "class_prior",
    "momentum",
    "logistic",
    "lightgbm",
    "naive_candle",
    "persistence",
    "ewma",
    "har",
]


class SplitConfig(Strict):
    """Shares of the decisions in the order of time; they add up to 1."""

    train: float = Field(0.70, gt=0, lt=1, description="share of the decisions to learn from")
    validation: float = Field(0.10, gt=0, lt=1, description="share for early stopping")
    calibration: float = Field(0.05, gt=0, lt=1, description="share for calibrating probabilities")
    test: float = Field(0.15, gt=0, lt=1, description="share for the final figures, the last one")


class CostsConfig(Strict):
    """What trading costs; labels and figures that know of costs use these."""

    commission: float = Field(0.001, ge=0, lt=1, description="fraction of the value of every fill")
    maker_commission: float | None = Field(
        None,
        gt=-1,
        lt=1,
        description="of fills that rest in the book (take-profits); null: as commission",
    )
    slippage_bps: float = Field(0.0, ge=0, lt=10_000, description="basis points lost in every fill")
    order_latency_ms: int = Field(
        0, ge=0, description="from the decision to the earliest fill, in milliseconds"
    )
    funding: str = Field(
        "none",
        min_length=1,
        description="a parquet or csv file of funding rates (time_ms, funding_rate); {symbol} in "
        "its name stands for the symbol; none: no funding is charged",
    )
    tick_size: float = Field(0.0, ge=0, description="prices of stops are rounded to it; 0: not")
    lot_size: float = Field(0.0, ge=0, description="sizes are rounded down to it; 0: not")
    min_notional: float = Field(
        0.0, ge=0, description="smaller orders are not sent, in quote currency"
    )


class TokensConfig(Strict):
    """How many vectors a stream hands to the fusion, and which."""

    name: Literal["log", "mean", "last", "patch", "all"] = Field(
        "log",
        description="log: means over spans that double with age; mean: one over the lookback; "
        "last: the last slot; patch: means over `patch` slots; all: every slot",
    )
    patch: int | None = Field(None, ge=1, description="slots a token; only with name: patch")
    forming: bool = Field(
        False,
        description="a token of the candle that is not closed yet, as the finest present stream "
        "of the symbol sees it, for every stream that has a finer one",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that a token is hidden in training"
    )


class EmbeddingsConfig(Strict):
    """What is added to tokens beside timeframe, volatility and age."""

    position: Literal["span", "none"] = Field(
        "span", description="span: log age of a token's newest and oldest slot; none: nothing"
    )


class SamplingConfig(Strict):
    """Which decisions a training step sees: groups of decisions, a stride apart."""

    path: Literal["auto", "encode_once", "window"] = Field(
        "auto",
        description="encode_once: each candle is encoded once a group; window: once a decision; "
        "auto: encode_once where the encoder allows it",
    )
    groups: int = Field(16, ge=1, description="groups a batch")
    decisions: int = Field(16, ge=1, description="decisions a group")
    stride: int = Field(4, ge=1, description="clock steps from one decision of a group to the next")
    steps_per_epoch: int = Field(40, ge=1, description="optimiser steps an epoch")


class OptimizerConfig(Strict):
    """The optimiser."""

    name: Literal["adamw", "rmsprop"] = Field("adamw", description="the method")
    lr: float = Field(1.0e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(1.0e-4, ge=0, description="weight decay")
    momentum: float = Field(0.0, ge=0, lt=1, description="only with name: rmsprop")


class ScheduleConfig(Strict):
    """The learning rate over the run."""

    name: Literal["cosine", "one_cycle", "constant"] = Field(
        "cosine", description="cosine falls to 0; one_cycle rises and falls; constant stays"
    )
    warmup: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of all steps in which the rate rises; 0 with one_cycle means 0.3",
    )


class TrainingConfig(Strict):
    """The loop."""

    sampling: SamplingConfig = Field(SamplingConfig(), description="what a step sees")
    epochs: int = Field(8, ge=1, description="validations; early stopping may end sooner")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="the optimiser")
    schedule: ScheduleConfig = Field(ScheduleConfig(), description="the learning rate over the run")
    clip_norm: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no limit")
    accumulate: int = Field(1, ge=1, description="batches an optimiser step")
    patience: int | None = Field(
        10, ge=1, description="epochs without a better validation loss; null: never stop early"
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="best: the weights of the epoch with the best validation loss; last: those at "
        "the end of the schedule, where the validation part is too short to choose by",
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="moving average of the weights, per step; null: none"
    )
    stream_dropout: float = Field(
        0.3, ge=0, le=1, description="probability that a decision loses some of its streams"
    )
    symbol_dropout: float = Field(
        0.1,
        ge=0,
        le=1,
        description="in a panel: probability that a decision is not told which symbol it is about, "
        "so that a symbol left out of training can be scored",
    )
    checkpoint_every: int = Field(50, ge=1, description="optimiser steps from save to save")
    measure_train: bool = Field(
        False,
        description="after every epoch measure the training part, too, as the validation part is: "
        "the curves side by side show overfitting; takes the time of that many decisions",
    )


class FabricConfig(Strict):
    """Devices, processes and precision, as Lightning Fabric names them."""

    accelerator: Literal["auto", "cpu", "cuda", "gpu", "mps"] = Field(
        "auto", description="the kind of device; auto takes the fastest there is"
    )
    devices: int = Field(
        1,
        ge=1,
        description="number of devices of each machine that one training uses, a process each; the "
        "groups of every batch are cut among them. All else (evaluation, walk-forward) takes one",
    )
    num_nodes: int = Field(
        1,
        ge=1,
        description="number of machines; start the same command on each, by torchrun or Slurm, or "
        "with MASTER_ADDR, MASTER_PORT and NODE_RANK set",
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"] = Field(
        "32-true", description="of weights and arithmetic"
    )
    threads: int | None = Field(
        2, ge=1, description="processor threads of torch in each process; null: its choice"
    )


class EvaluationConfig(Strict):
    """What the figures of the test part are compared with."""

    baselines: list[BaselineName] = Field(
        [
            *("class_prior", "momentum", "logistic", "lightgbm", "naive_candle"),
            *("persistence", "ewma", "har"),
        ],
        description="baselines that are fitted and printed beside the model, where they suit a "
        "head: classes, next candles, volatility",
    )
    bootstrap: int = Field(1000, ge=0, description="resamples for intervals and tests; 0: none")
    permutations: int = Field(
        999,
        ge=0,
        description="block permutations that tell whether what was said is related to what "
        "happened at all; 0: none",
    )
    report: bool = Field(
        True, description="write report.html, and its figures as pictures into TensorBoard"
    )


class WalkForwardConfig(Strict):
    """How a config is trained anew along time: `mtf evaluate CONFIG --walk-forward`."""

    folds: int = Field(4, ge=1, description="test blocks, of equal length, without gap or overlap")
    window: Literal["expanding", "rolling"] = Field(
        "expanding",
        description="expanding: a fold learns from all before it; rolling: from as much as the "
        "first",
    )
    first_train: LengthKey = Field(
        0.5,
        description="what lies before the first test block: a share of the decisions, or a "
        "duration such as 365d",
    )
    validation: LengthKey = Field(
        0.1, description="of what a fold learns from: a share, or a duration, for early stopping"
    )
    calibration: LengthKey = Field(
        0.05, description="alike, behind it, for calibrating probabilities"
    )
    seeds: int = Field(3, ge=1, description="trainings a fold, from `seed` on")
    embargo: TimeframeKey | None = Field(
        None, description="a duration left out before every test block; null: none"
    )
