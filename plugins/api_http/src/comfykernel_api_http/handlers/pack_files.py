"""What node packs bring for the web page: translations, workflow templates, subgraphs."""

from __future__ import annotations

from litestar import get


@get("/i18n", operation_id="getTranslations", tags=["system"], summary="Get translations of packs")
async def get_translations() -> dict[str, object]:
    """Translations by language."""
    return {}


@get("/workflow_templates", operation_id="getTemplates", tags=["system"], summary="Get workflow templates of packs")
async def get_templates() -> dict[str, list[str]]:
    """Names of workflow templates by pack."""
    return {}


@get("/global_subgraphs", operation_id="getSubgraphs", tags=["system"], summary="Get subgraph blueprints")
async def get_subgraphs() -> dict[str, object]:
    """Subgraph blueprints by id."""
    return {}
