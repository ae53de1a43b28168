# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Which room may know which: the ``#include`` lines of every folder, held to docs/architecture.md."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
INCLUDE = ROOT / "include" / "computelocator"

# Each room, and the rooms whose headers it may include. Data flows one way.
MAY_USE = {
    "error": set(),
    "secret": set(),
    "outcome": {"error"},
    "target": {"error", "secret"},
    "token": {"error", "secret"},
    "text": set(),
    "openmetrics": {"text"},
    "families": {"text"},
    "push": {"text"},
    "selection": {"text"},
    "table": set(),
    "columns": {"openmetrics", "selection", "table", "text"},
    "arrow": {"columns", "table"},
    "inventory": set(),
    "cadvisor": {"columns", "inventory", "table"},
    "samples_json": {"columns", "error", "text"},
    "history": {"cadvisor", "inventory", "table"},
    "discover": {"error", "inventory", "target", "token"},
    "http": {"error", "outcome", "secret", "target"},
    "inflate": {"error"},
    "process": {"error", "secret"},
    "scrape": {"error", "http", "outcome", "target", "token"},
    "collect": {"arrow", "cadvisor", "columns", "discover", "error", "history", "http", "inflate", "inventory",
                "outcome", "process", "samples_json", "scrape", "secret", "table", "target", "token"},
}  # fmt: skip

# Header-only, and with nothing but the standard library.
TEXT_ROOMS = {"text", "families", "openmetrics", "push", "selection"}

# Libraries that only one room knows, and only inside.
INSIDE = {
    "boost/": {"http"},
    "openssl/": {"http"},
    "simdjson.h": {"discover", "samples_json"},
    "yaml.h": {"discover"},
    "isa-l": {"inflate"},
}


def room_of(path):
    stem = path.stem
    if stem == "samples_table":
        return "columns"
    if stem.startswith("samples_json"):
        return "samples_json"
    return stem if stem in MAY_USE else stem.split("_")[0]


def included(path):
    return re.findall(r'^\s*#\s*include\s*[<"](.*?)[>"]', path.read_text(), re.MULTILINE)


def headers():
    for path in sorted(INCLUDE.rglob("*.?pp")):
        if path.name not in ("src.hpp", "src_columns.hpp"):
            yield path, room_of(path)


def test_every_file_belongs_to_a_room():
    for path, room in headers():
        assert room in MAY_USE, path


def test_rooms_know_only_what_they_may():
    for path, room in headers():
        for name in included(path):
            if not name.startswith("computelocator/"):
                continue
            used = room_of(Path(name))
            assert used == room or used in MAY_USE[room], f"{path.name} includes {name}"


def test_a_library_is_known_inside_one_room_alone():
    for path, room in headers():
        for name in included(path):
            for library, rooms in INSIDE.items():
                if name.startswith(library):
                    assert room in rooms and path.parent.name == "impl", f"{path.name}: {name}"


def test_the_library_knows_neither_python_nor_the_simulated_cluster():
    for folder in ("include", "src"):
        for path in (ROOT / folder).rglob("*.?pp"):
            for name in included(path):
                assert not name.startswith(("pybind11", "Python.h", "simulate/")), f"{path}: {name}"


def test_bindings_translate_public_headers():
    for path in (ROOT / "bindings").glob("*.?pp"):
        for name in included(path):
            assert "impl/" not in name, f"{path.name}: {name}"


def test_the_text_rooms_need_only_the_standard_library():
    for path, room in headers():
        if room in TEXT_ROOMS:
            for name in included(path):
                assert name.startswith("computelocator/") or "/" not in name or name == "immintrin.h", name


def test_no_file_is_too_long_to_read():
    for folder in ("include", "src", "bindings", "python", "simulate", "tests", "benchmarks", "examples", "tools"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".hpp", ".ipp", ".cpp", ".py"):
                assert len(path.read_text().splitlines()) <= 700, path


# The rooms of the Python package, and which of its modules each may import.
PYTHON = ROOT / "python" / "computelocator"
PYTHON_ROOMS = {
    "serve": {"_core", "_errors", "_frames", "_write", "_history"},
    "workload": {"serve", "_frames"},
    "observe": {"serve", "_errors", "_frames", "_history", "_snapshot", "_verbs", "_write"},
    "aggregate": {"serve", "_errors", "_frames", "_history", "_verbs"},
}


def test_python_rooms_know_only_what_they_may():
    for room, may in PYTHON_ROOMS.items():
        for path in (PYTHON / room).glob("*.py"):
            for used in re.findall(r"^\s*from computelocator\.(\w+)", path.read_text(), re.MULTILINE):
                assert used == room or used in may, f"{room}/{path.name} imports {used}"


def test_the_package_and_its_command_line_need_no_other_package():
    import subprocess
    import sys

    script = (
        "import sys; import computelocator, computelocator.cli as cli; cli.parser();"
        "found = {name.split('.')[0] for name in sys.modules};"
        "print(*sorted(found & {'fastapi', 'starlette', 'uvicorn', 'pydantic', 'pandas', 'numpy', 'pyarrow'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
