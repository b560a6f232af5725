"""From the start of the process to the first answer of status 200, with the catalog on disk. Median of 7 starts."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from figures import Figure, show
from serving import aiohttp, comfykernel, only_queue

STARTS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with comfykernel(base, path="/object_info") as cold:
            first = cold.seconds
        ours, info, bare = [], [], []
        for _ in range(STARTS):
            with comfykernel(base) as server:
                ours.append(server.seconds)
            with comfykernel(base, path="/object_info") as server:
                info.append(server.seconds)
            with aiohttp(only_queue(base)) as server:
                bare.append(server.seconds)
    baseline = statistics.median(bare)
    show(
        [
            Figure("first answer (GET /queue)", statistics.median(ours), "s", baseline, bound=1.0),
            Figure("first GET /object_info", statistics.median(info), "s", baseline, bound=1.0),
            Figure("the same without a catalog on disk (once)", first, "s", baseline),
        ],
        baseline="a bare aiohttp server",
    )


if __name__ == "__main__":
    main()
