"""Who may do what: keys, their roles, and the rights of a role."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from features.errors import InputError

__all__ = ["RIGHTS", "Access"]

RIGHTS: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"score", "decide", "report", "read"}),
    "crm": frozenset({"score", "decide", "report", "read"}),
    "marketing": frozenset({"score", "read"}),
    "service": frozenset({"read", "report"}),
}
"""Role -> rights: ``score`` customers, ``decide`` on offers, ``report`` facts, ``read`` a customer's view.

Assistants see their own region only; their role comes with scopes.
"""

_SHORTEST_SECRET = 8


@dataclass(frozen=True)
class Access:
    """The keys, kept as digests.

    Attributes
    ----------
    roles
        SHA-256 of a secret -> role.
    """

    roles: Mapping[bytes, str]

    @classmethod
    def parse(cls, text: str | None) -> "Access":
        """Read ``role:SECRET,role:SECRET``, the shape of ``PATRON_API_KEYS``.

        Raises
        ------
        InputError
            No key, an unknown role, or a secret that is short or given twice. Secrets are not repeated in messages.
        """
        roles: dict[bytes, str] = {}
        for number, entry in enumerate((text or "").split(","), start=1):
            role, _, secret = entry.strip().partition(":")
            if not entry.strip():
                continue
            if role not in RIGHTS:
                raise InputError(
                    f"PATRON_API_KEYS: key {number} has no known role; roles are {', '.join(RIGHTS)}"
                )
            if (
                len(secret) < _SHORTEST_SECRET
                or not secret.isascii()
                or not secret.isprintable()
                or " " in secret
            ):
                raise InputError(
                    f"PATRON_API_KEYS: the secret of key {number} ({role}) must have {_SHORTEST_SECRET} or more printable "
                    "ASCII characters without spaces"
                )
            digest = _digest(secret)
            if digest in roles:
                raise InputError(f"PATRON_API_KEYS: key {number} ({role}) has the secret of another key")
            roles[digest] = role
        if not roles:
            raise InputError('PATRON_API_KEYS is not set: write PATRON_API_KEYS="crm:SECRET,admin:SECRET"')
        return cls(roles)

    def role(self, authorization: str | None) -> str | None:
        """Return the role of an ``Authorization`` header, None when it has no valid key."""
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        given, found = _digest(secret.strip()), None
        for digest, role in self.roles.items():  # all of them, so that the time taken tells nothing
            if hmac.compare_digest(digest, given):
                found = role
        return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
