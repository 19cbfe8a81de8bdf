"""
The settings of the connector `signals`.
"""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from meepo2_cdc.replay.sink import ConnectorSettings


class Settings(ConnectorSettings):
    """Who is called."""

    modules: tuple[str, ...] = ()
    """Modules that connect receivers, such as myapp.receivers; they are imported at the start, also from the current
    directory. In a variable they are separated by commas."""
    print: bool = False
    """Whether each change is printed to stdout too, as a line such as `user_write 1`."""
    qualified: bool = False
    """Whether printed lines name the schema, `shop.user_write 1`. Signals are sent under both names in any case."""

    raw: bool = False
    """Whether signals such as `user_write_raw` are sent too, with the values of rows. The capture must publish them:
    [[capture.rows]] in its settings."""

    @field_validator("modules", mode="before")
    @classmethod
    def _separated(cls, given: Any) -> Any:
        return [one.strip() for one in given.split(",") if one.strip()] if isinstance(given, str) else given
