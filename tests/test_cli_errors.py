"""What can go wrong with `siren-fastai fit`: a clear message, the right exit code, no traceback, nothing lost."""

import errno
import io
import os
import sys

import numpy as np
import pytest
from cli_runs import TINY, check_same_fit, fit, old_run, picture_file
from PIL import Image

from siren_fastai.analysis.history import read_history
from siren_fastai.cli.main import main
from siren_fastai.files import MARK
from siren_fastai.fits import folder, image
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.locks import lock_folder


@pytest.fixture
def gray(tmp_path):
    return picture_file(tmp_path / "gray.png")


@pytest.fixture
def refused(tmp_path, capsys):
    """Run a fit over an older experiment with --y; it must end so, and leave what was there."""

    def run(*arguments, code=2, epochs=1):
        old = old_run(tmp_path / "run")
        assert fit(tmp_path, *TINY, "--y", *arguments, epochs=epochs) == code
        assert old.read_text() == "precious"
        error = capsys.readouterr().err
        assert error.startswith("siren-fastai fit: error: ") and "Traceback" not in error
        return error

    return run


# --- pictures


def test_a_missing_picture(refused, tmp_path):
    assert "there is no file nowhere.png" in refused("--image_filepath", "nowhere.png")
    assert f"there are no images in {tmp_path}" in refused("--image_filepath", tmp_path)  # an empty folder


def test_a_text_file_as_picture(refused, tmp_path):
    (tmp_path / "notes.png").write_text("this is no picture")
    assert "notes.png: not an image that Pillow can read" in refused("--image_filepath", tmp_path / "notes.png")


def test_a_truncated_picture(refused, tmp_path, gray):
    (tmp_path / "half.png").write_bytes(gray.read_bytes()[:150])
    assert "half.png: cannot be read (" in refused("--image_filepath", tmp_path / "half.png")


def test_an_unreadable_picture(refused, gray, monkeypatch):
    def locked(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(gray))

    monkeypatch.setattr("siren_fastai.images.Image.open", locked)  # root may read anything, so this is said for it
    assert "cannot be read (Permission denied)" in refused("--image_filepath", gray)


def test_a_picture_of_one_pixel(refused, tmp_path):
    error = refused("--image_filepath", picture_file(tmp_path / "dot.png", 1, 1))
    assert "1x1 pixels, and SSIM needs 7x7: give a larger --image_filepath or --sidelength" in error


def test_a_picture_with_nan(refused, tmp_path):
    Image.fromarray(np.full((9, 9), np.nan, np.float32), "F").save(tmp_path / "nan.tiff")
    assert "nan.tiff: an image must hold finite values" in refused("--image_filepath", tmp_path / "nan.tiff")


