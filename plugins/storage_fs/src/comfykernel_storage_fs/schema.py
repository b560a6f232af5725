"""The job database's format and the steps that bring older formats up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import PluginError

if TYPE_CHECKING:
    import sqlite3

JOBS: Final = (
    """
    CREATE TABLE jobs (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        prompt_id TEXT NOT NULL UNIQUE,
        number REAL NOT NULL,
        state TEXT NOT NULL,
        user TEXT NOT NULL,
        client_id TEXT,
        idempotency_key TEXT,
        request_digest TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        started_ms INTEGER,
        ended_ms INTEGER,
        worker TEXT NOT NULL,
        graph BLOB NOT NULL,
        extra_data BLOB NOT NULL,
        secrets BLOB,
        outputs_to_execute BLOB NOT NULL,
        outcome BLOB
    ) STRICT
    """,
    "CREATE INDEX jobs_to_run ON jobs (number, sequence) WHERE ended_ms IS NULL",
    "CREATE INDEX jobs_ended ON jobs (ended_ms, sequence) WHERE ended_ms IS NOT NULL",
    "CREATE UNIQUE INDEX jobs_by_key ON jobs (user, idempotency_key) WHERE idempotency_key IS NOT NULL",
)

EVENTS: Final = (
    """
    CREATE TABLE events (
        job INTEGER NOT NULL REFERENCES jobs (sequence) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        event BLOB NOT NULL,
        PRIMARY KEY (job, number)
    ) STRICT, WITHOUT ROWID
    """,
)

# Jobs that end in the same millisecond keep the order of their ends.
ORDER_OF_ENDS: Final = (
    "ALTER TABLE jobs ADD COLUMN end_rank INTEGER",
    "UPDATE jobs SET end_rank = sequence WHERE ended_ms IS NOT NULL",
    "DROP INDEX jobs_ended",
    "CREATE INDEX jobs_ended ON jobs (ended_ms, end_rank) WHERE ended_ms IS NOT NULL",
    "CREATE INDEX jobs_end_rank ON jobs (end_rank)",
)

# A job that waits has no rank yet: its insertion need not touch this index.
RANKS_OF_ENDED: Final = (
    "DROP INDEX jobs_end_rank",
    "CREATE INDEX jobs_end_rank ON jobs (end_rank) WHERE end_rank IS NOT NULL",
)

# Jobs that older versions have written belong to no workflow.
WORKFLOWS: Final = (
    "ALTER TABLE jobs ADD COLUMN workflow_id TEXT",
    "CREATE INDEX jobs_of_workflow ON jobs (workflow_id, sequence) WHERE workflow_id IS NOT NULL",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (JOBS, EVENTS, ORDER_OF_ENDS, RANKS_OF_ENDED, WORKFLOWS)
"""Step ``n`` (from 0) makes format ``n + 1`` out of format ``n``; the format is SQLite's ``user_version``."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest format, each step in a transaction of its own.

    Raises:
        PluginError: a newer version of the plugin has written it.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise PluginError(
            f"The job database has format {version}, this version knows formats up to {len(MIGRATIONS)}.",
            type="database_too_new",
            hint="Update comfykernel-storage-fs, or set paths.state to another folder.",
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
