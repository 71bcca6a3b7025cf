#!/bin/bash
# Makes a virtual environment and installs a list of Python packages into it.
# Usage: tests/venv.sh REQUIREMENTS-FILE [VENV]. A second run with the same list does nothing.
# VENV is target/venv unless given. Any other one is for a list that names all it needs, with versions.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=$1
venv=${2:-target/venv}
if [ "$venv" = target/venv ]; then
    lists=(tests/demo/requirements.txt "$requirements")
    constraints=tests/e2e/constraints.txt
else
    lists=("$requirements")
    constraints=$requirements
fi

tests/install-deps.sh python
python=
for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer with venv is needed" >&2
    exit 1
fi

stamp=$venv/.installed-$(cat "${lists[@]}" "$constraints" | sha256sum | cut -c1-16)
[ ! -e "$stamp" ] || exit 0

echo "Installing into the virtual environment $venv, and what they depend on:"
cat "${lists[@]}" | grep '==' | sort -u | sed 's/^/    /'
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
    --requirement "$requirements" --constraint "$constraints" |
    sed -n --unbuffered 's/^Collecting \([[:alnum:]_.-]*\).*/  fetching \1/p; s/^Installing .*/  installing all of these/p'
touch "$stamp"
