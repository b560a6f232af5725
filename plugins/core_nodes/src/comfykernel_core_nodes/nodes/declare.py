"""Decorators for the nodes of this pack: each says which module name clients see."""

from __future__ import annotations

from functools import partial

from comfykernel_sdk.nodes import NodeDecorator, node

# Clients take nodes whose module is "nodes" or starts with "comfy_extras." for built-in ones and group them so.
core_node = partial(node, python_module="nodes")


def extra_node(module: str) -> partial[NodeDecorator]:
    """A decorator for the nodes that clients know from the module ``module`` of extras."""
    return partial(node, python_module=f"comfy_extras.{module}")
