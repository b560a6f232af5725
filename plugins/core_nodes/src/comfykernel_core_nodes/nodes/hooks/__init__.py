"""Nodes for hooks: patches of weights that hold for single conditions, with strengths over the run."""
