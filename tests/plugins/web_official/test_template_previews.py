"""Pictures of workflow templates: as installed, else drawn; the lists name only what is there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from tests.plugins.web_official.conftest import page_served

from comfykernel_web_official import plugin, template_files

PREVIEW = b"RIFF____WEBP"


def index(page: httpx.Response) -> dict[str, dict[str, Any]]:
    """Templates of a list by name."""
    return {template["name"]: template for category in page.json() for template in category["templates"]}


@pytest.fixture
def forget() -> Iterator[None]:
    """Look for installed packages anew, before and after."""
    for each in (template_files.template_folders, template_files.kinds):
        each.cache_clear()
    yield
    for each in (template_files.template_folders, template_files.kinds):
        each.cache_clear()


@pytest.fixture
async def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: None) -> AsyncIterator[httpx.AsyncClient]:
    """A server with five templates, previews of two of them and one of two logos."""
    kinds = {"lake": "image", "film": "video", "song": "audio", "cube": "3d", "odd & <name>": "image"}
    site = tmp_path / "site"
    lists = site / "comfyui_workflow_templates_json/templates"
    pictures = site / "comfyui_workflow_templates_media_some/templates"
    (pictures / "logo").mkdir(parents=True)
    lists.mkdir(parents=True)
    (lists.parent / "__init__.py").touch()
    content = [
        {
            "moduleName": "default",
            "type": kind,
            "templates": [
                {
                    "name": name,
                    "mediaType": "audio" if kind == "audio" else "image",
                    "mediaSubtype": "mp3" if kind == "audio" else "webp",
                    "thumbnailVariant": "compareSlider",
                }
            ],
        }
        for name, kind in kinds.items()
    ]
    for name in ("index.json", "index.fr.json"):
        (lists / name).write_text(json.dumps(content))
    (lists / "index_logo.json").write_text(json.dumps({"Here": "logo/here.png", "Gone": "logo/gone.png"}))
    for name in kinds:
        (lists / f"{name}.json").write_text("{}")
    for name in ("lake-1.webp", "lake-2.webp", "logo/here.png"):
        (pictures / name).write_bytes(PREVIEW)
    monkeypatch.syspath_prepend(site)
    async with page_served(tmp_path, plugin, packs=[]) as client:
        yield client


async def test_what_is_installed_is_served_and_named(templates: httpx.AsyncClient) -> None:
    assert index(await templates.get("/templates/index.json"))["lake"]["mediaSubtype"] == "webp"
    assert index(await templates.get("/templates/index.fr.json"))["lake"]["thumbnailVariant"] == "compareSlider"
    for name in ("lake-1.webp", "lake-2.webp", "logo/here.png"):
        assert (await templates.get(f"/templates/{name}")).content == PREVIEW
    assert (await templates.get("/templates/film.json")).json() == {}
    assert (await templates.get("/templates/index_logo.json")).json() == {"Here": "logo/here.png"}


@pytest.mark.parametrize("list_name", ["index.json", "index.fr.json"])
async def test_every_preview_that_a_list_names_is_there(templates: httpx.AsyncClient, list_name: str) -> None:
    pictures = set()
    for name, template in index(await templates.get(f"/templates/{list_name}")).items():
        answer = await templates.get(f"/templates/{name}-1.{template['mediaSubtype']}")
        assert answer.status_code == 200
        assert template["mediaType"] == "image"
        if template["mediaSubtype"] == "svg":
            assert "thumbnailVariant" not in template
            assert answer.headers["content-type"] == "image/svg+xml"
            assert ElementTree.fromstring(answer.content).tag.endswith("svg")
            pictures.add(answer.content)
    assert len(pictures) == 4, "each has a tone or a sign of its own"


async def test_a_list_is_made_once(templates: httpx.AsyncClient, tmp_path: Path) -> None:
    first = await templates.get("/templates/index.json")
    (tmp_path / "site/comfyui_workflow_templates_json/templates/index.json").unlink()
    again = await templates.get("/templates/index.json", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["none-1.svg", "lake-1.png", "film-1.webp", "film.svg", "-1.svg", "a/film-1.svg"])
async def test_nothing_else_is_drawn(templates: httpx.AsyncClient, name: str) -> None:
    assert (await templates.get(f"/templates/{name}")).status_code == 404


@pytest.mark.usefixtures("forget")
async def test_without_templates_there_is_an_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykernel_web_official.published.TEMPLATES", ())
    async with page_served(tmp_path, plugin, packs=[]) as client:
        assert (await client.get("/templates/index.json")).json() == []
        assert (await client.get("/templates/film-1.svg")).status_code == 404
