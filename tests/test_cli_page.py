"""`siren-fastai page`: from a compressed file, a checkpoint and a fit's folder; what it refuses."""

import json

import pytest
from cli_runs import TINY, fit, picture_file
from page_browser import block
from sirn_files import encoded

from siren_fastai.cli.main import main
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.sirn.format import write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished fit with its scores; returns its folder."""
    root = tmp_path_factory.mktemp("fits")
    path = picture_file(root / "rgb.png", 12, 16, 3)
    assert fit(root, "--image_filepath", path, *TINY, "--evaluate", epochs=2) == 0
    return root / "run"


def checkpoint_in(folder):
    return folder / "checkpoints" / "model_final.safetensors"


def values_of(path):
    return json.loads(block(path.read_text(encoding="utf-8"), "page"))


def last_error(capsys):
    error = capsys.readouterr().err
    assert error.startswith("siren-fastai page: error: ") and "Traceback" not in error
    return error


def test_a_fits_folder_and_its_checkpoint_give_the_same_page_with_the_fits_psnr(run, tmp_path, capsys):
    paths = [tmp_path / "a" / "cat.html", tmp_path / "b" / "cat.html"]
    for source, path in zip((run, checkpoint_in(run)), paths, strict=True):
        assert main(["page", str(source), str(path)]) == 0
        assert capsys.readouterr().out == f"{path}: {path.stat().st_size / 1000:,.0f} kB\n"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    level = json.loads((run / "metrics.json").read_text())["standard"]["psnr"]
    values = values_of(paths[0])
    assert values["facts"][:2] == ["12 × 16 pixels", f"{level:.1f} dB"] and values["title"] == "cat"


def test_the_page_of_a_checkpoint_is_that_of_python(run, tmp_path):
    assert main(["page", str(run), str(tmp_path / "a.html"), "--title", "A <b>", "--weights", "float32"]) == 0
    values = values_of(tmp_path / "a.html")
    checkpoint = load_checkpoint(checkpoint_in(run))
    level = json.loads((run / "metrics.json").read_text())["standard"]["psnr"]
    assert values == values_of(checkpoint.to_html(tmp_path / "b.html", "A <b>", level, "float32"))
    assert values["title"] == "A <b>" and not values["half"]


def test_a_checkpoint_elsewhere_says_no_psnr(run, tmp_path):
    copy = tmp_path / "other.safetensors"
    copy.write_bytes(checkpoint_in(run).read_bytes())
    assert main(["page", str(copy), str(tmp_path / "a.html")]) == 0
    assert "dB" not in str(values_of(tmp_path / "a.html")["facts"])


def test_a_compressed_file_is_told_by_its_content(tmp_path):
    source = tmp_path / "image.bin"
    source.write_bytes(write(encoded(with_labels="feature")))
    assert main(["page", str(source), str(tmp_path / "a.html")]) == 0
    assert values_of(tmp_path / "a.html")["label_size"] == [6, 5]


def test_an_existing_page_is_kept_unless_y_is_given(run, tmp_path, capsys):
    path = tmp_path / "a.html"
    path.write_text("mine")
    assert main(["page", str(run), str(path)]) == 2
    assert "give --y" in last_error(capsys) and path.read_text() == "mine"
    assert main(["page", str(run), str(path), "--y"]) == 0 and "mine" not in path.read_text()[:4]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), (b"nothing known", "not a checkpoint"), (b"SIRN", "")],
    ids=["none", "other", "damaged"],
)
def test_what_is_no_network_is_refused(content, message, tmp_path, capsys):
    source = tmp_path / "source"
    if content is not None:
        source.write_bytes(content if content != b"SIRN" else write(encoded())[:40])
    assert main(["page", str(source), str(tmp_path / "a.html")]) == 2
    assert message in last_error(capsys) and not (tmp_path / "a.html").exists()


def test_a_file_with_a_denoiser_is_refused_with_what_to_do(tmp_path, capsys):
    source = tmp_path / "a.sirn"
    source.write_bytes(write(encoded(denoise=("median", 1.0))))
    assert main(["page", str(source), str(tmp_path / "a.html")]) == 2
    assert "`decompress` writes the image" in last_error(capsys)


def test_an_output_that_is_no_page_is_refused(run, tmp_path, capsys):
    assert main(["page", str(run), str(tmp_path / "a.png")]) == 2
    assert "OUTPUT must end in .html" in last_error(capsys)


def test_damaged_scores_are_an_error_and_not_a_wrong_number(run, tmp_path, capsys):
    folder = tmp_path / "run"
    checkpoint_in(folder).parent.mkdir(parents=True)
    checkpoint_in(folder).write_bytes(checkpoint_in(run).read_bytes())
    (folder / "metrics.json").write_text('{"standard": {}}')
    assert main(["page", str(folder), str(tmp_path / "a.html")]) == 2
    assert "metrics.json isn't what `fit --evaluate` writes" in last_error(capsys)
    (folder / "metrics.json").write_text('{"standard": {"psnr": "nan"}}')
    assert main(["page", str(folder), str(tmp_path / "a.html")]) == 0
    assert "dB" not in str(values_of(tmp_path / "a.html")["facts"])
