"""The floors of the house: what a file may import, and that no name of fastai's is hidden."""

import ast
import subprocess
import sys
from pathlib import Path

import fastai.basics
import pytest

import siren_fastai
import siren_fastai.all as door

ROOT = Path(siren_fastai.__file__).parent
FIRST = ["data", "metrics", "optimizers", "callbacks", "learner"]  # rooms of the first floor, lowest first
FIRST += ["codec.fit", "codec.job", "codec.compress", "codec.rd"]  # the codec's other files are on the ground floor
SECOND = ["cli"]
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return room_of(["siren_fastai", *path.relative_to(ROOT).with_suffix("").parts])


def room_of(parts: list[str]) -> str:
    """The room of a module, or the file where a room is on two floors."""
    return ".".join(parts[1:3]) if ".".join(parts[1:3]) in FIRST else parts[1]


def floor(name: str) -> int:
    return {**dict.fromkeys(FIRST, 1), **dict.fromkeys([*SECOND, "all"], 2)}.get(name, 0)


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_import_from_their_own_floor_and_below(path):
    names = imports(path)
    ours = {room_of(name.split(".")) for name in names if name.startswith("siren_fastai.")}
    assert all(floor(other) <= floor(room(path)) for other in ours), f"{path.name} imports from a higher floor"
    assert not any(name.split(".")[0] == "torchvision" or name.startswith("fastai.vision") for name in names)
    if floor(room(path)) == 0:
        assert not any(name.split(".")[0] in ("fastai", "fastcore") for name in names)
    if room(path) in FIRST:
        assert all(FIRST.index(other) <= FIRST.index(room(path)) for other in ours if other in FIRST)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_say_what_they_are_for_and_list_their_names(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    assert not any(alias.name == "*" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names)


def test_the_ground_floor_needs_no_fastai_and_nothing_needs_torchvision():
    files = [p.relative_to(ROOT.parent).with_suffix("") for p in FILES if floor(room(p)) == 0 and p.stem != "__init__"]
    ground = [".".join(file.parts) for file in files]
    code = "import sys, {}; assert 'fastai' not in sys.modules".format(", ".join(ground))
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, siren_fastai.all; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_door_lists_what_it_opens_and_hides_nothing_of_fastais():
    assert len(set(door.__all__)) == len(door.__all__)
    for name in door.__all__:
        ours, theirs = getattr(door, name), getattr(fastai.basics, name, None)
        assert theirs is None or theirs is ours, f"{name} hides fastai's"
