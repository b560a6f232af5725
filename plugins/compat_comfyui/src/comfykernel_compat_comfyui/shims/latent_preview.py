"""Small pictures of what a run is making."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from comfykernel_compat_comfyui.lacking_names import lacking_class
from comfykernel_compat_comfyui.shims.comfy import utils
from comfykernel_compat_comfyui.shims.comfy.cli_args import LatentPreviewMethod, args

__all__ = ["LatentPreviewMethod", "LatentPreviewer", "args", "get_previewer", "prepare_callback"]

MAX_PREVIEW_RESOLUTION = args.preview_size
default_preview_method = args.preview_method

TAESD = lacking_class("latent_preview.TAESD")


def preview_to_image(latent_image: Tensor) -> Image.Image:
    """A picture from colours [height, width, 3] in -1..1."""
    pixels = ((latent_image.float() + 1.0) / 2.0).clamp(0, 1).mul(255.0).to(torch.uint8)
    return Image.fromarray(pixels.cpu().numpy())


class LatentPreviewer:
    """Makes pictures of latents."""

    def decode_latent_to_preview(self, x0: Tensor) -> Any:
        """A picture of the first latent of a batch."""
        raise NotImplementedError

    def decode_latent_to_preview_image(self, preview_format: str, x0: Tensor) -> Any:
        """The picture with its format and its longest side, as progress bars take it."""
        return preview_format, self.decode_latent_to_preview(x0), args.preview_size


class Latent2RGBPreviewer(LatentPreviewer):
    """A linear map from channels to colours."""

    def __init__(
        self, latent_rgb_factors: Any, latent_rgb_factors_bias: Any = None, latent_rgb_factors_reshape: Any = None
    ) -> None:
        self.latent_rgb_factors = torch.tensor(latent_rgb_factors, device="cpu").transpose(0, 1)
        self.latent_rgb_factors_bias = (
            None if latent_rgb_factors_bias is None else torch.tensor(latent_rgb_factors_bias)
        )
        self.latent_rgb_factors_reshape = latent_rgb_factors_reshape

    def decode_latent_to_preview(self, x0: Tensor) -> Image.Image:
        """A picture of the first latent of a batch."""
        latent = x0[0, :, 0] if x0.ndim == 5 else x0[0]
        factors = self.latent_rgb_factors.to(latent)
        bias = None if self.latent_rgb_factors_bias is None else self.latent_rgb_factors_bias.to(latent)
        return preview_to_image(torch.nn.functional.linear(latent.movedim(0, -1), factors, bias))


class TAESDPreviewerImpl(LatentPreviewer):
    """A small autoencoder."""

    def __init__(self, taesd: Any) -> None:
        self.taesd = taesd

    def decode_latent_to_preview(self, x0: Tensor) -> Image.Image:
        """A picture of the first latent of a batch."""
        return preview_to_image(self.taesd.decode(x0[:1])[0].movedim(0, 2))


def get_previewer(device: Any, latent_format: Any) -> LatentPreviewer | None:
    """What makes pictures of latents of a format; ``None`` when the settings want none."""
    if args.preview_method is LatentPreviewMethod.NoPreviews or latent_format.latent_rgb_factors is None:
        return None
    return Latent2RGBPreviewer(latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias)


def prepare_callback(
    model: Any, steps: int, x0_output_dict: dict[str, Any] | None = None
) -> Callable[[int, Tensor, Tensor, int], None]:
    """A function that reports each step of a run, with a picture when the settings want one."""
    previewer = get_previewer(model.load_device, model.get_model_object("latent_format"))
    bar = utils.ProgressBar(steps)

    def callback(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
        if x0_output_dict is not None:
            x0_output_dict["x0"] = x0
        picture = previewer.decode_latent_to_preview_image("JPEG", x0) if previewer is not None else None
        bar.update_absolute(step + 1, total_steps, picture)

    return callback
