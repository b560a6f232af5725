"""Nodes that read and write image files, over the real file store."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from comfykernel_core_nodes.nodes.image import load as image_load
from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.errors import BadInput, NotFound

RED = torch.tensor([1.0, 0.0, 0.0]).expand(1, 4, 8, 3)


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


def shown(run: Any, id: str, **inputs: object) -> dict[str, Any]:
    result = run.node(id, **inputs)
    assert result.values == ()
    return result.ui


def test_save_image_writes_numbered_files_and_shows_them(run: Any) -> None:
    saved = shown(run, "SaveImage", images=RED.repeat(2, 1, 1, 1), filename_prefix="sub/%width%x%height%_%batch_num%")
    assert saved == {
        "images": [
            {"filename": "8x4_0_00001_.png", "subfolder": "sub", "type": "output"},
            {"filename": "8x4_1_00002_.png", "subfolder": "sub", "type": "output"},
        ]
    }
    with Image.open((run.base / "output") / "sub" / "8x4_1_00002_.png") as picture:
        assert (picture.mode, picture.size, picture.getpixel((7, 3))) == ("RGB", (8, 4), (255, 0, 0))


def test_save_image_goes_on_after_the_highest_number(run: Any) -> None:
    ((run.base / "output") / "a_00041_.png").write_bytes(b"")
    saved = shown(run, "SaveImage", images=RED, filename_prefix="a")
    assert saved["images"][0]["filename"] == "a_00042_.png"


def test_save_image_stores_prompt_and_workflow(run: Any) -> None:
    shown(
        run,
        "SaveImage",
        images=RED,
        filename_prefix="a",
        prompt={"1": {"title": "ä"}},
        extra_pnginfo={"workflow": {"v": 1.5}},
    )
    with Image.open((run.base / "output") / "a_00001_.png") as picture:
        assert picture.text == {"prompt": '{"1": {"title": "\\u00e4"}}', "workflow": '{"v": 1.5}'}


def test_save_image_without_metadata(node_run: Callable[..., Any]) -> None:
    run = node_run(disable_metadata=True)
    shown(run, "SaveImage", images=RED, filename_prefix="a", prompt={"1": {}}, extra_pnginfo={"workflow": {}})
    with Image.open((run.base / "output") / "a_00001_.png") as picture:
        assert picture.text == {}


def test_save_image_stays_in_its_folder(run: Any) -> None:
    with pytest.raises(BadInput):
        shown(run, "SaveImage", images=RED, filename_prefix="../a")
    assert not list((run.base / "output").parent.glob("a_*"))


def test_preview_image_writes_to_the_temporary_folder(run: Any) -> None:
    (saved,) = shown(run, "PreviewImage", images=RED)["images"]
    assert saved["type"] == "temp"
    assert saved["filename"].startswith("ComfyUI_temp_")
    assert saved["filename"].endswith("_00001_.png")
    assert ((run.base / "temp") / saved["filename"]).is_file()


def test_save_animated_webp(run: Any) -> None:
    images = torch.eye(3).view(3, 1, 1, 3).expand(3, 4, 8, 3)
    saved = shown(
        run,
        "SaveAnimatedWEBP",
        images=images,
        filename_prefix="a",
        fps=6.0,
        lossless=True,
        quality=80,
        method="fastest",
    )
    assert saved == {"images": [{"filename": "a_00001_.webp", "subfolder": "", "type": "output"}], "animated": [True]}
    with Image.open((run.base / "output") / "a_00001_.webp") as picture:
        assert picture.n_frames == 3


def test_save_image_websocket_sends_every_image(run: Any) -> None:
    assert run.node("SaveImageWebsocket", images=RED.repeat(2, 1, 1, 1)) is None
    assert [(value, total) for value, total, _ in run.context.steps] == [(0, 2), (1, 2)]
    preview = run.context.steps[0][2]
    assert preview is not None
    assert (preview.format, Image.open(io.BytesIO(preview.data)).size) == ("PNG", (8, 4))


def test_load_image_reads_what_save_image_wrote(run: Any) -> None:
    shown(run, "SaveImage", images=RED, filename_prefix="a")
    image, mask = run.node("LoadImage", image="a_00001_.png [output]")
    assert torch.equal(image, RED)
    assert tuple(mask.shape) == (1, 64, 64)


def test_load_image_refuses_too_many_pixels(node_run: Callable[..., Any]) -> None:
    run = node_run(max_image_pixels=10)
    Image.new("RGB", (4, 4)).save((run.base / "input") / "big.png")
    with pytest.raises(BadInput, match=r"big\.png has more than 10 pixels"):
        run.node("LoadImage", image="big.png")


def test_load_image_of_a_missing_file(run: Any) -> None:
    with pytest.raises(NotFound):
        run.node("LoadImage", image="none.png")


def test_validation_names_the_missing_file(run: Any) -> None:
    Image.new("RGB", (4, 4)).save((run.base / "input") / "here.png")
    assert run.within(image_load.check_image_exists, image="here.png") is True
    for name in ("none.png", "../here.png", "", "a\0b"):
        assert run.within(image_load.check_image_exists, image=name) == f"Invalid image file: {name}"


def test_content_hash_follows_the_content(run: Any) -> None:
    path = (run.base / "input") / "a.png"
    hashes = []
    for colour in ("red", "red", "blue"):
        Image.new("RGB", (4, 4), colour).save(path)
        hashes.append(run.within(image_load.content_hash, image="a.png"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_load_image_mask(run: Any) -> None:
    Image.new("RGBA", (4, 4), (0, 255, 0, 51)).save((run.base / "input") / "a.png")
    mask = run.node("LoadImageMask", image="a.png", channel="alpha")
    assert mask.unique().tolist() == pytest.approx([0.8])


def test_nodes_that_write_are_outputs() -> None:
    nodes = core_pack().nodes
    writing = {id for id in nodes if id.startswith(("Save", "Preview")) or id in ("ImageCompare", "MaskPreview")}
    assert {id for id in writing if not nodes[id].spec.output_node} == set()
    assert nodes["SaveImageWebsocket"].spec.volatile
