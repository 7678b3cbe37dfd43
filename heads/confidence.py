"""How probably the chosen action is right: the action's probabilities, calibrated after training.

Networks come out overconfident. This head reads the logits of the action, trains nothing, and is
fitted on the calibration part alone, which neither training nor early stopping has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from mtf.errors import ConfigError
from mtf.evaluation import calibration, metrics
from mtf.market.labels import Future, Label
from mtf.plugins.contracts import Arrays, Fused, Head, HeadContext, Metric, Units

LOGITS = (-4.0, 12.0)
"""Range of ln(p / (1 - p)) over which the isotonic curve has its points."""
KNOTS = 257
"""Points of the curve, even in ln(p / (1 - p)): an overconfident model says 0.99 and 0.9999."""
IN_BIN, MOST_BINS = 50, 200
"""Decisions, at least, behind every level of the fitted curve, and how many levels at most."""
TEMPERATURES = (0.05, 20.0)
SMALLEST = 1e-12


class Confidence(Head):
    """Probability that the action with the largest logit is right.

    Outputs ``confidence`` ``[batch, 1]`` and ``probs`` ``[batch, 3]``, the calibrated
    probabilities of the action's classes. ``temperature``: softmax(logits / T), T minimising the
    log loss of the calibration part (Guo et al., 2017). ``isotonic``: the rising curve of the
    chosen class's probability with the smallest squared error (Zadrozny and Elkan, 2002), fitted to
    the shares of bins of at least 50 decisions and read at 257 points; the other classes share the
    rest in their proportion.

    Args:
        of: the head whose action is judged; it has ``logits`` and a label ``class``.
        method: temperature has one number to fit, isotonic a curve: it needs thousands of
            distinct outcomes in the calibration part.
    """

    targets = ("confidence",)
    task = "confidence"
    primary_metric = "brier"
    columns = MappingProxyType({"probs": ("prob_buy", "prob_sell", "prob_hold")})
    reads = True
    learns = False

    def __init__(
        self,
        context: HeadContext,
        *,
        of: str = "action",
        method: Literal["temperature", "isotonic"] = "temperature",
    ) -> None:
        super().__init__()
        judged = context.heads.get(of)
        if judged is None or judged.task != "classification":
            there = [name for name, head in context.heads.items() if head.task == "classification"]
            raise ConfigError(
                f"confidence judges {of!r}, which is no classifying head of this config",
                f"one of {', '.join(there)}" if there else "a head like action beside it",
                "add `action: {}` to heads, or set heads.confidence.of",
            )
        self.of, self.method = of, method
        self.judged = (judged,)  # in a tuple: its parameters are not this head's
        self.log_temperature: Tensor
        self.curve: Tensor
        self.register_buffer("log_temperature", torch.zeros(()))
        self.register_buffer("curve", torch.linspace(*LOGITS, KNOTS).sigmoid())

    def forward(self, fused: Fused) -> dict[str, Tensor]:
        """Return ``confidence``, ``probs`` and ``chosen`` ``[batch, 1]``, the judged class."""
        logits = fused.said[self.of]["logits"]
        chosen = logits.argmax(-1, keepdim=True)
        probs = (logits / self.log_temperature.exp()).softmax(-1)
        if self.method == "isotonic":
            probs = bend(probs, chosen, self.curve)
        return {"confidence": probs.gather(-1, chosen), "probs": probs, "chosen": chosen}

    def named(self, name: str, outputs: Mapping[str, Tensor], units: Units) -> dict[str, Any]:
        """``confidence`` ``[batch, 1]``, ``confidence_probs`` and ``confidence_chosen``."""
        others = {f"{name}_{output}": outputs[output] for output in ("probs", "chosen")}
        return {name: outputs["confidence"], **others}

    def reach(
        self, target: str, times: Int64[np.ndarray, " decision"]
    ) -> Int64[np.ndarray, " decision"]:
        """As far as the label of the action looks."""
        head = self.judged[0]
        return head.reach(head.targets[0], times)

    def label(self, target: str, future: Future) -> Label:
        """The action's label: whether it was right depends on what is chosen."""
        head = self.judged[0]
        return head.label(head.targets[0], future)

    def loss(
        self, target: str, outputs: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """Nothing to learn: 0 for every decision."""
        return torch.zeros_like(outputs["confidence"][:, 0])

    def calibrate(self, target: str, outputs: Arrays, label: Label) -> None:
        """Fit the temperature or the curve, on top of what is fitted already."""
        if not len(label.present):
            return
        classes = label.values["class"]
        if self.method == "temperature":
            change = fitted_temperature(outputs["probs"].astype(np.float64), classes)
            self.log_temperature += float(np.log(change))
            return
        right = outputs["chosen"][:, 0] == classes
        curve = refitted(self.curve.numpy(force=True), outputs["confidence"][:, 0], right)
        self.curve.copy_(torch.from_numpy(curve))

    def metrics(
        self, target: str, outputs: Arrays, label: Label, references: Mapping[str, Arrays]
    ) -> dict[str, Metric]:
        """Brier score, its skill against the share of right ones, calibration error, log loss."""
        confidence, probs = outputs["confidence"][:, 0].astype(np.float64), outputs["probs"]
        right = outputs["chosen"][:, 0] == label.values["class"]
        return {
            "brier": calibration.brier(confidence, right),
            "brier_skill": calibration.brier_skill(confidence, right),
            "calibration_error": calibration.equal_mass_calibration_error(confidence, right),
            "log_loss": metrics.log_loss(probs, label.values["class"]),
        }


def bend(
    probs: Float[Tensor, "batch class"],
    chosen: Int64[Tensor, "batch 1"],
    curve: Float[Tensor, " knot"],
) -> Float[Tensor, "batch class"]:
    """Put the chosen class's probability on the curve; the others share the rest."""
    before = probs.gather(-1, chosen)
    share = (before.logit(eps=1e-7) - LOGITS[0]) / (LOGITS[1] - LOGITS[0])
    position = share.clamp(0, 1) * (len(curve) - 1)
    low = position.floor().long().clamp(max=len(curve) - 2)
    after = torch.lerp(curve[low], curve[low + 1], (position - low).to(curve.dtype))
    rest = probs * (1 - after) / (1 - before).clamp(min=SMALLEST)
    return rest.scatter(-1, chosen, after)


def fitted_temperature(
    probs: Float64[np.ndarray, "decision class"], classes: Int64[np.ndarray, " decision"]
) -> float:
    """T that minimises the log loss of softmax(log(probs) / T)."""
    logs = np.log(np.maximum(probs, SMALLEST))
    rows = np.arange(len(classes))

    def log_loss(log_temperature: float) -> float:
        return float(-log_softmax(logs / np.exp(log_temperature), axis=1)[rows, classes].mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(log_loss, bounds=(low, high), method="bounded").x))


def refitted(
    curve: Float[np.ndarray, " knot"],
    confidence: Float[np.ndarray, " decision"],
    right: Bool[np.ndarray, " decision"],
) -> Float64[np.ndarray, " knot"]:
    """The curve followed by the rising curve from confidence to the share that is right.

    The rising curve is fitted to the shares of up to 200 bins of equally many decisions and read
    between them by straight lines: one surely wrong decision at the end must not set the level of
    all that lie between the curve's points beside it.
    """
    count = int(np.clip(len(right) // IN_BIN, 1, MOST_BINS))
    edges = np.quantile(confidence, np.arange(1, count) / count)
    in_bin = np.searchsorted(edges, confidence)  # equal ones share a bin
    weight = np.bincount(in_bin, minlength=count)
    sums = [np.bincount(in_bin, of, count)[weight > 0] for of in (confidence, right)]
    weight = weight[weight > 0]
    fit = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fit.fit(sums[0] / weight, sums[1] / weight, sample_weight=weight)
    return np.asarray(fit.predict(curve.astype(np.float64)), dtype=np.float64)


__all__ = ["Confidence", "bend", "fitted_temperature", "refitted"]
