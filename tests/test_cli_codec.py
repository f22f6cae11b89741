"""`compress`, `decompress`, `info` and `rd`: real files there and back, and a clear message for what cannot be."""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cli_runs import levels_of, picture_file
from PIL import Image
from sirn_files import encoded, reseal

from siren_fastai.classics import QUALITIES
from siren_fastai.cli.commands import COMMANDS
from siren_fastai.cli.folders import images_in
from siren_fastai.cli.main import main
from siren_fastai.codec import clusters
from siren_fastai.codec.compress import compress
from siren_fastai.compare import sweep as rd
from siren_fastai.images import load_image, to_uint8
from siren_fastai.locks import LOCK, lock_folder
from siren_fastai.names import CODEC_WEIGHTS
from siren_fastai.sirn.decode import decode, decompress
from siren_fastai.sirn.format import parts, write

COMPRESSING = "siren_fastai.codec.compress.compress"


@pytest.fixture
def rgb(tmp_path):
    return str(picture_file(tmp_path / "rgb.png", 24, 32, 3))


@pytest.fixture
def coded(tmp_path):
    """A file of 24x32 pixels; returns its path."""
    path = tmp_path / "coded.sirn"
    path.write_bytes(write(encoded(24, 32)))
    return str(path)


@pytest.fixture
def untrained(monkeypatch):
    """`compress` without training, for tests of the command alone; returns what it is called with, and what its
    report adds. `compress` itself, and the command with it, are tested elsewhere.
    """
    calls, more = [], {}

    def fake(image, **options):
        calls.append(options)
        if options.get("bpp", 1) < 0.5:
            raise ValueError("the smallest file takes about 99 bytes")
        report = {"bpp": 1.0, "psnr": 20.0, "ssim": None, "steps": 3, "seconds": 0.1, "interrupted": False}
        report |= {"decoding_seconds": 0.1, **more}
        return SimpleNamespace(data=write(encoded(*image.shape)), image=image, report=report)

    monkeypatch.setattr(COMPRESSING, fake)
    monkeypatch.setattr(rd, "compress", fake)
    return calls, more


@pytest.fixture
def refused(capsys):
    """Run a command that must end with this exit code; returns its message."""

    def run(*arguments, code=2):
        assert main([str(argument) for argument in arguments]) == code
        error = capsys.readouterr().err
        assert error.startswith(f"siren-fastai {arguments[0]}: error: ") and "Traceback" not in error
        return error

    return run


def test_an_image_to_a_file_and_back(rgb, tmp_path, capsys):
    file, back, report_path = (str(tmp_path / name) for name in ("made/x.sirn", "x.png", "x.json"))
    assert main(["compress", rgb, file, "--bpp", "6", "--steps", "4", "--mean", "--report", report_path]) == 0
    data = (tmp_path / "made" / "x.sirn").read_bytes()
    report = json.loads((tmp_path / "x.json").read_text())
    assert f"{len(data)} bytes, {report['bpp']:.4f} bits per pixel" in capsys.readouterr().out
    assert report["bytes"] == len(data) and report["bpp"] == 8 * len(data) / (24 * 32) <= 6
    assert main(["decompress", file, back]) == 0
    np.testing.assert_array_equal(levels_of(back), to_uint8(decompress(data)))
    error = levels_of(back).astype(float) - levels_of(rgb)
    assert report["psnr"] == pytest.approx(20 * np.log10(255) - 10 * np.log10(np.mean(error**2)), abs=1e-3)


@pytest.mark.parametrize("weights", CODEC_WEIGHTS)
def test_a_file_of_at_most_so_many_bytes(rgb, tmp_path, weights):
    path = tmp_path / "x.sirn"
    assert main(["compress", rgb, str(path), "--max_bytes", "900", "--weights", weights, "--steps", "4"]) == 0
    assert 450 < path.stat().st_size <= 900 and decompress(path).shape == (24, 32, 3)


