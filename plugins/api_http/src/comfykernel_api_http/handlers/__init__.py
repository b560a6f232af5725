"""Handlers by the tags of the API document."""
