#!/bin/bash
# Builds the gateway, installs a real Synapse, and shows one serving clients through the other.
# Stays up until Ctrl-C; with ONCE=1 it stops after the proof, non-zero if any step failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v cargo >/dev/null; then
    echo "Rust is needed: cargo is not in PATH" >&2
    exit 1
fi
echo "== 1/3 Building the gateway (a few minutes the first time)"
tests/install-deps.sh build
cargo build --release --locked
echo "== 2/3 Installing Synapse into a virtual environment (a minute the first time)"
tests/venv.sh tests/demo/requirements.txt
echo "== 3/3 Starting both, and a client that talks to them"
export PYTHONPYCACHEPREFIX=$PWD/target/e2e/pycache GATEWAY_BIN=${GATEWAY_BIN:-$PWD/target/release/synapse-gateway}
exec target/venv/bin/python tests/demo/demo.py
