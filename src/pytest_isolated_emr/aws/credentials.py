"""The credentials of one session, which no other session and no real account knows."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SECRET_BYTES = 30


def random_access_key_id(prefix: str) -> str:
    """Return a fresh access key id: ``prefix`` and 140 random bits.

    Longer than AWS's usual 20 characters, because here the id alone is what proves whose a request is. IAM's
    API reference (data type AccessKey) allows 16 to 128 characters, so that SDKs take it.

    :param prefix: what tells the kind of key; IAM's user guide ("Understanding unique ID prefixes") has
        ``AKIA`` for long-term keys and ``ASIA`` for those of STS.
    """
    return prefix + "".join(secrets.choice(_BASE32) for _ in range(28))


def random_secret_access_key() -> str:
    """Return a fresh secret, as long as AWS's (40 characters)."""
    return secrets.token_urlsafe(_SECRET_BYTES)


@dataclass(frozen=True)
class SessionCredentials:
    """What this session's clients sign with.

    :param access_key_id: the id that the private endpoint asks for.
    :param secret_access_key: what SDKs need to sign at all; nothing checks the signature.
    :param region: the region that the session's clients and buckets are in.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str

    @classmethod
    def new(cls, region: str) -> SessionCredentials:
        """Make the credentials of a new session."""
        return cls(
            access_key_id=random_access_key_id("AKIA"),
            secret_access_key=random_secret_access_key(),
            region=region,
        )
