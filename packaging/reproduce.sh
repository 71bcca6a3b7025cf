#!/bin/bash
# Builds the package twice, from two clones in two places, and compares: the same source must give the same files.
# Usage: packaging/reproduce.sh [--layout]    With --layout the binary is built once, and only the packaging repeated.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/target/reproduce
rm -rf "$work"
mkdir -p "$work/one" "$work/another/place"
if [ "${1:-}" = --layout ]; then
    binary=${SYNAPSE_GATEWAY_BINARY:-$PWD/target/debian/synapse-gateway}
    SYNAPSE_GATEWAY_BINARY=$(realpath "$binary")
    export SYNAPSE_GATEWAY_BINARY
fi
for place in "$work/one" "$work/another/place"; do
    git clone --quiet --no-hardlinks . "$place/clone"
    echo "Building in $place/clone"
    (cd "$place/clone" && packaging/build-deb.sh >"$place/log" 2>&1) || {
        tail -n 20 "$place/log" >&2
        exit 1
    }
    (cd "$place/clone/target/deb" && sha256sum ./*.deb) >"$place/hashes"
    rm -rf "$place/clone/target/debian"
done
cat "$work/one/hashes"
if ! diff "$work/one/hashes" "$work/another/place/hashes"; then
    echo "reproduce.sh: the second build is another one; compare the packages below $work with diffoscope" >&2
    exit 1
fi
rm -rf "$work"
echo "Both builds are the same."
