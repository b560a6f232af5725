"""Workflows of the web editor as prompts, and workflows inside pictures and other files."""
