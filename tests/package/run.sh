#!/bin/bash
# Boots a Debian in which nothing but the package is added, and tests the life of the package in it.
# Usage: tests/package/run.sh [pytest arguments]
# PACKAGE_SUITE is the release of Debian in the guest, bookworm unless set; PACKAGE_DEB the package, by default the one
# in target/deb. Needs root, since it boots a guest, and no systemd outside of it.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(id -u)" != 0 ]; then
    echo "Booting a guest needs root: run this with sudo" >&2
    exit 1
fi
tests/install-deps.sh package python
tests/venv.sh tests/e2e/requirements.txt
suite=${PACKAGE_SUITE:-bookworm}
tests/package/root.sh "$suite" root
tests/package/root.sh "$suite" nginx-root nginx-light nftables curl

export PACKAGE_ROOT=$PWD/target/package/$suite/root PACKAGE_NGINX_ROOT=$PWD/target/package/$suite/nginx-root
export PACKAGE_RUN_DIR=$PWD/target/package/$suite/run
if [ -z "${PACKAGE_DEB:-}" ]; then
    PACKAGE_DEB=$(find target/deb -name 'synapse-gateway_*.deb' -print -quit)
    [ -n "$PACKAGE_DEB" ] || { echo "There is no package in target/deb: run make deb" >&2; exit 1; }
fi
PACKAGE_DEB=$(realpath "$PACKAGE_DEB")
export PACKAGE_DEB PYTHONPYCACHEPREFIX=$PWD/target/e2e/pycache PYTHONPATH=$PWD/tests/e2e
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1

# A network with loopback alone, and mounts and processes that end with the run, however it ends.
exec unshare --net --mount --pid --fork --kill-child --mount-proc -- bash -c '
    ip link set lo up
    cd tests/package
    ../../target/venv/bin/python -m pytest "$@"
' run.sh "$@"
