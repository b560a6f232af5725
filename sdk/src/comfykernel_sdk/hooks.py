"""Hook specifications: what a plugin may give, and the moments it may hear of.

A plugin is an entry point of one of the groups below; its object (usually the module ``plugin``) holds functions
marked with :data:`hookimpl`. The entry point's name is the word used in the configuration. A function takes only the
arguments that it needs, by name.

============================== ======================================== ==========================
group                          gives                                    loaded in
============================== ======================================== ==========================
``comfykernel.nodes``          nodes                                    workers
``comfykernel.storage``        a storage                                server and workers, chosen
``comfykernel.transports``     a transport                              server, chosen
``comfykernel.schedulers``     a scheduler                              server, chosen
``comfykernel.model_families`` model architectures                      workers
``comfykernel.plugins``        anything else: model folders, commands,  server and workers
                               web directories, listeners
============================== ======================================== ==========================

When an implementation raises, its plugin is marked as failed with the traceback, the log says so, and everything
else goes on (with ``plugins.strict`` the error is raised).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    import click

    from .families import ModelFamily
    from .nodes import NodePack
    from .scheduler import DeviceStatus, SchedulerFactory
    from .settings import Settings
    from .storage import Storage, StorageFactory
    from .transport import BusEvent, Kernel, TransportFactory
    from .workflows import WorkflowReader

PROJECT: Final = "comfykernel"

NODES_GROUP: Final = "comfykernel.nodes"
STORAGE_GROUP: Final = "comfykernel.storage"
TRANSPORTS_GROUP: Final = "comfykernel.transports"
SCHEDULERS_GROUP: Final = "comfykernel.schedulers"
PLUGINS_GROUP: Final = "comfykernel.plugins"
MODEL_FAMILIES_GROUP: Final = "comfykernel.model_families"
GROUPS: Final = (
    NODES_GROUP, STORAGE_GROUP, TRANSPORTS_GROUP, SCHEDULERS_GROUP, PLUGINS_GROUP, MODEL_FAMILIES_GROUP,
)  # fmt: skip

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

RegisterNodes: TypeAlias = "Callable[[NodePack], None]"
RegisterStorage: TypeAlias = "Callable[[str, StorageFactory], None]"
RegisterTransport: TypeAlias = "Callable[[str, TransportFactory], None]"
RegisterScheduler: TypeAlias = "Callable[[str, SchedulerFactory], None]"
RegisterModelFamily: TypeAlias = "Callable[[ModelFamily], None]"
RegisterModelFolder: TypeAlias = "Callable[[str, Path], None]"
RegisterCommand: TypeAlias = "Callable[[click.Command], None]"
RegisterWorkflowReader: TypeAlias = "Callable[[WorkflowReader], None]"
LoadSettings: TypeAlias = "Callable[[Mapping[str, object]], Settings]"


@hookspec
def register_nodes(register: RegisterNodes, settings: Settings, storage: Storage | None) -> None:
    """Give node packs. Called once in every worker, before it is ready; may import torch and take its time.

    ``register(pack)`` raises NodeDefinitionError when the pack's name is taken. ``storage`` is the one that the nodes
    will see, ``None`` where nodes are listed without being run.
    """


@hookspec
def wrap_nodes(packs: Sequence[NodePack]) -> None:
    """All node packs are there. Called in every worker, before it is ready.

    A plugin may put something of its own around the code of nodes, whoever they belong to: it replaces members of
    ``pack.nodes``. See :func:`comfykernel_sdk.second_attempt.with_second_attempt`.
    """


@hookspec
def register_storage(register: RegisterStorage) -> None:
    """Give a storage. Called in the server and in every worker; ``register(name, factory)``."""


@hookspec
def register_transports(register: RegisterTransport) -> None:
    """Give a transport. Called in the server; ``register(name, factory)``; the factory may import its library."""


@hookspec
def register_schedulers(register: RegisterScheduler) -> None:
    """Give a scheduler. Called in the server; ``register(name, factory)``."""


@hookspec
def register_model_families(register: RegisterModelFamily) -> None:
    """Give model architectures. Called in a worker when a model is first loaded; may import torch.

    ``register(family)`` takes a :class:`~comfykernel_sdk.families.ModelFamily`. Families are asked in the order of
    their plugins; with ``@hookimpl(trylast=True)`` after all others.
    """


@hookspec
def register_model_folders(register: RegisterModelFolder, settings: Settings) -> None:
    """Add directories to model folders. Called in the server and in every worker after the storage is made.

    ``register("checkpoints", path)`` searches ``path`` after the user's own folders.
    """


@hookspec
def register_commands(register: RegisterCommand, load_settings: LoadSettings) -> None:
    """Add commands to ``comfykernel``. Called when the command line is built; must import nothing heavy.

    A command that runs calls ``load_settings({"paths.base": "data"})`` for the settings that a server with these
    flags (dotted key -> value) would have; raises ConfigError.
    """


@hookspec
def register_workflow_readers(register: RegisterWorkflowReader) -> None:
    """Give a reader of an editor's documents and of files that carry them. Called by commands that take a workflow.

    For the server the same plugin adds a filter with ``kernel.on_submit`` in ``on_startup``.
    """


@hookspec
def on_startup(kernel: Kernel) -> None:
    """The server's transports listen. Called in the server, once."""


@hookspec
def on_event(event: BusEvent) -> None:
    """Something happened to a job or to the queue. Called in the server on its event loop: must not block."""


@hookspec
def on_shutdown(kernel: Kernel) -> None:
    """The server stops; transports are still open. Called in the server, once."""


@hookspec
def free_memory(unload_models: bool) -> None:
    """Give memory back. Called in a worker between two prompts; ``unload_models``: models that are loaded, too."""


@hookspec
def model_memory() -> int:  # type: ignore[empty-body]
    """How many bytes of loaded models this plugin holds. Called in a worker after each prompt."""


@hookspec
def device_status() -> DeviceStatus | None:
    """The device of this worker with its memory, from a plugin that knows it. Called in a worker."""
