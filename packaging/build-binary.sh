#!/bin/bash
# Builds the binary that the Debian package ships, as target/debian/synapse-gateway: the release profile, with line
# tables for the package of debug symbols, hardened C parts, and without a path of this machine in it.
# Usage: packaging/build-binary.sh [TARGET]    TARGET is a Rust target for a cross build, as aarch64-unknown-linux-gnu.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-}

flags() {
    DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get "$1"
}

# The same source gives the same binary, wherever it lies and whenever it is built.
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog --file packaging/debian/changelog --show-field Timestamp)
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
places=("$registry=/cargo" "$PWD=/build/synapse-gateway")
RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$(rustc --print sysroot)=/rust ${places[*]/#/--remap-path-prefix=}"
CFLAGS="$(flags CPPFLAGS) $(flags CFLAGS) ${places[*]/#/-ffile-prefix-map=}"
CXXFLAGS="$(flags CPPFLAGS) $(flags CXXFLAGS) ${places[*]/#/-ffile-prefix-map=}"
export SOURCE_DATE_EPOCH RUSTFLAGS CFLAGS CXXFLAGS

# Of cargo's own settings on this machine, those that would change the binary do not count.
unset CARGO_BUILD_TARGET CARGO_TARGET_DIR CARGO_ENCODED_RUSTFLAGS
cargo build --locked --profile debian --bin synapse-gateway ${target:+--target "$target"}
if [ -n "$target" ]; then
    echo "Built target/$target/debian/synapse-gateway"
fi
