#!/bin/bash
# Installs what the end-to-end tests need, then runs them against a gateway that is built already.
# Usage: tests/e2e/run.sh [pytest arguments], such as `test_media.py -k curl`. GATEWAY_BIN names the binary.
# Everything runs twice, on a single Synapse and on one with workers, unless `--deployment single` or `workers` is given.
set -euo pipefail
cd "$(dirname "$0")/../.."

tests/install-deps.sh e2e python
tests/venv.sh tests/e2e/requirements.txt

sdk=target/e2e/sdk
if ! cmp -s tests/e2e/sdk/package-lock.json $sdk/installed.json; then
    echo "Installing matrix-js-sdk into $sdk"
    mkdir -p $sdk
    cp tests/e2e/sdk/package.json tests/e2e/sdk/package-lock.json $sdk
    (cd $sdk && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp $sdk/package-lock.json $sdk/installed.json
fi

export PYTHONPYCACHEPREFIX=$PWD/target/e2e/pycache
venv=$PWD/target/venv
cd tests/e2e
case " $* " in
*" --deployment"*) exec "$venv/bin/python" -m pytest "$@" ;;
esac
for deployment in single workers; do
    echo "On Synapse as a $([ $deployment = single ] && echo "single process" || echo "main process and workers"):"
    # 5 is what pytest says when none of the chosen tests is for this deployment.
    "$venv/bin/python" -m pytest --deployment $deployment "$@" || [ $? = 5 ]
done
