"""A module of fixed shapes as a tape of bare operations on memory of its own.

Of one decision torch spends most of its time on what surrounds the arithmetic: modules, dispatch,
memory, views. Here the module is traced once (``torch.export``). What depends on weights alone is
computed then, views are taken then, every result gets its memory then; what is left is a list of
calls that write from memory to memory, in numpy, in compiled kernels, or, for whatever else, in
torch. What depends on the mask alone is done again only where that has changed.
"""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind

from mtf.model.tape_operations import FAST

Run = Callable[[], object]
IDLE = ("alias", "dropout", "_assert_tensor_metadata", "detach", "contiguous")
"""Operations that, on a tape, hand on what they were given (``contiguous`` only where it is so)."""


class Tape:
    """Runs a module on inputs that always lie in the same memory.

    Args:
        module: in evaluation; its weights are taken as they are now.
        inputs: what it is called with; the same memory is read at every run.
        fixed: index of the input that seldom changes.

    Attributes:
        outputs: what the module returned, by its place; overwritten by every run.
        torch_calls: names of the operations that are done by torch.

    Raises:
        Exception: whatever torch raises of a module that can't be traced.
    """

    def __init__(self, module: nn.Module, inputs: Sequence[Tensor], fixed: int) -> None:
        self.inputs, self.torch_calls = list(inputs), list[str]()
        self._seldom: list[Run] = []
        self._always: list[Run] = []
        self._fixed = self.inputs[fixed].numpy()
        self._seen = self._fixed.copy()
        with torch.no_grad(), _quiet():
            program = torch.export.export(module, tuple(inputs), strict=False)
            self.outputs = self._record(program, fixed)

    def run(self) -> None:
        """Run the module on what its inputs hold now."""
        if not np.array_equal(self._fixed, self._seen):
            self._seen[...] = self._fixed
            for run in self._seldom:
                run()
        for run in self._always:
            run()

    def _record(self, program: Any, fixed: int) -> list[np.ndarray]:
        """Compute everything once, and note what is to be computed again."""
        values, moving, seldom = self._constants(program, fixed)
        found: list[np.ndarray] = []
        for node in program.graph.nodes:
            if node.op == "output":
                found = [values[one].numpy() for one in node.args[0]]
            if node.op != "call_function":
                continue
            read = [one for one in node.all_input_nodes if one in moving]
            values[node], run = self._call(node, values, bool(read))
            if read:
                moving.add(node)
            if all(one in seldom for one in read):
                seldom.add(node)
            if run is not None:
                (self._seldom if node in seldom else self._always).append(run)
        return found

    def _constants(self, program: Any, fixed: int) -> tuple[dict[Any, Any], set[Any], set[Any]]:
        """The inputs of the graph: those that change, and weights."""
        values: dict[Any, Any] = {}
        moving, seldom = set(), set()
        given = iter(enumerate(self.inputs))
        placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
        for node, spec in zip(placeholders, program.graph_signature.input_specs, strict=True):
            if spec.kind == InputKind.USER_INPUT:
                index, values[node] = next(given)
                moving.add(node)
                if index == fixed:
                    seldom.add(node)
            else:
                kept = program.state_dict.get(spec.target, program.constants.get(spec.target))
                values[node] = kept.detach()
        return values, moving, seldom

    def _call(self, node: Any, values: dict[Any, Any], moves: bool) -> tuple[Any, Run | None]:
        """The result of one operation, and what computes it again; None where nothing need be."""
        args = torch.fx.node.map_arg(node.args, values.__getitem__)
        kwargs = torch.fx.node.map_arg(node.kwargs, values.__getitem__)
        if node.target is operator.getitem:
            return args[0][args[1]], None
        if node.target._schema.is_mutable:
            raise NotImplementedError(f"{node.target} writes into its input")
        name = node.target._schema.name.partition("::")[2]
        if name in IDLE and (name != "contiguous" or args[0].is_contiguous()):
            return args[0], None
        result = node.target(*args, **kwargs)
        if not moves or _is_view(result, args):
            return result, None
        if name in FAST and (fast := FAST[name](result, *args, **kwargs)) is not None:
            return fast
        self.torch_calls.append(name)
        return result, _by_torch(node.target, args, kwargs, result)


def _is_view(result: Any, args: Any) -> bool:
    """Whether all of a result lies in the memory of what it was made of."""
    made = [result] if isinstance(result, Tensor) else list(result)
    given = {one.untyped_storage().data_ptr() for one in args if isinstance(one, Tensor)}
    return all(one.untyped_storage().data_ptr() in given for one in made)


def _by_torch(target: Any, args: Any, kwargs: Any, result: Any) -> Run:
    """The same operation by torch, copied to where its result lies."""
    if isinstance(result, Tensor):
        return lambda: result.copy_(target(*args, **kwargs))

    def run() -> None:
        for into, one in zip(result, target(*args, **kwargs), strict=True):
            into.copy_(one)

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says while it traces."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


__all__ = ["Tape"]
