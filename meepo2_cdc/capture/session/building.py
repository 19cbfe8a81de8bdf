"""
What relay and recovery need of the settings.
"""

from __future__ import annotations

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.source_address import read_secret

_FORM = "Expected an address as SQLAlchemy writes it: postgresql+psycopg://user:password@host:5432/database"


def as_source(settings: Settings) -> Settings:
    """The settings with the sessions' name as that of the source: topics and checkpoints are named by it."""
    source = settings.source.model_copy(update={"name": settings.session.name})
    return settings.model_copy(update={"source": source})


def database_of(settings: Settings) -> Engine:
    """The database of [session] dsn; nothing is connected yet.  Raises ConfigError for what is no address."""
    session = settings.session
    if session.dsn is not None:
        dsn = session.dsn.get_secret_value()
    elif session.dsn_file is not None:
        dsn = read_secret(session.dsn_file, "session.dsn_file")
    else:
        raise ConfigError("session.dsn is not set", fix=f"Set MEEPO2_SESSION_DSN or [session] dsn.  {_FORM}")
    try:
        url = make_url(dsn)
        if url.get_backend_name() == "mysql" and url.drivername == "mysql":
            url = url.set(drivername="mysql+pymysql")  # the driver that is always there
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigError("session.dsn is no address of a database", fix=_FORM) from None  # the cause quotes it
    except ModuleNotFoundError as error:
        raise ConfigError(f"session.dsn needs the package {error.name}, which is not installed") from None
