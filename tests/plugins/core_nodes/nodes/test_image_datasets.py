"""Folders of images, with texts beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_sdk.errors import BadInput


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    run = node_run()
    for name, size, colour in (
        ("set/b.PNG", (8, 6), "red"),
        ("set/a.jpg", (4, 6), "blue"),
        ("set/3_cat/c.png", (8, 6), "green"),
        ("set/3_cat/deeper/d.png", (8, 6), "green"),
    ):
        path = run.base / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)
    (run.base / "input" / "set" / "notes.txt").write_text("no image")
    (run.base / "input" / "set" / "3_cat" / "c.txt").write_text(" a cat \n")
    return run


@pytest.mark.parametrize("method", ["Stretch", "Crop", "Pad"])
def test_images_get_the_size_of_the_first_by_name(run: Any, method: str) -> None:
    images = run.node("LoadImageSetFromFolderNode", folder="set", resize_method=method)
    assert tuple(images.shape) == (2, 6, 4, 3)
    assert images[0, 3, 2].argmax() == 2
    assert images[1, 3, 2].argmax() == 0


def test_images_of_several_sizes_need_a_method(run: Any) -> None:
    with pytest.raises(BadInput, match=r"b\.PNG has 8 by 6 pixels, not 4 by 6"):
        run.node("LoadImageSetFromFolderNode", folder="set", resize_method="None")


def test_folder_without_images(run: Any) -> None:
    (run.base / "input" / "empty").mkdir()
    with pytest.raises(BadInput) as error:
        run.node("LoadImageSetFromFolderNode", folder="empty", resize_method="Pad")
    assert error.value.type == "no_images"


def test_texts_and_repeated_folders(run: Any, tiny_checkpoint: Path) -> None:
    clip = load_checkpoint(tiny_checkpoint).clip
    images, conditions = run.node(
        "LoadImageTextSetFromFolderNode", folder="set", clip=clip, resize_method="Pad", width=16, height=-1
    )
    assert tuple(images.shape) == (5, 6, 16, 3)
    assert len(conditions) == 5
    same = [bool((condition.tokens == conditions[2].tokens).all()) for condition in conditions]
    assert same == [False, False, True, True, True] or same == [True, True, True, False, False]
