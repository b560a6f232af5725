"""Existing ComfyUI node packs on comfykernel, loaded without a change to them."""
