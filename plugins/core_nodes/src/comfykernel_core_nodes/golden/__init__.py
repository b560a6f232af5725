"""Checks the nodes and the diffusion library against recorded numbers: ``python -m comfykernel_core_nodes.golden DIR``.

A folder of records holds `GROUP.json` with cases (inputs, expected values) and `GROUP.safetensors` with expected
tensors named `CASE/OUTPUT`; `models.json` describes tiny models by the shapes of their tensors. Weights and inputs are
not in it: they follow from their names (see `recipe`).
"""
