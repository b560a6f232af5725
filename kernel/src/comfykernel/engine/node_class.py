"""A node definition with everything the engine asks about it in each run worked out once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, final

from comfykernel_sdk.dynamic import active_inputs, all_inputs, is_dynamic

if TYPE_CHECKING:
    from collections.abc import Collection

    from comfykernel_sdk.nodes import NodeDefinition

FITTING: Final[dict[str, Callable[[object], bool]]] = {
    "STRING": lambda value: isinstance(value, str),
    "INT": lambda value: hasattr(value, "__int__"),
    "FLOAT": lambda value: hasattr(value, "__float__"),
    "BOOLEAN": lambda value: hasattr(value, "__int__"),
    "IMAGE": lambda value: hasattr(value, "shape"),
    "MASK": lambda value: hasattr(value, "shape"),
    "LATENT": lambda value: isinstance(value, Mapping),
}
"""Whether a value can be one of a wire type. Numbers of array libraries can be numbers."""
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
        self.filled = frozenset(name for name, _ in self.hidden)
        inputs = list(all_inputs(spec.inputs))
        self.dynamic = is_dynamic(spec.inputs)
        self.declared = frozenset(i.name for i in inputs if i.name not in self.filled)
        self.raw = frozenset(i.name for i in inputs if i.raw_link)
        # Without a check nobody would ever ask for a lazy input.
        self.lazy = frozenset(i.name for i in inputs if i.lazy) if definition.check_lazy else frozenset()
        self.list_outputs = tuple(o.is_list for o in spec.outputs)
        checked = enumerate(spec.outputs if definition.checks_outputs else ())
        self.checked_outputs = tuple((index, o.type) for index, o in checked if o.type in FITTING)
        self.fingerprint_takes = self._taken_by(definition.fingerprint)
        self.lazy_takes = self._taken_by(definition.check_lazy)
        kinds = {kind for _, kind in self.hidden}
        self.knows_its_id = bool(kinds & {"UNIQUE_ID", "DYNPROMPT"})
        self.flow_control = bool(self.raw) or "DYNPROMPT" in kinds
        self.in_signature = (spec.id, spec.distribution, spec.version)

    def declared_with(self, given: Mapping[str, object]) -> Collection[str]:
        """Names of the inputs that a node with these values has: less than ``declared`` when some depend on others."""
        if not self.dynamic:
            return self.declared
        return {i.name for i in active_inputs(self.spec.inputs, given) if i.slots is None} & self.declared

    def _taken_by(self, function: Callable[..., object] | None) -> frozenset[str] | None:
        names = _parameters(function)
        if names is None or not self.dynamic:
            return names
        return names | {name for name in self.declared if name.partition(".")[0] in names}


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
