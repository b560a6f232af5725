"""Models, tokenizers and sampling of latent diffusion, without nodes, kernel or HTTP."""
