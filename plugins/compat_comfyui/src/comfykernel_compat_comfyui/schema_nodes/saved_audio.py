"""Sounds as files, with the prompt in them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..missing_names import not_provided
from .io_types import FolderType
from .saved_images import numbered, texts_of
from .shown_results import SavedAudios, SavedResult

if TYPE_CHECKING:
    from torch import Tensor

    from .comfy_node import ComfyNode

CODECS: Final = {"flac": "flac", "mp3": "libmp3lame", "opus": "libopus"}
OPUS_RATES: Final = (8000, 12000, 16000, 24000, 48000)
"""Samples a second that Opus knows."""
BIT_RATES: Final = {"64k": 64_000, "96k": 96_000, "128k": 128_000, "192k": 192_000, "320k": 320_000}
BEST_VARIABLE: Final = "V0"
"""MP3 of variable rate in its best quality."""


def media_library() -> Any:
    """PyAV, which reads and writes sounds and films.

    Raises:
        NotProvided: it is not installed.
    """
    try:
        import av  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise not_provided("sounds and films without the package 'av' (pip install av)") from error
    return av


class AudioSaveHelper:
    """Writes sounds: ``{"waveform": [batch, channel, samples] in -1..1, "sample_rate": samples a second}``."""

    @staticmethod
    def save_audio(
        audio: Mapping[str, Any],
        filename_prefix: str,
        folder_type: FolderType,
        cls: type[ComfyNode] | None,
        format: str = "flac",
        quality: str = "128k",
    ) -> list[SavedResult]:
        """Write one file for each sound of the batch.

        Raises:
            ValueError: the format is unknown.
            NotProvided: the package ``av`` is not installed.
        """
        if format not in CODECS:
            raise ValueError(f"The sound format {format!r} is none of {', '.join(CODECS)}.")
        write = numbered(filename_prefix, folder_type, None, f".{format}")
        texts = texts_of(cls)
        rate = int(audio["sample_rate"])
        return [write(_encoded(sound, rate, format, quality, texts)) for sound in audio["waveform"].detach().cpu()]

    @staticmethod
    def get_save_audio_ui(
        audio: Mapping[str, Any],
        filename_prefix: str,
        cls: type[ComfyNode] | None,
        format: str = "flac",
        quality: str = "128k",
    ) -> SavedAudios:
        """Write sounds among the results, for ``NodeOutput(ui=...)``."""
        return SavedAudios(AudioSaveHelper.save_audio(audio, filename_prefix, FolderType.output, cls, format, quality))


def _encoded(sound: Tensor, rate: int, format: str, quality: str, texts: Mapping[str, str]) -> bytes:
    """One sound, [channel, samples]."""
    av = media_library()
    wanted = min((r for r in OPUS_RATES if r >= rate), default=OPUS_RATES[-1]) if format == "opus" else rate
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format) as container:
        container.metadata.update(texts)
        layout = "mono" if sound.shape[0] == 1 else "stereo"
        stream = container.add_stream(CODECS[format], rate=wanted, layout=layout)
        if format == "mp3" and quality == BEST_VARIABLE:
            stream.codec_context.qscale = 1
        elif format != "flac":
            stream.bit_rate = BIT_RATES.get(quality, BIT_RATES["128k"])
        frame = av.AudioFrame.from_ndarray(
            sound[:2].float().t().reshape(1, -1).contiguous().numpy(), format="flt", layout=layout
        )
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=wanted)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return buffer.getvalue()
