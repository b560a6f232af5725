"""``comfykernel serve``."""

from __future__ import annotations

import logging

import click

from ._options import ServerCommand, effective_settings, flags_without_effect


@click.command("serve", cls=ServerCommand)
@click.pass_context
def command(context: click.Context) -> None:
    """Listen for clients until interrupted. Takes the flags that launchers of ComfyUI pass."""
    effective = effective_settings(context)
    from comfykernel.server import serve, set_up_logging

    set_up_logging(effective.settings.log)
    if ignored := flags_without_effect(context):
        logging.getLogger("comfykernel").info("Without effect here: %s.", " ".join(ignored))
    context.exit(serve(effective))
