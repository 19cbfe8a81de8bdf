"""
The `_id` of a row's document: its primary key as key_text has it, or

    sha256:...         the hash of one that is longer than Elasticsearch allows an id to be

so that no two rows share an id.  Knows nothing else of Elasticsearch.
"""

from __future__ import annotations

from hashlib import sha256

from meepo2_connectors import key_text
from meepo2_connectors.key_text import Key

MOST_BYTES = 512
"""A longer id is refused, and the whole bulk request with it."""
HASHED = "sha256:"


def encoded(pk: Key) -> str:
    """The id of this key's document; `key_text.decoded` tells the key of one that is no hash."""
    text = key_text.encoded(pk)
    raw = text.encode()
    return text if len(raw) <= MOST_BYTES else HASHED + sha256(raw).hexdigest()
