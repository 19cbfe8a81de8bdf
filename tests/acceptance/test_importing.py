"""
What importing the package does: nothing.
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys

def no_sockets(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"importing caused {event}")

sys.addaudithook(no_sockets)
import importlib, pkgutil
import meepo2_cdc

with_redis = {f"meepo2_cdc.capture.session.{name}" for name in ("direct", "doubts", "recovery", "sending")}
for module in pkgutil.walk_packages(meepo2_cdc.__path__, "meepo2_cdc."):
    if not module.name.endswith("__main__") and module.name not in with_redis:
        importlib.import_module(module.name)
for optional in ("redis", "elasticsearch", "zmq", "pynng", "rq", "statsd", "psycopg"):
    assert optional not in sys.modules, f"importing brought {optional}"
print("done")
"""


def test_importing_opens_no_socket_and_needs_no_optional_driver() -> None:
    """S91.  A program that imports this package for one name must not connect, nor need what it does not use."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.strip() == "done", ended.stderr
