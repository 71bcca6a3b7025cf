#!/bin/bash
# Makes the root of a guest, once, from the archive that this machine installs Debian's packages from.
# Usage: tests/package/root.sh SUITE NAME [PACKAGE...]    The root is target/package/SUITE/NAME.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=$1 name=$2
shift 2

# What a small server has, and what the package depends on or recommends: the guest has no network to fetch it from.
include=systemd,systemd-sysv,dbus,init-system-helpers,iproute2,procps,ca-certificates,libgcc-s1
include+=$(printf ',%s' "$@" | sed 's/,$//')
folder=target/package/$suite
stamp=$folder/$name-made-of-$include
[ ! -e "$stamp" ] || exit 0

# shellcheck disable=SC2016 # apt fills these in
archive=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian [a-z]* //p' | grep '/debian/\?$' | head -n 1)
if [ -z "$archive" ]; then
    echo "apt on this machine has no archive of Debian: run apt-get update" >&2
    exit 1
fi
echo "Installing Debian $suite into $folder/$name (half a minute)"
rm -rf "${folder:?}/$name" "$folder/$name"-made-of-*
mkdir -p "$folder"
if ! mmdebstrap --quiet --variant=minbase --include="$include" "$suite" "$folder/$name" "$archive" >"$folder/$name.log" 2>&1; then
    tail -n 20 "$folder/$name.log" >&2
    exit 1
fi
touch "$stamp"
