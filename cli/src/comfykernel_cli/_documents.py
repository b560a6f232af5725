"""Workflows of all kinds from files: prompts, documents of an editor, and what pictures and the like carry."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from comfykernel.plugin_host import PluginHost
from comfykernel_sdk.errors import BadInput, InvalidPrompt, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.nodes import NodeSpec, Replacement
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.workflows import WorkflowReader


def workflow_readers(settings: Settings) -> list[WorkflowReader]:
    """What plugins read besides prompts."""
    host = PluginHost(settings, side="cli")
    host.load()
    readers: list[WorkflowReader] = []
    host.hook.register_workflow_readers(register=readers.append)
    return readers


class Source:
    """A workflow as it was found: a prompt, or a document that has to be converted.

    Attributes:
        is_prompt: whether it needs no conversion.
        document: what the prompt is, or was, made from; kept in the files that it writes.

    Raises:
        InvalidPrompt: it is neither.
    """

    def __init__(self, name: str, found: Json, readers: Sequence[WorkflowReader]) -> None:
        prompt, document = _parts(found)
        self._reader = _reader_of(prompt, readers)
        if prompt is None:
            prompt, self._reader = document, _reader_of(document, readers)
        self.is_prompt = self._reader is None
        if self.is_prompt:
            _check_prompt(name, prompt)
        elif isinstance(prompt, dict):
            document = prompt
        self.document = document if isinstance(document, dict) else None
        self._graph: Graph = prompt  # type: ignore[assignment]

    def graph(
        self,
        specs: Mapping[str, NodeSpec],
        *,
        replacements: Iterable[Replacement] = (),
        seed: int | None = None,
        lenient: bool = False,
    ) -> tuple[Graph, list[str]]:
        """The prompt, and the classes of a document that are not installed.

        Raises:
            InvalidPrompt: the document can't be converted.
        """
        if self._reader is None or self.document is None:
            return self._graph, []
        done = self._reader.convert(self.document, specs, replacements=replacements, seed=seed, lenient=lenient)
        return done.graph, done.missing


def _parts(found: Json) -> tuple[Json, Json]:
    """The prompt and the document in what a picture carries, in a request, or in a bare file."""
    if not isinstance(found, dict):
        return found, None
    extra = found.get("extra_data")
    info = extra.get("extra_pnginfo") if isinstance(extra, dict) else None
    document = found.get("workflow") or (info.get("workflow") if isinstance(info, dict) else None)
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        document = None
    if isinstance(found.get("prompt"), dict):
        return found["prompt"], document
    return (found if document is None or "nodes" in found else None), document


def _reader_of(value: Json, readers: Sequence[WorkflowReader]) -> WorkflowReader | None:
    return next((reader for reader in readers if reader.is_document(value)), None)


def _check_prompt(name: str, found: Json) -> None:
    if isinstance(found, dict) and isinstance(found.get("nodes"), list):
        hint = "Install comfykernel-ui-workflows, or choose File > Export (API) in the editor and run that file."
        raise InvalidPrompt(f"{name} is in the format of an editor that nothing here reads.", hint=hint)
    if not isinstance(found, dict) or not all(isinstance(node, dict) for node in found.values()):
        raise InvalidPrompt(f"{name} is no workflow.", hint='Expected {"ID": {"class_type": ...}}.')


def open_source(name: str, readers: Sequence[WorkflowReader]) -> Source:
    """A workflow from a file: JSON, or whatever the readers know to carry one; ``-`` is standard input.

    Raises:
        NotFound: there is no such file.
        BadInput: it can't be read, is no JSON, or carries no workflow.
    """
    try:
        with _open(name) as file:
            for reader in readers:
                if (carried := reader.read_file(file)) is not None:
                    return Source(name, carried, readers)
            file.seek(0)
            data = file.read()
    except FileNotFoundError:
        raise NotFound(f"There is no file {name}.") from None
    except OSError as error:
        raise BadInput(f"Can't read {name}: {error.strerror}.") from error
    return Source(name, read_json(name, data), readers)


def _open(name: str) -> BinaryIO:
    return io.BytesIO(sys.stdin.buffer.read()) if name == "-" else Path(name).open("rb")


def read_json(name: str, data: bytes) -> Json:
    """The value in a file; NaN and the like are read as Python's ``json`` does.

    Raises:
        BadInput: it is no JSON.
    """
    try:
        value: Json = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(data)
        except RecursionError:
            raise BadInput(f"{name} is nested too deeply.", type="too_deep") from None
        except ValueError as error:
            raise BadInput(f"{name} is no JSON: {error}.", type="invalid_json") from None
    return value
