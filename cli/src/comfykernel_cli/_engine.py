"""An engine in the process of the command line, and the checks that the server would make."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import TYPE_CHECKING

from comfykernel.catalog import CatalogKeeper
from comfykernel.near_miss import did_you_mean
from comfykernel.validation import Validated, validate_prompt
from comfykernel_sdk.errors import InvalidPrompt, PluginError

if TYPE_CHECKING:
    from comfykernel.engine import Engine
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.scheduler import ValidationAnswer, ValidationQuestion
    from comfykernel_sdk.settings import Settings

ENGINE_GROUP = "comfykernel.engine"


def start_engine(settings: Settings) -> Engine:
    """Load all nodes into this process; takes as long as their libraries take to import.

    Raises:
        PluginError: no engine is installed, or the chosen storage is missing.
    """
    from rich.console import Console

    found = importlib.metadata.entry_points(group=ENGINE_GROUP, name="default")
    if not found:
        raise PluginError("No engine is installed.", hint="Install comfykernel-kernel again.")
    with Console(stderr=True).status("Loading nodes"):
        engine: Engine = next(iter(found)).load()(settings)
    return engine


def catalog_of(engine: Engine) -> CatalogKeeper:
    """The engine's nodes, which are told to the server for its next start."""
    keeper = CatalogKeeper(engine.storage, engine.settings.paths.folder("state"), engine.catalog.fingerprint)
    keeper.set(engine.catalog)
    return keeper


async def validate(engine: Engine, keeper: CatalogKeeper, graph: Graph) -> Validated:
    """Check a prompt as the server does.

    Raises:
        InvalidPrompt: nothing of it can run.
    """

    async def ask(questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        # Validators that are coroutines run on an event loop of their own.
        return await asyncio.to_thread(engine.validate, questions)

    for id, node in graph.items():
        name = node.get("class_type")
        if isinstance(name, str) and name not in keeper.specs and name not in keeper.replacements:
            hint = did_you_mean(name, keeper.specs) or "See `comfykernel nodes` and `comfykernel plugins`."
            raise InvalidPrompt(f"Node {id}: there is no node class {name!r}.", hint=hint)
    return await validate_prompt(graph, keeper.specs, keeper.choices_now(), ask, replacements=keeper.replacements)
