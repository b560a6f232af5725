"""What the recording program left on a model for the cases after.

The records `MODEL/patch/...` were made one after another on a model that stayed loaded, and three changes stayed on
it: the weights of UNetSelfAttentionMultiply, then those of UNetCrossAttentionMultiply, and the latent format that
ModelSamplingContinuousEDM sets for `edm_playground_v2.5`. A case after them holds numbers of the changed model. Such a
case is checked on the model as it is, and then on the model as it was when the numbers were taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.latent_formats import SDXL_PLAYGROUND
from comfykernel_core_nodes.golden.node_graphs import run_single

# Parts of the names of the cases that were recorded in a row.
RECORDED_IN_A_ROW: Final = ("/patch/", "/merge/")
# Ending of the names of models that no earlier case had changed.
UNCHANGED_ENDING: Final = "_b"
MULTIPLIERS: Final = {"q": 1.2, "k": 0.9, "v": 1.1, "out": 0.8}
MULTIPLYING_NODES: Final = ("UNetSelfAttentionMultiply", "UNetCrossAttentionMultiply")


def earlier_states(model: DiffusionModel) -> Iterator[DiffusionModel]:
    """The model with the changes of earlier cases, one more each time."""
    for node in MULTIPLYING_NODES:
        ((model,),) = run_single(node, {"model": model, **MULTIPLIERS})
        yield model
    yield replace(model, latent_format=SDXL_PLAYGROUND)
