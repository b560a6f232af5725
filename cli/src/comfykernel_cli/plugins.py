"""``comfykernel plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import msgspec

from ._options import WorkflowCommand, effective_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from comfykernel.plugin_host import LoadedPack
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.transport import PluginInfo

STATES: Final = ("found", "disabled", "loaded", "started", "failed")
"""From what says least of a plugin to what says most."""
EXIT_FAILED: Final = 1


@click.command("plugins", cls=WorkflowCommand)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Show what is installed: plugins with their state and hooks, the packs in them, and tracebacks of what failed.

    Loads everything that a server and its workers would load, nodes included. Exits with 1 when a plugin failed.
    """
    infos = _load_everything(effective_settings(context).settings)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(infos)))
    else:
        _show_table(infos)
        for info in infos:
            if info.error:
                click.echo(f"\n{info.kind} {info.name} ({info.distribution}) failed:\n{info.error.rstrip()}")
    context.exit(EXIT_FAILED if any(info.state == "failed" for info in infos) else 0)


def _load_everything(settings: Settings) -> list[PluginInfo]:
    """Load as the server does and as a worker does; of two accounts of a plugin the one that says more stays."""
    import logging

    from comfykernel.plugin_host import PluginHost

    logging.getLogger("comfykernel").addHandler(logging.NullHandler())
    logging.getLogger("comfykernel").propagate = False  # the tracebacks stand below the table
    merged: dict[tuple[str, str, str], PluginInfo] = {}
    for side in ("server", "worker"):
        host = PluginHost(settings, side="server" if side == "server" else "worker")
        host.load()
        packs = host.node_packs() if side == "worker" else []
        for info in [*host.infos(), *_inner_packs(packs)]:
            known = merged.setdefault((info.kind, info.name, info.distribution), info)
            if STATES.index(info.state) > STATES.index(known.state):
                merged[info.kind, info.name, info.distribution] = info
    return list(merged.values())


def _inner_packs(packs: list[LoadedPack]) -> Iterator[PluginInfo]:
    """The packs of plugins that bring several, such as folders of ComfyUI packs: each is loaded, or not, by itself."""
    from comfykernel_sdk.transport import PluginInfo

    for loaded in packs:
        pack, plugin = loaded.pack, loaded.plugin
        error = str(pack.about.get("error") or "")
        if pack.name != plugin.name and (pack.nodes or error):
            yield PluginInfo(
                name=pack.name,
                kind="pack",
                distribution=str(pack.about.get("distribution") or plugin.distribution),
                version=str(pack.about.get("version") or plugin.version),
                seconds=float(str(pack.about.get("seconds") or plugin.seconds)),
                state="failed" if error else "loaded",
                error=error,
            )


def _show_table(infos: list[PluginInfo]) -> None:
    """Columns as wide as they need to be, hooks last; no drawing library, so that pipes get the same."""
    rows = [("kind", "name", "distribution", "version", "state", "seconds", "hooks")]
    rows += [
        (i.kind, i.name, i.distribution, i.version, i.state, f"{i.seconds:.3f}", ", ".join(i.hooks)) for i in infos
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
