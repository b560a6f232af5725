"""Rules about a pack as a whole: does it load, is finding it cheap, is it complete."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .findings import Finding
from .pack_source import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .inspected import Inspection
    from .pack_source import PackSource

SLOW_IMPORT_S: Final = 0.5
"""Seconds of the processor: every start of the command line and of each worker waits for it."""
SLOW_REGISTRATION_S: Final = 10.0
"""From here on the server's log complains, too."""
INSIDE: Final = ("comfykernel", "comfykernel_cli")
"""Packages that a pack must do without: they are free to change."""


def check_pack(source: PackSource, found: Inspection) -> Iterator[Finding]:
    """All rules about the pack."""
    yield from _loading(found)
    yield from _speed(found)
    yield from _files(source)
    yield from _dependencies(source, found)
    for name, folder in found.web_directories.items():
        if not Path(folder).is_dir():
            text = f"The web directory of {name} does not exist: {folder}."
            yield Finding(rule="web-directory", severity="error", message=text)
    for text in found.broken:
        message = f"Another pack does not load, so collisions with it are not seen: {text}"
        yield Finding(rule="other-pack", severity="note", message=message)


def _loading(found: Inspection) -> Iterator[Finding]:
    if (failure := found.failure) is not None:
        yield Finding(
            rule="load-failed",
            severity="error",
            message=f"The pack fails when it {failure.doing}: {failure.message}",
            hint=failure.traceback.rstrip(),
            file=failure.file,
            line=failure.line,
        )
    elif not found.nodes:
        hint = "Let a function register_nodes, marked with @hookimpl, call register(NodePack(...))."
        yield Finding(rule="no-nodes", severity="error", message="The pack registers no nodes.", hint=hint)


def _speed(found: Inspection) -> Iterator[Finding]:
    for heavy in found.heavy:
        yield Finding(
            rule="heavy-import",
            severity="warning",
            message=f"{heavy.module} is imported as soon as the plugin is found.",
            hint="Import what needs it inside of register_nodes.",
            file=heavy.file,
            line=heavy.line,
        )
    if found.import_s > SLOW_IMPORT_S and not found.heavy:
        text = f"Finding the plugin takes {found.import_s:.1f} s."
        hint = "Import less at the top of its module: what nodes need belongs into register_nodes."
        yield Finding(rule="slow-import", severity="warning", message=text, hint=hint)
    if found.register_s > SLOW_REGISTRATION_S:
        text = f"Registering the nodes takes {found.register_s:.1f} s."
        hint = "Load models and large tables when a node first runs."
        yield Finding(rule="slow-registration", severity="warning", message=text, hint=hint)


def _files(source: PackSource) -> Iterator[Finding]:
    for package in source.packages:
        folder = _package_folder(source, package)
        if folder is not None and not (folder / "py.typed").is_file():
            text = f"{package} has no file py.typed, so type checkers ignore its annotations."
            yield Finding(rule="py-typed", severity="warning", message=text, file=str(folder / "__init__.py"))
    if source.project is None or source.metadata is None:
        return
    if not any(source.project.glob("tests/**/test_*.py")) and not any(source.project.glob("test_*.py")):
        hint = "comfykernel_sdk.testing has the fixtures run_node, run_graph and run_prompt."
        yield Finding(rule="no-tests", severity="warning", message="The project has no tests.", hint=hint)
    for key, rule in (("readme", "no-readme"), ("description", "no-description"), ("license", "no-license")):
        if not source.metadata.get(key):
            text = f"pyproject.toml tells no {key}."
            yield Finding(rule=rule, severity="note", message=text, file=str(source.project / "pyproject.toml"))


def _package_folder(source: PackSource, package: str) -> Path | None:
    for place in source.search:
        if (Path(place) / package).is_dir():
            return Path(place) / package
    if source.search:
        return None
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin and spec.submodule_search_locations else None


def _dependencies(source: PackSource, found: Inspection) -> Iterator[Finding]:
    owners = importlib.metadata.packages_distributions()
    file = str(source.project / "pyproject.toml") if source.project else ""
    for module in found.imported:
        distributions = {normalized(name) for name in owners.get(module, [])}
        if module in source.packages or normalized(source.distribution) in distributions:
            continue
        if module in INSIDE:
            text = f"The pack imports {module}, which is free to change."
            hint = "Everything for packs is in comfykernel_sdk."
            yield Finding(rule="inside-import", severity="warning", message=text, hint=hint, file=file)
        elif distributions and not distributions & set(source.requirements):
            name = sorted(distributions)[0]
            text = f"The pack imports {module}, but does not ask for {name}."
            hint = f'Add "{name}" to the dependencies, so that pip installs it with the pack.'
            yield Finding(rule="undeclared-dependency", severity="warning", message=text, hint=hint, file=file)
