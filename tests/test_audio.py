"""Wave files of every kind are read and written, and a sound is fitted, measured, drawn and written back."""

import struct
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from learners import quiet
from scipy.io import wavfile

from siren_fastai.audio.figures import show_sounds, spectrogram
from siren_fastai.audio.files import load_audio, save_audio
from siren_fastai.data import PixelDataLoaders
from siren_fastai.learner import siren_learner
from siren_fastai.metrics import PSNR, SNR
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import snr

pytestmark = pytest.mark.numerics

RATE = 8000


def tone(n=400, channels=1, hertz=200):
    time = np.arange(n)[:, None] / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * (1 + np.arange(channels)) * time)).astype(np.float32)


def sound_learner(folder, source=None, **kwargs):
    source = tone() if source is None else source
    rate = RATE if isinstance(source, np.ndarray) else None
    dls = PixelDataLoaders.from_audio(source, rate, path=folder, **kwargs)
    return quiet(siren_learner(dls, siren_model([1, 16, dls.train_ds.n_channels])))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("kind", "step"), [("uint8", 2**-7), ("int16", 2**-15), ("int32", 2**-24), ("float32", 0)])
def test_a_sound_comes_back_from_its_file_to_half_a_step(tmp_path, kind, step, channels):
    path = save_audio(torch.from_numpy(tone(channels=channels)), tmp_path / "a.wav", RATE, kind)
    values, rate = load_audio(path)
    assert rate == RATE and values.dtype == np.float32 and values.shape == (400, channels)
    assert np.abs(values - tone(channels=channels)).max() <= 0.5 * step
    assert wavfile.read(path)[1].dtype == kind


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0, 64, 128, 255], np.uint8), [-1, -0.5, 0, 127 / 128]),
        (np.array([-(2**15), 0, 2**14], np.int16), [-1, 0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1, 0, 0.5]),
        (np.array([-1.5, 0, 0.25], np.float64), [-1.5, 0, 0.25]),
    ],
)
def test_every_type_of_sample_has_its_unit(tmp_path, samples, expected):
    wavfile.write(tmp_path / "a.wav", RATE, samples)
    assert load_audio(tmp_path / "a.wav")[0][:, 0].tolist() == expected


def test_24_bits_are_read(tmp_path):
    body = b"".join(struct.pack("<i", value)[:3] for value in (-(2**23), 0, 2**22))
    form = struct.pack("<HHIIHH", 1, 1, RATE, 3 * RATE, 3, 24)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body + b"\0"
    Path(tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert load_audio(tmp_path / "a.wav")[0][:, 0].tolist() == [-1, 0, 0.5]


def test_a_title_in_the_file_is_no_warning(tmp_path):
    path = save_audio(tone(), tmp_path / "a.wav", RATE)
    path.write_bytes(path.read_bytes() + b"JUNK" + struct.pack("<I", 4) + b"cats")
    assert len(load_audio(path)[0]) == 400


def test_files_that_hold_no_sound_are_errors(tmp_path):
    whole = save_audio(tone(), tmp_path / "whole.wav", RATE).read_bytes()
    for name, content in {"empty": b"", "text": b"no sound at all", "header": whole[:30], "half": whole[:300]}.items():
        (tmp_path / f"{name}.wav").write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}.wav can't be read as a wave file"):
            load_audio(tmp_path / f"{name}.wav")
    (tmp_path / "silent.wav").write_bytes(whole[:40] + struct.pack("<I", 0))
    with pytest.raises(ValueError, match="silent.wav (holds no sound|can't be read)"):
        load_audio(tmp_path / "silent.wav")
    with pytest.raises(FileNotFoundError):
        load_audio(tmp_path / "none.wav")


def test_what_no_wave_file_can_hold_is_an_error(tmp_path):
    path = tmp_path / "a.wav"
    for error, match, arguments in [
        (ValueError, "must end in .wav", (tone(), tmp_path / "a.mp3", RATE)),
        (ValueError, "`kind` must be one of", (tone(), path, RATE, "int24")),
        (ValueError, "integer of Hz above 0, got 0", (tone(), path, 0)),
        (ValueError, "integer of Hz above 0, got 0.5", (tone(), path, 0.5)),
        (TypeError, "must be floats", (np.zeros(4, int), path, RATE)),
        (ValueError, r"\(n,\) or \(n, channels\), got \(1, 400\)", (tone().T, path, RATE)),
        (ValueError, "must be finite", (np.array([np.nan]), path, RATE)),
    ]:
        with pytest.raises(error, match=match):
            save_audio(*arguments)
    assert not path.exists()


def test_values_beyond_the_range_are_clamped_in_integers_only(tmp_path):
    values = np.array([-2.0, 2.0])
    assert load_audio(save_audio(values, tmp_path / "a.wav", RATE))[0][:, 0].tolist() == [-1, 32767 / 32768]
    assert load_audio(save_audio(values, tmp_path / "a.wav", RATE, "float32"))[0][:, 0].tolist() == [-2, 2]


def test_a_tone_has_its_power_at_its_frequency():
    frequencies, times, powers = spectrogram(tone(4096, hertz=1000), RATE)
    assert frequencies[powers.mean(1).argmax()] == pytest.approx(1000)
    assert powers.max() == pytest.approx(0.5**2 / 2, rel=1e-3)
    assert powers.shape == (len(frequencies), len(times)) and 0 < times[0] < times[-1] < 4096 / RATE


def test_short_sounds_and_missing_samples_have_spectrograms():
    assert spectrogram(np.zeros((3, 2)), RATE)[2].shape == (2, 1)
    assert np.isfinite(spectrogram(np.full((600, 1), np.nan), RATE)[2]).all()
    with pytest.raises(ValueError, match="`samples` must be"):
        spectrogram(np.zeros((2, 2, 2)), RATE)


