"""Decorators for the nodes of this pack: each says which module name clients see."""

from __future__ import annotations

from functools import partial

from comfykernel_sdk.nodes import node

# Clients take nodes whose module is "nodes" or starts with "comfy_extras." for built-in ones and group them so.
core_node = partial(node, python_module="nodes")
image_node = partial(node, python_module="comfy_extras.nodes_images")
mask_node = partial(node, python_module="comfy_extras.nodes_mask")
