"""What nodes show: pictures, sounds, texts, models, as data for the page."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..shims import folder_paths
from .io_types import FolderType
from .node_output import _UIOutput

if TYPE_CHECKING:
    from torch import Tensor

    from .comfy_node import ComfyNode

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
PREVIEW_COMPRESSION: Final = 1
"""PNG compression of files that are looked at once."""


class SavedResult(dict[str, str]):
    """A file that clients can fetch; also a mapping with the keys ``filename``, ``subfolder``, ``type``."""

    def __init__(self, filename: str, subfolder: str, type: FolderType) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=FolderType(type).value)

    @property
    def filename(self) -> str:
        """Name of the file."""
        return self["filename"]

    @property
    def subfolder(self) -> str:
        """Folder below the one of the type, with ``/``."""
        return self["subfolder"]

    @property
    def type(self) -> FolderType:
        """Which folder."""
        return FolderType(self["type"])


Results = Sequence[SavedResult | Mapping[str, str]]


class SavedImages(_UIOutput):
    """Pictures that were saved."""

    def __init__(self, results: Results, is_animated: bool = False) -> None:
        self.results = list(results)
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, object]:
        """The data for the page."""
        shown: dict[str, object] = {"images": [dict(result) for result in self.results]}
        return {**shown, "animated": (True,)} if self.is_animated else shown


class SavedAudios(_UIOutput):
    """Sounds that were saved."""

    def __init__(self, results: Results) -> None:
        self.results = list(results)

    def as_dict(self) -> dict[str, object]:
        """The data for the page."""
        return {"audio": [dict(result) for result in self.results]}


class PreviewImage(_UIOutput):
    """Pictures to look at, written among the temporary files. ``image``: [batch, height, width, channel], 0..1."""

    def __init__(self, image: Tensor, animated: bool = False, cls: type[ComfyNode] | None = None, **_: object) -> None:
        from .saved_images import ImageSaveHelper

        self.values = ImageSaveHelper.save_images(
            image, _temporary_prefix(), FolderType.temp, cls, compress_level=PREVIEW_COMPRESSION
        )
        self.animated = animated

    def as_dict(self) -> dict[str, object]:
        """The data for the page."""
        return {"images": [dict(value) for value in self.values], "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """Masks to look at, as grey pictures. ``mask``: [batch, height, width] or [height, width], 0..1."""

    def __init__(
        self, mask: Tensor, animated: bool = False, cls: type[ComfyNode] | None = None, **more: object
    ) -> None:
        height, width = mask.shape[-2:]
        grey = mask.reshape(-1, height, width, 1).expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls, **more)


class PreviewAudio(_UIOutput):
    """Sounds to listen to, written among the temporary files."""

    def __init__(self, audio: Mapping[str, object], cls: type[ComfyNode] | None = None, **_: object) -> None:
        from .saved_audio import AudioSaveHelper

        self.values = AudioSaveHelper.save_audio(audio, _temporary_prefix(), FolderType.temp, cls, format="flac")

    def as_dict(self) -> dict[str, object]:
        """The data for the page."""
        return {"audio": [dict(value) for value in self.values]}


class PreviewVideo(_UIOutput):
    """Films that lie in a folder that clients know."""

    def __init__(self, values: Results, **_: object) -> None:
        self.values = list(values)

    def as_dict(self) -> dict[str, object]:
        """The data for the page."""
        return {"images": [dict(value) for value in self.values], "animated": (True,)}


class PreviewText(_UIOutput):
    """A text to read."""

    def __init__(self, value: str, **_: object) -> None:
        self.value = value

    def as_dict(self) -> dict[str, object]:
        """The data for the page."""
        return {"text": (self.value,)}


class PreviewUI3D(_UIOutput):
    """A model to turn, with the camera and perhaps a picture behind it."""

    def __init__(self, model_file: object, camera_info: object, bg_image: Tensor | None = None, **_: object) -> None:
        self.model_file = model_file
        self.camera_info = camera_info
        self.bg_image_path: str | None = None
        if bg_image is not None:
            from .saved_images import ImageSaveHelper

            found = ImageSaveHelper.save_images(bg_image[:1], "model_background", FolderType.temp, None)[0]
            self.bg_image_path = f"temp/{found.filename}"

    def as_dict(self) -> dict[str, object]:
        """The data for the page."""
        return {"result": [self.model_file, self.camera_info, self.bg_image_path]}


def directory_of(folder: FolderType) -> str:
    """The folder's path."""
    found = folder_paths.get_directory_by_type(FolderType(folder).value)
    assert found is not None
    return str(found)


def _temporary_prefix() -> str:
    return "ComfyUI_temp_" + "".join(random.choices(LETTERS, k=5))
