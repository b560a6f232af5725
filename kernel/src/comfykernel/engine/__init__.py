"""Runs prompts: signatures, cache, lazy inputs, list mapping, expansion, async nodes, blockers, progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .engine import Engine
from .registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage


def create_engine(
    settings: Settings, *, nodes: Iterable[object] | None = None, storage: Storage | None = None
) -> Engine:
    """An engine with all installed nodes and the chosen storage; imports the node packs, which may take a while.

    With ``nodes`` (decorated functions and classes, or definitions) only these, and no plugin is loaded.

    Raises:
        PluginError: the storage can't be had, or with ``plugins.strict`` when any plugin fails.
    """
    from comfykernel_sdk.families import use_families
    from comfykernel_sdk.scheduler import DeviceStatus

    from ..fingerprint import distributions_fingerprint
    from ..plugin_host import PluginHost

    if nodes is not None and storage is not None:
        return engine_of(nodes, settings=settings, storage=storage)
    host = PluginHost(settings, side="worker")
    host.load()
    use_families(lambda register: host.hook.register_model_families(register=register))
    storage = storage or host.make_storage()
    if nodes is None:
        registry = Registry(host.node_packs(storage), fingerprint=distributions_fingerprint())
    else:
        registry = Registry.of(nodes)
    host.mark_started()
    return Engine(
        registry,
        settings=settings,
        storage=storage,
        free_memory=lambda unload_models: host.hook.free_memory(unload_models=unload_models),
        model_memory=lambda: sum(size for size in host.hook.model_memory() if isinstance(size, int)),
        device_status=lambda: next((s for s in host.hook.device_status() if isinstance(s, DeviceStatus)), None),
    )


def engine_of(nodes: Iterable[object], *, settings: Settings, storage: Storage) -> Engine:
    """An engine with just these nodes: definitions, or functions and classes decorated with ``@node``."""
    return Engine(Registry.of(nodes), settings=settings, storage=storage)


__all__ = ["Engine", "Registry", "create_engine", "engine_of"]
