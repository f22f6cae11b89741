"""The README's Python blocks and a whole session, run as a user types them, with fewer epochs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from siren_fastai.audio.files import load_audio, save_audio
from siren_fastai.images import load_image, save_image
from siren_fastai.inpainting.files import load_network

ROOT = Path(__file__).parent.parent
SESSION = """
from siren_fastai.all import *
set_seed(42, reproducible=True)

dls = PixelDataLoaders.from_image('data/astronaut.png', size=128, bs=4096)
dls.show_batch()
learn = siren_learner(dls, siren_model([2, 256, 128, 64, 32, 3]),
                      metrics=[PSNR(), SSIM()], cbs=[ApplyInit(33), MetricHistory()])
learn.lr_find()
learn.fit_one_cycle(20, 1e-3)
learn.show_results()
learn.fit_one_cycle(5, 3e-4, cbs=FreezeLayers('0.*'))
image = learn.render(size=512)
learn.metric_history.to_frame(); learn.metric_history.to_csv('history.csv')
learn.export('astronaut.pkl'); learn = load_learner('astronaut.pkl')
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the project's pictures in `data`."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code: str, changes: dict[str, str], names: dict | None = None) -> dict:
    for old, new in changes.items():
        assert code.count(old) == 1, f"{old!r} is not in the text to run"
        code = code.replace(old, new)
    names = {} if names is None else names
    exec(compile(code, "session", "exec"), names)
    return names


def readme_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)


def test_every_python_block_of_the_readme_is_run_here():
    assert len(readme_blocks("python")) == 6


def test_the_readmes_five_lines_and_its_zoom_run(folder):
    five_lines, zoom, *_ = readme_blocks("python")
    names = run(five_lines, {"fit_fast(30)": "fit_fast(1)", "size=256": "size=48"})
    assert names["learn"].dls.train_ds.shape == (48, 48) and names["learn"].final_record[-1] > 10  # dB
    names = run(zoom, {"size=1024": "size=96", "size=512": "size=64"}, names)
    assert names["large"].shape == (96, 96, 3) and names["face"].shape == (64, 64, 3)
    assert load_image(folder / "face.png").shape == (64, 64, 3)
    assert "webgl2" in (folder / "astronaut.html").read_text()


# fastai's tabular data in pandas 3, whose arrays are read-only
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
def test_the_readmes_tabular_example_runs(folder):
    tabular = readme_blocks("python")[2]
    learn = run(tabular, {"fit_one_cycle(10)": "fit_one_cycle(2)"})["learn"]
    history = learn.metric_history.to_frame()
    assert 1 <= len(history) <= 2 and history.accuracy.between(0, 1).all()


def test_the_readmes_autoencoder_runs(folder):
    changes = {"tile_dataloaders()": "tile_dataloaders(count=168)", "fit_one_cycle(10)": "fit_one_cycle(1)"}
    block = "from siren_fastai.all import *\n" + readme_blocks("python")[3]
    names = run(block, changes)
    assert names["codes"].shape == (2, 102) and names["between"].shape == (8, 3, 64, 64)
    assert names["learn"].final_record[1] < 0.1  # L1; a gray image has about 0.2


def test_the_readmes_network_for_holes_is_trained_and_fills_one(folder):
    photos = {name: load_image(ROOT / "data" / f"{name}.png")[64:176, 40:152] for name in ("astronaut", "cat")}
    (folder / "folder").mkdir()
    for name, photo in photos.items():
        save_image(photo, folder / "folder" / f"{name}.png")
    mask = torch.ones(112, 112)
    mask[50:60, 50:60] = 0
    save_image(photos["cat"], folder / "photo.png"), save_image(mask, folder / "mask.png")
    changes = {"size=128": "size=64", "bs=16": "bs=4", "fit_one_cycle(20)": "fit_one_cycle(1)"}
    changes |= {'conv="gated"': 'conv="gated", widths=(8, 16)', "side=(8, 24)": "side=(4, 8)"}
    block = "from siren_fastai.all import *\n" + readme_blocks("python")[4]
    filled = run(block, changes)["filled"]
    assert torch.equal(filled[mask > 0], load_image(folder / "photo.png")[mask > 0]) and filled.isfinite().all()
    assert load_network(folder / "unet.safetensors").settings["conv"] == "gated"


@pytest.mark.slow
def test_the_readmes_sound_film_gradients_solid_and_folder_run(folder):
    save_audio(np.sin(np.arange(4000) / 20), folder / "clip.wav", 8000)
    for place in ("frames", "folder"):
        (folder / place).mkdir()
    for i in range(4):
        save_image(torch.full((8, 10, 3), i / 4), folder / "frames" / f"{i}.png")
        save_image(torch.rand(10, 12, 3), folder / "folder" / f"{i}.png")
    save_image(torch.rand(20, 24, 3), folder / "photo.png")
    points = torch.nn.functional.normalize(torch.randn(600, 3), dim=1)
    changes = {"fit_fast(40)": "fit_fast(1)", "size=64": "size=12", "size=128": "size=8", "size=512": "size=24"}
    start = {"points": points, "normals": points}
    exec("from siren_fastai.all import *", start)
    names = run(readme_blocks("python")[5], changes, start)
    assert load_audio(folder / "network.wav")[0].shape == (4000, 1)
    assert names["between"].shape == (20, 8, 10, 3) and names["large"].shape[0] == 24
    assert (folder / "solid.obj").stat().st_size > 1000 and len(list((folder / "fields").glob("*.safetensors"))) == 4


@pytest.mark.slow
def test_a_whole_session_runs_as_it_is_typed(folder):
    names = run(SESSION, {"fit_one_cycle(20, 1e-3)": "fit_one_cycle(3, 1e-3)", "fit_one_cycle(5,": "fit_one_cycle(2,"})
    image, table = names["image"], pd.read_csv(folder / "history.csv")
    assert image.shape == (512, 512, 3) and image.dtype == torch.float32 and 0 <= image.min() <= image.max() <= 1
    assert torch.equal(names["learn"].render(size=512), image)
    assert table.epoch.tolist() == [0, 1, 2, 3, 4] and table.fit.tolist() == [0, 0, 0, 1, 1]
    assert np.isfinite(table[["psnr", "ssim", "valid_loss"]]).all().all()
