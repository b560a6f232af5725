"""Operations on latents as values, for finished latents and for guidance."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.latent_operations import (
    LatentOperation,
    operate_on_guidance,
    sharpen,
    tonemap_reinhard,
)
from comfykernel_core_nodes.nodes.guidance.declarations import BareModel, OpenModel, declared
from comfykernel_core_nodes.nodes.open_sockets import OpenLatent
from comfykernel_sdk.sockets import Float, Int, Latent, Socket

operation_node = partial(declared, "nodes_latent", category="latent/advanced/operations", experimental=True)

TYPE: Final = "LATENT_OPERATION"
OpenOperation: TypeAlias = Annotated[LatentOperation, Socket(TYPE, bare=False)]
Operation: TypeAlias = Annotated[LatentOperation, Socket(TYPE)]


@operation_node("LatentApplyOperation")
def apply_operation(samples: OpenLatent, operation: OpenOperation) -> Latent:
    """Do an operation on finished latents."""
    return {**samples, "samples": operation(samples["samples"])}


@operation_node("LatentApplyOperationCFG")
def apply_operation_to_guidance(model: OpenModel, operation: OpenOperation) -> BareModel:
    """Do an operation on the difference between positive and negative predictions, at every step."""
    return model.with_guidance(operate_on_guidance(operation))


@operation_node("LatentOperationTonemapReinhard")
def tonemap_operation(
    multiplier: Annotated[float, Float(default=1.0, min=0.0, max=100.0, step=0.01)],
) -> Operation:
    """Compress large values of latents, so that strong guidance does not burn out."""
    return tonemap_reinhard(multiplier)


@operation_node("LatentOperationSharpen")
def sharpen_operation(
    sharpen_radius: Annotated[int, Int(default=9, min=1, max=31, step=1)],
    sigma: Annotated[float, Float(default=1.0, min=0.1, max=10.0, step=0.1)],
    alpha: Annotated[float, Float(default=0.1, min=0.0, max=5.0, step=0.01)],
) -> Operation:
    """Sharpen latents."""
    return sharpen(sharpen_radius, sigma, alpha)
