"""What a model answers: outputs by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mtf.plugins.contracts import Head
from mtf.plugins.units import Units


class Answer(dict[str, Any]):
    """What a model says, by name: tensors with one row a decision, or dictionaries of such.

    Args:
        heads: of the model.
        outputs: what they said: head → output → tensor.
        units: what the outputs are measured in.
    """

    def __init__(
        self, heads: Mapping[str, Head], outputs: Mapping[str, Mapping[str, Tensor]], units: Units
    ) -> None:
        super().__init__()
        self.outputs, self.units = outputs, units
        for name, head in heads.items():
            self.update(head.named(name, outputs[name], units))


__all__ = ["Answer"]
