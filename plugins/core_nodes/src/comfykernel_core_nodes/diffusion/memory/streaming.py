"""Networks that do not fit: their blocks come to the device when their turn is near, and go when it is over.

A block is an element of a list of modules, which is how all networks here hold what repeats. As many of them as fit
stay; of the others one is computed with while the next one is on its way. On a CUDA device blocks wait in pinned memory
and are copied on a stream of their own; on the CPU they are read from the file again, by a thread of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.memory.placement import Placement, placed, portions, put, take_away, unfilled

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.weights import Weights

Tensors = dict[str, Tensor]
Fetch = Callable[[Sequence[str]], Tensors]


@dataclass(eq=False)
class Block:
    """A part of a network that comes and goes as one."""

    module: nn.Module
    names: list[str]
    """of its tensors, in the network"""
    size: int
    """bytes"""
    following: Block | None = field(default=None, repr=False)
    """the block that ran after it the last time; at first the next one in the network"""


def blocks_of(module: nn.Module, sizes: Mapping[str, int]) -> list[Block]:
    """The outermost elements of a network's lists of modules, in its order; sizes: bytes of each tensor.

    The one that has the network's first parameter is none: networks are asked for its device and precision.
    """
    first = next((name for name, _ in module.named_parameters()), "")
    outermost: dict[str, nn.Module] = {}
    for name, owner in module.named_modules():
        if isinstance(owner, nn.ModuleList) and not any(name.startswith(f"{known}.") for known in outermost):
            outermost |= {f"{name}.{index}": block for index, block in enumerate(owner)}
    found: list[Block] = []
    for name, inner in outermost.items():
        names = [tensor for tensor in sizes if tensor.startswith(f"{name}.")]
        size = sum(sizes[tensor] for tensor in names)
        if names and first not in names:
            found.append(Block(inner, names, size))
    return found


def streamed(weights: Weights[nn.Module], where: Placement, limit: int) -> tuple[nn.Module, int]:
    """The module with as many of its blocks on the device as `limit` bytes hold; the others are streamed.

    Gives the bytes that it takes as well. What belongs to no block stays on the device, whatever the limit.
    """
    sizes = where.sizes(weights)
    blocks = blocks_of(unfilled(weights, where), sizes)
    total = sum(sizes.values())
    largest = max((block.size for block in blocks), default=0)
    # Two blocks of the streamed ones are there at once: the one at work and the one that comes next.
    staying, used = len(blocks), total
    while staying and used + (2 * largest if staying < len(blocks) else 0) > limit:
        staying -= 1
        used -= blocks[staying].size
    coming = [name for block in blocks[staying:] for name in block.names]
    module = placed(weights, where, left_out=coming)
    mine = blocks_of(module, sizes)[staying:]
    if mine:
        fetch = _fetch_pinned(weights, where, coming) if where.device.type == "cuda" else _fetch_again(weights, where)
        _BlockStream(module, mine, fetch, where.device).attach()
    return module, used + min(2, len(mine)) * largest


def _fetch_again(weights: Weights[nn.Module], where: Placement) -> Fetch:
    """Tensors read from their file, converted and patched, every time."""

    def fetch(names: Sequence[str]) -> Tensors:
        raw = weights.source.some(names)
        return {name: where.held(weights, name, raw[name]) for name in names}

    return fetch


def _fetch_pinned(weights: Weights[nn.Module], where: Placement, names: Sequence[str]) -> Fetch:
    """Tensors copied from pinned memory, where they lie ready for the device."""
    beside, waiting = replace(where, device=torch.device("cpu")), Tensors()
    for portion in portions(names, where.sizes(weights)):
        raw = weights.source.some(portion)
        waiting |= {name: beside.held(weights, name, raw[name]).pin_memory() for name in portion}

    def fetch(wanted: Sequence[str]) -> Tensors:
        return {name: waiting[name].to(where.device, non_blocking=True) for name in wanted}

    return fetch


class _BlockStream:
    """Brings the blocks of one network by hooks around their calls."""

    def __init__(self, module: nn.Module, blocks: Sequence[Block], fetch: Fetch, device: torch.device) -> None:
        self._blocks = blocks
        self._fetch = fetch
        self._root = module
        self._coming: dict[Block, Future[tuple[Tensors, torch.cuda.Event | None]]] = {}
        self._last: Block | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="comfykernel-blocks")
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def attach(self) -> None:
        for number, block in enumerate(self._blocks):
            block.following = self._blocks[(number + 1) % len(self._blocks)]
            block.module.register_forward_pre_hook(self._before(block))
            block.module.register_forward_hook(self._after(block), always_call=True)

    def _before(self, block: Block) -> Callable[..., None]:
        def bring(_module: nn.Module, _inputs: object) -> None:
            if self._last is not None and self._last is not block:
                self._last.following = block
            self._last = block
            self._drop_others(block)
            tensors, ready = self._asked(block).result()
            del self._coming[block]
            if ready is not None:
                torch.cuda.current_stream(self._device).wait_event(ready)
                for tensor in tensors.values():
                    tensor.record_stream(torch.cuda.current_stream(self._device))
            for name, tensor in tensors.items():
                put(self._root, name, tensor)
            if block.following is not None and block.following is not block:
                self._asked(block.following)

        return bring

    def _after(self, block: Block) -> Callable[..., None]:
        def drop(_module: nn.Module, _inputs: object, _output: object) -> None:
            for name in block.names:
                take_away(self._root, name)

        return drop

    def _asked(self, block: Block) -> Future[tuple[Tensors, torch.cuda.Event | None]]:
        if block not in self._coming:
            self._coming[block] = self._thread.submit(self._bring, block.names)
        return self._coming[block]

    def _drop_others(self, block: Block) -> None:
        """Forget blocks that were expected and did not come."""
        for other in [other for other in self._coming if other is not block]:
            del self._coming[other]

    def _bring(self, names: Sequence[str]) -> tuple[Tensors, torch.cuda.Event | None]:
        with torch.inference_mode(mode=False), torch.no_grad():
            if self._stream is None:
                return self._fetch(names), None
            with torch.cuda.stream(self._stream):
                tensors = self._fetch(names)
                ready = torch.cuda.Event()
                ready.record(self._stream)
            return tensors, ready
