"""
The servers there are.
"""

from tests.services import elasticsearch, kafka, mariadb, mysql, postgres, redis, registry
from tests.services.server import Server

SERVERS: dict[str, Server] = {
    server.name: server
    for module in (mysql, mariadb, kafka, registry, redis, postgres, elasticsearch)
    for server in module.SERVERS
}


def find(name: str) -> Server:
    if name not in SERVERS:
        raise ValueError(f"there is no server {name!r}; there are: {', '.join(SERVERS)}")
    return SERVERS[name]
