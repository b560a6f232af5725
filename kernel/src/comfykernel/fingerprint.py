"""Names the installed node packs without importing them: the key under which the server keeps a catalog."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlparse

from comfykernel_sdk.hooks import NODES_GROUP, PLUGINS_GROUP

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUPS: Final = (NODES_GROUP, PLUGINS_GROUP)
ALWAYS: Final = ("comfykernel-sdk", "comfykernel-kernel")
"""Distributions that decide what a spec looks like."""
SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "tests", "node_modules"})


def distributions_fingerprint() -> str:
    """A hash of name and version of every distribution that may give nodes; of editable ones also of source times."""
    digest = hashlib.blake2b(f"{sys.version_info[:2]}".encode(), digest_size=16)
    for distribution in _distributions():
        digest.update(f"\n{distribution.name}={distribution.version}".encode())
        source = _editable_source(distribution)
        if source is not None:
            _add_sources(digest, source / "src" if (source / "src").is_dir() else source)
    return digest.hexdigest()


def _distributions() -> list[Distribution]:
    found = {name: importlib.metadata.distribution(name) for name in ALWAYS}
    installed = importlib.metadata.entry_points()
    for group in GROUPS:
        for entry in installed.select(group=group):
            if entry.dist is not None:
                found.setdefault(entry.dist.name, entry.dist)
    return [found[name] for name in sorted(found)]


def _editable_source(distribution: Distribution) -> Path | None:
    """The folder of an editable installation."""
    text = distribution.read_text("direct_url.json")
    if not text:
        return None
    origin = json.loads(text)
    if not origin.get("dir_info", {}).get("editable"):
        return None
    path = Path(unquote(urlparse(origin["url"]).path))
    return path if path.is_dir() else None


def _add_sources(digest: hashlib.blake2b, folder: Path) -> None:
    """Names and times of all Python files below a folder."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith("."))
        for path in sorted(os.path.join(root, name) for name in names if name.endswith(".py")):
            digest.update(f"{path}:{os.stat(path).st_mtime_ns};".encode())
