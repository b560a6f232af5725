"""Model management: /models, /embeddings, /view_metadata, and the listing with places of /experiment/models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from litestar import Response, get
from litestar.params import FromPath, FromQuery

from comfykernel_sdk.errors import BadInput, InvalidPath, NotFound
from comfykernel_sdk.json_types import JsonObject

from ..injection import TheKernel
from ..pictures import make_preview
from ..safetensors_header import read_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from comfykernel_sdk.transport import Kernel

NO_MODELS: Final = frozenset({"configs", "custom_nodes"})
"""Folders that hold no models."""

PREVIEW_ENDINGS: Final = (".preview.png", ".png", ".jpg", ".jpeg", ".webp", ".gif")
"""Of a picture beside a model, in the order in which they are looked for."""


@get("/models", operation_id="getModelTypes", tags=["model"], summary="Get model types", sync_to_thread=True)
def get_model_types(kernel: TheKernel) -> list[str]:
    """Names of the model folders."""
    return kernel.models.folders()


@get("/models/{folder:str}", operation_id="getModels", tags=["model"], summary="Get models", sync_to_thread=True)
def get_models(kernel: TheKernel, folder: FromPath[str]) -> list[str]:
    """Names of the models in a folder."""
    return kernel.models.names(folder)


@get("/embeddings", operation_id="getEmbeddings", tags=["model"], summary="Get embeddings", sync_to_thread=True)
def get_embeddings(kernel: TheKernel) -> list[str]:
    """Names of the embeddings, without their endings."""
    return [os.path.splitext(name)[0] for name in kernel.models.names("embeddings")]


@get(
    "/view_metadata/{folder_name:str}",
    operation_id="viewModelMetadata",
    tags=["model"],
    summary="View model metadata",
    sync_to_thread=True,
)
def view_model_metadata(kernel: TheKernel, folder_name: FromPath[str], filename: FromQuery[str] = "") -> JsonObject:
    """What a safetensors file tells about itself."""
    if not filename.endswith(".safetensors"):
        raise NotFound("Only safetensors files have metadata.", details=filename, type="no_metadata")
    metadata = read_metadata(_model(kernel, folder_name, filename))
    if metadata is None:
        raise NotFound("The file has no metadata.", details=filename, type="no_metadata")
    return metadata


@get(
    "/experiment/models",
    operation_id="getModelFolders",
    tags=["model"],
    summary="Get model folders",
    sync_to_thread=True,
)
def get_model_folders(kernel: TheKernel) -> list[JsonObject]:
    """Model folders with their places."""
    names = [name for name in kernel.models.folders() if name not in NO_MODELS]
    return [{"name": name, "folders": list(kernel.models.roots(name))} for name in names]


@get(
    "/experiment/models/{folder:str}",
    operation_id="getModelFiles",
    tags=["model"],
    summary="Get models with size and times",
    sync_to_thread=True,
)
def get_model_files(kernel: TheKernel, folder: FromPath[str]) -> list[JsonObject]:
    """Models of a folder with size, times (seconds since 1970) and the place that holds them."""
    return [
        {
            "name": file.name,
            "pathIndex": file.folder_index,
            "modified": file.modified,
            "created": file.created,
            "size": file.size,
        }
        for file in kernel.models.files(folder)
    ]


@get(
    "/experiment/models/preview/{folder:str}/{index:str}/{file:path}",
    operation_id="getModelPreview",
    tags=["model"],
    summary="Get the picture of a model",
    sync_to_thread=True,
)
def get_model_preview(
    kernel: TheKernel, folder: FromPath[str], index: FromPath[str], file: FromPath[str]
) -> Response[bytes]:
    """The picture that lies beside a model."""
    roots = kernel.models.roots(folder)
    if not index.isdecimal():
        raise BadInput("The index of a place must be a number.", details=index, type="invalid_parameter")
    model = _model(kernel, folder, str(file).lstrip("/").replace("%2F", "/"))
    if int(index) >= len(roots):
        raise NotFound("The folder has no such place.", details=index, type="unknown_folder")
    stem = model.with_suffix("")
    for ending in PREVIEW_ENDINGS:
        picture = stem.with_name(stem.name + ending)
        if picture.is_file():
            with picture.open("rb") as stream:
                pixels = kernel.settings.execution.max_image_pixels
                data, media = make_preview(stream, "webp", "", max_pixels=pixels)
            return Response(data, media_type=media)
    raise NotFound("There is no picture of this model.", details=file, type="no_preview")


def _model(kernel: Kernel, folder: str, name: str) -> Path:
    try:
        return kernel.models.path(folder, name)
    except InvalidPath as error:
        raise NotFound(error.message, details=error.details, type="unknown_model") from None
