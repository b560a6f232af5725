"""Graphs of expansions, blockers, and the progress of nodes."""