def test_messages_name_the_options_as_typed(rgb, tmp_path, refused):
    output = tmp_path / "x.sirn"
    assert "error: --psnr must be from 10 to 60 dB, got 99.0" in refused("compress", rgb, output, "--psnr", "99")
    assert "error: --bpp must be above 0 and at most 24" in refused("compress", rgb, output, "--bpp", "99")


def test_defaults_in_the_help_are_those_of_the_library():
    plain = clusters.Clusters(2)
    text = {option.name: option.help for option in COMMANDS["compress"].options}
    for name in ("by", "use", "cell"):
        assert f"(default: {getattr(plain, name)})" in text[f"clusters_{name}"]
    assert {"bpp", "psnr", "quality", "steps", "seed", "mean", "denoise", "clusters", "max_bytes", "weights"} <= {
        *inspect.signature(compress).parameters
    }


def test_options_reach_compress(rgb, tmp_path, untrained):
    calls, _ = untrained
    output = str(tmp_path / "x.sirn")
    plain = {"steps": None, "seed": 0, "mean": False, "denoise": None, "clusters": None, "progress": False}
    plain["weights"] = "quantized"
    assert main(["compress", rgb, output, "--quality", "50"]) == 0
    assert {"quality": 50, **plain}.items() <= calls[-1].items() and "bpp" not in calls[-1]
    several = "--psnr 30 --steps 9 --seed 3 --mean --denoise tv --denoise-strength 0.02 --clusters 3"
    details = "--clusters_by error --clusters_use network --clusters_cell 8 --y"
    assert main(["compress", rgb, output, *several.split(), *details.split()]) == 0
    wanted = {"psnr": 30.0, "steps": 9, "seed": 3, "mean": True, "denoise": ("tv", 0.02)}
    wanted["clusters"] = clusters.Clusters(3, "error", "network", 8)
    assert wanted.items() <= calls[-1].items()
    assert main(["compress", rgb, output, "--max-bytes", "900", "--weights", "float16", "--y"]) == 0
    assert {"max_bytes": 900, "weights": "float16"}.items() <= calls[-1].items()
    assert main(["compress", rgb, output, "--bpp", "1", "--denoise", "auto", "--clusters", "2", "--y"]) == 0
    assert {"denoise": "auto", "clusters": clusters.Clusters(2)}.items() <= calls[-1].items()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "exactly one of --bpp, --psnr, --quality and --max_bytes, got none"),
        (["--bpp", "1", "--psnr", "30"], "got --bpp, --psnr"),
        (["--bpp", "1", "--max_bytes", "9"], "got --bpp, --max_bytes"),
        (["--max_bytes", "0"], "argument --max_bytes: must be an integer of 1 or more, got '0'"),
        (["--bpp", "0"], "must be a number above 0, got '0'"),
        (["--quality", "101"], "must be an integer from 1 to 100, got '101'"),
        (["--quality", "0"], "must be an integer from 1 to 100, got '0'"),
        (["--bpp", "1", "--denoise", "tv"], "--denoise tv needs --denoise_strength; --denoise auto chooses both"),
        (["--bpp", "1", "--denoise_strength", "1"], "--denoise_strength needs --denoise median"),
        (["--bpp", "1", "--denoise", "auto", "--denoise_strength", "1"], "needs --denoise median"),
        (["--bpp", "1", "--clusters_cell", "4"], "--clusters_cell needs --clusters"),
        (
            ["--bpp", "1", "--clusters", "3", "--clusters_by", "error"],
            "--clusters_by error needs --clusters_use network",
        ),
        (["--bpp", "0.1"], "the smallest file takes about 99 bytes"),
        (["--bpp", "1", "--device", "quantum"], "--device quantum: not available here"),
    ],
)
def test_what_cannot_be_compressed_is_refused(rgb, tmp_path, untrained, refused, arguments, message):
    assert message in refused("compress", rgb, tmp_path / "x.sirn", *arguments)
    assert not (tmp_path / "x.sirn").exists()


