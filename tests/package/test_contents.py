"""What is in the package, looked at without installing it."""

import subprocess
from pathlib import Path

import pytest

from repack import field


@pytest.fixture(scope="module")
def tree(package: Path, folder: Path) -> Path:
    tree = folder / "contents"
    subprocess.run(["dpkg-deb", "--extract", package, tree], check=True)
    return tree


def test_one_package_fits_debian_12_and_later_and_ubuntu_22_04(package: Path):
    # That of Ubuntu 22.04; Debian 12 has 2.36.
    assert "libc6 (>= 2.34)" in field(package, "Depends") or "libc6 (>= 2.35)" in field(package, "Depends")
    assert "libssl" not in field(package, "Depends"), "TLS is in the binary"


def test_the_manual_pages_have_no_mistake(tree: Path):
    pages = sorted(tree.rglob("*.[58].gz"))
    assert [page.name for page in pages] == ["synapse-gateway.yaml.5.gz", "synapse-gateway.8.gz"]
    for page in pages:
        done = subprocess.run(["man", "--warnings", "--local-file", page], capture_output=True, text=True, check=True)
        assert done.stderr == "", page
        assert len(done.stdout) > 1000, page


def test_shells_complete_its_commands(tree: Path):
    bash = tree / "usr/share/bash-completion/completions/synapse-gateway"
    script = f"source {bash}; COMP_WORDS=(synapse-gateway ch); COMP_CWORD=1; "
    script += "_synapse-gateway synapse-gateway ch synapse-gateway; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["check"], done.stderr
    assert (tree / "usr/share/zsh/vendor-completions/_synapse-gateway").read_text().startswith("#compdef")
    assert "complete -c synapse-gateway" in (tree / "usr/share/fish/vendor_completions.d/synapse-gateway.fish").read_text()


def test_apparmor_understands_the_profile(tree: Path):
    profile = tree / "etc/apparmor.d/synapse-gateway"
    subprocess.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", profile], check=True, capture_output=True)


def test_no_file_names_the_machine_that_built_it(tree: Path):
    home = str(Path.home() / ".cargo").encode()
    binary = (tree / "usr/bin/synapse-gateway").read_bytes()
    assert home not in binary
