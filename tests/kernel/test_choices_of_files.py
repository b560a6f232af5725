"""Choices that are files and folders of the input folder."""

from __future__ import annotations

from typing import Annotated

import msgspec

from comfykernel_sdk.nodes import node
from comfykernel_sdk.sockets import Choice
from comfykernel_sdk.storage import FileRef
from comfykernel_sdk.testing import MemoryStorage, kernel_in_memory


@node("ChoosesFolder")
def chooses_folder(folder: Annotated[str, Choice(source="input", kinds=("folder",))]) -> str:
    return folder


@node("ChoosesText")
def chooses_text(file: Annotated[str, Choice(source="input", kinds=(".txt",))]) -> str:
    return file


async def test_folders_are_listed_with_those_above_them_and_follow_what_is_there() -> None:
    storage = MemoryStorage()
    for name, folder in (("a.txt", ""), ("b.png", "train/10_cat"), ("c.png", "set")):
        storage.files.write(FileRef(name, folder, "input"), b"")
    async with kernel_in_memory([chooses_folder, chooses_text], storage=storage) as kernel:
        info = msgspec.json.decode((await kernel.object_info()).json)
        assert info["ChoosesFolder"]["input"]["required"]["folder"][0] == ["set", "train", "train/10_cat"]
        assert info["ChoosesText"]["input"]["required"]["file"][0] == ["a.txt"]
        storage.files.delete(FileRef("c.png", "set", "input"))
        info = msgspec.json.decode((await kernel.object_info()).json)
        assert info["ChoosesFolder"]["input"]["required"]["folder"][0] == ["train", "train/10_cat"]
