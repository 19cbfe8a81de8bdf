"""
The servers there are.
"""

from tests.services import kafka, mariadb, mysql, registry
from tests.services.server import Server

SERVERS: dict[str, Server] = {
    server.name: server for module in (mysql, mariadb, kafka, registry) for server in module.SERVERS
}


def find(name: str) -> Server:
    if name not in SERVERS:
        raise ValueError(f"there is no server {name!r}; there are: {', '.join(SERVERS)}")
    return SERVERS[name]
