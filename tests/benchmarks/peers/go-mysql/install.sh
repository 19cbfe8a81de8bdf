#!/bin/bash
set -e
command -v go > /dev/null || { echo "needs Go 1.26 or newer" >&2; exit 1; }
cd "$(dirname "$0")" && go build -mod=readonly -o "$PEER_HOME/peer" .
