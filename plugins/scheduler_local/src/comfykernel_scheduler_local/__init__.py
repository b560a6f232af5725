"""One supervised worker process a device, for comfykernel."""
