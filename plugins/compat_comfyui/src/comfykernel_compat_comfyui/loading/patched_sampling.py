"""Lets the sampling nodes of comfykernel heed what packs have changed in the functions that they know.

As long as no pack has put a function of its own in their place, the nodes run as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..class_nodes.calls import call_node
from ..shims import latent_preview, nodes
from ..shims.comfy import sample, samplers

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import NodeDefinition

NODES: Final = ("KSampler", "KSamplerAdvanced")
"""The nodes whose way through these functions packs know."""
_FUNCTIONS: Final = (
    (nodes, "common_ksampler"),
    (sample, "sample"),
    (sample, "prepare_noise"),
    (samplers, "sample"),
    (samplers, "sampling_function"),
    (samplers, "KSampler"),
    (latent_preview, "get_previewer"),
    (latent_preview, "prepare_callback"),
)
_ORIGINALS: Final = tuple(getattr(module, name) for module, name in _FUNCTIONS)


def changed_functions() -> list[str]:
    """Names of the functions that packs have replaced."""
    return [
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for (module, name), original in zip(_FUNCTIONS, _ORIGINALS, strict=True)
        if getattr(module, name) is not original
    ]


class HeedsPatches:
    """Runs a sampling node: as it is, or through the functions that packs have changed."""

    def __init__(self, definition: NodeDefinition) -> None:
        self._id = definition.spec.id
        self._types = tuple(output.type for output in definition.spec.outputs)
        self._context = definition.context_parameter
        self._own: Callable[..., object] = definition.run

    def __call__(self, instance: object, /, **inputs: Any) -> object:
        if not changed_functions():
            return self._own(instance, **inputs)
        inputs.pop(self._context or "", None)
        cls = nodes.NODE_CLASS_MAPPINGS.own(self._id)
        return call_node(cls, self._types, cls(), **inputs)


def heed_patches(definitions: Mapping[str, NodeDefinition]) -> None:
    """Have the sampling nodes among these heed changes from now on."""
    for name in NODES:
        definition = definitions.get(name)
        if definition is not None and not isinstance(definition.run, HeedsPatches):
            definition.run = HeedsPatches(definition)
