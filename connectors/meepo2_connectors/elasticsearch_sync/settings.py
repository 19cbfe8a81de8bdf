"""
What can be set of the synchronisation of Elasticsearch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from meepo2_cdc.replay.sink import ConnectorSettings
from meepo2_connectors.elasticsearch_sync.indexes import IndexNames


class Settings(ConnectorSettings):
    """The section [elasticsearch_sync]."""

    urls: list[str] = Field(default=["http://localhost:9200"], min_length=1)
    """Addresses of one or more nodes of the cluster, each with scheme and port, without account and password."""
    api_key: SecretStr | None = None
    """An API key as Elasticsearch gives it, encoded."""
    username: str | None = None
    """An account, where there is no API key."""
    password: SecretStr | None = None
    """Its password."""
    ca_file: Path | None = None
    """The certificate authorities by which https is verified, as PEM; those of the system unless given."""
    compress: bool = False
    """Whether requests are sent with gzip: less network for more CPU."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """How long an answer is waited for before the records come again later."""
    index: str = "{prefix}-{schema}-{table}"
    """The name of a table's index: a template of {prefix} (of the topics), {schema} and {table}. Elasticsearch wants
    lower case, and what it allows in no name becomes an underscore; tables that would share an index are refused."""
    index_suffix: str = Field(default="", pattern=r"^[a-z0-9_.]*$")
    """Written to is the index of this name and suffix, `shop-shop-user-v1`, and searched is the alias without the
    suffix. So an index can be made anew beside the one that is searched. Without one there are no aliases."""
    document: str | None = Field(default=None, pattern=r"^[^:\s]+:[^:\s]+$")
    """A function `module:name` that makes the document: it gets schema, table, the key as a tuple and the row as a
    dict, and returns a dict, or None where no document shall be. Without one the row is the document."""
    decimals: Literal["string", "number"] = "string"
    """What DECIMAL becomes: a string of all its digits, or the nearest double."""
    json_columns: Literal["string", "object"] = "string"
    """What JSON columns become: a string that holds their text, or what that text means. The latter lets the mapping
    grow with every member that occurs."""
    bulk_records: int = Field(default=1000, ge=1)
    """The most documents in one bulk request."""
    bulk_bytes: int = Field(default=5_000_000, ge=1)
    """The most bytes in one bulk request, unless a single document is larger."""
    late_seconds: float = Field(default=30.0, gt=0)
    """How long it may take from reading rows to having written them; what took longer is read and written again. It
    must be a second less than the index remembers deletes (`index.gc_deletes`, 60 seconds by default)."""

    @field_validator("urls", mode="before")
    @classmethod
    def _split(cls, urls: object) -> object:
        """A variable has them with commas between."""
        return [one.strip() for one in urls.split(",")] if isinstance(urls, str) else urls

    @field_validator("urls")
    @classmethod
    def _are_addresses(cls, urls: list[str]) -> list[str]:
        for one in urls:
            _refuse_address(one)
        return urls

    @field_validator("index")
    @classmethod
    def _is_a_template(cls, index: str) -> str:
        IndexNames(index, "", "")
        return index

    @model_validator(mode="after")
    def _account_is_one(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("[elasticsearch_sync] username and password belong together")
        if self.api_key is not None and self.username is not None:
            raise ValueError("[elasticsearch_sync] expected api_key, or username and password, not both")
        if self.ca_file is not None and not all(one.startswith("https:") for one in self.urls):
            raise ValueError("[elasticsearch_sync] ca_file is for https; the urls are not")
        return self


def _refuse_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("expected http://host:port or https://host:port")
    if "@" in parts.netloc:
        raise ValueError("expected no account in the address; there are username and password, or api_key")
