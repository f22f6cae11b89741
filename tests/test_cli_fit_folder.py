"""`siren-fastai fit` on a folder: each image's experiment is that of its own fit, and what is done is kept."""

import json

import pytest
from cli_runs import TINY, check_same_fit, fit, old_run, picture_file

from siren_fastai.locks import lock_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, (name, size) in enumerate({"a": (16, 16), "b": (12, 18)}.items()):
        picture_file(folder / f"{name}.png", *size, 3, seed)
    return folder


def fit_all(root, photos, *arguments, jobs=1, **options):
    return fit(root, *TINY, "--image_filepath", photos, "--jobs", jobs, *arguments, **options)


def test_each_experiment_is_that_of_the_image_alone(tmp_path, photos, capsys):
    assert fit_all(tmp_path, photos) == 0
    printed = capsys.readouterr().out
    for name in ("a", "b"):
        assert fit(tmp_path, *TINY, "--image_filepath", photos / f"{name}.png", name=f"alone_{name}") == 0
        check_same_fit(tmp_path / "run" / name, tmp_path / f"alone_{name}")
        assert str(tmp_path / "run" / name) in printed
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores.keys() == {"a", "b"} and all(each.keys() >= {"mse", "psnr", "ssim"} for each in scores.values())


def test_processes_fit_the_same(tmp_path, photos):
    assert fit_all(tmp_path, photos, jobs=2) == 0
    assert fit_all(tmp_path, photos, name="one") == 0
    for name in ("a", "b"):
        check_same_fit(tmp_path / "run" / name, tmp_path / "one" / name)


def test_what_is_fitted_is_left_out_and_new_images_are_added(tmp_path, photos, capsys):
    assert fit_all(tmp_path, photos) == 0
    before = (tmp_path / "run" / "a" / "history.txt").stat().st_mtime_ns
    picture_file(photos / "c.png", 10, 10, 3)
    assert fit_all(tmp_path, photos) == 0
    assert "2 of 3 images are fitted already" in capsys.readouterr().out
    assert (tmp_path / "run" / "a" / "history.txt").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "run" / "scores.json").read_text()).keys() == {"a", "b", "c"}
    assert fit_all(tmp_path, photos, "--y") == 0
    assert (tmp_path / "run" / "a" / "history.txt").stat().st_mtime_ns > before


def test_other_options_are_an_error_and_an_interrupted_fit_is_resumed(tmp_path, photos, capsys):
    assert fit_all(tmp_path, photos) == 0
    assert fit_all(tmp_path, photos, epochs=3) == 2
    assert "run/a has other contents than a fit with these options" in capsys.readouterr().err
    interrupted = tmp_path / "run" / "b"
    for name in ("scores.json", "predicted_image.png", "checkpoints/model_final.safetensors"):
        (interrupted / name).unlink()
    assert fit_all(tmp_path, photos) == 0
    assert "1 of 2 images are fitted already" in capsys.readouterr().out
    assert (interrupted / "scores.json").is_file() and (interrupted / "predicted_image.png").is_file()


def test_a_folder_that_no_fit_wrote_is_never_erased(tmp_path, photos, capsys):
    (tmp_path / "run" / "a").mkdir(parents=True)
    (tmp_path / "run" / "a" / "notes.txt").write_text("mine")
    assert fit_all(tmp_path, photos, "--y") == 2
    assert "was not written by `fit`" in capsys.readouterr().err
    assert (tmp_path / "run" / "a" / "notes.txt").read_text() == "mine"


def test_a_second_run_at_the_same_time_changes_nothing_and_is_an_error(tmp_path, photos, capsys):
    assert fit_all(tmp_path, photos) == 0
    picture_file(photos / "c.png", 10, 10, 3)
    with lock_folder(tmp_path / "run"):
        assert fit_all(tmp_path, photos) == 2
    assert "another process is writing to" in capsys.readouterr().err
    assert not (tmp_path / "run" / "c").exists()
    assert fit_all(tmp_path, photos) == 0 and (tmp_path / "run" / "c" / "scores.json").is_file()


def test_y_replaces_an_earlier_fit_of_the_image(tmp_path, photos):
    kept = old_run(tmp_path / "run" / "a", "old.txt")
    assert fit_all(tmp_path, photos, "--y") == 0
    assert not kept.exists() and (tmp_path / "run" / "a" / "scores.json").is_file()


def test_a_damaged_image_leaves_the_others_fitted(tmp_path, photos, capsys):
    (photos / "aa.png").write_bytes(b"no image")
    assert fit_all(tmp_path, photos) == 1
    error = capsys.readouterr().err
    assert "aa.png" in error and "1 of 3 images failed; the others are fitted" in error
    assert json.loads((tmp_path / "run" / "scores.json").read_text()).keys() == {"a", "b"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--resume"], "leave --resume, --n and --show_graphics out"),
        (["--n"], "leave --resume, --n and --show_graphics out"),
        (["--show_graphics"], "leave --resume, --n and --show_graphics out"),
        (["--lr", "0"], "--lr"),
        (["--device", "none"], "none"),
    ],
)
def test_options_that_do_not_go_with_a_folder_are_named(tmp_path, photos, capsys, arguments, message):
    assert fit_all(tmp_path, photos, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_two_images_of_one_name_and_an_empty_folder_are_errors(tmp_path, photos, capsys):
    picture_file(photos / "a.bmp")
    assert fit_all(tmp_path, photos) == 2
    assert "would both be a; rename one" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert fit_all(tmp_path, tmp_path / "none") == 2
    assert "there are no images in" in capsys.readouterr().err


def test_an_image_whose_experiment_would_be_where_the_scores_are_is_named_before_any_fit(tmp_path, photos, capsys):
    picture_file(photos / "scores.json.png")
    assert fit_all(tmp_path, photos) == 2
    assert "scores.json.png would be where the scores are written; rename it" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_jobs_are_for_folders(tmp_path, photos, capsys):
    assert fit_all(tmp_path, photos / "a.png") == 2
    assert "--jobs is for a folder of images" in capsys.readouterr().err
