"""Every notebook runs, from a copy beside `data/` and with small sizes in place of its own, and ends in its card."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
SIZES = {
    "00_fit_one_image": ("size, epochs = 128, 20", "size, epochs = 32, 2"),
    "01_init_schemes": ("size, width, epochs, seeds = 64, 64, 30, 3", "size, width, epochs, seeds = 16, 8, 2, 2"),
    "02_freezing": ("size, width, epochs, seeds = 64, 64, 100, 3", "size, width, epochs, seeds = 16, 8, 2, 2"),
    "03_cluster_features": ("size, width, epochs, seeds = 64, 64, 60, 3", "size, width, epochs, seeds = 16, 8, 2, 2"),
    "04_width_scaling": ("size, epochs, seeds = 64, 48, 3", "size, epochs, seeds = 16, 3, 2"),
    "05_metric_history": ("size, epochs = 96, 15", "size, epochs = 32, 2"),
    "06_callbacks_elsewhere": ("hidden, epochs = [32, 16], 10", "hidden, epochs = [8, 4], 2"),
    "07_analysis": ("size, epochs, seeds = 128, (3, 5, 20), 3", "size, epochs, seeds = 24, (1, 2), 1"),
    "08_compress": ("size, steps, rates = 192, 500, (0.35, 0.7, 1.4)", "size, steps, rates = 32, 10, (4.0, 5.0, 6.0)"),
}
CARD = ("How to use", "Settings that worked", "What was measured", "When it does not help", "Source")
every_notebook = pytest.mark.parametrize("name", SIZES)


def read(name):
    return nbformat.read(ROOT / f"nbs/{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A `nbs/` beside a copy of `data/`; the kernel imports this tree and keeps its own files in `tmp_path`."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    (tmp_path / "nbs").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "nbs"


def test_every_notebook_in_the_folder_is_tested():
    assert sorted(path.stem for path in (ROOT / "nbs").glob("*.ipynb")) == sorted(SIZES)


def test_the_notebooks_together_stay_small():
    assert sum(path.stat().st_size for path in (ROOT / "nbs").glob("*.ipynb")) < 1_800_000


@every_notebook
def test_a_notebook_runs_with_small_sizes(name, folder):
    notebook, (sizes, small) = read(name), SIZES[name]
    cell = code_cells(notebook)[1]
    assert cell.source == sizes
    cell.source = small
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert all(cell.execution_count for cell in code_cells(notebook))
    assert not [output for output in outputs if output.output_type == "error"]


@every_notebook
def test_a_notebook_asks_one_question_and_first_installs_what_is_missing(name):
    notebook = read(name)
    first = code_cells(notebook)[0].source
    assert notebook.cells[0].source.splitlines()[0].startswith("# ") and notebook.cells[0].source.splitlines()[
        0
    ].endswith("?")
    assert 'if importlib.util.find_spec("siren_fastai") is None:\n    %pip install -q ..' in first


@every_notebook
def test_a_notebook_ends_in_its_card(name):
    card = read(name).cells[-1]
    assert card.cell_type == "markdown" and card.source.startswith("## Card\n")
    places = [card.source.find(f"**{heading}.**") for heading in CARD]
    assert -1 not in places and places == sorted(places)


@every_notebook
def test_a_notebook_is_stored_without_errors_counts_and_metadata(name):
    for cell in read(name).cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert all(output.output_type != "error" for output in cell.outputs)
            assert all(output.get("name") != "stderr" for output in cell.outputs)