def test_waves_and_spectrograms_share_their_colours():
    figure = show_sounds({"target": torch.from_numpy(tone()), "error": torch.from_numpy(0.1 * tone())}, RATE)
    waves, spectra = figure.axes[:2], figure.axes[2:4]
    assert [ax.get_title() for ax in waves] == ["target", "error"]
    images = [ax.images[0] for ax in spectra]
    assert images[0].get_clim() == images[1].get_clim() == (-90, 0)
    loudest = [image.get_array().max() for image in images]
    assert loudest == pytest.approx([0, -20], abs=1e-4)
    plt.close(figure)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_session_from_a_file_to_a_file(tmp_path, channels):
    path = save_audio(tone(channels=channels), tmp_path / "in.wav", RATE)
    learn = sound_learner(tmp_path, path)
    data = learn.dls.train_ds
    assert data.rate == RATE and data.value_range == (-1, 1) and "rate=8000" in repr(data)
    learn.fit_fast(2)
    written, rate = load_audio(learn.save_audio(tmp_path / "out.wav"))
    assert rate == RATE and written.shape == (400, channels)
    assert np.abs(written - learn.render().numpy()).max() <= 2**-15
    assert len(load_audio(learn.save_audio(tmp_path / "twice.wav", rate=2 * RATE))[0]) == 800
    learn.show_results()
    assert [ax.get_title() for ax in plt.gcf().axes[:3]] == ["target", "reconstruction", "error"]
    learn.export("a.pkl")
    assert load_learner(tmp_path / "a.pkl").render(rate=RATE / 2).shape == (200, channels)


def test_the_default_metric_of_a_sound_is_the_snr_of_what_is_written(tmp_path):
    learn = sound_learner(tmp_path)
    learn.dls.valid.bs = 37
    (metric,) = learn.metrics
    assert isinstance(metric, SNR) and metric.name == "snr"
    got, error = learn.validate()[1], learn.render().numpy() - tone()
    assert got == pytest.approx(10 * np.log10((tone() ** 2).sum() / (error**2).sum()), abs=1e-4)
    assert got == pytest.approx(snr(learn.render(), tone()), abs=1e-4)
    assert isinstance(siren_learner(PixelDataLoaders.from_array(tone(), value_range=(-1, 1))).metrics[0], PSNR)


def test_snr_of_equal_and_of_silent_sounds():
    assert snr(tone(), tone()) == np.inf and snr(tone(), np.zeros_like(tone())) == -np.inf
    assert np.isnan(snr(np.zeros(3), np.zeros(3)))
    assert snr(0.9 * tone(), tone()) == pytest.approx(20, abs=1e-4)


def test_a_part_of_a_sound_is_read_in_seconds(tmp_path):
    dls = PixelDataLoaders.from_audio(tone(), RATE, start=0.01, seconds=0.02)
    np.testing.assert_array_equal(dls.train_ds.values, tone()[80:240])
    assert len(PixelDataLoaders.from_audio(tone(), RATE, seconds=99.0).train_ds) == 400
    assert PixelDataLoaders.from_audio(tone()[:, 0], RATE).train_ds.values.shape == (400, 1)


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32"])
def test_samples_of_an_array_are_those_of_its_file(tmp_path, kind):
    rate, samples = wavfile.read(save_audio(tone(), tmp_path / "a.wav", RATE, kind))
    arrays, file = PixelDataLoaders.from_audio(samples, rate), PixelDataLoaders.from_audio(tmp_path / "a.wav")
    assert arrays.train_ds.value_range == (-1, 1)
    assert torch.equal(arrays.train_ds.values, file.train_ds.values)


@pytest.mark.parametrize(
    ("source", "options", "error", "match"),
    [
        (tone(), {}, ValueError, "`rate` must be the samples per second of an array"),
        (tone(), {"rate": -1}, ValueError, "`rate` must be .* above 0, got -1"),
        (tone(), {"rate": RATE, "start": 1.0}, ValueError, "no samples from 1 s on: the sound has 0.05 s"),
        (tone(), {"rate": RATE, "seconds": -1}, ValueError, "`seconds` must be seconds, 0 or more"),
        (3 * tone(), {"rate": RATE}, ValueError, "must be in `value_range`"),
        (
            np.zeros((9, 9, 2)),
            {"rate": RATE},
            ValueError,
            r"samples must be \(n,\) or \(n, channels\), got \(9, 9, 2\)",
        ),
        (np.zeros(9, np.int64), {"rate": RATE}, TypeError, "uint8, int16 or int32, got int64"),
        ([0.0, 1.0], {"rate": RATE}, TypeError, "path of a wave file or an array, got list"),
        ("a.wav", {"rate": RATE}, ValueError, "the file states its own"),
    ],
)
def test_what_is_no_sound_is_an_error(source, options, error, match):
    with pytest.raises(error, match=match):
        PixelDataLoaders.from_audio(source, **options)


def test_rates_that_make_no_sense_are_errors(tmp_path):
    learn = sound_learner(tmp_path)
    with pytest.raises(ValueError, match="not both"):
        learn.render(100, rate=RATE)
    with pytest.raises(ValueError, match="integer of Hz"):
        learn.save_audio(tmp_path / "a.wav", rate=0.5)
    plain = quiet(siren_learner(PixelDataLoaders.from_array(tone()), siren_model([1, 8, 1])))
    with pytest.raises(ValueError, match="the data have none"):
        plain.render(rate=RATE)
    with pytest.raises(ValueError, match="no sound with a `rate`"):
        plain.save_audio(tmp_path / "a.wav")
    assert not (tmp_path / "a.wav").exists()
