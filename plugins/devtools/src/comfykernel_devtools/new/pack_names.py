"""The names of a new pack: what it is called when it is installed, imported and shown, and whether it may be so."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import sys
import unicodedata
from typing import Final

import msgspec

from comfykernel_sdk.errors import BadInput, Conflict
from comfykernel_sdk.hooks import NODES_GROUP

DISTRIBUTION_NAME: Final = re.compile(r"[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", re.IGNORECASE | re.ASCII)
"""Of the packaging standard for names."""
LONGEST_NAME: Final = 64
"""Characters: the name is also a folder, part of file names and of every node id."""


class PackNames(msgspec.Struct, frozen=True, kw_only=True):
    """One name in all its forms: ``shape-tools``, ``shape_tools``, ``ShapeTools`` and ``Shape Tools``."""

    distribution: str
    package: str
    prefix: str
    title: str


def names_for(name: str, *, package: str | None = None) -> PackNames:
    """The names of a pack, checked.

    Raises:
        BadInput: ``name`` can't be a distribution's, or ``package`` can't be imported.
        Conflict: something that is installed has one of the names.
    """
    if not DISTRIBUTION_NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise BadInput(
            f"{name!r} can't be the name of a pack.",
            details=f"Use up to {LONGEST_NAME} letters, digits, '-', '_' and '.', with a letter or digit at both ends.",
            hint=_suggestion(name),
            type="invalid_name",
        )
    distribution = re.sub(r"[-_.]+", "-", name).lower()
    package = distribution.replace("-", "_") if package is None else package
    _check_package(package)
    _check_free(distribution, package)
    words = [word for word in distribution.split("-") if word]
    return PackNames(
        distribution=distribution,
        package=package,
        prefix="".join(word.capitalize() for word in words),
        title=" ".join(word.capitalize() for word in words),
    )


def _check_package(package: str) -> None:
    reason = ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", package):
        reason = "it is no Python identifier"
    elif keyword.iskeyword(package):
        reason = "it is a word of the language"
    elif package in sys.stdlib_module_names:
        reason = "it is a module of the standard library"
    if reason:
        raise BadInput(
            f"The pack can't be imported as {package!r}: {reason}.",
            hint="Choose another name, or name the package with --package.",
            type="invalid_name",
        )


def _check_free(distribution: str, package: str) -> None:
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        raise _taken(f"A distribution {distribution!r} ({version}) is installed.")
    loaded = package in sys.modules
    spec = None if loaded else importlib.util.find_spec(package)
    if loaded or spec is not None:
        owners = sorted(set(importlib.metadata.packages_distributions().get(package, [])))
        # Any folder on the module path looks like a package without origin: that one hides nothing.
        if loaded or owners or (spec is not None and spec.origin is not None):
            of = f" of {', '.join(owners)}" if owners else ""
            raise _taken(f"There is a package {package!r}{of}, which the new one would hide.")
    for entry in importlib.metadata.entry_points(group=NODES_GROUP, name=package):
        raise _taken(f"There is a node plugin {entry.name!r} of {entry.dist.name if entry.dist else entry.value}.")


def _taken(details: str) -> Conflict:
    return Conflict("The name is taken.", details=details, hint="Choose another one.", type="name_taken")


def _suggestion(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    near = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-").lower()[:LONGEST_NAME].strip("-")
    folder = " The folder is chosen with --directory." if "/" in name or "\\" in name else ""
    return (f"Perhaps {near!r}." if near else "For example 'shape-tools'.") + folder
