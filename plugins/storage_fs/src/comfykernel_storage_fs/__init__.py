"""Files, models, users and jobs of comfykernel on a filesystem."""
