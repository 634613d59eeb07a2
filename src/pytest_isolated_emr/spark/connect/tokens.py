"""Tokens that the gate before a Spark Connect server takes (``java/ConnectGate.java``).

EMR's begin with ``v2.local.``. Ours go on with base64, in the alphabet for URLs and without padding, of 8 bytes of the
time when the token expires (milliseconds since 1970, the highest byte first), 16 random bytes, and the HMAC-SHA256 of
those 24 bytes under the server's key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct

_PREFIX = "v2.local."


def new_key() -> bytes:
    """Return a key for one server."""
    return secrets.token_bytes(32)


def new_token(key: bytes, expires: float) -> str:
    """Return a token that a server takes.

    :param key: the server's.
    :param expires: until when, as ``time.time()`` has it.
    """
    signed = struct.pack(">q", int(expires * 1000)) + secrets.token_bytes(16)
    signature = hmac.new(key, signed, hashlib.sha256).digest()
    return _PREFIX + base64.urlsafe_b64encode(signed + signature).rstrip(b"=").decode()
