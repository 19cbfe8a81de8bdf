#!/bin/bash
# The original, with a 0MQ subscriber that produces what it hears: one message a row, keyed by the primary key.
exec "$PEER_HOME/venv/bin/python" "$(dirname "$0")/relay.py"
