"""A defect in the records of the node EasyCache.

Where a step was left out, the recording program added the cached differences of all conditions to the rows of each,
so that guidance had no effect there. A condition gets its own difference here; the records are checked with the sum,
which still shows that the same steps are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from unittest.mock import patch

from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.step_cache import NetworkCache

NODE: Final = "EasyCache"


def _summed(self: NetworkCache, differences: Sequence[Tensor], x: Tensor) -> Tensor:
    total = sum(differences[1:], differences[0])
    return x[:, : total.shape[1]] + total.repeat(len(differences), *[1] * (x.ndim - 1))


# As a context: caches add the differences of all conditions.
summed_cache = patch.object(NetworkCache, "moved_along", _summed)
