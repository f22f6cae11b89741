"""`benchmarks/gpu.py`: every part runs, with tiny images and without a GPU; what fails or hangs loses only itself."""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fastai.torch_core import defaults

from siren_fastai.images import save_image

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import gpu

    return gpu


@pytest.fixture
def parts(gpu, monkeypatch):
    import gpu_parts

    monkeypatch.setattr(defaults, "use_cuda", False)
    return gpu_parts


def printed(text, mark):
    return [json.loads(line.removeprefix(mark)) for line in text.splitlines() if line.startswith(mark)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["levels", "goal", "many", "codec", "memory", "loops"])
def test_a_part_prints_a_row_for_each_measure(name, gpu, parts, capsys):
    parts.PARTS[name](parts.Cases(argparse.Namespace(quick=True, device="cpu", folder="")))
    cases = printed(capsys.readouterr().out, gpu.MARK)
    rows = [row for case in cases for row in gpu.rows_of(name, case)]
    assert len(cases) >= 1 and all(np.isfinite(row["median"]) and row["unit"] for row in rows)
    assert torch.get_float32_matmul_precision() == "highest"
    if name == "codec":
        (apart,) = (row["median"] for row in rows if row["measure"] == "decoded pixels differ by")
        assert apart <= 1


@pytest.mark.slow
def test_images_of_a_folder_are_mirrored_until_there_are_24(parts, tmp_path):
    image = torch.rand(8, 10, 3)
    for name in "abcdefghijklmn":
        save_image(image, tmp_path / f"{name}.png")
    name, images = parts.images_of(parts.Cases(argparse.Namespace(quick=True, device="cpu", folder=str(tmp_path))))
    assert name == "images (14 of the folder, 10 mirrored)" and len(images) == 24
    assert torch.equal(images[14], images[0].flip(1))


def test_every_part_has_a_limit_and_all_of_them_end_in_time(gpu, parts):
    assert set(gpu.LIMITS) == set(parts.PARTS)
    assert gpu.TOTAL < 540 and max(gpu.LIMITS.values()) < gpu.TOTAL


def script(tmp_path, body):
    path = tmp_path / "parts.py"
    case = {"case": "one", "measures": {"training": [[3.0, 1.0, 2.0], "s"], "size": [5, "bytes"]}, "peak": 7.0}
    path.write_text(f"import sys, time\nprint('row: ' + {json.dumps(json.dumps(case))}, flush=True)\n{body}\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "body, end",
    [
        ("", "complete"),
        ("print('some words')", "complete"),
        ("sys.exit('no such thing')", "failed with code 1: no such thing"),
        ("time.sleep(60)", "stopped at its limit of 1 s"),
        (
            "import subprocess; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
            "stopped at its limit of 1 s",
        ),
    ],
)
def test_a_part_that_fails_or_hangs_keeps_the_rows_that_it_printed(body, end, gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "PARTS", script(tmp_path, body))
    start = time.monotonic()
    limit = 1.0 if "limit" in end else 30.0
    options = argparse.Namespace(device="cpu", quick=True, folder="")
    *rows, last = gpu.run_part("many", options, limit)
    assert [row["median"] for row in rows] == [2.0, 5] and rows[0]["range"] == "1–3" and rows[1]["range"] is None
    assert rows[0]["peak MiB"] == 7.0
    assert last["case"] == end and time.monotonic() - start < 25


@pytest.mark.slow
def test_the_table_is_printed_and_stored(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "PARTS", script(tmp_path, ""))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["gpu.py", "--device", "cpu", "--quick", "--parts", "many", "codec", "--name", "x"]
    )
    gpu.main()
    stored = json.loads((tmp_path / "benchmarks/results/x.json").read_text())
    assert [row["part"] for row in stored["rows"]] == ["many"] * 3 + ["codec"] * 3
    assert stored["about"]["quick"] is True
    assert "| codec | one | training | 2 | s | 1–3 | 7 |" in capsys.readouterr().out


def test_a_machine_without_a_gpu_is_told_so(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "no CUDA device here; `--device cpu --quick`" in capsys.readouterr().err
