"""Prompts that are documents of the editor become graphs before the kernel validates them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from comfykernel_sdk.nodes import Replacement

from .document import is_editor_document
from .reader import EditorReader

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import PromptRequest
    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.transport import Kernel


class ConvertingFilter:
    """A filter of submitted requests (:meth:`comfykernel_sdk.transport.Kernel.on_submit`)."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._reader = EditorReader()

    async def __call__(self, request: PromptRequest) -> PromptRequest:
        """The request with the graph of its document; one with a graph is handed on as it is.

        The document goes into the metadata of saved files, unless the client gave another.

        Raises:
            InvalidPrompt: the document can't be converted.
            Unavailable: no node is known yet, and no worker could tell of any.
        """
        document: JsonObject = request.graph  # type: ignore[assignment]
        if not is_editor_document(document):
            return request
        if not self._kernel.node_specs():
            await self._kernel.object_info()  # waits for the first worker of a fresh installation
        conversion = await asyncio.to_thread(
            self._reader.convert, document, self._kernel.node_specs(), replacements=self._replacements()
        )
        extra = dict(request.extra_data)
        info = extra.get("extra_pnginfo") or {}
        if isinstance(info, dict):
            extra["extra_pnginfo"] = {"workflow": document, **info}
        return msgspec.structs.replace(request, graph=conversion.graph, extra_data=extra)

    def _replacements(self) -> list[Replacement]:
        told = [each for pack in self._kernel.node_packs() for each in pack.get("replacements") or ()]  # type: ignore[union-attr]
        return msgspec.convert(told, list[Replacement], strict=False)
