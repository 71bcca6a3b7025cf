#!/usr/bin/env python3
"""Writes packaging/debian/copyright: who holds rights in what is linked into the binary, and under which licences.

Usage: packaging/copyright.py [--check]    With --check nothing is written, and a file that is out of date is an error.

The crates are those that cargo links for the architectures of the package, without build scripts and macros, which
leave nothing of themselves in the binary. Of a choice of licences those are kept that .deny.toml allows.
"""

import json
import re
import subprocess
import sys
import textwrap
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "packaging/debian/copyright"
#: C code inside a crate whose licence the crate's own does not tell: where it is, and what its licence is.
BUNDLED = {
    "libmimalloc-sys": {"c_src/mimalloc": "MIT"},
    "libz-ng-sys": {"src/zlib-ng": "Zlib"},
}
#: Licences of which Debian has the text on every machine.
COMMON = ("Apache-2.0", "CC0-1.0")
#: Translations of C libraries keep the rights of their authors.
TRANSLATED = {"unsafe-libyaml": ["2006-2016 Kirill Simonov", "2017-2020 Ingy döt Net"]}
NOTICE = re.compile(r"(?i)^(licen[sc]es?|copying|copyright|notice|unlicense)([-._].*)?$")
#: A line that names a holder, and not one that shows how to write such a line.
HOLDER = re.compile(r"^\W*(?:copyright\s*(?:\(c\)|©|:)*|\(c\)|©)\s*(?:\(c\)|©)?\s*(?P<holder>[^\s<{\[(].*)$", re.IGNORECASE)
#: Words of a licence's own sentences; and years without a name.
PROSE = re.compile(
    r"(?i)\b(notices?|licen[sc]e[sd]?|owner|holders?|statement|law|interest|grant|you must|assignment|your name)\b"
    r"|^s in the|^[\d\s,-]+$"
)


def allowed() -> set[str]:
    with (ROOT / ".deny.toml").open("rb") as file:
        return set(tomllib.load(file)["licenses"]["allow"])


def linked() -> list[dict]:
    """The packages that end up in the binary, on any architecture, by name and version."""
    platforms = [f"{cpu}-unknown-linux-gnu" for cpu in ("x86_64", "aarch64")]
    found = {}
    for platform in platforms:
        command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={platform}"]
        metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        packages = {package["id"]: package for package in metadata["packages"]}
        nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
        root = metadata["resolve"]["root"]
        todo, seen = [root], {root}
        while todo:
            for dependency in nodes[todo.pop()]["deps"]:
                package = packages[dependency["pkg"]]
                runs = any(kind["kind"] is None for kind in dependency["dep_kinds"])
                macro = any("proc-macro" in target["kind"] for target in package["targets"])
                if runs and not macro and package["id"] not in seen:
                    seen.add(package["id"])
                    todo.append(package["id"])
                    found[package["name"], package["version"]] = package
    return [found[key] for key in sorted(found)]


def holders(package: dict, folder: Path) -> list[str]:
    """Everybody that the licence files below a folder name, else the crate's authors."""
    found: dict[str, None] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and NOTICE.match(path.name)):
        for line in file.read_text(errors="replace").splitlines():
            match = HOLDER.match(line.strip())
            if match and not PROSE.search(match["holder"]):
                holder = re.sub(r"(?i)[,.]?\s*all rights reserved\.?", "", match["holder"]).strip(" `*\"'")
                found.setdefault(holder)
    named = list(found) or [re.sub(r"\s*<.*>", "", author) for author in package["authors"]]
    named += TRANSLATED.get(package["name"], [])
    return named or [f"the authors of {package['name']}"]


def expression(text: str, allowed: set[str]) -> str:
    """An SPDX expression as Debian writes it, without the choices that are not taken."""
    text = text.replace("/", " OR ")
    terms: list[set[str]] = []
    for term in re.split(r" AND (?![^(]*\))", text):
        choices = {choice.strip() for choice in term.strip(" ()").split(" OR ")} & allowed
        if not choices:
            raise SystemExit(f"copyright.py: none of `{term}` is among the licences in .deny.toml")
        terms.append(choices)
    required = {licence for choices in terms if len(choices) == 1 for licence in choices}
    # What is asked for anyway is the choice where it is offered.
    open_terms = [choices for choices in terms if len(choices) > 1 and not choices & required]
    words = sorted(required) + [" or ".join(sorted(choices)) for choices in open_terms]
    # In Debian's notation `and` binds more loosely than `or` only after a comma.
    return (", and " if open_terms and len(words) > 1 else " and ").join(words)


def field(name: str, lines: list[str]) -> str:
    return f"{name}: {lines[0]}\n" + "".join(f" {line}\n" if line else " .\n" for line in lines[1:])


def text_of(licence: str) -> list[str]:
    if licence in COMMON:
        return [f"On Debian systems the full text is in /usr/share/common-licenses/{licence}."]
    return (ROOT / "packaging/licences" / licence).read_text().splitlines()


def document() -> str:
    permitted = allowed()
    stanzas: dict[tuple, list[str]] = defaultdict(list)
    notices: dict[str, list[str]] = {}
    for package in linked():
        folder = Path(package["manifest_path"]).parent
        licence = expression(package["license"], permitted)
        vendored = f"vendor/{package['name']}"
        stanzas[tuple(holders(package, folder)), licence].append(f"{vendored}/*")
        for place, own in BUNDLED.get(package["name"], {}).items():
            if not (folder / place).is_dir():
                raise SystemExit(f"copyright.py: {package['name']} has no {place} any more; look what it bundles now")
            stanzas[tuple(holders(package, folder / place)), own].append(f"{vendored}/{place}/*")
        for notice in sorted(folder.glob("NOTICE*")):
            notices[vendored] = notice.read_text().splitlines()
    own = ["Files: *\nCopyright: 2026 the synapse-gateway maintainers\nLicense: Apache-2.0\n"]
    used = {"Apache-2.0"}
    for (names, licence), files in sorted(stanzas.items(), key=lambda item: sorted(item[1])):
        used.update(re.split(r",? and | or ", licence))
        files = sorted(dict.fromkeys(files))
        stanza = field("Files", [files[0], *files[1:]]) + field("Copyright", list(names)) + f"License: {licence}\n"
        for file in files:
            if notice := notices.get(file.removesuffix("/*")):
                stanza += field("Comment", [f"The notice that comes with {file}:", *notice])
        own.append(stanza)
    for licence in sorted(used):
        own.append(field("License", [licence, *text_of(licence)]))
    comment = textwrap.wrap(
        "The binary is linked statically with the crates that Cargo.lock names. They are not part of this source; "
        "`cargo vendor` puts them where the paths below say. Written by packaging/copyright.py.",
        width=100,
    )
    head = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "Upstream-Name: synapse-gateway\n" + field("Comment", comment)
    )
    return "\n".join([head, *own])


def main() -> None:
    written = document()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() != written:
            raise SystemExit("packaging/debian/copyright is out of date: run `make copyright` and read the difference")
    elif sys.argv[1:]:
        raise SystemExit(__doc__)
    else:
        TARGET.write_text(written)


if __name__ == "__main__":
    main()
