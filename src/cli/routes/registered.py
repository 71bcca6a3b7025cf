"""Prints what an installed Synapse registers on its main process and on a worker, one JSON object a line.

The interpreter of that Synapse runs this, with the files of its configuration as arguments. It needs what
`synapse._scripts.generate_workers_map` is made of, whose own output leaves out methods and parts of paths.
"""

import json
import sys
import tempfile
from importlib.metadata import version


def load(paths, directory, values):
    from synapse.config._base import find_config_files, read_config_files
    from synapse.config.homeserver import HomeServerConfig

    written = read_config_files(find_config_files(paths))
    values.extend(texts(written))
    # A homeserver that is made opens its database and brings that up to date, and makes directories: not here.
    written.pop("databases", None)
    written["database"] = {"name": "sqlite3", "args": {"database": ":memory:"}}
    written["media_store_path"] = directory
    config = HomeServerConfig()
    config.parse_config_dict(written, "", "")
    return config


def texts(value):
    """Every text in a configuration, the longest first, so that none is left over of another one."""
    if isinstance(value, str):
        return [value] if len(value) > 3 else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return sorted({text for part in parts for text in texts(part)}, key=len, reverse=True)


def is_delegated(config):
    """Whether Matrix Authentication Service looks after log-ins. Its section has moved in the course of releases."""
    sections = getattr(config, "mas", None), getattr(config.experimental, "msc3861", None)
    return any(getattr(section, "enabled", False) for section in sections)


def registered(paths, values):
    from synapse._scripts.generate_workers_map import get_registered_paths_for_default

    with tempfile.TemporaryDirectory() as directory:
        config = load(paths, directory, values)
        yield {"version": version("matrix-synapse"), "delegated": is_delegated(config)}
        found = {}
        for process, app in (("main", None), ("worker", "synapse.app.generic_worker")):
            for method, path in get_registered_paths_for_default(app, config):
                found.setdefault(path, {"main": [], "worker": []})[process].append(method)
    for path in sorted(found):
        yield {"path": path} | {process: sorted(methods) for process, methods in found[path].items()}


def told(error, values):
    """What went wrong, without anything that may be secret."""
    name = type(error).__name__
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"{name} in {mark.name}, line {mark.line + 1}"
    if isinstance(error, (ImportError, OSError)):
        return f"{name}: {error}"
    if name not in ("ConfigError", "DependencyException"):
        place = error.__traceback__
        while place.tb_next:
            place = place.tb_next
        return f"{name} in {place.tb_frame.f_code.co_filename}, line {place.tb_lineno}"
    text = str(getattr(error, "msg", None) or getattr(error, "message", error))
    for value in values:
        text = text.replace(value, "<redacted>")
    at = ".".join(map(str, getattr(error, "path", None) or []))
    return " ".join(f"{at}: {text}".split() if at else text.split())


def main(paths):
    # Whatever else is printed meanwhile is no answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    values = []
    try:
        lines = list(registered(paths, values))
    except (Exception, SystemExit) as error:
        print(json.dumps({"error": told(error, values)}), file=answer)
        return 1
    for line in lines:
        print(json.dumps(line), file=answer)
    return 0


sys.exit(main(sys.argv[1:]))
