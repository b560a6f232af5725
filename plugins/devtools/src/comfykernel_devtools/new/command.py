"""``comfykernel new nodes NAME``."""

from __future__ import annotations

from pathlib import Path

import click

LICENSE_WORDS = ("apache-2.0", "mit", "bsd-3-clause", "none")


@click.group("new")
def command() -> None:
    """Start something of your own."""


@command.command("nodes")
@click.argument("name")
@click.option("--directory", type=click.Path(path_type=Path), help="Folder to make; by default NAME in this folder.")
@click.option("--package", help="Import name; by default made of NAME.")
@click.option("--license", type=click.Choice(LICENSE_WORDS), default="apache-2.0", show_default=True)
@click.option("--author", default="", help="Who holds the rights, for pyproject.toml and LICENSE.")
def nodes(name: str, *, directory: Path | None, package: str | None, license: str, author: str) -> None:
    """Make a node pack NAME: a project with two nodes, their test and all that pip, mypy and ruff want to know."""
    from .pack_files import write_pack
    from .pack_names import names_for

    names = names_for(name, package=package)
    folder = Path(directory or names.distribution)
    made = write_pack(folder, names, license=license, author=author)
    click.secho(f"Made {folder} with {len(made)} files:", bold=True)
    for path in made:
        click.echo(f"  {path}")
    click.secho("\nNext:", bold=True)
    click.echo(f"  cd {folder}")
    click.echo("  pip install -e '.[dev]'       installs it, so that comfykernel finds its nodes")
    click.echo("  pytest                        runs its test")
    click.echo("  comfykernel check .           looks for what is wrong with it")
    click.echo("  comfykernel serve --reload    shows its nodes, and every change to them")
