"""
The address of a MySQL or MariaDB server, as a DSN gives it.

No message and no repr here holds a password, nor a DSN that could contain one.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meepo2_cdc.errors import ConfigError

if TYPE_CHECKING:
    from meepo2_cdc.config import SourceSettings

_SCHEMES = ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql")
_FORM = "Expected mysql://user:password@host:3306/ with each part percent-encoded; mariadb:// means the same."


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where the server is and who asks."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_secret(path: Path, setting: str) -> str:
    """A secret from a file, without the line end that editors add."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        # a relative name is not shown: it may be the secret itself, put into the wrong setting
        named = path if path.is_absolute() else "not the path of a file"
        raise ConfigError(f"{setting} is {named}, which cannot be read: {why}") from error


def parse_dsn(dsn: str, setting: str, password_file: Path | None = None) -> SourceAddress:
    """Raises ConfigError, in terms of `setting`, for what is not the address of such a server."""
    from sqlalchemy.engine import make_url  # here, because it takes 0.1 s that most commands need not spend
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(dsn)
    except (ArgumentError, ValueError):
        raise ConfigError(f"{setting} is no DSN", fix=_FORM) from None  # the cause quotes the DSN
    if url.drivername not in _SCHEMES:
        raise ConfigError(
            f"{setting} has the unsupported scheme {url.drivername!r}; accepted are {', '.join(_SCHEMES)}",
            fix=_FORM,
        )
    if not url.host or not url.username or "@" in url.host:
        raise ConfigError(f"{setting} has no readable user and host (an @ in a password is written %40)", fix=_FORM)
    if not 0 < (url.port or 3306) < 65536:
        raise ConfigError(f"{setting} has the port {url.port}, and ports go from 1 to 65535")
    _refuse_parameters(setting, set(url.query))
    password = str(url.password or "")
    if password_file is not None:
        if password:
            raise ConfigError(f"{setting} holds a password and source.password_file is set; keep one")
        password = read_secret(password_file, "source.password_file")
    return SourceAddress(url.host, url.port or 3306, url.username, password)


def _refuse_parameters(setting: str, parameters: set[str]) -> None:
    """
    Parameters that would be ignored are refused, so that nobody believes them to be in force.

    A database is not: the DSNs that people have name one, and which tables are captured is another setting.
    """
    if parameters - {"charset"}:  # every SQLAlchemy DSN has a charset, and it changes nothing here
        raise ConfigError(
            f"{setting} has the parameters {', '.join(sorted(parameters))}, which are not read",
            fix="Leave them out; [source] has tls_mode, tls_ca, tls_cert, tls_key, connect_timeout_seconds.",
        )


def tls_arguments(source: SourceSettings) -> dict[str, Any]:
    """What [source] tls_* mean to PyMySQL; raises ConfigError for files that cannot be used."""
    if source.tls_mode == "disabled":
        return {"ssl_disabled": True}
    if source.tls_mode == "preferred" and source.tls_cert is None:
        return {}
    try:
        context = ssl.create_default_context(cafile=source.tls_ca)
        if source.tls_cert is not None:
            context.load_cert_chain(source.tls_cert, source.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the TLS files of [source] cannot be used: {error}") from error
    context.check_hostname = source.tls_mode == "verify_identity"
    context.verify_mode = ssl.CERT_REQUIRED if source.tls_mode.startswith("verify") else ssl.CERT_NONE
    return {"ssl": context}
