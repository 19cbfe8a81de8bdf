"""
`python -m tests.simulation SEED` lives one world again and tells what happened in it.
"""

from __future__ import annotations

import sys

from tests.simulation.world import SimWorld

world = SimWorld(int(sys.argv[1]), tracing=True)
try:
    world.run()
except AssertionError as wrong:
    sys.exit(str(wrong))
print(*world.trace or (), sep="\n")
