"""What a running node and a pack that is being loaded may ask the engine for: ``ComfyAPI`` and its blocking form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..previews import encode
from ..running_nodes import context_of
from .replacements import register_replacement
from .saved_images import to_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

    from comfykernel_sdk.context import Preview

    from .schema import NodeReplace

PREVIEW_FORMAT: Final = "PNG"


class _Execution:
    """The node that runs."""

    async def set_progress(
        self,
        value: float,
        max_value: float,
        node_id: str | None = None,
        preview_image: object = None,
        ignore_size_limit: bool = False,
    ) -> None:
        """Tell clients how far the node is, perhaps with a picture: one of Pillow, or [batch, height, width, channel].

        Raises:
            Interrupted: the prompt was cancelled.
        """
        set_progress(value, max_value, node_id, preview_image, ignore_size_limit)


class _ExecutionSync:
    """The node that runs, for code that can't wait."""

    def set_progress(
        self,
        value: float,
        max_value: float,
        node_id: str | None = None,
        preview_image: object = None,
        ignore_size_limit: bool = False,
    ) -> None:
        """As the asynchronous form."""
        set_progress(value, max_value, node_id, preview_image, ignore_size_limit)


class _Replacements:
    """Ids of nodes that are gone."""

    async def register(self, node_replace: NodeReplace) -> None:
        """Name the node that stands in for one whose id is gone; call it in ``on_load`` of the extension."""
        register_replacement(node_replace)


class _ReplacementsSync:
    """Ids of nodes that are gone, for code that can't wait."""

    def register(self, node_replace: NodeReplace) -> None:
        """As the asynchronous form."""
        register_replacement(node_replace)


class ComfyAPI:
    """Asynchronous access; methods are awaited."""

    VERSION: Final = "latest"
    STABLE: Final = False

    def __init__(self) -> None:
        self.execution = _Execution()
        self.node_replacement = _Replacements()


class ComfyAPISync:
    """The same for code that can't wait, from any thread."""

    VERSION: Final = "latest"
    STABLE: Final = False

    def __init__(self) -> None:
        self.execution = _ExecutionSync()
        self.node_replacement = _ReplacementsSync()


def set_progress(
    value: float, max_value: float, node_id: str | None, preview_image: object, ignore_size_limit: bool
) -> None:
    """See :meth:`ComfyAPI.execution.set_progress`.

    Raises:
        RuntimeError: no node runs.
    """
    context = context_of(node_id)
    if context is None:
        raise RuntimeError("set_progress is for nodes while they run.")
    size = None if ignore_size_limit else context.settings.execution.preview_size
    context.progress(float(value), float(max_value), preview=_preview(preview_image, size))


def _preview(image: Any, longest: int | None) -> Preview | None:
    if image is None:
        return None
    picture: Image = image if hasattr(image, "save") else to_pictures(image if image.ndim == 4 else image[None])[0]
    if longest is not None and max(picture.size) <= longest:
        longest = None
    return encode(picture, PREVIEW_FORMAT, longest)
