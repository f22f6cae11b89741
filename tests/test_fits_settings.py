"""The settings of a fit: checked when they are made, filled by presets, stored under the command line's names."""

from pathlib import Path

import numpy as np
import pytest

from siren_fastai.fits.presets import preset_values, resolve
from siren_fastai.fits.settings import FitSettings, option_name


@pytest.mark.parametrize(
    "settings, error, message",
    [
        (dict(size=0), ValueError, "`size` must be an integer of 1 or more, got 0"),
        (dict(size=2.5), ValueError, "`size` must be an integer"),
        (dict(epochs=True), ValueError, "`epochs` must be an integer of 0 or more, got True"),
        (dict(bs="some"), ValueError, "`bs` must be an integer of 1 or more or \"all\", got 'some'"),
        (dict(lr=0), ValueError, "`lr` must be a number above 0 that float32 can hold, got 0"),
        (dict(lr=1e308), ValueError, "`lr` must be a number above 0 that float32 can hold, got 1e[+]308"),
        (dict(omega_0=1e300), ValueError, "`omega_0` must be a number from 1e-06 to 1e[+]06, got 1e[+]300"),
        (dict(epochs=10**23), ValueError, "`epochs` must be at most 1000000000, got 1000"),
        (dict(seed=10**20), ValueError, "`seed` must be at most 9223372036854775807, got 1000"),
        (dict(hidden_layers=1001), ValueError, "`hidden_layers` must be at most 1000, got 1001"),
        (dict(lr="1e-3"), ValueError, "`lr` must be a number above 0 that float32 can hold, got '1e-3'"),
        (dict(omega_0=float("nan")), ValueError, "`omega_0` must be a number from 1e-06 to"),
        (dict(kind="sirene"), ValueError, "`kind` must be one of sine, siren"),
        (dict(overwrite="yes"), ValueError, "`overwrite` must be one of never, erase, number, got 'yes'"),
        (dict(preset="slow"), ValueError, "`preset` must be one of fast, official"),
        (dict(resize_mode="squeeze"), ValueError, "`resize_mode` must be one of"),
        (dict(image=3), TypeError, "`image` must be a path, a Pillow image, an array or a tensor, got int"),
        (dict(start=3), TypeError, "`start` must be a path or a Checkpoint, got int"),
        (dict(folder=3), ValueError, "`folder` must name the output folder, got 3"),
    ],
)
def test_impossible_settings_are_refused_at_once_by_name(settings, error, message):
    with pytest.raises(error, match=message):
        FitSettings(**{"folder": "run", **settings})


def test_numpys_numbers_are_numbers():
    settings = FitSettings(folder="run", bs=np.int64(64), lr=np.float32(0.5))
    assert (settings.bs, settings.lr) == (64, 0.5) and type(settings.bs) is int and type(settings.lr) is float


def test_a_folder_is_needed():
    with pytest.raises(ValueError, match="`folder` must name the output folder"):
        resolve(FitSettings("cat.png"))


@pytest.mark.parametrize("preset", ["fast", "official"])
def test_a_preset_gives_way_to_what_was_given(preset):
    resolved = resolve(FitSettings("cat.png", "run", preset=preset, lr=0.5))
    for name, value in preset_values(preset).items():
        assert getattr(resolved, name) == (0.5 if name == "lr" else value)
    open_still = {name for name in vars(resolved) if getattr(resolved, name) is None}
    assert open_still == {"size", "omega_0", "scheme", "start"}


def test_stored_settings_come_back_under_the_reports_names():
    resolved = resolve(FitSettings("cat.png", "run", preset="official", size=64))
    stored = resolved.stored()
    assert stored["sidelength"] == 64 and stored["model_type"] == "sine" and stored["num_epochs"] == 10_000
    assert stored["bs"] is None and option_name("log_every") == "steps_til_summary"
    assert FitSettings(folder="run", overwrite="never", **FitSettings.from_stored(stored)) == resolved
    del stored["lr"]
    with pytest.raises(ValueError, match="lacks the options .'lr'."):
        FitSettings.from_stored(stored)


def test_images_in_memory_are_stored_as_such():
    settings = FitSettings(np.zeros((9, 9, 3), np.float32), Path("run"), start=Path("a.safetensors"))
    assert settings.stored()["image_filepath"] == "(in memory)"
    assert settings.stored()["checkpoint_path"] == "a.safetensors"


def test_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is nothing to resume: no .*model_current"):
        resolve(FitSettings(folder=tmp_path, resume=True))
    with pytest.raises(ValueError, match="leave `overwrite` and `start` out"):
        resolve(FitSettings(folder=tmp_path, resume=True, overwrite="erase"))
