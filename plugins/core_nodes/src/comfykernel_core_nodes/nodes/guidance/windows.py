"""The node of context windows."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.diffusion.guidance.context_windows import FUSIONS, SCHEDULES, Windows
from comfykernel_core_nodes.diffusion.guidance.windowed_calls import context_windows
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.guidance.declarations import BareModel, OpenModel, declared
from comfykernel_sdk.sockets import Choice, Int, Toggle


@declared("nodes_context_windows", "ContextWindowsManual", "context", "Context Windows (Manual)", experimental=True)
def context_windows_node(
    model: OpenModel,
    context_length: Annotated[int, Int(default=16, min=1, tooltip="Places in a window.")],
    context_overlap: Annotated[int, Int(default=4, min=0, tooltip="Places that neighbouring windows share.")],
    context_schedule: Annotated[
        str,
        Choice(
            *SCHEDULES,
            as_list=False,
            options={"multiselect": False},
            tooltip="Where windows lie; the uniform ones move at each step.",
        ),
    ],
    context_stride: Annotated[
        int, Int(default=1, min=1, tooltip="Number of spacings inside of windows, for uniform schedules.")
    ],
    closed_loop: Annotated[
        bool, Toggle(default=False, tooltip="Go on at the start behind the end, for looped schedules.")
    ],
    fuse_method: Annotated[
        str,
        Choice(
            *FUSIONS,
            default="pyramid",
            as_list=False,
            options={"multiselect": False},
            tooltip="Weights of windows where they overlap.",
        ),
    ],
    dim: Annotated[int, Int(default=0, min=0, max=5, tooltip="Dimension of the latent that is cut; 0 is the batch.")],
) -> BareModel:
    """Predict long latents in overlapping windows.

    Raises:
        BadInput: the overlap is not less than the length.
    """
    how = Windows(context_length, context_overlap, context_stride, closed_loop)
    with reported():
        return model.with_guidance(context_windows(how, schedule=context_schedule, fusion=fuse_method, dim=dim))
