#!/bin/bash
# Builds the Debian package and checks it with lintian. Results are in target/deb.
# Usage: packaging/build-deb.sh [TARGET]    TARGET is a Rust target for a cross build, as aarch64-unknown-linux-gnu.
# SYNAPSE_GATEWAY_BINARY names a binary to package instead of building one: target/debug/synapse-gateway is good enough
# to work on the layout.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-}

options=()
if [ -n "$target" ]; then
    case "$target" in
    aarch64-unknown-linux-gnu) options=(--host-arch=arm64) ;;
    *)
        echo "build-deb.sh: no Debian architecture is known for $target" >&2
        exit 2
        ;;
    esac
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
fi

if [ -z "${SYNAPSE_GATEWAY_BINARY:-}" ]; then
    packaging/build-binary.sh ${target:+"$target"}
    SYNAPSE_GATEWAY_BINARY=$PWD/target/${target:+$target/}debian/synapse-gateway
    if [ -n "$target" ]; then
        # One that runs here, to print the manual pages.
        cargo build --locked
        export SYNAPSE_GATEWAY_NATIVE=$PWD/target/debug/synapse-gateway
    fi
fi
SYNAPSE_GATEWAY_BINARY=$(realpath "$SYNAPSE_GATEWAY_BINARY")
export SYNAPSE_GATEWAY_BINARY
export DEB_BUILD_OPTIONS="nocheck ${DEB_BUILD_OPTIONS:-}"

version=$(dpkg-parsechangelog --file packaging/debian/changelog --show-field Version)
upstream=${version%-*}
stage=target/deb/synapse-gateway-$upstream
rm -rf target/deb
mkdir -p "$stage"
# What git knows of, as it lies here.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
done | tar --create --null --files-from=- | tar --extract --directory "$stage"
cp -r packaging/debian "$stage/debian"

# umask: the modes of what is installed are those that debhelper sets, not this machine's.
umask 022
if ! (cd "$stage" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps "${options[@]}") >target/deb/build.log 2>&1; then
    tail -n 40 target/deb/build.log >&2
    echo "build-deb.sh: the whole log is target/deb/build.log" >&2
    exit 1
fi
rm -r "$stage"
cd target/deb
lintian --allow-root --fail-on error,warning --info ./*.changes
ls -l ./*.deb
