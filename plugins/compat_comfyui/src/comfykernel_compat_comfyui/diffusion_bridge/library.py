"""What is taken from the diffusion library, under one roof."""

from __future__ import annotations

from comfykernel_core_nodes.diffusion.memory import default_memory as default_memory
from comfykernel_core_nodes.nodes import resampling as resampling
