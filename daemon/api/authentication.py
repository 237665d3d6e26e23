"""Who may ask: a bearer token, or a user with a password; either is enough."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import bcrypt

from daemon.domain.errors import ForewarnError

_MOST_REMEMBERED = 256


class CredentialsUnreadable(ForewarnError):
    """What requests are checked against cannot be read now."""


class Authentication:
    """Checks ``Authorization`` headers; takes the same time whether or not there is such a user."""

    def __init__(self, token_file: Path | None, users: Callable[[], Mapping[str, str]]) -> None:
        """Check against these.

        Args:
            token_file: file with the bearer token, read at each request; None where there is none.
            users: gives the bcrypt hash of each user's password.
        """
        self._token_file, self._users = token_file, users
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(10))
        # bcrypt is slow on purpose, and Prometheus asks often; what passed is remembered by a keyed hash
        self._key = secrets.token_bytes(32)
        self._passed: set[bytes] = set()

    @property
    def challenges(self) -> tuple[str, ...]:
        """The schemes that can be used, for ``WWW-Authenticate``; none where everybody may ask."""
        schemes = ("Bearer",) * (self._token_file is not None)
        return (*schemes, 'Basic realm="forewarn"') if self._users() else schemes

    def allows(self, header: str) -> bool:
        """Return whether a request with this header may be served; may take a tenth of a second.

        Raises:
            CredentialsUnreadable: the token's file cannot be read.
        """
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and self._token_file is not None:
            return hmac.compare_digest(given.strip().encode(), self._token(self._token_file))
        if scheme.lower() == "basic":
            return self._is_user(given.strip())
        return False

    def _token(self, file: Path) -> bytes:
        try:
            token = file.read_text(encoding="utf-8").strip().encode()
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsUnreadable("http.bearer_token_file cannot be read; see the log") from error
        if not token:
            raise CredentialsUnreadable("http.bearer_token_file is empty")
        return token

    def _is_user(self, encoded: str) -> bool:
        try:
            user, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
        if not separator:
            return False
        known = self._users().get(user)
        hashed = self._nobody if known is None else known.encode()
        mark = hmac.digest(self._key, b"\0".join([user.encode(), password.encode(), hashed]), hashlib.sha256)
        if mark in self._passed:
            return True
        # bcrypt looks at no more than 72 bytes, and newer versions refuse more
        if not bcrypt.checkpw(password.encode()[:72], hashed) or known is None:
            return False
        if len(self._passed) >= _MOST_REMEMBERED:
            self._passed.clear()
        self._passed.add(mark)
        return True
