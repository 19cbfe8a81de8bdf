"""
The target's address, with the driver that is used for it.
"""

from __future__ import annotations

from sqlalchemy import URL, exc, make_url

_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}


def target_url(given: str) -> URL:
    """Raises ValueError for what is no address of a database, without repeating it."""
    try:
        url = make_url(given)
        kind = url.get_backend_name()
        url = url.set(drivername=_DRIVERS.get(kind, url.drivername))
        url.get_dialect()
    except (exc.NoSuchModuleError, ImportError) as error:
        raise ValueError(f"no SQLAlchemy dialect is installed for such a URL: {error}") from None
    except (exc.ArgumentError, ValueError):
        raise ValueError("expected a URL such as postgresql://user:password@host/database") from None
    if kind == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("a SQLite target is a file: sqlite:////directory/file")
    return url


def name_of(url: URL) -> str:
    """How messages name it: without account and password."""
    place = f"{url.host}:{url.port}" if url.port else url.host
    return f"{url.get_backend_name()} at {place}" if place else f"{url.get_backend_name()} {url.database}"
