"""The official ComfyUI web page on comfykernel: served from its own package, with what node packs add to it."""
