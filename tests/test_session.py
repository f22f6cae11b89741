"""The README's block and a whole session, run as a user types them, with fewer epochs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

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


def run(code: str, changes: dict[str, str]) -> dict:
    for old, new in changes.items():
        assert code.count(old) == 1, f"{old!r} is not in the text to run"
        code = code.replace(old, new)
    names = {}
    exec(compile(code, "session", "exec"), names)
    return names


def test_the_readmes_block_runs_as_it_stands(folder):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    names = run(block, {"fit_one_cycle(30)": "fit_one_cycle(1)"})
    assert names["image"].shape == (512, 512, 3) and len(names["learn"].metric_history.rows) == 1


def test_a_whole_session_runs_as_it_is_typed(folder):
    names = run(SESSION, {"fit_one_cycle(20, 1e-3)": "fit_one_cycle(3, 1e-3)", "fit_one_cycle(5,": "fit_one_cycle(2,"})
    image, table = names["image"], pd.read_csv(folder / "history.csv")
    assert image.shape == (512, 512, 3) and image.dtype == torch.float32 and 0 <= image.min() <= image.max() <= 1
    assert torch.equal(names["learn"].render(size=512), image)
    assert table.epoch.tolist() == [0, 1, 2, 3, 4] and table.fit.tolist() == [0, 0, 0, 1, 1]
    assert np.isfinite(table[["psnr", "ssim", "valid_loss"]]).all().all()
