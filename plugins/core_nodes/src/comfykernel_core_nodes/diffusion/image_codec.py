"""Images to latents and back, through an autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.finite_checks import check_output
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory, first_that_fits
from comfykernel_core_nodes.diffusion.run_checks import check_latent
from comfykernel_core_nodes.diffusion.tiling import in_tiles
from comfykernel_core_nodes.diffusion.weights import Weights

# Pixels that pass the autoencoder at once: about 2 GiB of activations in float32 for 128 channels.
PIXELS_AT_ONCE: Final = 1024 * 1024
IMAGE_CHANNELS: Final = 3
# The ways of an autoencoder in words, for log lines.
DOING: Final = {"encode": "Encoding of images", "decode": "Decoding of latents"}
# Tiles when memory is out, (height, width) and overlap: of images in pixels, of latents in latent units.
ENCODE_TILE, ENCODE_OVERLAP = (512, 512), 64
DECODE_TILE, DECODE_OVERLAP = (64, 64), 16


@dataclass(frozen=True, eq=False)
class ImageCodec:
    """An immutable handle of an autoencoder.

    `channels` are those of its latents, `downscale` is the number of pixels a latent unit is wide.
    """

    weights: Weights[nn.Module]
    channels: int = 4
    downscale: int = 8

    def encode(self, images: Tensor, memory: ModelMemory | None = None) -> Tensor:
        """Latents [batch, channel, height / downscale, width / downscale] of images, float32 on the CPU.

        images: [batch, height, width, channels of 3 or more], 0..1; sides are cropped, evenly, to multiples of
        `downscale`, channels after the third are left out. Where memory is out, images are encoded one by one, then
        in tiles. Raises `LatentShapeError` and `OutOfMemory`.
        """
        pixels = self._pixels(images)
        run = self._run("encode", memory)
        tiled = partial(_mean_of_tilings, pixels, run, ENCODE_TILE, ENCODE_OVERLAP, 1 / self.downscale, self.channels)
        return _in_room(memory, "encoding of images", pixels, run, pixels.shape[2] * pixels.shape[3], tiled)

    def decode(self, latent: Tensor, memory: ModelMemory | None = None) -> Tensor:
        """Images [batch, height * downscale, width * downscale, 3], 0..1, float32 on the CPU, of latents."""
        return to_images(self.decode_raw(latent, memory))

    def decode_raw(self, latent: Tensor, memory: ModelMemory | None = None) -> Tensor:
        """What the autoencoder gives: [batch, 3, height, width], about -1..1.

        Where memory is out, latents are decoded one by one, then in tiles. Raises `LatentShapeError` and `OutOfMemory`.
        """
        self._check_latent(latent)
        run = self._run("decode", memory)
        pixels = latent.shape[2] * latent.shape[3] * self.downscale**2
        tiled = partial(_mean_of_tilings, latent, run, DECODE_TILE, DECODE_OVERLAP, self.downscale, IMAGE_CHANNELS)
        return _in_room(memory, "decoding of latents", latent, run, pixels, tiled)

    def encode_tiled(
        self, images: Tensor, *, tile: tuple[int, int], overlap: int, memory: ModelMemory | None = None
    ) -> Tensor:
        """Latents of large images; tile is (height, width) and overlap theirs, in pixels. See `encode`.

        The mean of three tilings of different proportions, so that no seam stays in one place.
        """
        pixels, run = self._pixels(images), self._run("encode", memory)
        return _mean_of_tilings(pixels, run, tile, overlap, 1 / self.downscale, self.channels)

    def decode_tiled(
        self, latent: Tensor, *, tile: tuple[int, int], overlap: int, memory: ModelMemory | None = None
    ) -> Tensor:
        """Images of large latents; tile is (height, width) and overlap theirs, in latent units. See `decode`."""
        self._check_latent(latent)
        run = self._run("decode", memory)
        return to_images(_mean_of_tilings(latent, run, tile, overlap, self.downscale, IMAGE_CHANNELS))

    def _pixels(self, images: Tensor) -> Tensor:
        """Images cropped, as [batch, 3, height, width] in -1..1."""
        if images.ndim != 4 or images.shape[-1] < IMAGE_CHANNELS:
            raise LatentShapeError(f"Expected images [batch, height, width, 3], got {list(images.shape)}.")
        images = cropped_to_multiple(images, self.downscale)[..., :IMAGE_CHANNELS]
        return images.movedim(-1, 1) * 2.0 - 1.0

    def _check_latent(self, latent: Tensor) -> None:
        if latent.ndim != 4 or latent.shape[1] != self.channels:
            wanted = f"[batch, {self.channels}, height, width]"
            hint = "The latent must come from a model that this VAE belongs to."
            raise LatentShapeError(f"Expected latents {wanted}, got {list(latent.shape)}.", hint)
        if not latent.numel():
            raise LatentShapeError(f"A latent of shape {list(latent.shape)} holds nothing to decode.")
        check_latent(latent)

    def _run(self, way: str, memory: ModelMemory | None) -> Callable[[Tensor], Tensor]:
        """Encode or decode a batch on the autoencoder's device: float32 on the CPU to the same."""
        # Any: which methods a codec's network has is the contract of `CodecPlan`.
        module: Any = (memory or default_memory()).module(self.weights, Part.CODEC)
        weight = next(module.parameters())
        if way not in getattr(module, "halves", {"encode", "decode"}):
            raise LatentShapeError(f"{self.weights.label} holds no {way}r.", "Load a file that has both halves.")

        def run(batch: Tensor) -> Tensor:
            out: Tensor = getattr(module, way)(batch.to(weight.device, weight.dtype))
            out = out.float().cpu()
            check_output(self.weights, out, DOING[way])
            return out

        return run


