"""``comfykernel new``: the files of a new pack."""
