"""Memory that is out in a node: it is freed, and the node called once more."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable

from comfykernel_core_nodes.diffusion.memory import default_memory
from comfykernel_core_nodes.diffusion.memory.out_of_memory import HINT, is_out_of_memory
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.nodes import NodePack
from comfykernel_sdk.second_attempt import Mend, with_second_attempt

logger = logging.getLogger(__name__)


def give_second_attempts(packs: Iterable[NodePack]) -> None:
    """Put the second attempt around all nodes of these packs."""
    for pack in packs:
        for name, definition in pack.nodes.items():
            pack.nodes[name] = with_second_attempt(definition, _freeing(name))


def _freeing(node: str) -> Mend:
    def free(error: Exception) -> BadInput | None:
        """Free memory when it is out; gives the error of type ``out_of_memory`` that says so."""
        if not is_out_of_memory(error):
            return None
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        # The frames of what failed hold the tensors that filled the memory.
        cause: BaseException | None = error
        while cause is not None:
            traceback.clear_frames(cause.__traceback__)
            cause = cause.__cause__ or cause.__context__
        default_memory().free()
        logger.warning("Out of memory in %s; freed what was not in use. %s", node, told)
        return BadInput(f"The memory of the device is out in {node}: {told}", hint=HINT, type="out_of_memory")

    return free
