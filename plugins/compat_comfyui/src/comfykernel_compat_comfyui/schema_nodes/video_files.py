"""Films: files that are read, and pictures with sound that become a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .media_types import AudioInput, VideoCodec, VideoComponents, VideoContainer, VideoInput
from .saved_audio import media_library

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_RATE: Final = Fraction(1)
"""Pictures a second of a file that names no rate."""


@contextmanager
def _opened(source: str | BytesIO) -> Iterator[Any]:
    if isinstance(source, BytesIO):
        source.seek(0)
    with media_library().open(source, "r") as container:
        yield container


def container_of(source: str | BytesIO) -> str:
    """What kind of file it is, as PyAV names it (several names with commas)."""
    with _opened(source) as container:
        return str(container.format.name)


class VideoFromFile(VideoInput):
    """A film in a file or in memory; ``duration`` 0: to its end. Times in seconds."""

    def __init__(self, file: str | BytesIO, *, start_time: float = 0.0, duration: float = 0.0) -> None:
        self.__file = file
        self.__start_time = start_time
        self.__duration = duration

    def get_stream_source(self) -> str | BytesIO:
        """The path, or the file in memory."""
        if isinstance(self.__file, BytesIO):
            self.__file.seek(0)
        return self.__file

    def get_components(self) -> VideoComponents:
        """All pictures and the sound, decoded."""
        with _opened(self.__file) as container:
            stream = container.streams.video[0]
            rate = Fraction(stream.average_rate) if stream.average_rate else DEFAULT_RATE
            metadata = {key: _read_text(text) for key, text in container.metadata.items()}
            images = _stacked([f.to_ndarray(format="rgb24") for f in self._wanted(container.decode(stream), rate)])
        return VideoComponents(images=images, frame_rate=rate, audio=self._audio(), metadata=metadata)

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height in pixels, without decoding."""
        with _opened(self.__file) as container:
            stream = container.streams.video[0]
            return int(stream.width), int(stream.height)

    def get_frame_rate(self) -> Fraction:
        """Pictures a second, without decoding."""
        with _opened(self.__file) as container:
            rate = container.streams.video[0].average_rate
            return Fraction(rate) if rate else DEFAULT_RATE

    def get_duration(self) -> float:
        """Length in seconds."""
        with _opened(self.__file) as container:
            stream = container.streams.video[0]
            if stream.duration is not None and stream.time_base is not None:
                whole = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                whole = container.duration / media_library().time_base
            else:
                whole = sum(1 for _ in container.decode(stream)) / float(stream.average_rate or DEFAULT_RATE)
        rest = max(whole - self.__start_time, 0.0)
        return min(rest, self.__duration) if self.__duration else rest

    def get_frame_count(self) -> int:
        """How many pictures."""
        if self.__start_time or self.__duration:
            return int(self.get_components().images.shape[0])
        with _opened(self.__file) as container:
            stream = container.streams.video[0]
            return int(stream.frames or sum(1 for _ in container.decode(stream)))

    def get_container_format(self) -> str:
        """What kind of file it is, as PyAV names it."""
        return container_of(self.__file)

    def as_trimmed(
        self, start_time: float | None = None, duration: float | None = None, strict_duration: bool = False
    ) -> VideoInput | None:
        """A part of it; ``None`` when ``strict_duration`` is wished and it is too short."""
        start, length = float(start_time or 0.0), float(duration or 0.0)
        if strict_duration and start + length > self.get_duration():
            return None
        if self.__duration:
            rest = max(self.__duration - start, 0.0)
            length = min(length, rest) if length else rest
        return VideoFromFile(self.__file, start_time=self.__start_time + start, duration=length)

    def save_to(
        self,
        path: str,
        format: VideoContainer = VideoContainer.AUTO,
        codec: VideoCodec = VideoCodec.AUTO,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Write a file; encoded anew."""
        VideoFromComponents(self.get_components()).save_to(path, format, codec, metadata)

    def _wanted(self, frames: Iterable[Any], rate: Fraction) -> Iterator[Any]:
        """The frames of the part that is wanted."""
        end = self.__start_time + self.__duration
        for index, frame in enumerate(frames):
            time = frame.time if frame.time is not None else float(index / rate)
            if self.__duration and time >= end:
                return
            if time >= self.__start_time:
                yield frame

    def _audio(self) -> AudioInput | None:
        """The sound of the part that is wanted; ``None`` without one."""
        import torch

        with _opened(self.__file) as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            resampler = media_library().AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
            pieces = [p.to_ndarray() for f in container.decode(stream) for p in resampler.resample(f)]
            rate = int(stream.rate)
        if not pieces:
            return None
        sound = torch.from_numpy(np.concatenate(pieces, axis=1).copy())
        first = round(self.__start_time * rate)
        last = first + round(self.__duration * rate) if self.__duration else sound.shape[1]
        return {"waveform": sound[None, :, first:last], "sample_rate": rate}


class VideoFromComponents(VideoInput):
    """A film made of pictures and sound."""

    def __init__(self, components: VideoComponents) -> None:
        self.__components = components

    def get_components(self) -> VideoComponents:
        """The pieces."""
        return self.__components

    def save_to(
        self,
        path: str,
        format: VideoContainer = VideoContainer.AUTO,
        codec: VideoCodec = VideoCodec.AUTO,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Write an MP4 file with H.264 and AAC.

        Raises:
            ValueError: another format or codec.
        """
        if VideoContainer(format) not in (VideoContainer.AUTO, VideoContainer.MP4):
            raise ValueError("Only MP4 files are written.")
        if VideoCodec(codec) not in (VideoCodec.AUTO, VideoCodec.H264):
            raise ValueError("Only H.264 is written.")
        parts = self.__components
        with media_library().open(path, mode="w", format="mp4", options={"movflags": "use_metadata_tags"}) as container:
            for key, value in (metadata or {}).items():
                container.metadata[key] = json.dumps(value)
            _write_streams(container, parts)


def _write_streams(container: Any, parts: VideoComponents) -> None:
    """Both streams are declared before the first packet, as the file format wants it."""
    av = media_library()
    stream = container.add_stream("h264", rate=Fraction(round(parts.frame_rate * 1000), 1000))
    # H.264 in its usual colour format takes even sizes only.
    stream.width, stream.height = int(parts.images.shape[2]) // 2 * 2, int(parts.images.shape[1]) // 2 * 2
    stream.pix_fmt = "yuv420p"
    sound = container.add_stream("aac", rate=parts.audio["sample_rate"]) if parts.audio else None
    for picture in parts.images:
        values = (picture[: stream.height, : stream.width, :3] * 255).clamp(0, 255).byte().cpu().numpy()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p")))
    container.mux(stream.encode(None))
    if sound is not None and parts.audio is not None:
        waveform, rate = parts.audio["waveform"][0].float().cpu(), int(parts.audio["sample_rate"])
        length = round(parts.images.shape[0] / float(parts.frame_rate) * rate)
        layout = "mono" if waveform.shape[0] == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(waveform[:2, :length].numpy()), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts = rate, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def _stacked(pictures: list[Any]) -> Tensor:
    import torch

    if not pictures:
        return torch.zeros(0, 0, 0, 3)
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255.0)


def _read_text(text: str) -> object:
    """The JSON in a text of a film, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
