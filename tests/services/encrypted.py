"""
Servers that encrypt their logs on their disk, as far as the builds have what holds the keys.

MariaDB 11.4 out of Maven Central comes without plugins, and has none built in: it cannot.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services import downloads, mariadb, mysql, native, places, sql
from tests.services.running import Command

_COMPONENT = "component_keyring_file"
_MARIADB_PLUGIN = "usr/lib/mysql/plugin/file_key_management.so"
_KEY_OF_TESTS = "0123456789abcdef" * 4


@contextmanager
def encrypted(name: str, directory: Path) -> Iterator[native.PrivateServer]:
    """A server of that name which encrypts its logs; `name` is one of SERVERS."""
    with native.running_as_given(SERVERS[name](directory)) as server:
        yield server


def _mysql8(directory: Path) -> native.PrivateServer:
    return _mysql(mysql.build8(), places.cached(f"mysql-{mysql.VERSION}-keyring", _unpack_component), directory)


def _unpack_component(new: Path) -> None:
    with TemporaryDirectory(dir=new.parent) as temporary:
        archive = downloads.maven_artifact(mysql.ARTIFACT, Path(temporary))
        with zipfile.ZipFile(archive) as opened:
            (new / f"{_COMPONENT}.so").write_bytes(opened.read(f"lib/plugin/{_COMPONENT}.so"))


def _mysql9(directory: Path) -> native.PrivateServer:
    build = mysql.build9()
    return _mysql(build, Path(build.options["plugin_dir"]), directory)


def _mysql(build: sql.Build, plugins: Path, directory: Path) -> native.PrivateServer:
    """
    The server learns of its keyring from a file beside its program, and the keyring of its own from one beside itself:
    so both are seen from a directory of this server's own.
    """
    own = directory.resolve() / "keyring"
    own.mkdir()
    *before, program = build.command.argv
    (own / "mysqld").symlink_to(program)
    (own / "mysqld.my").write_text(json.dumps({"components": f"file://{_COMPONENT}"}))
    shutil.copy(plugins / f"{_COMPONENT}.so", own)
    (own / f"{_COMPONENT}.cnf").write_text(json.dumps({"path": str(own / "keys"), "read_only": False}))
    command = Command([*before, str(own / "mysqld")], build.command.environment)
    return native.PrivateServer(
        replace(build, command=command), directory, [f"plugin_dir={own}", "binlog_encryption=ON"]
    )


def _mariadb(directory: Path) -> native.PrivateServer:
    # the package of the server itself, whose core packages hold all but the plugins
    root = downloads.debian_root("mariadb-plugins", [], alone=["mariadb-server"])
    keys = directory.resolve() / "keys"
    keys.write_text(f"1;{_KEY_OF_TESTS}\n")
    options = [
        f"plugin_dir={(root.path / _MARIADB_PLUGIN).parent}",
        "plugin_maturity=unknown",
        "plugin_load_add=file_key_management",
        f"loose_file_key_management_filename={keys}",
        "encrypt_binlog=ON",
    ]
    return native.PrivateServer(mariadb.build10(), directory, options)


SERVERS: dict[str, Callable[[Path], native.PrivateServer]] = {"mysql": _mysql8, "mysql9": _mysql9, "mariadb": _mariadb}
