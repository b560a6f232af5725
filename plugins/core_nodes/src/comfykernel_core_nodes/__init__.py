"""Core nodes of comfykernel and the diffusion library below them."""
