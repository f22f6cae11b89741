"""Every notebook runs in a copy of the clone, with small sizes instead of its own, and ends in its card."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

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
    "10_position_and_code": ("tiles, epochs = 2000, 3", "tiles, epochs = 168, 1"),
    "11_learned_starts": ("meta_steps, n_faces, steps = 150, 4, 30", "meta_steps, n_faces, steps = 3, 1, 4"),
    "12_inpainting": ("glyphs, epochs, steps = 4000, 5, None", "glyphs, epochs, steps = 60, 1, 20"),
    "13_training_wheels": ("seeds, epochs, steps = 3, 10, 150", "seeds, epochs, steps = 1, 3, 5"),
    "15_gradients": ("size, width, epochs, seeds = 64, 128, 8, 3", "size, width, epochs, seeds = 16, 8, 1, 1"),
    "16_distances": ("epochs, samples, size = 40, 10_000, 64", "epochs, samples, size = 1, 200, 24"),
    "17_many_pictures": ("size, width, epochs, seeds = 64, 64, 30, 3", "size, width, epochs, seeds = 16, 8, 2, 1"),
    "14_audio": (
        "seconds, epochs, size, film_epochs = 2, 45, 32, 8",
        "seconds, epochs, size, film_epochs = 0.05, 1, 8, 1",
    ),
    "09_studies": ("size, steps, seeds = 32, 150, 3", "size, steps, seeds = 16, 3, 2"),
}
CARD = ("How to use", "Settings that worked", "What was measured", "When it does not help", "Source")
every_notebook = pytest.mark.parametrize("name", SIZES)


def read(name):
    return nbformat.read(ROOT / f"nbs/{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook, folder):
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder `nbs` in what notebooks need of a clone; the kernel imports this tree, its own files are temporary."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / "nbs").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "nbs"


def test_every_notebook_in_the_folder_is_tested():
    assert sorted(path.stem for path in (ROOT / "nbs").glob("*.ipynb")) == sorted(SIZES)


def test_the_notebooks_together_stay_small():
    assert sum(path.stat().st_size for path in (ROOT / "nbs").glob("*.ipynb")) < 3_000_000


@pytest.mark.slow
@every_notebook
def test_a_notebook_runs_with_small_sizes(name, folder):
    notebook, (sizes, small) = read(name), SIZES[name]
    cell = code_cells(notebook)[1]
    assert cell.source == sizes
    cell.source = small
    execute(notebook, folder)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert all(cell.execution_count for cell in code_cells(notebook))
    assert not [output for output in outputs if output.output_type == "error"]


@every_notebook
def test_a_notebook_asks_one_question(name):
    title = read(name).cells[0].source.splitlines()[0]
    assert title.startswith("# ") and title.endswith("?")


def test_all_notebooks_start_with_the_same_cell():
    assert len({code_cells(read(name))[0].source for name in SIZES}) == 1


def run_first_cell(folder, before: str = "") -> str:
    """What the first cell of the notebooks prints in `folder`, after a cell with the code `before`."""
    first = code_cells(read("00_fit_one_image"))[0]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(before), first])
    execute(notebook, folder)
    return "".join(output.text for output in first.outputs)


@pytest.mark.slow
def test_outside_a_clone_the_first_cell_says_what_to_do(folder, tmp_path):
    with pytest.raises(CellExecutionError, match="Clone the repository, or upload"):
        run_first_cell(tmp_path)


@pytest.mark.slow
def test_in_a_clone_the_first_cell_installs_only_what_is_missing(folder):
    pip = "get_ipython().register_magic_function(lambda line: print('pip', line), magic_name='pip')\n"
    missing = pip + "import importlib.util\nimportlib.util.find_spec = lambda name: None"
    assert run_first_cell(folder, pip) == ""
    assert run_first_cell(folder, missing) == "pip install -q ..\n"


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
