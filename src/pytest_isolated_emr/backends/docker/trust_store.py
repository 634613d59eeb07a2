"""The certificates that this machine trusts, as a key store of Java's: those of a company's proxy are among them."""

from __future__ import annotations

import hashlib
import ssl
import struct
from pathlib import Path

#: Java wants one, also where nothing is secret.
PASSWORD = "changeit"
# The format of JKS: magic number, version, count; each entry with its kind, alias, time, type and content; a digest with
# the password and these words in it. The JDK's sun.security.provider.JavaKeyStore reads and writes it.
_MAGIC, _VERSION, _TRUSTED_CERTIFICATE = 0xFEEDFEED, 2, 2
_WHITENER = b"Mighty Aphrodite"


def write_trust_store(path: Path) -> None:
    """Write the certificates of the authorities that Python trusts on this machine.

    :param path: the file.
    """
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    content = struct.pack(">III", _MAGIC, _VERSION, len(certificates))
    for number, certificate in enumerate(certificates):
        content += struct.pack(">I", _TRUSTED_CERTIFICATE) + _text(str(number)) + struct.pack(">Q", 0)
        content += _text("X.509") + struct.pack(">I", len(certificate)) + certificate
    digest = hashlib.sha1(PASSWORD.encode("utf-16-be") + _WHITENER + content)
    path.write_bytes(content + digest.digest())


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
