"""Ctrl-C, SIGTERM and SIGHUP, once, twice and ten times: an answer at once, and nothing that existed is lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from cli_runs import TINY, picture_file

from siren_fastai.cli.main import main
from siren_fastai.cli.signals import SIGNALS, Stopped, answering_signals
from siren_fastai.files import MARK
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.sirn.decode import decompress


@contextmanager
def signals_at(handler):
    """All three signals with this handler, also where a shell's background job ignores Ctrl-C."""
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.001)  # a handler runs between two lines of Python


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_first_signal_interrupts_and_the_second_stops(number, capfd):
    with signals_at(signal.SIG_DFL):
        with answering_signals("finishing"):
            with pytest.raises(KeyboardInterrupt):
                send(number)
            assert capfd.readouterr().err == "\nsiren-fastai: finishing\n"
            with pytest.raises(Stopped):
                send(number)
            for _ in range(8):
                send(number)
        assert signal.getsignal(number) == signal.SIG_DFL


def test_a_signal_a_while_after_the_second_is_heard_again(monkeypatch):
    now = iter([0.0, 0.1, 0.2, 5.0])
    monkeypatch.setattr("siren_fastai.cli.signals.time.monotonic", lambda: next(now))
    with signals_at(signal.SIG_DFL), answering_signals():
        for error in (KeyboardInterrupt, Stopped):
            with pytest.raises(error):
                send(signal.SIGTERM)
        send(signal.SIGTERM)
        with pytest.raises(Stopped):
            send(signal.SIGTERM)


def test_ignored_signals_stay_ignored():
    with signals_at(signal.SIG_IGN), answering_signals():
        for number in SIGNALS:
            send(number)


def test_other_threads_leave_the_signals_alone():
    def block():
        with answering_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen, before = [], signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_command_that_is_stopped_ends_with_one_line(capsys, monkeypatch, tmp_path):
    def stopped(*args, **options):
        raise Stopped

    monkeypatch.setattr("siren_fastai.codec.compress.compress", stopped)
    image = picture_file(tmp_path / "image.png", 24, 32, 3)
    assert main(["compress", str(image), str(tmp_path / "x.sirn"), "--bpp", "6"]) == 130
    assert capsys.readouterr().err.endswith("error: stopped; files that existed or were written before are whole\n")


# --- real processes

TRAINING = (
    "import sys; from siren_fastai.cli.main import main; from siren_fastai.learner import PixelLearner\n"
    "one_batch = PixelLearner.one_batch\n"
    "def said(learn, *args): one_batch(learn, *args); learn.iter == 20 and print('training', flush=True)\n"
    "PixelLearner.one_batch = said\n"
    "sys.exit(main())"
)


def signalled(*arguments, numbers, between=0.0):
    """Run a command, and send it these signals in the middle of its training; returns the process and its messages."""
    with signals_at(signal.default_int_handler):  # or a background job's children would ignore SIGINT
        command = [sys.executable, "-c", TRAINING, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    with process:
        try:
            assert "training\n" in process.stdout
            for number in numbers:
                process.send_signal(number)
                time.sleep(between)
            _, error = process.communicate()
        finally:
            watchdog.cancel()
            process.kill()
    assert "Traceback" not in error and not process.returncode < 0, error
    return process.returncode, error


def left_over(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(f"{MARK}-")]


@pytest.mark.slow
def test_a_compression_that_is_asked_to_end_keeps_the_good_file_and_writes_another(tmp_path):
    image = picture_file(tmp_path / "image.png", 24, 32, 3)
    good = tmp_path / "x.sirn"
    good.write_text("good")
    line = ["compress", image, good, "--bpp", "6", "--steps", "100000", "--y"]
    code, error = signalled(*line, numbers=[signal.SIGTERM])
    assert code == 130 and "finishing with the best result so far; press again to stop" in error
    assert good.read_text() == "good" and decompress(tmp_path / "x.interrupted.sirn").shape == (24, 32, 3)
    assert not left_over(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit", "compress"])
def test_ten_signals_within_a_second(command, tmp_path):
    image = picture_file(tmp_path / "image.png", 24, 32, 3)
    (tmp_path / "x.sirn").write_text("good")
    lines = {
        "fit": f"fit --image_filepath {image} --experiment_name {tmp_path}/run --num_epochs 100000 --bs 8".split()
        + TINY,
        "compress": f"compress {image} {tmp_path}/x.sirn --bpp 6 --steps 100000 --y".split(),
    }
    numbers = [signal.SIGINT, signal.SIGHUP, *[signal.SIGINT] * 8]
    code, error = signalled(*lines[command], numbers=numbers, between=0.02)
    assert code == 130 and not left_over(tmp_path)
    assert (tmp_path / "x.sirn").read_text() == "good"
    if command == "fit":
        assert "--resume" in error
        assert load_checkpoint(tmp_path / "run" / "checkpoints" / "model_current.safetensors").render().isfinite().all()
