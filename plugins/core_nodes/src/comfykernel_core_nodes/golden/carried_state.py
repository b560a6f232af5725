"""What the recording program left on a model for the cases after.

The records `MODEL/patch/...` and then those of merged models were made one after another on a model that stayed loaded,
and changes stayed on it: the weights of UNetSelfAttentionMultiply, then those of UNetCrossAttentionMultiply, the latent
format that ModelSamplingContinuousEDM sets for `edm_playground_v2.5`, the flow of ModelSamplingSD3, and the weights of
each merge. A case after them holds numbers of the changed model. Such a case is checked on the model as it is, and then
on the model as it was when the numbers were taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.latent_formats import SDXL_PLAYGROUND
from comfykernel_core_nodes.golden.node_graphs import run_single

# Parts of the names of the cases that were recorded in a row.
RECORDED_IN_A_ROW: Final = ("/patch/", "/merge/")
# Ending of the names of the models that were merged into others; no case changed them.
OTHER_ENDING: Final = "_b"
MULTIPLIERS: Final = {"q": 1.2, "k": 0.9, "v": 1.1, "out": 0.8}
FLOW_SHIFT: Final = 3.0
MERGES: Final[Mapping[str, Mapping[str, float]]] = {
    "ModelMergeSimple": {"ratio": 0.35},
    "ModelMergeSubtract": {"multiplier": 0.3},
    "ModelMergeAdd": {},
}
MULTIPLYING_NODES: Final = ("UNetSelfAttentionMultiply", "UNetCrossAttentionMultiply")


def earlier_states(model: DiffusionModel, other: DiffusionModel) -> Iterator[DiffusionModel]:
    """The model with the changes of earlier cases, one more each time; `other` is what it was merged with."""
    for node in MULTIPLYING_NODES:
        ((model,),) = run_single(node, {"model": model, **MULTIPLIERS})
        yield model
    model = replace(model, latent_format=SDXL_PLAYGROUND)
    yield model
    ((model,),) = run_single("ModelSamplingSD3", {"model": model, "shift": FLOW_SHIFT})
    yield model
    for node, inputs in MERGES.items():
        ((model,),) = run_single(node, {"model1": model, "model2": other, **inputs})
        yield model
