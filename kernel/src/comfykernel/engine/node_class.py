"""A node definition with everything the engine asks about it in each run worked out once."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.nodes import NodeDefinition

FILLED_BY_ENGINE: Final = frozenset(
    {"PROMPT", "DYNPROMPT", "EXTRA_PNGINFO", "UNIQUE_ID", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"}
)
"""Types of hidden inputs whose value does not come from the prompt."""


@final
class NodeClass:
    """What runs behind a ``class_type``."""

    def __init__(self, definition: NodeDefinition) -> None:
        spec = definition.spec
        self.definition = definition
        self.spec = spec
        self.id = spec.id
        self.hidden = tuple((i.name, i.type) for i in spec.inputs if i.group == "hidden" and i.type in FILLED_BY_ENGINE)
        engine_filled = {name for name, _ in self.hidden}
        self.declared = frozenset(i.name for i in spec.inputs if i.name not in engine_filled)
        self.raw = frozenset(i.name for i in spec.inputs if i.raw_link)
        # Without a check nobody would ever ask for a lazy input.
        self.lazy = frozenset(i.name for i in spec.inputs if i.lazy) if definition.check_lazy else frozenset()
        self.list_outputs = tuple(o.is_list for o in spec.outputs)
        self.fingerprint_takes = _parameters(definition.fingerprint)
        self.lazy_takes = _parameters(definition.check_lazy)
        kinds = {kind for _, kind in self.hidden}
        self.knows_its_id = bool(kinds & {"UNIQUE_ID", "DYNPROMPT"})
        self.flow_control = bool(self.raw) or "DYNPROMPT" in kinds
        self.in_signature = (spec.id, spec.distribution, spec.version)


def _parameters(function: Callable[..., object] | None) -> frozenset[str] | None:
    """Names of the inputs that a callable takes besides the instance; ``None``: any."""
    if function is None:
        return frozenset()
    parameters = list(inspect.signature(function).parameters.values())
    if not hasattr(function, "__wrapped__"):
        parameters = parameters[1:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters)