def _in_room(
    memory: ModelMemory | None,
    doing: str,
    batch: Tensor,
    run: Callable[[Tensor], Tensor],
    pixels: int,
    tiled: Callable[[], Tensor],
) -> Tensor:
    """Run a batch whose rows have so many pixels, in portions, one by one, or in tiles: what memory allows."""

    def rows(portions: Iterator[Tensor]) -> Tensor:
        with torch.inference_mode():
            return torch.cat([run(part) for part in portions]).clone()

    ways = [("it at once", lambda: rows(_portions(batch, pixels)))]
    if len(batch) > 1:
        ways.append(("one by one", lambda: rows(iter(torch.split(batch, 1)))))
    return first_that_fits(memory or default_memory(), doing, [*ways, ("tiles", tiled)])


def to_images(raw: Tensor) -> Tensor:
    """[batch, channel, height, width] in -1..1 as images [batch, height, width, channel] in 0..1."""
    return ((raw + 1.0) / 2.0).clamp(0.0, 1.0).movedim(1, -1)


def _mean_of_tilings(
    maps: Tensor, run: Callable[[Tensor], Tensor], tile: tuple[int, int], overlap: int, scale: float, channels: int
) -> Tensor:
    height, width = tile
    tilings = ((height, width), (height // 2, width * 2), (height * 2, width // 2))
    with torch.inference_mode():
        total = sum(in_tiles(maps, run, tile=each, overlap=overlap, scale=scale, channels=channels) for each in tilings)
    return torch.as_tensor(total / len(tilings)).clone()


def cropped_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Cut images [batch, height, width, ...] evenly to multiples; raises `LatentShapeError` when nothing is left."""
    height, width = (side // multiple * multiple for side in images.shape[1:3])
    if not height or not width:
        raise LatentShapeError(f"Images of {images.shape[2]}x{images.shape[1]} pixels are too small to encode.")
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def _portions(batch: Tensor, pixels: int) -> Iterator[Tensor]:
    yield from torch.split(batch, max(1, PIXELS_AT_ONCE // max(1, pixels)))
