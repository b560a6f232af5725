"""Nodes between pictures and latents that work tile by tile, for what is too large for the memory."""

from __future__ import annotations

from typing import Annotated, Final, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.latent.pixels import present_codec
from comfykernel_core_nodes.nodes.sockets import VaeModel
from comfykernel_sdk.sockets import Image, Int, Latent

TemporalSize: TypeAlias = Annotated[
    int,
    Int(default=64, min=8, max=4096, step=4, tooltip="For films: how many frames are worked on at once."),
]
TemporalOverlap: TypeAlias = Annotated[
    int, Int(default=8, min=4, max=4096, step=4, tooltip="For films: how many frames neighbours share.")
]
Overlap: TypeAlias = Annotated[int, Int(default=64, min=0, max=4096, step=32)]

# A tile is at least so many times as wide as its overlap with the next.
TILES_PER_OVERLAP: Final = 4


@runtime_checkable
class TiledCodec(Protocol):
    """A VAE that can work in tiles."""

    @property
    def downscale(self) -> int:
        """Pixels that a latent position is wide."""

    def encode_tiled(self, images: Tensor, *, tile: tuple[int, int], overlap: int) -> Tensor:
        """Latents of images; tile (height, width) and overlap in pixels."""

    def decode_tiled(self, latent: Tensor, *, tile: tuple[int, int], overlap: int) -> Tensor:
        """Images of latents; tile (height, width) and overlap in latent units."""


@core_node("VAEDecodeTiled", category="_for_testing", display_name="VAE Decode (Tiled)")
def vae_decode_tiled(
    samples: Latent,
    vae: VaeModel,
    tile_size: Annotated[int, Int(default=512, min=64, max=4096, step=32)],
    overlap: Overlap,
    temporal_size: TemporalSize,
    temporal_overlap: TemporalOverlap,
) -> Image:
    """Turn latents into pictures tile by tile; sizes are in pixels of the picture."""
    codec = present_codec(vae)
    with reported():
        if not isinstance(codec, TiledCodec):
            return codec.decode(samples["samples"])
        tile = tile_size // codec.downscale
        shared = min(overlap, tile_size // TILES_PER_OVERLAP) // codec.downscale
        return codec.decode_tiled(samples["samples"], tile=(tile, tile), overlap=shared)


@core_node("VAEEncodeTiled", category="_for_testing", display_name="VAE Encode (Tiled)")
def vae_encode_tiled(
    pixels: Image,
    vae: VaeModel,
    tile_size: Annotated[int, Int(default=512, min=64, max=4096, step=64)],
    overlap: Overlap,
    temporal_size: TemporalSize,
    temporal_overlap: TemporalOverlap,
) -> Latent:
    """Turn pictures into latents tile by tile; sizes are in pixels."""
    codec = present_codec(vae)
    with reported():
        if not isinstance(codec, TiledCodec):
            return {"samples": codec.encode(pixels)}
        # The narrowest of the tilings has tiles of half the size: they must go on at every step.
        shared = overlap if overlap * 2 < tile_size else tile_size // TILES_PER_OVERLAP
        return {"samples": codec.encode_tiled(pixels, tile=(tile_size, tile_size), overlap=shared)}
