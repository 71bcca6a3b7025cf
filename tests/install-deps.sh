#!/bin/bash
# Installs Debian packages that a chore needs and this machine lacks, after saying which.
# Usage: tests/install-deps.sh GROUP...    groups: build deb e2e lint package python redis
# Does nothing, quickly, when all is there. Uses sudo unless run as root.
set -euo pipefail

missing=()

# need COMMAND PACKAGE: the package is wanted unless the command or the package is there.
need() {
    command -v "$1" >/dev/null 2>&1 || installed "$2" || missing+=("$2")
}

installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

for group in "$@"; do
    case "$group" in
    build)
        need cc gcc
        need cmake cmake
        need make make
        installed libc6-dev || missing+=(libc6-dev)
        ;;
    python)
        # Debian splits `ensurepip` off; a Python of another origin usually has it.
        if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
            need python3 python3
            installed python3-venv || missing+=(python3-venv)
        fi
        ;;
    redis) need redis-server redis-server ;;
    e2e)
        need chromium chromium
        need curl curl
        need npm npm
        need redis-server redis-server
        if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
            missing+=(postgresql)
        fi
        ;;
    lint) need shellcheck shellcheck ;;
    deb)
        need dpkg-buildpackage dpkg-dev
        need dh debhelper
        need dh_apparmor dh-apparmor
        need lintian lintian
        ;;
    package)
        need mmdebstrap mmdebstrap
        need systemd-nspawn systemd-container
        need ip iproute2
        need man man-db
        need objcopy binutils
        need apparmor_parser apparmor
        ;;
    *)
        echo "unknown group: $group" >&2
        exit 2
        ;;
    esac
done

[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing these Debian packages: ${missing[*]}"
sudo=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "This needs root. Run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    sudo=(sudo)
fi
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
"${apt[@]}" update -qq
# The tests make a cluster of their own; the package would make and start one as well.
clusters=/etc/postgresql-common/createcluster.conf
if [[ " ${missing[*]} " == *" postgresql "* && ! -e $clusters ]]; then
    "${sudo[@]}" mkdir -p "${clusters%/*}"
    echo "create_main_cluster = false" | "${sudo[@]}" tee $clusters >/dev/null
fi
"${apt[@]}" install --yes --no-install-recommends "${missing[@]}"
