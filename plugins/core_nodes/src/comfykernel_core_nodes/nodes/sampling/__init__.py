"""Nodes that sample: steps from noise to latents."""
