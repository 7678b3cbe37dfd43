"""A stack of ordinary convolutions in every way that is at hand, for others to be told against.

Which way is the fastest depends on the machine and on the shape, so a comparison tries them all.
All are causal, with a ReLU after each convolution, on one row of channels a slot or, where a way
wants it, the other way round; that is arranged before the clock runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import util
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mtf.model.layers import arrays_of
from mtf.model.tile_kernels import convolve_across

Way = Callable[[], Tensor]
"""Runs the stack and returns ``[batch, time, dim]``."""


@dataclass(frozen=True)
class Ordinary:
    """Convolutions one after the other; norms are folded in.

    Attributes:
        weights: of each, ``[out, in, tap]``, the oldest tap first.
        biases: of each.
        dilations: slots from tap to tap.
    """

    weights: list[Float[Tensor, "out in tap"]]
    biases: list[Float[Tensor, " out"]]
    dilations: list[int]

    @classmethod
    def drawn(cls, dim: int, taps: int, layers: int) -> Ordinary:
        """Dilations 1, 2, 4, …; weights that keep the variance."""
        weights = [torch.randn(dim, dim, taps) * (2 / (dim * taps)) ** 0.5 for _ in range(layers)]
        biases = [torch.randn(dim) * 0.1 for _ in range(layers)]
        return cls(weights, biases, [2**i for i in range(layers)])

    def ways(
        self, x: Float[Tensor, "batch time dim"], compiler: bool = True
    ) -> Iterator[tuple[str, Way]]:
        """Name and call of each way that this machine has.

        Args:
            x: what it runs on.
            compiler: whether to try what needs a C++ compiler and takes a while to build.
        """
        first = x.transpose(1, 2).contiguous()
        turned = [weight.permute(2, 1, 0).contiguous() for weight in self.weights]
        yield "nn.Conv1d", _eager(lambda: self._conv1d(first).transpose(1, 2))
        last = first.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        kernels = [_channels_last(weight) for weight in self.weights]
        yield "Conv2d, channels last", _eager(lambda: self._conv2d(last, kernels))
        yield "one product over all taps", _eager(lambda: self._unfolded(x, turned))
        yield "a product a tap", _eager(lambda: self._tap_by_tap(x, turned))
        yield "the loops of dsc", self._compiled(x, turned)
        if util.find_spec("onnxruntime") and util.find_spec("onnx"):
            yield "ONNX Runtime", self._onnx(first)
        if compiler and shutil.which("c++"):
            built = torch.compile(lambda: self._conv1d(first), dynamic=False)
            yield "nn.Conv1d, inductor", _eager(lambda: built().transpose(1, 2))

    def _layers(self) -> Iterator[tuple[int, Tensor, int, int]]:
        for i, (bias, dilation) in enumerate(zip(self.biases, self.dilations, strict=True)):
            yield i, bias, dilation, (self.weights[i].shape[2] - 1) * dilation

    def _conv1d(self, x: Tensor) -> Tensor:
        for i, bias, dilation, reach in self._layers():
            x = F.conv1d(F.pad(x, (reach, 0)), self.weights[i], bias, dilation=dilation).relu_()
        return x

    def _conv2d(self, x: Tensor, kernels: list[Tensor]) -> Tensor:
        for i, bias, dilation, reach in self._layers():
            padded = F.pad(x, (reach, 0, 0, 0))
            x = F.conv2d(padded, kernels[i], bias, dilation=(1, dilation)).relu_()
        return x.squeeze(2).transpose(1, 2)

    def _unfolded(self, x: Tensor, turned: list[Tensor]) -> Tensor:
        for i, bias, dilation, reach in self._layers():
            padded, time = F.pad(x, (0, 0, reach, 0)), x.shape[1]
            taps = [padded[:, k : k + time] for k in range(0, reach + 1, dilation)]
            rows = torch.cat(taps, 2).flatten(0, 1)
            x = torch.addmm(bias, rows, turned[i].flatten(0, 1)).relu_().view_as(x)
        return x

    def _tap_by_tap(self, x: Tensor, turned: list[Tensor]) -> Tensor:
        for i, bias, dilation, reach in self._layers():
            padded, time = F.pad(x, (0, 0, reach, 0)), x.shape[1]
            y = bias.expand_as(x).contiguous()
            for k, matrix in enumerate(turned[i]):
                part = padded[:, k * dilation : k * dilation + time]
                y.baddbmm_(part, matrix.expand(len(x), -1, -1))
            x = y.relu_()
        return x

    def _compiled(self, x: Tensor, turned: list[Tensor]) -> Way:
        """With the products of matrices that separable convolutions are made of here."""
        (given,) = arrays_of(x)
        weights = [
            (*arrays_of(matrix, bias),) for matrix, bias in zip(turned, self.biases, strict=True)
        ]

        def work() -> Tensor:
            values = given
            for (matrices, bias), dilation in zip(weights, self.dilations, strict=True):
                out = np.empty_like(values)
                convolve_across(values, matrices, bias, dilation, out)
                values = out
            return torch.from_numpy(values)

        return work

    def _onnx(self, x: Tensor) -> Way:
        """The graph by hand: exporting needs more packages."""
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper

        nodes, constants, name = [], [], "x"
        for i, bias, dilation, reach in self._layers():
            named = {f"weight{i}": self.weights[i], f"bias{i}": bias}
            constants += [numpy_helper.from_array(v.numpy(), k) for k, v in named.items()]
            places: Any = {"dilations": [dilation], "pads": [reach, 0]}
            nodes.append(helper.make_node("Conv", [name, *named], [f"y{i}"], **places))
            nodes.append(helper.make_node("Relu", [f"y{i}"], [name := f"x{i}"]))
        ends = [
            helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, list(x.shape))
            for end in ("x", name)
        ]
        graph = helper.make_graph(nodes, "ordinary", ends[:1], ends[1:], constants)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        values = x.numpy()
        return lambda: torch.from_numpy(session.run(None, {"x": values})[0]).transpose(1, 2)


class OrdinaryBlock(nn.Module):
    """Ordinary convolution, batch norm, ReLU in torch's own layout ``[batch, dim, time]``."""

    def __init__(self, dim: int, taps: int, dilation: int) -> None:
        super().__init__()
        self.reach = (taps - 1) * dilation
        self.conv = nn.Conv1d(dim, dim, taps, dilation=dilation)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, x: Float[Tensor, "batch dim time"]) -> Float[Tensor, "batch dim time"]:
        """One block."""
        y: Tensor = self.norm(self.conv(F.pad(x, (self.reach, 0))))
        return y.relu_()


def _channels_last(weight: Tensor) -> Tensor:
    return weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _eager(work: Way) -> Way:
    def run() -> Tensor:
        with torch.inference_mode():
            return work()

    return run


__all__ = ["Ordinary", "OrdinaryBlock", "Way"]
