"""Named points inside networks where functions can look at activations and change them.

A network asks for the functions of a point by its name and calls them one after the other; without any, a point costs
one look-up. `Hooks` is an immutable value: what adds a function makes a new one, so that cloned models stay apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor


class Point(StrEnum):
    """The points, with what their functions take and give. The last argument is always the `Site`.

    Tokens are [batch, tokens, width], feature maps [batch, channels, height, width].
    """

    SELF_INPUTS = "self_attention.inputs"
    """(q, k, v, site) -> (q, k, v): tokens before their projections"""
    SELF_ATTENTION = "self_attention"
    """(q, k, v, site) -> tokens: instead of attention; q, k, v are projected. The last function added is used."""
    SELF_OUTPUT = "self_attention.output"
    """(tokens, site) -> tokens: before they are added to the residual"""
    SELF_AROUND = "self_attention.around"
    """(run, q, k, v, site) -> tokens: around the whole of attention; `run(q, k, v)` takes tokens before their
    projections and calls the other points of attention"""
    CROSS_INPUTS = "cross_attention.inputs"
    CROSS_ATTENTION = "cross_attention"
    CROSS_OUTPUT = "cross_attention.output"
    CROSS_AROUND = "cross_attention.around"
    BETWEEN_ATTENTIONS = "transformer.middle"
    """(tokens, site) -> tokens: after self-attention"""
    INPUT_BLOCK = "block.input"
    """(map, site) -> map: what goes on and what is kept for the output half"""
    INPUT_BLOCK_ONWARD = "block.input.onward"
    """(map, site) -> map: what goes on only"""
    MIDDLE_BLOCK = "block.middle"
    OUTPUT_BLOCK = "block.output"
    """(map, skip, site) -> (map, skip): before they are joined"""
    DOUBLE_BLOCK = "block.double"
    """(run, image tokens, text tokens, site) -> (image tokens, text tokens): around a block of two streams;
    `run(image, text)` is the block, or the function around it that was added before"""
    SINGLE_BLOCK = "block.single"
    """(run, tokens, site) -> tokens: around a block of one stream"""
    NETWORK = "network"
    """(run, x, site) -> output: around the whole network; x as the network sees it"""
    POSITIONS = "positions"
    """(positions, site) -> positions: [tokens, 3], index, row and column of the patches of one picture, where a network
    turns them into rotations"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a network, as functions at a point see it."""

    sides: tuple[int, ...] = ()
    """for each of the equal parts of the batch, the index of its side: 0 positive, 1 negative, ..."""
    sigma: Tensor | None = None
    """noise level, [batch]"""
    latent_shape: tuple[int, ...] = ()
    """[batch, channel, height, width] of the network's input"""


NO_CALL: Final = Call()


@dataclass(frozen=True, slots=True)
class Site:
    """Where in a network a function is called.

    `block` is input, middle, output, double, single or joint; `number` counts the blocks of that kind from 0, `index`
    the transformer blocks inside.
    """

    block: str
    number: int
    index: int = 0
    heads: int = 1
    call: Call = NO_CALL


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions by point, for one call of a network."""

    functions: Mapping[Point, tuple[Callable[..., Any], ...]] = field(default_factory=dict)
    call: Call = NO_CALL

    def with_function(self, point: Point, function: Callable[..., Any]) -> Hooks:
        """New hooks with one more function at a point, called after those that are there."""
        return replace(self, functions={**self.functions, point: (*self.functions.get(point, ()), function)})

    def for_call(self, call: Call) -> Hooks:
        """The same functions for another call."""
        return replace(self, call=call)

    def at(self, point: Point) -> tuple[Callable[..., Any], ...]:
        """The functions of a point, in order."""
        return self.functions.get(point, ())

    def changed(self, point: Point, value: Tensor, site: Site) -> Tensor:
        """One tensor, passed through all functions of a point."""
        for function in self.at(point):
            value = function(value, site)
        return value

    def wrapped(self, point: Point, run: Callable[..., Any], site: Site) -> Callable[..., Any]:
        """A block with the functions of a point around it; the one added last is called first."""
        for function in self.at(point):
            run = partial(_around, function, run, replace(site, call=self.call))
        return run

    def joined(self, other: Hooks) -> Hooks:
        """The functions of both, these first."""
        if not other.functions:
            return self
        functions = dict(self.functions)
        for point, added in other.functions.items():
            functions[point] = (*functions.get(point, ()), *added)
        return replace(self, functions=functions)


NO_HOOKS: Final = Hooks()


def _around(function: Callable[..., Any], run: Callable[..., Any], site: Site, *values: Any) -> Any:
    return function(run, *values, site)
