"""The lists that the page asks for, and the check of its version."""

from __future__ import annotations

import gzip
import importlib.metadata
import logging
from pathlib import Path

import httpx
import pytest
from tests.plugins.web_official.conftest import page_served, write_pack

from comfykernel_sdk.errors import PluginError
from comfykernel_web_official import plugin, published


async def test_scripts_of_the_page_its_plugin_and_packs_are_listed(page: httpx.AsyncClient) -> None:
    listed = (await page.get("/extensions")).json()
    assert {"/extensions/shapes/a.js", "/extensions/shapes/deep/b.js", "/extensions/core/groupNode.js"} <= set(listed)
    assert listed == (await page.get("/api/extensions")).json()
    own = "/extensions/comfykernel/default_graph.js"
    assert own in listed
    assert "registerExtension" in (await page.get(own)).text


async def test_translations_are_merged_and_broken_ones_are_named(
    page: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    words = (await page.get("/i18n")).json()
    assert words["en"] == {"shapes": {"hello": "hello"}, "nodeDefs": {"Circle": {"display_name": "A circle"}}}
    assert words["fr"] == {}
    assert "fr/main.json" in caplog.text


async def test_a_pack_without_scripts_has_a_folder_all_the_same(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, "quiet", {"locales/de/nodeDefs.json": {"Square": {"display_name": "Ein Quadrat"}}})
    pack = {"name": "quiet", "web_directory": None, "directory": str(Path(str(pack["web_directory"])).parent)}
    moved = write_pack(tmp_path, "moved", {"js/dist/a.js": "", "locales/de/main.json": {"moved": {"a": "b"}}})
    folder = Path(str(moved["web_directory"])).parent
    moved = {"name": "moved", "web_directory": str(folder / "js" / "dist"), "directory": str(folder)}
    async with page_served(tmp_path, plugin, packs=[pack, moved]) as page:
        assert (await page.get("/i18n")).json() == {
            "de": {"nodeDefs": {"Square": {"display_name": "Ein Quadrat"}}, "moved": {"a": "b"}}
        }
        assert "/extensions/moved/a.js" in (await page.get("/extensions")).json()


async def test_templates_of_packs_are_listed(page: httpx.AsyncClient) -> None:
    assert (await page.get("/workflow_templates")).json() == {"shapes": ["round"]}


async def test_blueprints_arrive_whole_compressed_and_once(page: httpx.AsyncClient) -> None:
    answer = await page.get("/api/global_subgraphs")
    found = answer.json()
    assert len(found) > 100
    assert all(each["data"] and each["name"] and each["info"]["node_pack"] for each in found.values())
    assert [each["name"] for each in found.values() if each["source"] == "custom_node"] == ["pair"]
    assert answer.headers["content-encoding"] == "gzip"
    assert len(gzip.compress(answer.content)) < len(answer.content) / 4
    again = await page.get("/api/global_subgraphs", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    one = next(iter(found))
    assert (await page.get("/global_subgraphs")).json()[one] == found[one]


async def test_one_blueprint_can_be_asked_for(page: httpx.AsyncClient) -> None:
    found = (await page.get("/global_subgraphs")).json()
    one = next(iter(found))
    assert (await page.get(f"/api/global_subgraphs/{one}")).json() == found[one]
    assert (await page.get("/api/global_subgraphs/none")).status_code == 404


@pytest.mark.parametrize(("version", "warned"), [("1.27.10", False), ("1.58.1", False), ("1.99.0", True)])
def test_versions_of_the_page_are_checked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str, *, warned: bool
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with caplog.at_level(logging.WARNING):
        assert str(published.check_page()) == version
    assert ("known to work" in caplog.text) is warned


def test_a_page_that_is_too_old_or_missing_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.9.0")
    with pytest.raises(PluginError, match="too old"):
        published.check_page()
    monkeypatch.setattr(published, "PAGE", ("comfyui_frontend_package_absent", "static"))
    with pytest.raises(PluginError, match="not installed"):
        published.check_page()


def test_data_that_is_not_installed_is_left_out() -> None:
    assert published.folder_of("comfyui_embedded_docs_absent", "docs") is None
