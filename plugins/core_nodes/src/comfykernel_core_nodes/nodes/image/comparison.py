"""The node that shows two images under a slider."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.saved_files import PREVIEW_COMPRESSION, save_png, temporary_prefix
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Result
from comfykernel_sdk.sockets import Image, Socket

compare_node = extra_node("nodes_image_compare")


@compare_node("ImageCompare", category="image", display_name="Compare Images", output_node=True)
def image_compare(
    context: NodeContext,
    image_a: Image | None = None,
    image_b: Image | None = None,
    compare_view: Annotated[object, Socket("IMAGECOMPARE")] = None,
) -> Result[None]:
    """Show two images over each other, with a slider between them. They are written to the temporary folder.

    Args:
        compare_view: the slider of the page.
    """
    shown: dict[str, list[Json]] = {}
    for side, images in (("a", image_a), ("b", image_b)):
        prefix = temporary_prefix(f"comfy.compare.{side}_")
        saved = [] if images is None else save_png(context, images, prefix, "temp", {}, PREVIEW_COMPRESSION)
        shown[f"{side}_images"] = saved
    return Result(ui=shown)
