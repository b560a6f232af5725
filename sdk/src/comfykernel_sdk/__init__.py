"""Contracts of comfykernel: everything a plugin author imports, and nothing that runs a server."""
