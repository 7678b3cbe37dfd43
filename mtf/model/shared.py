"""One encoder a stream, with weights of its own or with the weights of all.

Shared means: the parameters are the same objects, the buffers (running statistics) are not. It
works for any encoder, without its help: copies are made and their parameters tied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

from torch import nn

from mtf.errors import ConfigError
from mtf.plugins.contracts import Encoder

WEIGHTS = ("shared", "per_stream")


def stream_encoders(
    make: Callable[[int], Encoder], in_channels: Mapping[str, int], weights: str
) -> nn.ModuleList:
    """Return one encoder a stream, in the order of ``in_channels``.

    Args:
        make: builds an encoder for that many channels.
        in_channels: stream name -> feature channels.
        weights: ``shared`` or ``per_stream``.

    Raises:
        ConfigError: unknown choice, or streams that differ in channels want to share.
    """
    if weights not in WEIGHTS:
        raise ConfigError(f"found encoder weights {weights!r}", f"one of {', '.join(WEIGHTS)}")
    if weights == "per_stream":
        return nn.ModuleList(make(channels) for channels in in_channels.values())
    _check_channels(in_channels)
    first = make(next(iter(in_channels.values())))
    return nn.ModuleList([first, *(tied_copy(first) for _ in range(len(in_channels) - 1))])


def tied_copy(encoder: Encoder) -> Encoder:
    """A copy whose parameters are those of ``encoder`` and whose buffers are its own."""
    copy = deepcopy(encoder)
    for original, module in zip(encoder.modules(), copy.modules(), strict=True):
        for name, parameter in original.named_parameters(recurse=False, remove_duplicate=False):
            setattr(module, name, parameter)
    return copy


def _check_channels(in_channels: Mapping[str, int]) -> None:
    if len(set(in_channels.values())) > 1:
        found = ", ".join(f"{name}: {count}" for name, count in in_channels.items())
        raise ConfigError(
            f"found streams with different feature channels ({found}) and encoder weights: shared",
            "the same features for all streams that share an encoder",
            "set model.encoder.weights: per_stream, or give all streams the same features",
        )


__all__ = ["stream_encoders", "tied_copy"]
