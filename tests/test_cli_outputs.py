"""The rule of output files: nothing is overwritten unasked, and what cannot be written is known before any work."""

import os
import stat

import pytest
from cli_runs import TINY, fit, picture_file
from sirn_files import encoded

from siren_fastai.cli.errors import CommandError
from siren_fastai.cli.main import main
from siren_fastai.cli.paths import check_output
from siren_fastai.sirn.format import write


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An image, a fit of it, and a .sirn file, by name."""
    root = tmp_path_factory.mktemp("made")
    image = picture_file(root / "image.png", 24, 32, 3)
    assert fit(root, "--image_filepath", image, *TINY, epochs=1) == 0
    (root / "coded.sirn").write_bytes(write(encoded(24, 32)))
    checkpoint = root / "run" / "checkpoints" / "model_final.safetensors"
    return dict(image=image, run=root / "run", checkpoint=checkpoint, coded=root / "coded.sirn")


COMMANDS = {  # the arguments, and a file that is written; OUT is a folder
    "compress": ("compress {image} OUT/x.sirn --bpp 6 --steps 4", "x.sirn"),
    "compress report": ("compress {image} OUT/new.sirn --bpp 6 --steps 4 --report OUT/x.json", "x.json"),
    "decompress": ("decompress {coded} OUT/x.png", "x.png"),
    "render": ("render {checkpoint} OUT/x.png", "x.png"),
    "evaluate": ("evaluate {checkpoint} --output OUT", "metrics.json"),
    "evaluate's image": ("evaluate {checkpoint} --output OUT", "predicted_image.png"),
    "analyze": ("analyze {run} --output OUT", "report.md"),
    "analyze's figure": ("analyze {run} --output OUT", "benford.png"),
}


def arguments(name, made, folder):
    return COMMANDS[name][0].format(**made).replace("OUT", str(folder)).split()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_exists_is_kept_unless_y_is_given(name, made, tmp_path, capsys):
    old = tmp_path / COMMANDS[name][1]
    old.write_text("precious")
    assert main(arguments(name, made, tmp_path)) == 2
    assert f"{old} already exists: give --y to overwrite it" in capsys.readouterr().err
    assert old.read_text() == "precious" and list(tmp_path.iterdir()) == [old]
    assert main([*arguments(name, made, tmp_path), "--y"]) == 0
    assert old.read_bytes() != b"precious"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_file_and_a_folder_in_the_way_are_errors_before_any_work(name, made, tmp_path, capsys):
    old = tmp_path / COMMANDS[name][1]
    old.write_text("precious")
    old.chmod(0o444)
    assert main([*arguments(name, made, tmp_path), "--y"]) == 1
    assert "The file is read-only" in capsys.readouterr().err and old.read_text() == "precious"
    old.unlink()
    old.mkdir()
    assert main([*arguments(name, made, tmp_path), "--y"]) == 2
    assert "is a folder; name a file" in capsys.readouterr().err and list(tmp_path.iterdir()) == [old]


def test_the_folder_next_to_a_history_counts_too(made, capsys):
    assert main(["analyze", str(made["run"])]) == 0
    assert main(["analyze", str(made["run"])]) == 2
    assert "history.png already exists: give --y" in capsys.readouterr().err
    assert main(["analyze", str(made["run"]), "--y"]) == 0


@pytest.mark.parametrize(
    "line",
    [
        "compress {image} {image} --bpp 6 --y",
        "compress {image} OUT/x.sirn --bpp 6 --y --report {image}",
        "decompress {coded} {coded} --y",
        "analyze {run} --output OUT --ground_truth OUT/history.png --prediction {image} --y",
        "evaluate {checkpoint} --image_filepath OUT/predicted_image.png --output OUT --y",
    ],
)
def test_an_input_is_never_overwritten(line, made, tmp_path, capsys):
    files = [*made.values()][:1] + [made["checkpoint"], made["coded"]]
    for name in ("history.png", "predicted_image.png"):
        files.append(picture_file(tmp_path / name, 24, 32, 3))
    before = [file.read_bytes() for file in files]
    assert main(line.format(**made).replace("OUT", str(tmp_path)).split()) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert [file.read_bytes() for file in files] == before


def test_two_outputs_are_two_files(made, tmp_path, capsys):
    (tmp_path / "link").symlink_to(tmp_path)
    line = f"compress {made['image']} {tmp_path}/x.sirn --bpp 6 --report {tmp_path}/link/x.sirn"
    assert main(line.split()) == 2
    assert "OUTPUT and --report are both" in capsys.readouterr().err and not (tmp_path / "x.sirn").exists()


def test_a_name_that_is_too_long_is_an_error_before_any_work(made, tmp_path, capsys):
    for line in ("render {checkpoint} OUT/{long}.png", "compress {image} OUT/{long}.sirn --bpp 6"):
        words = line.format(**made, long="x" * 300).replace("OUT", str(tmp_path)).split()
        assert main(words) == 1
        assert "File name too long" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_devices_are_written_to_and_stay_devices(made, tmp_path, capsys):
    line = f"compress {made['image']} {tmp_path}/x.sirn --bpp 6 --steps 4 --report"
    assert main([*line.split(), "/dev/null"]) == 0 and not os.path.isfile("/dev/null")
    assert main([*line.split(), "/dev/full", "--y"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode) and (tmp_path / "x.sirn").is_file()


@pytest.mark.parametrize("descriptor", [1, 2])
def test_the_file_that_a_command_prints_to_is_not_replaced(descriptor, tmp_path):
    before = os.dup(descriptor)
    with open(tmp_path / "log.txt", "w") as log:
        os.dup2(log.fileno(), descriptor)
    try:
        for path in (tmp_path / "log.txt", f"/dev/fd/{descriptor}"):
            with pytest.raises(CommandError, match="is the file that this command prints to"):
                check_output(path, True)
    finally:
        os.dup2(before, descriptor)
        os.close(before)