@pytest.mark.parametrize("command", ["fit", "compress"])
def test_what_reading_an_image_leaves_out_is_said(tmp_path, command, capsys):
    levels = np.full((16, 16, 4), 255, np.uint8)
    Image.fromarray(levels).save(tmp_path / "opaque.png")
    levels[3:, 4:, 3] = 99
    Image.fromarray(levels).save(tmp_path / "alpha.png")
    frames = [Image.new("L", (16, 16), level) for level in (0, 80, 160)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    for name, lost in (
        ("opaque.png", []),
        ("alpha.png", ["its transparent parts are composited on white"]),
        ("film.gif", ["only the first of 3 frames is used"]),
    ):
        path = tmp_path / name
        if command == "fit":
            assert fit(tmp_path, *TINY, "--image_filepath", path, epochs=1, name=path.stem) == 0
        else:
            assert main(["compress", str(path), f"{path}.sirn", "--bpp", "9", "--steps", "1"]) == 0
        assert capsys.readouterr().err == "".join(f"siren-fastai: warning: {path}: {what}\n" for what in lost)


@pytest.fixture(scope="module")
def thirty_megapixels(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large.png"
    Image.new("L", (6000, 5000), 99).save(path, compress_level=1)
    return path


@pytest.mark.slow
def test_thirty_megapixels_are_fitted_small(thirty_megapixels, tmp_path):
    assert fit(tmp_path, *TINY, "--image_filepath", thirty_megapixels, "--sidelength", "10", epochs=1) == 0
    with Image.open(tmp_path / "run" / "predicted_image.png") as picture:
        assert picture.size == (12, 10)


@pytest.mark.slow
def test_thirty_megapixels_at_once_are_refused_where_memory_is_short(refused, thirty_megapixels, monkeypatch):
    monkeypatch.setattr(image, "available_memory", lambda device: 8 * 2**30)  # whatever this machine has
    error = refused("--preset", "official", "--image_filepath", thirty_megapixels, "--hidden_features", 256)
    assert (
        "25,000,000 pixels in steps of 25,000,000 need about" in error
        and "give a smaller --sidelength or --bs" in error
    )


def test_decompression_bombs_are_refused(refused, gray, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "above 0 megapixels; shrink it first" in refused("--image_filepath", gray)


def test_running_out_of_memory_is_a_failure(gray, tmp_path, monkeypatch, capsys):
    def no_memory(*args, **kwargs):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("siren_fastai.fits.record.render", no_memory)  # PyTorch's own message, wherever it comes from
    assert fit(tmp_path, *TINY, "--bs", "9", "--image_filepath", gray) == 1
    assert "out of memory" in capsys.readouterr().err


# --- folders


def test_an_existing_folder_needs_an_answer_and_without_a_terminal_ends(tmp_path, gray, capsys, monkeypatch):
    old_run(tmp_path / "run", "mine.txt")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert fit(tmp_path, *TINY, "--image_filepath", gray) == 2
    assert "is not empty: give --y to erase it, or --n to keep it" in capsys.readouterr().err
    assert (tmp_path / "run" / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("answer, code", [("n", 2), ("", 2), ("perhaps", 2), ("y", 0), ("YES", 0)])
def test_on_a_terminal_it_asks(tmp_path, gray, monkeypatch, answer, code):
    old_run(tmp_path / "run", "mine.txt")
    stdin = io.StringIO(answer + "\n")
    stdin.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", stdin)
    assert fit(tmp_path, *TINY, "--image_filepath", gray, epochs=1) == code
    assert (tmp_path / "run" / "mine.txt").exists() == (code == 2)


def test_y_erases_and_n_writes_numbered_experiments(tmp_path, gray, capsys):
    arguments = [*TINY, "--image_filepath", gray]
    old_run(tmp_path / "run", "deep/old.txt")
    assert fit(tmp_path, *arguments, "--y", epochs=1) == 0
    assert not (tmp_path / "run" / "deep").exists()
    first = (tmp_path / "run" / "history.txt").read_text()
    assert fit(tmp_path, *arguments, "--n", epochs=1) == 0 and fit(tmp_path, *arguments, "--n", epochs=1) == 0
    assert (tmp_path / "run" / "history.txt").read_text() == first
    assert (tmp_path / "run_002" / "history.txt").is_file() and (tmp_path / "run_003" / "history.txt").is_file()
    assert "run_003" in capsys.readouterr().out


def test_y_does_not_erase_what_is_no_experiment(tmp_path, gray, capsys, monkeypatch):
    inner = picture_file(old_run(tmp_path / "run").parent / "inner.png")
    assert fit(tmp_path, *TINY, "--y", "--image_filepath", inner) == 2
    assert "would also erase" in capsys.readouterr().err and inner.is_file()
    monkeypatch.setattr(folder.Path, "home", lambda: tmp_path / "me")
    for name in ("me", "here", "here/deeper"):
        old_run(tmp_path / name)
    monkeypatch.chdir(tmp_path / "here" / "deeper")
    for name in ("me", "here", "here/deeper"):
        assert fit(tmp_path, *TINY, "--y", "--image_filepath", gray, name=name) == 2
        assert "would also erase" in capsys.readouterr().err and (tmp_path / name / "history.txt").is_file()


def test_a_folder_that_no_fit_has_written_is_never_erased(tmp_path, gray, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("precious")
    assert fit(tmp_path, *TINY, "--y", "--image_filepath", gray, name="photos") == 2
    assert "photos is not empty and was not written by `fit`, so it is never erased" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_fit_that_holds_another_is_not_erased(tmp_path, gray, capsys):
    files = old_run(tmp_path / "run"), old_run(tmp_path / "run" / "inner")
    assert fit(tmp_path, *TINY, "--y", "--image_filepath", gray) == 2
    assert "would also erase another fit" in capsys.readouterr().err and all(file.is_file() for file in files)


@pytest.mark.parametrize(
    "name, message",
    [
        ("", "--experiment_name: must not be empty"),
        ("  ", "--experiment_name: must not be empty"),
        (".", "is --logging_root itself or a folder above it"),
        ("..", "is --logging_root itself or a folder above it"),
        ("a/..", "is --logging_root itself or a folder above it"),
        ("../other", "leads out of --logging_root"),
        ("link", "leads out of --logging_root"),
        ("{root}", "is --logging_root itself or a folder above it"),
        ("/", "is --logging_root itself or a folder above it"),
    ],
)
def test_names_that_are_not_a_folder_of_its_own_in_the_root(tmp_path, gray, capsys, name, message):
    root = tmp_path / "logs"
    files = [old_run(folder) for folder in (root, root / "run", tmp_path / "other")]
    (root / "link").symlink_to(tmp_path / "other")
    assert fit(root, *TINY, "--y", "--image_filepath", gray, name=name.format(root=root)) == 2
    assert message in capsys.readouterr().err and all(file.read_text() == "precious" for file in files)


def test_an_unset_root_is_an_error(tmp_path, gray, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--logging_root", "", "--experiment_name", "run", "--image_filepath", str(gray)]) == 2
    assert "--logging_root: must not be empty" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_an_absolute_name_may_lie_outside_the_root(tmp_path, gray):
    assert fit(tmp_path / "logs", *TINY, "--image_filepath", gray, name=str(tmp_path / "run"), epochs=1) == 0
    assert (tmp_path / "run" / "history.txt").is_file()


def test_a_second_fit_in_a_folder_ends_with_an_error(tmp_path, gray, capsys):
    (tmp_path / "run").mkdir()
    with lock_folder(tmp_path / "run"):
        assert fit(tmp_path, *TINY, "--image_filepath", gray) == 2
        assert "another process is writing to" in capsys.readouterr().err
        assert fit(tmp_path, *TINY, "--n", "--image_filepath", gray, epochs=1) == 0
        assert not (tmp_path / "run" / "history.txt").exists() and (tmp_path / "run_002" / "history.txt").is_file()
    assert fit(tmp_path, *TINY, "--image_filepath", gray, epochs=1) == 0


def test_a_name_that_is_too_long_is_an_error_before_any_training(tmp_path, gray, capsys):
    assert fit(tmp_path, *TINY, "--image_filepath", gray, name="x" * 300) == 1
    assert "File name too long" in capsys.readouterr().err


def test_links_in_an_erased_folder_are_not_followed(tmp_path, gray):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("precious")
    old_run(tmp_path / "run")
    for name in ("link", "checkpoints", "summaries"):
        (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    assert fit(tmp_path, *TINY, "--y", "--image_filepath", gray, epochs=1) == 0
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "run" / "link").exists()
    assert not any((tmp_path / "run" / name).is_symlink() for name in ("checkpoints", "summaries"))


def test_a_file_in_the_place_of_the_folder(tmp_path, gray, capsys):
    (tmp_path / "run").write_text("a file")
    assert fit(tmp_path, *TINY, "--image_filepath", gray) == 2
    assert "is a file; choose another name" in capsys.readouterr().err


def test_a_folder_without_write_permission(tmp_path, gray, capsys, monkeypatch):
    def locked(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(folder.Path, "mkdir", locked)  # root may write anywhere, so this is said for it
        assert fit(tmp_path, *TINY, "--image_filepath", gray) == 1
    assert "Permission denied: " in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda *args: False)
    assert fit(tmp_path, *TINY, "--image_filepath", gray) == 1
    assert "choose a folder that you may write to" in capsys.readouterr().err


# --- while it runs


@pytest.mark.numerics
def test_a_full_disk_ends_the_fit_and_what_was_written_can_be_resumed(tmp_path, gray, capsys, monkeypatch):
    arguments = [*TINY, "--image_filepath", gray, "--epochs_til_ckpt", "2"]
    assert fit(tmp_path, *arguments, name="whole", epochs=6) == 0
    writing = folder.Path.write_bytes

    def full(self, content):
        if (tmp_path / "run" / "checkpoints" / "model_epoch_0002.safetensors").exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return writing(self, content)

    with monkeypatch.context() as patched:
        patched.setattr(folder.Path, "write_bytes", full)
        assert fit(tmp_path, *arguments, epochs=6) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error and "--resume" in error and "Traceback" not in error
    current = load_checkpoint(tmp_path / "run" / "checkpoints" / "model_current.safetensors")
    assert current.epoch == 2 and not list((tmp_path / "run").rglob(f"{MARK}-*"))
    assert fit(tmp_path, "--resume", epochs=None) == 0
    check_same_fit(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("bs", [50, 1000])
def test_training_that_diverges_ends_and_keeps_the_last_whole_state(tmp_path, gray, capsys, bs):
    arguments = [
        *TINY,
        "--image_filepath",
        gray,
        "--model_type",
        "relu",
        "--schedule",
        "constant",
        "--lr",
        "1e30",
        "--bs",
        bs,
    ]
    assert fit(tmp_path, *arguments, epochs=50) == 1
    error = capsys.readouterr().err
    assert "the training diverged" in error and "Give a smaller --lr" in error and "Traceback" not in error
    current = load_checkpoint(tmp_path / "run" / "checkpoints" / "model_current.safetensors")
    assert (
        current.render().isfinite().all()
        and not (tmp_path / "run" / "checkpoints" / "model_final.safetensors").exists()
    )
    rows = read_history(tmp_path / "run" / "history.txt")
    assert len(rows) == max(1, current.epoch)  # the first row is measured, and logged, before anything is trained


# --- options that do not go together


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--scheme", "99"], "--scheme must be a number from 1 to 38"),
        (["--scheme", "siren", "--model_type", "relu"], "must have sine layers"),
        (["--device", "cuda:99"], "--device cuda:99: not available here"),
        (["--device", "quantum"], "--device quantum: not available here"),
        (
            ["--device", "mps"],
            "--device mps: not available here (mps is not supported; give auto, cpu, cuda or cuda:<n>)",
        ),
        (["--omega_0", "1e300"], "--omega_0: must be a number above 0"),
        (["--omega_0", "1e30"], "--omega_0 must be a number from 1e-06 to 1e+06, got 1e+30"),
        (
            ["--hidden_features", "1000000"],
            "network of 1 hidden layers of 1,000,000 needs about 26083.8 GiB",
        ),
        (["--hidden_layers", "1000000"], "--hidden_layers must be at most 1000, got 1000000"),
        (["--sidelength", "900000000"], "an image of 900000000x900000000 pixels needs about"),
        (["--checkpoint_path", "none.safetensors"], "--checkpoint_path: there is no file none.safetensors"),
        (["--resume"], "leave --y, --n and --checkpoint_path out"),
    ],
)
def test_impossible_options(refused, gray, arguments, message):
    assert message in refused("--image_filepath", gray, *arguments)


def test_resume_without_an_experiment(tmp_path, capsys):
    assert fit(tmp_path, "--resume", epochs=None) == 2
    assert "there is nothing to resume: no " in capsys.readouterr().err


def test_resume_keeps_the_experiments_options(tmp_path, gray, capsys):
    assert fit(tmp_path, *TINY, "--image_filepath", gray) == 0
    assert fit(tmp_path, "--resume", "--lr", "0.5", epochs=None) == 2
    assert "--lr was " in capsys.readouterr().err
    assert fit(tmp_path, "--resume", epochs=9) == 2
    assert "its schedule one_cycle depends on it" in capsys.readouterr().err


def test_damaged_checkpoints(tmp_path, gray, capsys):
    assert fit(tmp_path, *TINY, "--image_filepath", gray) == 0
    path = tmp_path / "run" / "checkpoints" / "model_current.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    for arguments, name in ((["--resume"], "run"), (["--checkpoint_path", path, "--image_filepath", gray], "b")):
        assert fit(tmp_path, *arguments, name=name, epochs=None) == 2
        assert "is not a checkpoint of this library, or a damaged one" in capsys.readouterr().err


def test_a_history_that_was_cut_cannot_be_resumed(tmp_path, gray, capsys):
    assert fit(tmp_path, *TINY, "--image_filepath", gray, "--schedule", "constant") == 0
    path = tmp_path / "run" / "history.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert fit(tmp_path, "--resume", epochs=4) == 2
    assert "history.txt ends before epoch 2" in capsys.readouterr().err


def test_options_of_the_network_belong_to_the_checkpoint(tmp_path, gray, capsys):
    assert fit(tmp_path, *TINY, "--image_filepath", gray) == 0
    start = [
        "--checkpoint_path",
        tmp_path / "run" / "checkpoints" / "model_final.safetensors",
        "--image_filepath",
        gray,
    ]
    for arguments in (["--model_type", "relu"], ["--hidden_features", "9"], ["--scheme", "33"]):
        assert fit(tmp_path, *start, *arguments, name="b") == 2
        assert "cannot change the network of --checkpoint_path" in capsys.readouterr().err
    assert fit(tmp_path, *start, "--color", "rgb", name="b") == 2
    assert "the image has 3 channels, the checkpoint 1" in capsys.readouterr().err


def test_tensorboard_is_an_extra(tmp_path, gray, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert fit(tmp_path, *TINY, "--image_filepath", gray, "--tensorboard") == 2
    assert "pip install siren_fastai[tensorboard]" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_fault_of_ours_is_seen_whole(tmp_path, gray, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr("siren_fastai.fits.fit.siren_learner", broken)  # no bug is known that a test could provoke
    with pytest.raises(RuntimeError, match="a bug"):
        main(["fit", "--logging_root", str(tmp_path), "--experiment_name", "x", "--image_filepath", str(gray)])
