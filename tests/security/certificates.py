"""
Certificates of servers: one that is right, and the ways in which one is wrong.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

KINDS = ("good", "expired", "of another host", "of an unknown authority")
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate with its key, in two files that any account can read."""

    certificate: Path
    key: Path

    @property
    def context(self) -> ssl.SSLContext:
        """Of a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Certificates:
    """Issued by one authority, whose certificate is `ca`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)
        self.ca.chmod(0o644)

    def of(self, kind: str) -> Pem:
        """A server's certificate of one of KINDS, for HOST but where it is of another one."""
        authority = trustme.CA() if kind == "of an unknown authority" else self._authority
        name = "db.example.org" if kind == "of another host" else HOST
        past = datetime.now(UTC) - timedelta(days=1)
        issued = authority.issue_cert(
            name,
            not_before=past - timedelta(days=1),
            not_after=past if kind == "expired" else past + timedelta(days=30),
            key_type=trustme.KeyType.RSA,
        )
        return self._written(issued, kind.replace(" ", "-"))

    def of_client(self) -> Pem:
        return self._written(self._authority.issue_cert("client@example.org", key_type=trustme.KeyType.RSA), "client")

    def _written(self, issued: trustme.LeafCert, name: str) -> Pem:
        pem = Pem(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        pem.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pem.key)
        pem.key.chmod(0o600)
        if os.geteuid() == 0:  # PostgreSQL runs as another account, and takes no key that others may read
            os.chown(pem.key, 65534, 65534)
        return pem
