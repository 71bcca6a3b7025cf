"""What npm installed for the tests, and the scripts for the browser that are made of it."""

import os
import shutil
import subprocess
from pathlib import Path

import playwright

from harness.gateway import REPOSITORY

SDK = Path(__file__).parent / "sdk"
NODE_MODULES = REPOSITORY / "target/e2e/sdk/node_modules"
#: The Node that Playwright brings is new enough for the SDK; the one of the system may not be.
NODE = Path(playwright.__file__).parent / "driver/node"
#: Where the page's own server finds scripts.
SCRIPTS = REPOSITORY / "target/e2e/sdk/scripts"
_WASM = {
    "@matrix-org/matrix-sdk-crypto-wasm/pkg/matrix_sdk_crypto_wasm_bg.wasm": "pkg",
    "@matrix-org/olm/olm.wasm": ".",
}


def bundle(*names: str) -> None:
    """Makes one script for a browser of each of these and what it imports, as web clients are built."""
    shutil.rmtree(SCRIPTS, ignore_errors=True)
    options = ["--bundle", "--format=esm", "--platform=browser", "--define:global=globalThis"]
    builtins = ["--external:fs", "--external:path", "--external:crypto"]  # of Node, if Olm finds itself there
    subprocess.run(
        [str(NODE), str(NODE_MODULES / "esbuild/bin/esbuild"), *(str(SDK / name) for name in names)]
        + [*options, *builtins, "--log-level=error", f"--outdir={SCRIPTS}"],
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        check=True,
        timeout=120,
    )
    for wasm, folder in _WASM.items():
        (SCRIPTS / folder).mkdir(exist_ok=True)
        shutil.copy(NODE_MODULES / wasm, SCRIPTS / folder)
