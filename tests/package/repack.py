"""Packages made from a built one: a later version of it, and ones with a fault on purpose."""

import subprocess
from collections.abc import Callable
from pathlib import Path


def field(package: Path, name: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True
    ).stdout.strip()


def repack(package: Path, folder: Path, suffix: str, change: Callable[[Path], None]) -> Path:
    """The package with `suffix` added to its version, and what `change` does to its unpacked files."""
    tree = folder / f"tree{suffix}"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    version = field(package, "Version")
    control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}{suffix}\n"))
    change(tree)
    made = folder / f"synapse-gateway_{version}{suffix}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, made], check=True, capture_output=True)
    return made


def other_binary(tree: Path) -> None:
    """A binary with another content that does the same."""
    note = tree.parent / "note"
    note.write_text("a later version\n")
    binary = tree / "usr/bin/synapse-gateway"
    subprocess.run(["objcopy", "--add-section", f".later={note}", binary], check=True)


def in_script(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Replaces a text in a maintainer script, which must be there."""

    def change(tree: Path) -> None:
        script = tree / "DEBIAN" / name
        text = script.read_text()
        assert old in text, f"{name} has no {old!r}"
        script.write_text(text.replace(old, new))

    return change
