"""Nodes for frames of video latents [batch, channel, frame, height, width]."""

from __future__ import annotations

import logging
from typing import Annotated, Final

from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled
from comfykernel_core_nodes.nodes.latent.arithmetic import fitted
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Int, Latent, LatentDict, Out

frame_node = extra_node("nodes_latent")
start_node = extra_node("nodes_kandinsky5")

MEAN_LIMITS: Final = (0.3, 0.35)
"""How far a frame's mean is moved at most: down, up."""

DEVIATION_LIMITS: Final = (0.35, 0.5)
"""The same of its standard deviation."""

SMALLEST_DEVIATION: Final = 1e-8
"""Of frames that are all alike."""

logger = logging.getLogger(__name__)


@frame_node("ReplaceVideoLatentFrames", category="latent/batch", display_name="Replace Video Latent Frames")
def replace_video_latent_frames(
    destination: Latent,
    index: Annotated[int, Int(default=0, min=-MAX_SIDE, max=MAX_SIDE, step=1)],
    source: Latent | None = None,
) -> Latent:
    """Put the frames of one video latent in the place of frames of another one.

    The sizes are brought to those of the destination, and a shorter batch is repeated. Where the frames do not fit in,
    the destination comes out as it is, and the log says so.

    Args:
        index: the first frame that is replaced; a negative one counts from the end.
        source: the new frames; without them nothing changes.

    Raises:
        BadInput: the latents have no frames, or other channels.
    """
    if source is None:
        return destination
    old, new = video_frames(destination), video_frames(source)
    count, length = old.shape[2], new.shape[2]
    start = index + count if index < 0 else index
    if start < 0 or start + length > count:
        logger.warning("%d frames from frame %d on do not fit into a latent of %d frames.", length, index, count)
        return destination
    old = old.clone()
    place = old[:, :, start : start + length]
    place.copy_(cycled(fitted(new, place), len(old)))
    return {**destination, "samples": old}


@start_node("NormalizeVideoLatentStart", category="conditioning/video_models")
def normalize_video_latent_start(
    latent: Latent,
    start_frame_count: Annotated[int, Int(default=4, min=1, max=MAX_SIDE, step=1)],
    reference_frame_count: Annotated[int, Int(default=5, min=1, max=MAX_SIDE, step=1)],
) -> Annotated[Latent, Out("latent")]:
    """Bring the mean and the deviation of the first frames of a video latent towards those of the frames that follow.

    A latent of one frame stays as it is.

    Args:
        start_frame_count: the frames to change.
        reference_frame_count: the frames after them to take the measures from, or as many as there are.

    Raises:
        BadInput: the latent has no frames.
    """
    frames = video_frames(latent)
    # At least one frame is left to compare with.
    first = min(start_frame_count, frames.shape[2] - 1)
    if first < 1:
        return latent
    start = frames[:, :, :first]
    reference = frames[:, :, first : first + min(reference_frame_count, frames.shape[2] - 1)]
    changed = frames.clone()
    changed[:, :, :first] = with_moments_near(start, reference)
    return {**latent, "samples": changed}


def with_moments_near(frames: Tensor, reference: Tensor) -> Tensor:
    """Frames, each brought to the mean and the standard deviation of others, as far as the limits let it.

    Both are [batch, channel, frame, height, width]; a frame is measured over its channels and places, the reference as
    a whole. Published with the model Kandinsky 5 (arXiv:2511.14993), for the first frames of image to video.
    """
    over = (1, 3, 4)
    mean, deviation = frames.mean(over, keepdim=True), frames.std(over, keepdim=True)
    new_mean = reference.mean().clamp(mean - MEAN_LIMITS[0], mean + MEAN_LIMITS[1])
    new_deviation = reference.std().clamp(deviation - DEVIATION_LIMITS[0], deviation + DEVIATION_LIMITS[1])
    return (frames - mean) / deviation.clamp_min(SMALLEST_DEVIATION) * new_deviation + new_mean


def video_frames(latent: LatentDict) -> Tensor:
    """The samples of a latent with frames.

    Raises:
        BadInput: it has none.
    """
    samples = latent["samples"]
    if samples.ndim != 5:
        raise BadInput(
            f"A latent of the shape {list(samples.shape)} has no frames.", type="latent_without_frames",
            hint="Expected a video latent [batch, channel, frame, height, width].",
        )  # fmt: skip
    return samples
