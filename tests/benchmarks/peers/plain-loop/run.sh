#!/bin/bash
# What a Python team would write first: python-mysql-replication, json, produce().
exec "$PYTHON" "$(dirname "$0")/loop.py"
