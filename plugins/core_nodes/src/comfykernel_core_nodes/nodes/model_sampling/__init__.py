"""Nodes that change how a model is sampled: noise levels, what its output means, and its precision."""
