"""What runs in the server for packs: their routes are passed on to a worker, prompts are shown to their handlers."""
