"""The progress of a command: the share that is done, and the time left of all of it."""

import io
from types import SimpleNamespace

import pytest
import torch
from cli_runs import picture_file

from siren_fastai.cli.main import main
from siren_fastai.cli.terminal import EncodeProgress, render_progress
from siren_fastai.codec.compress import compress
from siren_fastai.images import load_image
from siren_fastai.models.siren import siren_model
from siren_fastai.progress import Progress, duration
from siren_fastai.render import render


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


def shown(shares_by_second, terminal=False, bound="about"):
    """What is written for a share of the work at each second."""
    clock, stream = Clock(), io.StringIO()
    stream.isatty = lambda: terminal
    progress = Progress(stream, every_s=0.0, clock=clock)
    for second, share in enumerate(shares_by_second):
        clock.now = float(second)
        progress.show(share, "epoch 1/2", bound)
    return stream.getvalue()


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (59.6, "1:00"), (83, "1:23"), (3600, "1:00:00"), (7283.2, "2:01:23")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_without_a_terminal_a_line_comes_now_and_then():
    lines = shown([i / 1000 for i in range(501)]).splitlines()
    assert lines[:3] == [
        "this takes about 16:40",
        "  1 %  epoch 1/2  16:30 left",
        "  2 %  epoch 1/2  16:20 left",
    ]
    assert lines[-1].startswith(" 4") and 20 < len(lines) < 30  # every 10 s for 100 s, then ever more rarely


def test_what_is_brief_is_not_announced():
    assert shown([i / 9 for i in range(10)]) == ""
    assert shown([i / 99 for i in range(5)], bound="up to") == "this takes up to 1:39\n"


def test_on_a_terminal_one_line_is_redrawn():
    text = shown([0.0, 0.25, 0.5], terminal=True)
    assert text.endswith("\r\033[K[###############               ]  epoch 1/2  0:02 left") and "\n" not in text


def test_the_time_left_of_a_resumed_fit_is_that_of_the_rest():
    lines = shown([0.5 + i / 1000 for i in range(31)]).splitlines()
    assert lines[0] == "this takes about 8:20" and lines[1] == " 51 %  epoch 1/2  8:10 left"


class Shares(Progress):
    """Keeps the shares instead of showing them."""

    def __init__(self):
        super().__init__(io.StringIO())
        self.shares, self.bounds = [], []

    def show(self, done, text="", bound="about"):
        self.shares.append(done)
        self.bounds.append(bound)


def test_the_progress_of_compress_covers_all_its_fits(tmp_path):
    shares, plans = Shares(), []
    line = EncodeProgress(progress=shares)

    def planned(plan):
        plans.append(plan)
        line.plan(plan)

    image = load_image(picture_file(tmp_path / "a.png", 24, 32))
    made = compress(image, bpp=6, steps=20, progress=False, cbs=[line], on_plan=planned)
    assert plans[0].steps == 20 and made.report["steps"] == len(shares.shares)
    assert shares.shares[7] == pytest.approx(8 / (8 + 200 + 1.6 * 12)) and shares.shares[19] == pytest.approx(1)
    assert all(after > before for before, after in zip(shares.shares[:19], shares.shares[1:20], strict=True))


def test_a_search_is_bounded_by_the_tries_that_are_left():
    shares = Shares()
    line = EncodeProgress(tries=5, progress=shares)
    line.learn = SimpleNamespace(n_epoch=1, dls=SimpleNamespace(train=range(2)))
    for work in (100.0, 300.0):
        line.plan(SimpleNamespace(steps=2, work_until=lambda step, work=work: work * step / 2))
        line.before_fit()
        for _ in range(2):
            line.after_batch()
    assert shares.shares == pytest.approx([50 / 500, 100 / 500, 250 / 1300, 400 / 1300])
    assert set(shares.bounds) == {"up to"}


def test_a_larger_plan_takes_more_work(tmp_path):
    plans = []
    image = load_image(picture_file(tmp_path / "a.png", 24, 32))
    for bpp in (4, 16):
        compress(image, bpp=bpp, steps=1, progress=False, on_plan=plans.append)
    assert plans[0].steps == plans[1].steps == 1 and plans[0].work_until(1) < plans[1].work_until(1)


def test_a_rendering_counts_positions_and_leaves_the_network_as_it_was(monkeypatch):
    shares = Shares()
    monkeypatch.setattr("siren_fastai.cli.terminal.Progress", lambda: shares)
    model = siren_model([2, 4, 1])
    with render_progress(model, 24):
        render(model, (4, 6), chunk=10)
    assert shares.shares == pytest.approx([10 / 24, 20 / 24, 1.0])
    render(model, (4, 6))
    assert len(shares.shares) == 3 and torch.is_tensor(render(model, (2, 2)))


def test_brief_commands_print_nothing_on_standard_error(tmp_path, capsys):
    path = picture_file(tmp_path / "a.png", 24, 32)
    assert main(["compress", str(path), str(tmp_path / "a.sirn"), "--bpp", "6", "--steps", "2"]) == 0
    assert capsys.readouterr().err == ""
