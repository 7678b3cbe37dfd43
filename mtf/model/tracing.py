"""From a torch module to the bytes of an ONNX model."""

from __future__ import annotations

import builtins
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mtf.errors import ConfigError, MtfError

OPSET = 20
"""Of the graphs: the first with GELU, and one that every onnxruntime since 1.17 reads."""
EXTRA = 'pip install "mtf[export]"'
EXPORT_ERRORS = (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError)
"""What torch raises on what it can't trace; its own errors are runtime errors."""


def traced(
    module: nn.Module, given: Mapping[str, Tensor], outputs: Sequence[str], any_number: bool
) -> bytes:
    """Trace a module into a serialised ONNX model.

    Raises:
        MtfError: something that ONNX can't express, or no ``onnx`` here.
    """
    module.eval()
    shapes = _shapes(given) if any_number else None
    try:
        with _quiet(), _lengths_of_any_number(module):
            program = torch.export.export(
                module, tuple(given.values()), dynamic_shapes=shapes, strict=False
            )
            onnx = torch.onnx.export(
                program,
                input_names=list(given),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise MtfError(f"{error.name} is not installed", "it, to write ONNX", EXTRA) from error
    except EXPORT_ERRORS as error:
        raise ConfigError(
            f"the model can't be written as ONNX: {_reason(error)}",
            "encoder, fusion and heads of operations that ONNX has, without a look at values",
            "change that part, or ask the model where mtf is installed (mtf.load(RUN))",
        ) from error
    assert onnx is not None
    proto: bytes = onnx.model_proto.SerializeToString()
    return proto


def _shapes(given: Mapping[str, Tensor]) -> tuple[tuple[dict[int, torch.export.Dim], ...]]:
    """Every input has any number of decisions."""
    decision = torch.export.Dim("decision")
    return (tuple({0: decision} for _ in given),)


@contextmanager
def _lengths_of_any_number(module: nn.Module) -> Iterator[None]:
    """Within the block ``len(x)`` in the code of a module is ``x.shape[0]``.

    Python makes a plain number of the first, and the graph would take that many decisions alone.
    """
    classes = {base for part in module.modules() for base in type(part).__mro__}
    files = [sys.modules[base.__module__] for base in classes if not _of_torch(base)]
    changed = [file for file in dict.fromkeys(files) if not hasattr(file, "len")]
    for file in changed:
        vars(file)["len"] = _length
    try:
        yield
    finally:
        for file in changed:
            del vars(file)["len"]


def _of_torch(base: type) -> bool:
    return base.__module__.partition(".")[0] in ("torch", "builtins", "abc", "typing")


def _length(value: Any) -> Any:
    return value.shape[0] if isinstance(value, Tensor) else builtins.len(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself: a package of images, a class of its own."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", "The tensor attributes .* during export", UserWarning)
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _reason(error: BaseException) -> str:
    """The first line of what lies at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


__all__ = ["EXTRA", "traced"]