def test_files_that_are_not_images(tmp_path, refused):
    (tmp_path / "notes.png").write_text("no picture")
    output = tmp_path / "x.sirn"
    assert "IMAGE: there is no file nowhere.png" in refused("compress", "nowhere.png", output, "--bpp", "1")
    assert "not an image that Pillow can read" in refused("compress", tmp_path / "notes.png", output, "--bpp", "1")


def test_ctrl_c_writes_the_best_so_far_and_says_so(rgb, tmp_path, untrained, refused, monkeypatch):
    output = tmp_path / "x.sirn"
    untrained[1]["interrupted"] = True
    assert f"the best so far is written to {output}" in refused("compress", rgb, output, "--bpp", "1", code=130)
    assert decompress(output).shape == (24, 32, 3)
    output.write_text("good")
    for name in ("x.interrupted.sirn", "x.interrupted_2.sirn"):
        assert f"written to {tmp_path / name}" in refused("compress", rgb, output, "--bpp", "1", "--y", code=130)
        assert decompress(tmp_path / name).shape == (24, 32, 3) and output.read_text() == "good"
    report = tmp_path / "x.json"
    report.write_text("of the good file")
    refused("compress", rgb, tmp_path / "new.sirn", "--bpp", "1", "--report", report, "--y", code=130)
    assert report.read_text() == "of the good file" and (tmp_path / "x.interrupted.json").is_file()

    def at_once(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(COMPRESSING, at_once)
    assert "error: interrupted\n" in refused("compress", rgb, tmp_path / "y.sirn", "--bpp", "1", code=130)
    assert not (tmp_path / "y.sirn").exists()


def test_ctrl_c_in_the_training_itself(rgb, tmp_path, refused, monkeypatch):
    def third_batch(line):
        if line.train_iter == 3:
            raise KeyboardInterrupt

    # the command has no other place from which a test could interrupt the training at a known batch
    monkeypatch.setattr("siren_fastai.cli.terminal.EncodeProgress.after_batch", third_batch)
    error = refused("compress", rgb, tmp_path / "x.sirn", "--bpp", "6", "--steps", "20", code=130)
    assert "the best so far is written" in error and decompress(tmp_path / "x.sirn").shape == (24, 32, 3)


def test_ctrl_c_while_a_finished_file_is_written(rgb, tmp_path, untrained, refused, monkeypatch):
    writing = Path.write_bytes

    def once(self, data):
        monkeypatch.setattr(Path, "write_bytes", writing)
        writing(self, data[:9])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", once)
    (tmp_path / "x.sirn").write_text("old")
    error = refused("compress", rgb, tmp_path / "x.sirn", "--bpp", "1", "--y", code=130)
    assert "x.sirn is complete" in error and decompress(tmp_path / "x.sirn").shape == (24, 32, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"rgb.png", "x.sirn"}


def test_a_psnr_that_was_not_reached_is_a_failure_with_the_best_file(rgb, tmp_path, untrained, refused):
    untrained[1].update(reached=False, target_psnr=50.0)
    error = refused("compress", rgb, tmp_path / "x.sirn", "--psnr", "50", code=1)
    assert "--psnr 50 was not reached; the best, of 20.00 dB, is written" in error and (tmp_path / "x.sirn").exists()


def test_the_psnr_is_printed_with_and_without_the_denoiser(rgb, tmp_path, untrained, capsys):
    more = untrained[1]
    for denoiser, text in ((("tv", 0.01), "denoised by tv, strength 0.01"), (None, "no denoiser helps")):
        more.update(psnr_before_denoising=19.5, denoise=denoiser)
        assert main(["compress", rgb, str(tmp_path / "x.sirn"), "--bpp", "1", "--denoise", "auto", "--y"]) == 0
        assert f"PSNR 20.00 dB, 3 steps in 0.1 s; {text}: 19.50 dB without" in capsys.readouterr().out


# --- outputs are not overwritten


def test_existing_files_are_kept_without_y(rgb, coded, tmp_path, untrained, refused):
    old = tmp_path / "old.png"
    for command in (["compress", rgb, old, "--bpp", "1"], ["decompress", coded, old]):
        old.write_text("precious")
        assert "already exists: give --y to overwrite it" in refused(*command)
        assert old.read_text() == "precious"
        assert main([*map(str, command), "--y"]) == 0 and old.read_bytes() != b"precious"
    assert "would overwrite the input" in refused("compress", rgb, rgb, "--bpp", "1", "--y")
    assert "would overwrite the input" in refused("decompress", coded, coded, "--y")
    assert "is a folder; name a file" in refused("decompress", coded, tmp_path)


# --- decompress and info


def test_decompress_at_any_size(coded, tmp_path, capsys):
    path = str(tmp_path / "x.png")
    assert main(["decompress", coded, path, "--size", "7", "50"]) == 0
    np.testing.assert_array_equal(levels_of(path), to_uint8(decode(encoded(7, 50))))
    assert "--size 7 50 changes the proportions" in capsys.readouterr().err
    assert main(["decompress", coded, path, "--size", "36", "--y"]) == 0
    assert levels_of(path).shape == (36, 48, 3) and capsys.readouterr().err == ""


def test_decompress_refuses_what_does_not_fit(coded, tmp_path, refused):
    assert "give a smaller --size" in refused("decompress", coded, tmp_path / "x.png", "--size", 9_000_000)
    assert "must end in an image's suffix" in refused("decompress", coded, tmp_path / "x.doc")


def test_info_tells_where_the_bytes_go(coded, capsys):
    size = len(write(encoded(24, 32)))
    assert main(["info", coded]) == 0
    text = capsys.readouterr().out
    assert f"24x32 pixels, RGB, 123 parameters; {size} bytes, {8 * size / 768:.4f} bits per pixel" in text
    assert all(name in text for name, _, _ in parts(write(encoded(24, 32))))
    assert main(["info", coded, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(part["bytes"] for part in report["parts"]) == report["bytes"] == size and report["parameters"] == 123


def hostile(tmp_path, coded):
    """Files that are no `.sirn`, or a broken one, by name."""
    good = (tmp_path / "coded.sirn").read_bytes()
    Image.new("RGB", (9, 9)).save(tmp_path / "picture.jpg")
    return {
        "a renamed JPEG": (tmp_path / "picture.jpg").read_bytes(),
        "nothing": b"",
        "text": b"precious\n" * 99,
        "a file cut off": good[: len(good) // 2],
        "one flipped bit": good[:20] + bytes([good[20] ^ 4]) + good[21:],
        "another version": good[:4] + b"\7" + good[5:],
        "an impossible file with a right checksum": reseal(good[:5] + b"\xff" * 9 + good[5:]),
    }


@pytest.mark.parametrize("command", ["decompress", "info"])
def test_hostile_files_end_in_one_clear_line(command, coded, tmp_path, refused):
    rest = [tmp_path / "x.png"] if command == "decompress" else []
    for name, data in hostile(tmp_path, coded).items():
        path = tmp_path / "hostile.sirn"
        path.write_bytes(data)
        error = refused(command, path, *rest)
        assert f"error: {path}: " in error and error.count("\n") == 1, name
    assert "there is no file nowhere.sirn" in refused(command, "nowhere.sirn", *rest)
    assert "there is no file" in refused(command, tmp_path, *rest)
    with open(tmp_path / "hostile.sirn", "wb") as file:
        file.truncate(1 << 30)  # takes no room on the disk
    assert "1,073,741,824 bytes, but a .sirn file has at most" in refused(command, file.name, *rest)
    assert not (tmp_path / "x.png").exists()


# --- rd


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    for i, name in enumerate("ab"):
        picture_file(tmp_path / "pictures" / f"{name}.png", 24, 32, 3, seed=i)
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    return tmp_path / "pictures"


def test_rd_writes_table_figure_and_files(folder, tmp_path, untrained, capsys):
    arguments = ["rd", str(folder), "--bpp", "2", "1", "0.1", "--codecs", "jpeg", "--color", "gray", "--steps", "5"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"rd.csv", "rd.json", "rd.png", "files", LOCK}
    table = pd.read_csv(tmp_path / "out" / "rd.csv")
    assert len(table) == 2 * len(QUALITIES["jpeg"]) + 2 * 2
    ours = table[table["codec"] == "siren"].to_dict("records")
    assert len(ours) == 4
    for row in ours:
        path = tmp_path / "out" / "files" / f"{row['picture'][0]}_{row['setting']}bpp.sirn"
        assert path.stat().st_size == row["bytes"] and decompress(path).shape == (24, 32, 1)
    report = json.loads((tmp_path / "out" / "rd.json").read_text())
    assert len(report["points"]) == len(table) and report["settings"]["bpp"] == [2, 1, 0.1]
    assert len(report["means"]) == len(QUALITIES["jpeg"]) + 2 and len(report["at_equal_psnr"]) == 2
    assert untrained[0][-1]["steps"] == 5
    assert "b.png at 0.1 bits per pixel is left out: the smallest file takes" in capsys.readouterr().out
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "rd.csv already exists: give --y" in capsys.readouterr().err
    for name in ("rd.csv", "rd.json", "rd.png"):
        (tmp_path / "out" / name).unlink()
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "a_2.0bpp.sirn already exists: give --y" in capsys.readouterr().err
    with lock_folder(tmp_path / "out"):
        assert main([*arguments, "--output", str(tmp_path / "out"), "--y"]) == 2
        assert "another process is writing to" in capsys.readouterr().err


def test_an_interrupted_rd_writes_what_it_has(folder, tmp_path, untrained, refused):
    untrained[1]["interrupted"] = True
    error = refused("rd", folder, "--bpp", "1", "--codecs", "jpeg", "--output", tmp_path / "out", code=130)
    assert "what was measured before is in" in error
    table = pd.read_csv(tmp_path / "out" / "rd.csv")
    assert set(table["codec"]) == {"jpeg"} and (tmp_path / "out" / "rd.png").is_file()


def test_rd_refuses_what_it_cannot_sweep(folder, tmp_path, untrained, refused):
    output = ["--output", tmp_path / "out"]
    assert "there is no folder nowhere" in refused("rd", "nowhere", "--bpp", "1", *output)
    assert "--output is the folder of the images" in refused("rd", folder, "--bpp", "1", "--output", folder)
    assert "--bpp is missing: bits per pixel" in refused("rd", folder, *output)
    assert "must be a number above 0, got '-1'" in refused("rd", folder, "--bpp", "1", "-1", *output)
    assert "invalid choice: 'gif'" in refused("rd", folder, "--bpp", "1", "--codecs", "gif", *output)
    (tmp_path / "empty").mkdir()
    assert "there are no images in" in refused("rd", tmp_path / "empty", "--bpp", "1", *output)
    picture_file(folder / "a.bmp", 24, 32)
    assert "two images are both named 'a'" in refused("rd", folder, "--bpp", "1", *output)
    (folder / "z.png").write_text("no picture")
    assert "z.png: not an image that Pillow can read" in refused("rd", folder, "--bpp", "1", *output)
    assert not list(tmp_path.glob("out/*"))


def test_rates_may_come_from_a_config_file(folder, tmp_path, untrained):
    (tmp_path / "rd.ini").write_text(f"bpp=[1,2]\ncodecs=[jpeg]\noutput={tmp_path / 'out'}\n")
    assert main(["rd", str(folder), "-c", str(tmp_path / "rd.ini"), "--print_config"]) == 0
    assert main(["rd", str(folder), "-c", str(tmp_path / "rd.ini")]) == 0
    assert len(list((tmp_path / "out" / "files").iterdir())) == 4


# --- a folder of images


@pytest.fixture
def pictures(tmp_path):
    """A folder of three images, one of them gray."""
    (tmp_path / "in").mkdir()
    for name, channels in (("a", 3), ("b", 1), ("c", 3)):
        picture_file(tmp_path / "in" / f"{name}.png", 24, 32, channels)
    return tmp_path / "in"


@pytest.fixture
def untrained_batch(monkeypatch):
    """`compress` without training, in this process; the result maps a number of channels to an exception."""
    bad = {}

    def fake(image, *, progress, **options):
        if bad.get(image.shape[-1]):
            raise bad[image.shape[-1]]
        report = {"bpp": 1.0, "psnr": 20.0, "ssim": None, "steps": 3, "seconds": 0.1, "interrupted": False}
        report |= {"decoding_seconds": 0.1} | ({"reached": image.shape[-1] == 3} if "psnr" in options else {})
        return SimpleNamespace(data=write(encoded(*image.shape, hidden=HIDDEN, bits=(4,))), report=report)

    monkeypatch.setattr("siren_fastai.codec.batch.compress", fake)
    return bad


HIDDEN = [20, *[10] * 5]  # of the network that `compress` plans for 24x32 pixels at 6 bits per pixel, in gray and RGB


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_each_image_of_a_folder_becomes_a_file(pictures, tmp_path, capsys, jobs):
    out, arguments = tmp_path / "out", ["--bpp", "6", "--steps", "2", "--jobs", str(jobs)]
    assert main(["compress", str(pictures), str(out), *arguments, "--report", str(tmp_path / "r.json")]) == 0
    assert sorted(path.name for path in out.glob("*.sirn")) == ["a.sirn", "b.sirn", "c.sirn"]
    for name in "abc":
        assert decompress(out / f"{name}.sirn").shape == load_image(pictures / f"{name}.png").shape
    assert set(json.loads((tmp_path / "r.json").read_text())) == {"a", "b", "c"}
    assert capsys.readouterr().out.count("bits per pixel, PSNR") == 3


def test_files_that_exist_are_left_out_unless_they_may_be_overwritten(pictures, tmp_path, capsys, untrained_batch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.sirn").write_bytes(kept := write(encoded(24, 32, 1, HIDDEN, bits=(4,), omega_0=20.0)))
    command = ["compress", str(pictures), str(out), "--bpp", "6", "--jobs", "1"]
    assert main(command) == 0 and (out / "b.sirn").read_bytes() == kept
    told = capsys.readouterr().out
    assert f"{out / 'b.sirn'}: compressed already, left as it is" in told
    assert "1 of 3 images are compressed already; a file doesn't store --steps, --seed" in told
    assert "were not compared; --y compresses them again" in told
    assert main([*command, "--y"]) == 0 and (out / "b.sirn").read_bytes() != kept


OTHERS = [  # how the files of a folder were made, how they are asked for, and what is told
    ("--bpp 6", "--bpp 12", "widths: [2, 20, 10, 10, 10, 10, 10, 3], not [2, 30, 15"),
    ("--bpp 12", "--max_bytes 560", "bits per pixel), above 560 (5.833)"),
    ("--bpp 12", "--quality 1", "widths: "),
    ("--bpp 6", "--bpp 6 --color gray", "image: 24x32 pixels of 3 channels, not 24x32 pixels of 1 channel"),
    ("--bpp 6", "--bpp 6 --mean", "mean colour: none, not stored"),
    ("--bpp 6", "--bpp 6 --weights float16", "weights: quantized, not float16"),
    ("--bpp 6 --weights float16", "--bpp 6 --weights quantized_rows", "weights: float16, not quantized_rows"),
    ("--bpp 6 --weights quantized_rows", "--bpp 6", "weights: quantized_rows, not quantized"),
    ("--psnr 12", "--psnr 12 --denoise tv --denoise_strength 0.1", "denoiser: none, not tv of strength 0.1"),
    ("--bpp 9", "--bpp 9 --clusters 2 --clusters_cell 8", "clusters: none, not 2 as feature in 3x4 cells"),
]


@pytest.mark.parametrize("made, asked, told", OTHERS)
def test_files_that_other_options_made_are_refused(tmp_path, refused, capsys, made, asked, told):
    (tmp_path / "in").mkdir()
    picture_file(tmp_path / "in" / "a.png", 24, 32, 3)
    out, fixed = tmp_path / "out", ["--steps", "1", "--jobs", "1"]
    command = ["compress", str(tmp_path / "in"), str(out)]
    assert main([*command, *made.split(), *fixed]) in (0, 1)
    data = (out / "a.sirn").read_bytes()
    error = refused(*command, *asked.split(), *fixed)
    assert f"{out / 'a.sirn'}: " in error and told in error and "give --y to overwrite all" in error
    assert main([*command, *made.split(), *fixed, "--seed", "1"]) == 0  # the same options go on
    assert (out / "a.sirn").read_bytes() == data
    assert "a.sirn: compressed already, left as it is" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        "--bpp 9 --clusters 2 --clusters_cell 8",
        "--quality 100 --clusters 2 --clusters_cell 8 --clusters_use network",
        "--bpp 9 --mean --denoise auto",
        "--bpp 6 --denoise median --denoise_strength 1",
        "--max_bytes 600 --weights quantized_rows",
        "--quality 1",
    ],
)
def test_files_that_the_same_options_made_are_left_as_they_are(tmp_path, capsys, options):
    (tmp_path / "in").mkdir()
    picture_file(tmp_path / "in" / "a.png", 24, 32, 3)
    command = ["compress", str(tmp_path / "in"), str(tmp_path / "out"), *options.split(), "--steps", "1", "--jobs", "1"]
    assert main(command) == main(command) == 0
    assert "1 of 1 images are compressed already" in capsys.readouterr().out


def test_what_is_no_compressed_file_is_not_taken_for_one(pictures, tmp_path, refused):
    (tmp_path / "out").mkdir()
    for name in "ab":
        (tmp_path / "out" / f"{name}.sirn").write_text("my notes")
    error = refused("compress", pictures, tmp_path / "out", "--bpp", "6")
    assert "a.sirn: byte 0: expected" in error and "(and 1 more)" in error
    assert (tmp_path / "out" / "a.sirn").read_text() == "my notes"


@pytest.mark.parametrize("y", [[], ["--y"]])
@pytest.mark.parametrize(
    "report", ["out/a.sirn", "in/a.png", "out", ".", "out/.siren_fastai_lock", "out/../out/c.sirn"]
)
def test_a_report_in_the_place_of_another_file_is_refused_before_any_work(pictures, tmp_path, refused, y, report):
    error = refused("compress", pictures, tmp_path / "out", "--bpp", "6", "--report", tmp_path / report, *y)
    assert "--report" in error or "would overwrite the input" in error or "is a folder; name a file" in error
    assert not (tmp_path / "out").exists()


def test_an_output_in_the_place_of_an_image_is_refused(pictures, tmp_path, refused):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.sirn").symlink_to(pictures / "a.png")
    before = (pictures / "a.png").read_bytes()
    assert "would overwrite the input" in refused("compress", pictures, tmp_path / "out", "--bpp", "6", "--y")
    assert (pictures / "a.png").read_bytes() == before


def test_formats_that_pillow_only_writes_are_no_images_of_a_folder(pictures, tmp_path):
    for name in ("paper.pdf", "d.PDF", "palette.palm"):
        (pictures / name).write_text("not for Pillow")
    picture_file(pictures / "d.bmp")
    assert [path.name for path in images_in(pictures)] == ["a.png", "b.png", "c.png", "d.bmp"]


def test_an_image_that_fails_is_told_and_the_others_go_on(pictures, tmp_path, capsys, untrained_batch):
    (pictures / "broken.png").write_text("no image")
    untrained_batch[1] = ValueError("the smallest possible file has 99 bytes")
    assert main(["compress", str(pictures), str(tmp_path / "out"), "--bpp", "1", "--jobs", "1"]) == 1
    error = capsys.readouterr().err
    assert "broken.png: not an image that Pillow can read" in error and "b.png: ValueError: the smallest" in error
    assert "error: 2 of 4 images failed; the others are compressed" in error
    assert sorted(path.name for path in (tmp_path / "out").glob("*.sirn")) == ["a.sirn", "c.sirn"]


def test_a_psnr_that_an_image_of_a_folder_does_not_reach_is_told(pictures, tmp_path, capsys, untrained_batch):
    assert main(["compress", str(pictures), str(tmp_path / "out"), "--psnr", "40", "--jobs", "1"]) == 1
    assert "--psnr 40 was not reached by b; more --steps may help" in capsys.readouterr().err


def test_an_interrupted_folder_keeps_what_is_compressed(pictures, tmp_path, refused, untrained_batch):
    untrained_batch[1] = KeyboardInterrupt()
    error = refused("compress", pictures, tmp_path / "out", "--bpp", "1", "--jobs", "1", code=130)
    assert "interrupted; 1 of 3 images are compressed; the same command goes on" in error
    assert [path.name for path in (tmp_path / "out").glob("*.sirn")] == ["a.sirn"]


def test_the_command_that_was_interrupted_goes_on_with_its_report(pictures, tmp_path, refused, untrained_batch):
    command = ["compress", pictures, tmp_path / "out", "--bpp", "6", "--jobs", "1", "--report", tmp_path / "r.json"]
    untrained_batch[1] = KeyboardInterrupt()
    refused(*command, code=130)
    del untrained_batch[1]
    assert main(list(map(str, command))) == 0 and set(json.loads((tmp_path / "r.json").read_text())) == {"a", "b", "c"}


@pytest.mark.parametrize("content", ["my notes", "[1]", '{"thesis": 1}'])
def test_a_report_is_written_over_no_other_file(pictures, tmp_path, refused, untrained_batch, content):
    (tmp_path / "r.json").write_text(content)
    command = ["compress", pictures, tmp_path / "out", "--bpp", "1", "--report", tmp_path / "r.json"]
    assert "r.json already exists: give --y" in refused(*command)
    assert (tmp_path / "r.json").read_text() == content


def test_no_more_processes_are_started_than_there_are_images(pictures, tmp_path, monkeypatch):
    asked = []

    def started(images, jobs, scheduler, **options):
        asked.append(jobs)
        yield from ()

    monkeypatch.setattr("siren_fastai.cli.folders.compress_images", started)
    assert main(["compress", str(pictures), str(tmp_path / "out"), "--bpp", "1", "--jobs", "500"]) == 0
    assert asked == [3]


def test_folders_that_cannot_be_compressed_are_refused(pictures, tmp_path, refused):
    picture_file(pictures / "a.jpg", 24, 32, 3)
    assert "a.jpg and a.png would both be a.sirn; rename one" in refused("compress", pictures, tmp_path, "--bpp", "1")
    (tmp_path / "none").mkdir()
    assert "there are no images in" in refused("compress", tmp_path / "none", tmp_path / "out", "--bpp", "1")
    file = tmp_path / "file"
    file.touch()
    (pictures / "a.jpg").unlink()
    assert "is a file; name a folder" in refused("compress", pictures, file, "--bpp", "1")


@pytest.mark.slow
def test_rd_in_processes_measures_the_same_files(pictures, tmp_path):
    tables = []
    for jobs in ("1", "2"):
        out = tmp_path / jobs
        command = ["rd", str(pictures), "--output", str(out), "--bpp", "6", "0.01", "--steps", "2", "--codecs", "jpeg"]
        assert main([*command, "--jobs", jobs]) == 0
        table = pd.read_csv(out / "rd.csv").sort_values(["picture", "codec", "setting"], ignore_index=True)
        assert {path.name for path in (out / "files").iterdir()} == {f"{name}_6.0bpp.sirn" for name in "abc"}
        tables.append(table[["picture", "codec", "setting"]])
    pd.testing.assert_frame_equal(*tables)
