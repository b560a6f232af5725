"""``comfykernel serve``."""

from __future__ import annotations

import importlib.metadata
import logging

import click

from ._logging import set_up_logging
from ._options import ServerCommand, effective_settings, flags_without_effect


@click.command("serve", cls=ServerCommand)
@click.pass_context
def command(context: click.Context) -> None:
    """Listen for clients until interrupted. Takes the flags that launchers of ComfyUI pass."""
    effective = effective_settings(context)
    if effective.settings.plugin.get("devtools", {}).get("reload") and not _has_devtools():
        raise click.UsageError("--reload needs the distribution comfykernel-devtools, which is not installed.", context)
    from ._server_process import serve

    set_up_logging(effective.settings.log)
    if ignored := flags_without_effect(context):
        logging.getLogger("comfykernel").info("Without effect here: %s.", " ".join(ignored))
    context.exit(serve(effective.settings, file=effective.file))


def _has_devtools() -> bool:
    return bool(importlib.metadata.entry_points(group="comfykernel.plugins", name="devtools"))
