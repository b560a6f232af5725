"""The table ``[plugin.compat_comfyui]`` of the configuration."""

from __future__ import annotations

import msgspec

NAME = "compat_comfyui"


class CompatSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which packs are loaded."""

    custom_nodes: tuple[str, ...] = ()
    """Folders of packs besides ``custom_nodes`` below the base folder and those of the extra paths file."""
    disable_all: bool = False
    """Load no packs but those of ``only``."""
    only: tuple[str, ...] = ()
    """Names of packs that are loaded though all are disabled."""
    route_timeout_s: float = 300.0
    """Seconds that an HTTP route of a pack may take to begin its answer."""
