#!/bin/bash
set -e
command -v cargo > /dev/null || { echo "needs Cargo (Rust 1.85 or newer)" >&2; exit 1; }
command -v cmake > /dev/null || command -v cc > /dev/null || { echo "needs a C compiler" >&2; exit 1; }
cd "$(dirname "$0")" && cargo build --quiet --locked --release --target-dir "$PEER_HOME/target"
mv "$PEER_HOME/target/release/peer" "$PEER_HOME/peer" && rm -rf "$PEER_HOME/target"
