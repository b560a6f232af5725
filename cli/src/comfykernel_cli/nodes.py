"""``comfykernel nodes [NAME]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from comfykernel.near_miss import did_you_mean
from comfykernel_sdk.errors import NotFound

from ._options import WorkflowCommand, effective_settings

if TYPE_CHECKING:
    from comfykernel.catalog import CatalogKeeper
    from comfykernel_sdk.nodes import InputSpec, NodeSpec
    from comfykernel_sdk.settings import Settings

MOST_CHOICES = 8
"""Choices shown of one input; the rest is counted."""


@click.command("nodes", cls=WorkflowCommand)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("name", required=False)
@click.pass_context
def command(context: click.Context, *, name: str | None, as_json: bool) -> None:
    """List all nodes by category, or show the inputs, outputs and description of NAME."""
    specs = known_nodes(effective_settings(context).settings).specs
    if name is not None and name not in specs:
        raise NotFound(f"There is no node {name!r}.", hint=did_you_mean(name, specs))
    chosen = specs if name is None else {name: specs[name]}
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(chosen)))
    elif name is None:
        _show_list(chosen)
    else:
        _show_node(chosen[name])


def known_nodes(settings: Settings) -> CatalogKeeper:
    """The nodes as the last start kept them, else those that an engine finds."""
    from comfykernel.catalog import CatalogKeeper
    from comfykernel.fingerprint import distributions_fingerprint
    from comfykernel.plugin_host import PluginHost

    from ._engine import start_engine

    host = PluginHost(settings, side="server")
    host.load()
    keeper = CatalogKeeper(host.make_storage(), settings.paths.folder("state"), distributions_fingerprint())
    if not keeper.catalog.nodes:
        keeper.set(start_engine(settings).catalog)
    return keeper


def _show_list(specs: dict[str, NodeSpec]) -> None:
    width = max((len(id) for id in specs), default=0)
    by_category = sorted(specs.values(), key=lambda spec: (spec.category, spec.id))
    category = None
    for spec in by_category:
        if spec.category != category:
            category = spec.category
            click.secho(category or "(no category)", bold=True)
        click.echo(f"  {spec.id:{width}}  {spec.display_name or ''}".rstrip())


def _show_node(spec: NodeSpec) -> None:
    click.secho(f"{spec.id}  ({spec.display_name or spec.id})", bold=True)
    click.echo("\n".join((spec.category, spec.distribution, "", spec.description)))
    for title, lines in (
        ("inputs", [_input_line(each) for each in spec.inputs if each.group != "hidden"]),
        ("outputs", [f"{o.name}: {o.type}{' (list)' if o.is_list else ''}  {o.tooltip or ''}" for o in spec.outputs]),
    ):
        if lines:
            click.secho(f"\n{title}", bold=True)
            click.echo("\n".join(f"  {line.rstrip()}" for line in lines))


def _input_line(spec: InputSpec) -> str:
    options = spec.options or {}
    words = [f"{spec.name}: {spec.type}"]
    words += ["optional"] if spec.group == "optional" else []
    words += [f"{key} {options[key]}" for key in ("default", "min", "max", "step") if key in options]
    choices = [str(choice) for choice in spec.choices or ()]
    if choices:
        more = f" and {len(choices) - MOST_CHOICES} more" if len(choices) > MOST_CHOICES else ""
        words.append("one of " + ", ".join(choices[:MOST_CHOICES]) + more)
    if spec.source:
        words.append(f"a file of {spec.source}")
    return "; ".join(words) + (f"\n      {options['tooltip']}" if "tooltip" in options else "")
