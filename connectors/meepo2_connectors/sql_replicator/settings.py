"""
What can be set of the replicator into SQL databases.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from meepo2_cdc.replay.sink import ConnectorSettings
from meepo2_connectors.sql_replicator.names import parse_name
from meepo2_connectors.sql_replicator.urls import target_url


class Settings(ConnectorSettings):
    """The section [sql_replicator]."""

    target_url: SecretStr
    """The target, as SQLAlchemy names it: postgresql://user:password@host/database, mysql://user:password@host/database
    (MariaDB too) or sqlite:////directory/file. What stands behind a `?` goes to the driver. Databases of other dialects
    are written to with plain DELETE and INSERT, and are not tested."""
    target_schema: str | None = None
    """The schema of the target's tables, or in MySQL the database: that of the URL unless given. {schema} in it stands
    for the schema in the source."""
    tables: dict[str, str] = Field(default={})
    """Tables with another name in the target, such as "shop.user" = "public.users"; without a schema it is in the one
    of `target_schema`. A part with points in it stands in double quotes. In the environment this is a JSON object."""
    columns: dict[str, dict[str, str]] = Field(default={})
    """For a table, such as "shop.user", columns with another name in the target; an empty name leaves the column out.
    In the environment this is a JSON object of objects."""
    on_missing_table: Literal["skip", "stop", "create"] = "skip"
    """What to do about a table that the target has not: pass its records over, which is told in a warning and counted
    in meepo2_cdc_sql_replicator_skipped_total; end with exit 2; or create it, with the source's columns and primary
    key, and nothing else of it."""
    foreign_keys: Literal["refuse", "ignore", "retry"] = "refuse"
    """What to do about foreign keys in the target, where rows arrive in no order among tables: end with exit 2 when a
    table has one; have the target not look at them for this connector's sessions (PostgreSQL: needs a superuser, and
    triggers do not fire either); or try rows again that violate one, up to `run.tries`. SQLite looks at them with
    "retry" only."""
    zero_dates: Literal["reject", "null"] = "reject"
    """What becomes of a date that the target cannot hold, such as 0000-00-00, in a column of dates of PostgreSQL: its
    row becomes a dead letter, or NULL stands in its place. MySQL, MariaDB and SQLite hold it."""
    timeout_seconds: float = Field(default=10, ge=1)
    """How long is waited for a connection, and for a lock, before the records come again later."""

    @field_validator("tables", "columns", mode="before")
    @classmethod
    def _is_an_object(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given)
        except ValueError as error:
            raise ValueError(f"expected a JSON object: {error}") from None

    @field_validator("target_url")
    @classmethod
    def _is_an_address(cls, url: SecretStr) -> SecretStr:
        target_url(url.get_secret_value())
        return url

    @field_validator("tables")
    @classmethod
    def _are_names(cls, tables: dict[str, str]) -> dict[str, str]:
        for name in tables.values():
            parse_name(name)
        return tables
