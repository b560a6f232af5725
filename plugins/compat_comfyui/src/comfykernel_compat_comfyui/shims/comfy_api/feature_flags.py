"""What this server and its clients can do."""

from __future__ import annotations

from collections.abc import Mapping

SERVER_FEATURES: dict[str, object] = {"supports_preview_metadata": True}


def get_server_features() -> dict[str, object]:
    """What the server can do."""
    return dict(SERVER_FEATURES)


def get_connection_feature(
    sockets_metadata: Mapping[str, Mapping[str, Mapping[str, object]]],
    sid: str,
    feature_name: str,
    default: object = False,
) -> object:
    """What a client has said that it can do."""
    return sockets_metadata.get(sid, {}).get("feature_flags", {}).get(feature_name, default)


def supports_feature(
    sockets_metadata: Mapping[str, Mapping[str, Mapping[str, object]]], sid: str, feature_name: str
) -> bool:
    """Whether a client has said that it can do something."""
    return get_connection_feature(sockets_metadata, sid, feature_name, False) is True
