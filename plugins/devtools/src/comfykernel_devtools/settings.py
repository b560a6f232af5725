"""What can be set in ``[plugin.devtools]``."""

from __future__ import annotations

from typing import Final

import msgspec

NAME: Final = "devtools"


class DevtoolsSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The table ``[plugin.devtools]``; ``--reload`` and ``--reload-directory`` set the first two."""

    reload: bool = False
    """Start workers anew when a source file of a node pack changes."""
    reload_folders: tuple[str, ...] = ()
    """Folders that are watched besides those of installed packs."""
    reload_patience_s: float = 30.0
    """Seconds that a running job may go on before it is put back into the queue, to run with the new code."""
