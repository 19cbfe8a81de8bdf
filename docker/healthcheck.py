"""
Whether the service in this container lives: one of the ports that are set answers /livez with 200.
"""

import os
import sys
import urllib.request

PORTS = {os.environ.get(f"MEEPO2_{section}_METRICS_PORT") for section in ("CAPTURE", "RUN", "SESSION")}


def why_not(port: str) -> str:
    """What is wrong with the service on that port; "" when nothing is."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5).close()
    except OSError as error:  # also what is answered with another status
        return f"port {port}: {error}"
    return ""


wrong = [why_not(port) for port in sorted(filter(None, PORTS))]
if all(wrong):
    sys.exit("; ".join(wrong) or "no metrics_port is set, so nothing can be asked")
