"""Bearer tokens: made by the command line, kept as hashes in the state folder, read by the server."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Final

import filelock
import msgspec

from comfykernel_sdk.errors import ComfykernelError, NotFound

TOKENS_FILE: Final = "http_tokens.json"
LOCK_FILE: Final = "http_tokens.lock"
PREFIX: Final = "ck_"
"""Beginning of every token, so that people and scanners for secrets know one when they see it."""

TOKEN_BYTES: Final = 32
"""Random bytes of a token: nobody guesses it, so a plain SHA-256 protects it as well as a slow hash would."""

LOCK_SECONDS: Final = 10.0


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a token.

    Attributes:
        id: names it in lists and when it is revoked.
        user: id or name of the user whom its bearer is.
        label: what its maker called it.
        created: seconds since 1970.
        hash: SHA-256 of the token, in hexadecimal digits.
    """

    id: str
    user: str
    label: str
    created: int
    hash: str


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    tokens: list[Token] = []


class TokenFile:
    """The tokens of one state folder. Readable by its owner only; changed by one process at a time."""

    def __init__(self, state: Path) -> None:
        self.path = state / TOKENS_FILE

    def tokens(self) -> list[Token]:
        """All tokens, the oldest first; none when there is no file.

        Raises:
            ComfykernelError: the file is damaged.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            return msgspec.json.decode(data, type=_Content).tokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ComfykernelError(
                f"The file of tokens is damaged: {error}.",
                type="damaged_file",
                hint=f"Mend it, or remove it and create tokens anew: {self.path}",
            ) from error

    def create(self, *, user: str, label: str) -> tuple[str, Token]:
        """Make a token; the first of the two is the secret, which is kept nowhere."""
        secret = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        token = Token(secrets.token_hex(4), user, label, int(time.time()), hash_of(secret))
        with self._locked():
            self._write([*self.tokens(), token])
        return secret, token

    def revoke(self, id: str) -> Token:
        """Take a token out, by its id or by its label.

        Raises:
            NotFound: there is none, or the label belongs to several.
        """
        with self._locked():
            tokens = self.tokens()
            found = [each for each in tokens if each.id == id] or [each for each in tokens if each.label == id]
            if len(found) != 1:
                text = "Several tokens have this label" if found else "There is no such token"
                raise NotFound(f"{text}: {id!r}.", type="unknown_token", hint="`comfykernel token list` shows ids.")
            self._write([each for each in tokens if each is not found[0]])
        return found[0]

    def _locked(self) -> filelock.BaseFileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(self.path.with_name(LOCK_FILE), timeout=LOCK_SECONDS)

    def _write(self, tokens: list[Token]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_Content(tokens)), indent=2)
        # mkstemp makes files that only their owner may read.
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{TOKENS_FILE}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def hash_of(secret: str) -> str:
    """What is kept of a token: its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def matching(secret: str, tokens: list[Token]) -> Token | None:
    """The token that a secret is. Takes as long for a near miss as for a far one."""
    wanted = hash_of(secret)
    found: Token | None = None
    for token in tokens:
        if hmac.compare_digest(token.hash, wanted):
            found = token
    return found
