"""The package as others get it: a wheel installed where there is no clone, and files that its oldest Python reads."""

import ast
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import siren_fastai

ROOT = Path(__file__).parents[1]
FOLDERS = ("siren_fastai", "tests", "benchmarks", "docs", "data")
SOURCES = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info", "demo", "logs")


def run(*command, **options) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built offline from a copy of the clone, as `pip wheel .` leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "clone", ignore=NOT_COPIED)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "clone"]
    run(sys.executable, "-m", "pip", *build)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment that holds the wheel, and finds its dependencies where these tests do."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    interpreter = folder / "bin/python"
    run(sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index", wheel)
    return interpreter


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A working folder outside the clone, which no variable leads back to."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def readme_block() -> str:
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)[1]


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_licence_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"siren_fastai-{siren_fastai.__version__}.dist-info/"
    package = ROOT / "siren_fastai"
    files = {*package.rglob("*.py"), *package.glob("study/presets/*.yaml")}
    files |= {path for kind in ("css", "glsl", "html", "js") for path in package.glob(f"page/*.{kind}")}
    assert {name for name in names if not name.startswith(info)} == {str(path.relative_to(ROOT)) for path in files}
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in names)


@pytest.mark.slow
def test_the_metadata_has_the_version_the_readme_and_the_pythons(wheel):
    found = metadata(wheel)
    assert found["Version"] == siren_fastai.__version__
    assert found["Description-Content-Type"] == "text/markdown"
    assert readme_block() in found.get_payload()
    assert set(found["Requires-Python"].split(",")) == {">=3.10", "<3.14"}


@pytest.mark.slow
def test_the_readmes_block_runs_where_there_is_no_clone(python, outside):
    block, changes = re.subn(r"\.(fit\w*)\(\d+", r".\1(1", readme_block())
    assert changes == 1
    for name in re.findall(r'"([^"]+\.(?:png|jpg))"', block):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "data/astronaut.png", outside / name)
    where = "\nimport siren_fastai\nprint(siren_fastai.__file__, learn.render().shape[-1])\n"
    *_, last = run(python, "-c", block + where, cwd=outside).splitlines()
    path, channels = last.rsplit(" ", 1)
    assert Path(path).is_relative_to(python.parents[1]) and channels == "3"


@pytest.mark.slow
def test_the_installed_command_answers_where_there_is_no_clone(python, outside):
    assert "compress" in run(python.parent / "siren-fastai", "--help", cwd=outside)


def test_every_folder_of_the_package_is_a_package():
    folders = {path.parent for path in SOURCES if path.is_relative_to(ROOT / "siren_fastai")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_oldest_python_reads_every_file(path):
    ast.parse(path.read_text(), feature_version=(3, 10))
