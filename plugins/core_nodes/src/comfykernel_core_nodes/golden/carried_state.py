"""What the recording program left on a model for the cases after.

The records `MODEL/patch/...`, then those of merged models and all after them were made in a row on a model that
stayed loaded, and changes stayed on it: the weights of UNetSelfAttentionMultiply, then those of
UNetCrossAttentionMultiply, the latent format that ModelSamplingContinuousEDM sets for `edm_playground_v2.5`, the flow
of ModelSamplingSD3, and the weights of each merge. One of the merges is in no record: that of blocks, with the ratios
with which its successors agree to 4e-6. A case after them holds numbers of the changed model. Such a case is checked
on the model as it is, and then on the model as it was when the numbers were taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import dropwhile
from typing import Final

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.latent_formats import SDXL_PLAYGROUND
from comfykernel_core_nodes.golden.node_graphs import run_single

# Part of the name of the first case of the row.
FIRST_IN_THE_ROW: Final = "/patch/"
# Ending of the names of the models that were merged into others; no case changed them.
OTHER_ENDING: Final = "_b"
MULTIPLIERS: Final = {"q": 1.2, "k": 0.9, "v": 1.1, "out": 0.8}
FLOW_SHIFT: Final = 3.0
MERGES: Final[Mapping[str, Mapping[str, float]]] = {
    "ModelMergeSimple": {"ratio": 0.35},
    "ModelMergeBlocks": {"input": 0.2, "middle": 0.5, "out": 0.8},
    "ModelMergeSubtract": {"multiplier": 0.3},
    "ModelMergeAdd": {},
}
MULTIPLYING_NODES: Final = ("UNetSelfAttentionMultiply", "UNetCrossAttentionMultiply")


def recorded_in_a_row(names: Iterable[str]) -> frozenset[str]:
    """Of the names of cases in their order, those from the first changed model on."""
    return frozenset(dropwhile(lambda name: FIRST_IN_THE_ROW not in name, names))


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
