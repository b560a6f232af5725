"""Packs that claim one name, packs that failed, and the fingerprint of what is installed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from comfykernel.engine import Registry
from comfykernel.fingerprint import distributions_fingerprint
from comfykernel.plugin_host import LoadedPack
from comfykernel_sdk.nodes import NodePack, node
from comfykernel_sdk.transport import PluginInfo


@node("Twin")
def first(value: int) -> int:
    return value


@node("Twin")
def second(value: int) -> int:
    return -value


@node("Other")
def other(value: int) -> int:
    return value


def pack(name: str, *nodes: object, error: str = "") -> LoadedPack:
    plugin = PluginInfo(name="", kind="node", distribution=f"dist-{name}", version="1", seconds=0.5, error=error)
    return LoadedPack(NodePack(name, nodes, web_directory=f"/{name}"), plugin)


def test_the_earlier_pack_has_the_name_and_the_other_one_stays_reachable() -> None:
    registry = Registry([pack("one", first), pack("two", second, other), pack("three", second)], fingerprint="f")
    runs = {id: found.definition.run(None, value=1) for id, found in registry.classes.items()}
    assert runs == {"Twin": 1, "two:Twin": -1, "Other": 1, "three:Twin": -1}
    catalog = registry.catalog
    assert {id: (spec.id, spec.distribution) for id, spec in catalog.nodes.items()} == {
        "Twin": ("Twin", "dist-one"), "two:Twin": ("two:Twin", "dist-two"), "Other": ("Other", "dist-two"),
        "three:Twin": ("three:Twin", "dist-three"),
    }  # fmt: skip
    assert catalog.fingerprint == "f"
    (collision,) = catalog.collisions
    assert (collision["id"], collision["winner"]) == (
        "Twin",
        {"pack": "one", "distribution": "dist-one", "version": "1"},
    )
    losers = collision["losers"]
    assert isinstance(losers, list)
    assert [(each["distribution"], each["reachable_as"]) for each in losers if isinstance(each, dict)] == [
        ("dist-two", "two:Twin"),
        ("dist-three", "three:Twin"),
    ]


def test_packs_are_told_with_their_errors() -> None:
    registry = Registry([pack("good", other), pack("bad", error="Traceback ...")])
    assert registry.catalog.packs == [
        {
            "name": "good", "plugin": {"name": "", "distribution": "dist-good", "error": ""},
            "distribution": "dist-good", "version": "1", "nodes": ["Other"], "seconds": 0.5,
            "error": "", "directory": None, "web_directory": "/good", "replacements": [],
        },
        {
            "name": "bad", "plugin": {"name": "", "distribution": "dist-bad", "error": "Traceback ..."},
            "distribution": "dist-bad", "version": "1", "nodes": [], "seconds": 0.5,
            "error": "Traceback ...", "directory": None, "web_directory": "/bad", "replacements": [],
        },
    ]  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions with one editable node pack whose source is in ``source``."""
    info = tmp_path / "nodes_of_test-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nodes-of-test\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[comfykernel.nodes]\ntest = nowhere\n")
    source = tmp_path / "source" / "src" / "pack"
    source.mkdir(parents=True)
    (source / "nodes.py").write_text("")
    url = (tmp_path / "source").as_uri()
    (info / "direct_url.json").write_text(f'{{"url": "{url}", "dir_info": {{"editable": true}}}}')
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_fingerprint_changes_with_version_and_editable_source(site: Path) -> None:
    before = distributions_fingerprint()
    assert distributions_fingerprint() == before
    nodes = site / "source" / "src" / "pack" / "nodes.py"
    os.utime(nodes, (time.time(), time.time() + 5))
    touched = distributions_fingerprint()
    (nodes.parent / "more.py").write_text("")
    added = distributions_fingerprint()
    metadata = site / "nodes_of_test-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    raised = distributions_fingerprint()
    assert len({before, touched, added, raised}) == 4
