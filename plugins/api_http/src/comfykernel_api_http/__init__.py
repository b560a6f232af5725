"""HTTP and WebSocket transport of comfykernel: speaks the ComfyUI API."""

__version__ = "0.1.0"
