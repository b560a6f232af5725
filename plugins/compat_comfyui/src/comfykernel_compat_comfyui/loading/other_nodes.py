"""The nodes of other installed plugins, for packs that use them by name."""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import NODES_GROUP

from ..compat_settings import NAME

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import NodeDefinition, NodePack
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage

log = logging.getLogger(__name__)


def other_definitions(settings: Settings, storage: Storage | None) -> dict[str, NodeDefinition]:
    """Node id -> definition of every plugin that is not switched off; of one name the first counts.

    A plugin that fails here fails again when its own turn comes, and is reported then.
    """
    found: dict[str, NodeDefinition] = {}

    def register(pack: NodePack) -> None:
        for id, definition in pack.nodes.items():
            found.setdefault(id, definition)

    for entry in importlib.metadata.entry_points(group=NODES_GROUP):
        names = {entry.name, entry.dist.name if entry.dist else ""}
        if entry.name == NAME or names & set(settings.plugins.disabled):
            continue
        try:
            give = entry.load().register_nodes
            given = {"register": register, "settings": settings, "storage": storage}
            give(**{name: given[name] for name in inspect.signature(give).parameters})
        except Exception:  # the code of another plugin
            log.debug("The nodes of %s are not known to packs.", entry.name, exc_info=True)
    return found
