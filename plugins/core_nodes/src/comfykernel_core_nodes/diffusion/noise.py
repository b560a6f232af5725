"""Noise for sampling: start noise, Gaussian noise per step, and Brownian noise for SDE solvers.

All of it is drawn on the CPU from the seed, so that a run gives the same picture on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Draws standard normal noise, in the shape of the latent, for the interval between two sigmas.
NoiseSampler = Callable[[Tensor, Tensor], Tensor]

# Decimals that torchsde's tree keeps of a time; queries beyond its rounded ends would warn.
BROWNIAN_DIGITS = 6


def start_noise(latent: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
    """Standard normal noise in the latent's shape and dtype, on the CPU.

    Parameters:
        latent: [batch, channel, ...]
        seed: 0 .. 2**64 - 1
        batch_index: row i gets the noise that row batch_index[i] of a larger batch would get; equal indices
            give equal rows.

    Torch's global generator is left in the state behind these draws: what draws from it during a run, such as the
    merging of tokens, is decided by the seed, too.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    if batch_index is None:
        noise = _normal(latent.shape, latent.dtype, generator)
    else:
        row_shape = (1, *latent.shape[1:])
        rows = [_normal(row_shape, latent.dtype, generator) for _ in range(max(batch_index) + 1)]
        noise = torch.cat([rows[i] for i in batch_index])
    torch.default_generator.set_state(generator.get_state())
    return noise


def _normal(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), dtype=dtype, layout=torch.strided, generator=generator, device="cpu")


def gaussian_noise(x: Tensor, seed: int, *, skip: int = 0) -> NoiseSampler:
    """Fresh standard normal noise at each call; `skip` draws of the same shape are thrown away first.

    The first draw of a seed equals the start noise of the same seed: results in the field depend on it.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    for _ in range(skip):
        _normal(x.shape, x.dtype, generator)
    return lambda _sigma, _sigma_next: _normal(x.shape, x.dtype, generator).to(x.device)


def brownian_noise(x: Tensor, sigmas: Tensor, seed: int) -> NoiseSampler:
    """Noise of a Brownian motion over sigma, normalised to unit variance per interval.

    The same interval always gives the same noise, and neighbouring intervals add up, so a run with other
    steps follows the same path (torchsde's BrownianTree; Li et al. 2020, arXiv:2001.01328).
    """
    # Importing torchsde takes half a second, which runs without an SDE solver need not spend.
    from torchsde import BrownianTree  # type: ignore[import-untyped]

    low = round(float(sigmas[sigmas > 0].min()), BROWNIAN_DIGITS)
    high = round(float(sigmas.max()), BROWNIAN_DIGITS)
    start = torch.zeros_like(x, device="cpu")
    tree = BrownianTree(low, start, high, entropy=seed)

    def sample(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        a, b = (min(max(float(s), low), high) for s in (sigma, sigma_next))
        path: Tensor = tree(min(a, b), max(a, b)) if a < b else -tree(b, a)
        unit: Tensor = path / abs(b - a) ** 0.5
        return unit.to(x.device)

    return sample
