"""What node packs bring for the web page: translations, workflow templates, subgraphs."""

from __future__ import annotations

from litestar import get


@get("/i18n", include_in_schema=False)
async def get_translations() -> dict[str, object]:
    """Translations by language."""
    return {}


@get("/workflow_templates", include_in_schema=False)
async def get_templates() -> dict[str, list[str]]:
    """Names of workflow templates by pack."""
    return {}


@get("/global_subgraphs", include_in_schema=False)
async def get_subgraphs() -> dict[str, object]:
    """Subgraph blueprints by id."""
    return {}
