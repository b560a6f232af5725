"""``comfykernel check``: what is wrong with a pack, found without running its nodes."""
