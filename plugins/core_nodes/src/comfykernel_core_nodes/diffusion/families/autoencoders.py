"""The families of autoencoders: KL autoencoders of 4 and 16 channels, and TAESD."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderKL, autoencoder_config_from
from comfykernel_core_nodes.diffusion.autoencoder_layouts import DIFFUSERS_MARK, original_names
from comfykernel_core_nodes.diffusion.taesd import TinyAutoencoder, tiny_channels
from comfykernel_sdk.families import CodecPlan, DiffusionPlan, LatentFormat, Made, ModelHeader, NetworkPlan, TextPlan

KL_MARK: Final = "decoder.conv_in.weight"
KL_PARTS: Final = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")

# The formats that a tiny autoencoder may stand for, by a word in its file's name.
TINY_FORMATS: Final = {
    "taesdxl": latent_formats.SDXL,
    "taesd3": latent_formats.SD3,
    "taef1": latent_formats.FLUX,
    "taesd": latent_formats.SD1,
}


class _CodecFamily:
    """A family that only has autoencoders."""

    def diffusion_plan(self, header: ModelHeader) -> DiffusionPlan | None:
        return None

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        return None


class KLAutoencoders(_CodecFamily):
    """The autoencoders of latent diffusion, in the original layout and in that of diffusers."""

    name: Final = "autoencoder_kl"

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        """The plan of a KL autoencoder."""
        if KL_MARK not in header.shapes:
            return None
        tensors = original_names(header) if DIFFUSERS_MARK in header.shapes else dict(header.names)
        tensors = {name: source for name, source in tensors.items() if name.startswith(KL_PARTS)}
        below = {full: name for name, full in header.names.items()}

        def file_name(source: str | Made) -> str:
            return source if isinstance(source, str) else source.names[0]

        config = autoencoder_config_from(
            {name: header.shapes[below[file_name(source)]] for name, source in tensors.items()}
        )
        network = NetworkPlan(header, partial(AutoencoderKL, config), tensors)
        return CodecPlan(network, config.z_channels, config.downscale)


class TinyAutoencoders(_CodecFamily):
    """TAESD: an encoder or a decoder alone in its file, or both below `taesd_encoder.` and `taesd_decoder.`."""

    name: Final = "taesd"

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        """The plan of a tiny autoencoder, for latents of the format that its number of channels stands for."""
        halves = {name: header.below(f"taesd_{name}.") for name in ("encoder", "decoder")}
        if not any(tiny_channels(half.shapes) for half in halves.values()):
            alone = "encoder" if "0.weight" in header.shapes else "decoder"
            halves = {alone: header}
        channels = {name: tiny_channels(half.shapes) for name, half in halves.items()}
        present = {name: count for name, count in channels.items() if count is not None}
        if not present:
            return None
        count = next(iter(present.values()))
        tensors = {f"taesd_{name}.{rest}": full for name in present for rest, full in halves[name].names.items()}
        build = partial(
            TinyAutoencoder, count, tiny_format("", count), encoder="encoder" in present, decoder="decoder" in present
        )
        return CodecPlan(NetworkPlan(header, build, tensors), count)


def tiny_format(name: str, channels: int) -> LatentFormat:
    """The latent format that a tiny autoencoder is for: by its file's name, else by its channels."""
    for word, latent_format in TINY_FORMATS.items():
        if name.lower().startswith(word) and latent_format.channels == channels:
            return latent_format
    return latent_formats.SD1 if channels == latent_formats.SD1.channels else latent_formats.SD3
