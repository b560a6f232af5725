"""Values of types that have methods: films, meshes, voxels, 3D files."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from torch import Tensor


class AudioInput(TypedDict):
    """Sounds: ``waveform`` [batch, channel, samples] in -1..1, ``sample_rate`` in samples a second."""

    waveform: Tensor
    sample_rate: int


class LatentInput(TypedDict, total=False):
    """Latents: ``samples`` [batch, channel, height, width]."""

    samples: Tensor
    noise_mask: Tensor
    batch_index: list[int]


class VideoCodec(StrEnum):
    """How pictures of a film are encoded."""

    AUTO = "auto"
    H264 = "h264"

    @classmethod
    def as_input(cls) -> list[str]:
        """The values for a list to choose from."""
        return [member.value for member in cls]


class VideoContainer(StrEnum):
    """What kind of file a film is."""

    AUTO = "auto"
    MP4 = "mp4"

    @classmethod
    def as_input(cls) -> list[str]:
        """The values for a list to choose from."""
        return [member.value for member in cls]

    @classmethod
    def get_extension(cls, value: str) -> str:
        """The ending of such a file."""
        return "mp4" if cls(value) in (cls.MP4, cls.AUTO) else ""


@dataclass
class VideoComponents:
    """A film in pieces: ``images`` [frame, height, width, 3] in 0..1, frames a second, sound, texts."""

    images: Tensor
    frame_rate: Fraction
    audio: AudioInput | None = None
    metadata: Mapping[str, object] | None = None


class VideoInput(ABC):
    """A film, wherever it comes from."""

    @abstractmethod
    def get_components(self) -> VideoComponents:
        """All pictures and the sound, decoded."""

    @abstractmethod
    def save_to(
        self,
        path: str,
        format: VideoContainer = VideoContainer.AUTO,
        codec: VideoCodec = VideoCodec.AUTO,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Write a file."""

    def as_trimmed(
        self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False
    ) -> VideoInput | None:
        """A part of it; ``None`` when this kind of film can't be cut."""
        return None

    def get_stream_source(self) -> str | BytesIO:
        """A path, or the file in memory."""
        buffer = BytesIO()
        self.save_to(buffer)  # type: ignore[arg-type]
        buffer.seek(0)
        return buffer

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height in pixels."""
        images = self.get_components().images
        return int(images.shape[2]), int(images.shape[1])

    def get_duration(self) -> float:
        """Length in seconds."""
        parts = self.get_components()
        return float(parts.images.shape[0] / parts.frame_rate)

    def get_frame_count(self) -> int:
        """How many pictures."""
        return int(self.get_components().images.shape[0])

    def get_frame_rate(self) -> Fraction:
        """Pictures a second."""
        return self.get_components().frame_rate

    def get_container_format(self) -> str:
        """What kind of file it is, as PyAV names it."""
        from .video_files import container_of

        return container_of(self.get_stream_source())


class _Tensors:
    """A value that consists of tensors."""

    def __init__(self, **tensors: Any) -> None:
        for name, value in tensors.items():
            setattr(self, name, value)


class MESH(_Tensors):
    """A surface: ``vertices`` [batch, count, 3] and ``faces`` [batch, count, 3], whole numbers."""

    vertices: Tensor
    faces: Tensor

    def __init__(self, vertices: Tensor, faces: Tensor, **more: Any) -> None:
        super().__init__(vertices=vertices, faces=faces, **more)


class VOXEL(_Tensors):
    """A volume: ``data`` [batch, depth, height, width]."""

    data: Tensor

    def __init__(self, data: Tensor) -> None:
        super().__init__(data=data)


class SVG:
    """Drawings: the bytes of files."""

    def __init__(self, data: list[BytesIO]) -> None:
        if not isinstance(data, list) or not all(isinstance(item, BytesIO) for item in data):
            raise TypeError("SVG takes a list of BytesIO.")
        self.data = data

    @staticmethod
    def combine(*svgs: SVG) -> SVG:
        """All drawings in one value."""
        return SVG([item for svg in svgs for item in svg.data])


class File3D:
    """A file with a model: on the disk, or in memory."""

    def __init__(self, source: str | Path | BytesIO, file_format: str = "") -> None:
        self._source = str(source) if isinstance(source, Path) else source
        self._format = file_format or (Path(self._source).suffix[1:] if isinstance(self._source, str) else "")

    @property
    def format(self) -> str:
        """The ending, in small letters."""
        return self._format.lower().lstrip(".")

    @property
    def is_disk_backed(self) -> bool:
        """Whether it lies on the disk."""
        return isinstance(self._source, str)

    def get_source(self) -> str | BytesIO:
        """The path, or the file in memory."""
        return self._source

    def get_bytes(self) -> bytes:
        """The whole file."""
        return Path(self._source).read_bytes() if isinstance(self._source, str) else self._source.getvalue()

    def get_data(self) -> BytesIO:
        """The whole file, to be read from its beginning."""
        return BytesIO(self.get_bytes())

    def save_to(self, path: str | Path) -> str:
        """Write a copy; returns its path."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self._source, str):
            shutil.copyfile(self._source, path)
        else:
            Path(path).write_bytes(self.get_bytes())
        return str(path)
