"""Model management: /models, /embeddings."""

from __future__ import annotations

import os

from litestar import get
from litestar.params import FromPath

from ..injection import TheKernel


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
