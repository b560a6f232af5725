"""The one place that knows the diffusion library: what packs expect of models, over what that library has."""
