"""The published packages that hold the page and its data: where they are, and which versions are known to work."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
from pathlib import Path
from typing import Final

from packaging.version import Version

from comfykernel_sdk.errors import PluginError

PAGE_DISTRIBUTION: Final = "comfyui-frontend-package"
OLDEST: Final = Version("1.27.10")
"""Oldest version of the page that works."""
NEWEST: Final = Version("1.58.1")
"""Newest version that was tried; a later one is served with a warning."""

PAGE: Final = ("comfyui_frontend_package", "static")
DOCS: Final = ("comfyui_embedded_docs", "docs")
BLUEPRINTS: Final = ("comfyui_subgraph_blueprints", "blueprints")
TEMPLATES: Final = (("comfyui_workflow_templates_json", "templates"), ("comfyui_workflow_templates", "templates"))
"""The package of today, and the one that held everything before version 0.2."""

_log = logging.getLogger(__name__)


def folder_of(package: str, folder: str) -> Path | None:
    """A folder inside an installed package, found without importing it; nothing when there is none."""
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(location, folder)
        if path.is_dir():
            return path
    return None


def templates_folder() -> Path | None:
    """The folder of workflow templates with its ``index.json``."""
    return next((found for place in TEMPLATES if (found := folder_of(*place)) is not None), None)


def page_folder() -> Path:
    """The folder of the page.

    Raises:
        PluginError: its package is not installed, or holds no page.
    """
    folder = folder_of(*PAGE)
    if folder is None or not (folder / "index.html").is_file():
        raise PluginError("The web page is not installed.", hint=f"Install {PAGE_DISTRIBUTION}.")
    return folder


def check_page() -> Version:
    """The version of the page; one that was not tried is named in the log.

    Raises:
        PluginError: it is missing or too old.
    """
    page_folder()
    version = Version(importlib.metadata.version(PAGE_DISTRIBUTION))
    if version < OLDEST:
        raise PluginError(
            f"The web page has version {version}, which is too old.",
            hint=f"Install {PAGE_DISTRIBUTION} {OLDEST} or newer; {NEWEST} is known to work.",
        )
    if version > NEWEST:
        _log.warning("The web page has version %s; %s to %s are known to work.", version, OLDEST, NEWEST)
    return version
