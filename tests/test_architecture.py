"""The architecture: what a file may import, no cycles between packages, and what `all.py` exports."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import fastai.basics
import pytest

import siren_fastai
import siren_fastai.all as public

ROOT = Path(siren_fastai.__file__).parent
LAYERS = {
    "core": (
        "names",
        *(
            "files",
            "locks",
            "progress",
            "jobs",
            "coords",
            "images",
            "audio",
            "classics",
            "quality",
            "init",
            "freeze",
            "clusters",
            "coreset",
            "render",
            "figures",
        ),
        *(
            "processes",
            "image_pairs",
            "error_maps",
            "roughness",
            "spread",
            "gradients",
            "label_maps",
            "schemes",
            "models",
            "quantize",
            "sirn",
            "datasets",
            "starts",
            "analysis",
            "health",
            "page",
        ),
    ),
    "fastai": (
        "data",
        "metrics",
        "optimizers",
        "callbacks",
        "default_model",
        "distributed",
        "learner",
        "gradient_learner",
        "stacks",
        "fits",
        "codec",
        "autoencoder",
        "inpainting",
        "distances",
    ),
    "application": ("compare", "study", "cli", "all"),
}
TORCH_ONLY = (
    "baselines",
    "rays",
    "ray_input",
    "blocks",
    "convolutions",
    "dataset",
    "files",
    "fill",
    "frechet",
    "losses",
    "masks",
    "networks",
    "prefill",
    "scores",
    "settings",
    "sources",
    "strokes",
    "unfamiliar",
    "views",
)  # files of inpainting/ that need no fastai
LEVEL = {name: level for level, names in enumerate(LAYERS.values()) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def unit(path: Path) -> str:
    """The package or single module that a file belongs to: what the architecture speaks of."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def units_imported(path: Path) -> set[str]:
    parts = [name.split(".") for name in imports(path)]
    return {names[1] for names in parts if names[0] == "siren_fastai" and len(names) > 1 and names[1] in LEVEL}


def test_every_module_has_a_layer():
    assert {unit(path) for path in FILES} == set(LEVEL)


def test_the_readmes_tree_lists_every_module_and_package_and_nothing_else():
    readme = (ROOT.parent / "README.md").read_text()
    (tree,) = re.findall(r"```text\nsiren_fastai/\n(.*?)```", readme, flags=re.S)
    listed = re.findall(r"^[├└]── (\w+(?:\.py|/))", tree, flags=re.M)
    top = {path for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(listed) == sorted(path.name + "/" * path.is_dir() for path in top if path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_import_from_their_own_layer_and_below(path):
    names = imports(path)
    above = {other for other in units_imported(path) if LEVEL[other] > LEVEL[unit(path)]}
    assert not above, f"{path.name} imports from a higher layer"
    assert not any(name.split(".")[0] == "torchvision" or name.startswith("fastai.vision") for name in names)
    if LEVEL[unit(path)] == 0:
        assert not any(name.split(".")[0] in ("fastai", "fastcore") for name in names)


@pytest.mark.parametrize("name", TORCH_ONLY)
def test_the_parts_of_inpainting_that_only_compute_import_nothing_of_the_fastai_layer(name):
    path = ROOT / "inpainting" / f"{name}.py"
    assert all(LEVEL[other] == 0 for other in units_imported(path) - {"inpainting"})
    assert not any(other.split(".")[0] in ("fastai", "fastcore") for other in imports(path))
    inside = {other.split(".")[2] for other in imports(path) if other.startswith("siren_fastai.inpainting.")}
    assert inside <= set(TORCH_ONLY), f"{name}.py imports a file that may use fastai"


def test_packages_form_no_import_cycle():
    graph = {name: set() for name in LEVEL}
    for path in FILES:
        graph[unit(path)] |= units_imported(path) - {unit(path)}
    TopologicalSorter(graph).prepare()  # or CycleError, which names the cycle


def test_files_form_no_import_cycle():
    names = {".".join(["siren_fastai", *path.relative_to(ROOT).with_suffix("").parts]): path for path in FILES}
    TopologicalSorter({name: imports(path) & names.keys() for name, path in names.items()}).prepare()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_say_what_they_are_for_and_use_no_star_imports(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    assert not any(alias.name == "*" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names)


@pytest.mark.slow
def test_the_core_layer_needs_no_fastai_and_nothing_needs_torchvision():
    files = [p.relative_to(ROOT.parent).with_suffix("") for p in FILES if LEVEL[unit(p)] == 0 and p.stem != "__init__"]
    core = [".".join(file.parts) for file in files]
    code = "import sys, {}; assert 'fastai' not in sys.modules".format(", ".join(core))
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, siren_fastai.all; assert not {'torchvision', 'accelerate'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_exports_what_it_lists_and_hides_nothing_of_fastais():
    assert len(set(public.__all__)) == len(public.__all__)
    assert set(public.__all__) == {name for name in vars(public) if not name.startswith("_")}
    for name in public.__all__:
        ours, theirs = getattr(public, name), getattr(fastai.basics, name, None)
        assert theirs is None or theirs is ours, f"{name} hides fastai's"
