"""The cache of generated images: made once, checked before it is trusted, and never at the cost of a user's file."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from siren_fastai.datasets.cache import FILE, MARK, cache_folder, cached_images
from siren_fastai.datasets.tiles import tile_images


def counted():
    """A generator of images and how often it was called."""
    calls = []

    def numbers(count=3, seed=0):
        calls.append(count)
        return torch.full((count, 1, 2, 2), seed, dtype=torch.uint8), torch.arange(count)

    return numbers, calls


def only_file(folder):
    (path,) = folder.rglob(FILE)
    return path


def test_images_are_made_once_per_parameters_and_version(tmp_path):
    make, calls = counted()
    first = cached_images(make, 1, tmp_path, count=3, seed=5)
    again = cached_images(make, 1, tmp_path, count=3, seed=5)
    assert calls == [3] and all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    cached_images(make, 2, tmp_path, count=3, seed=5)
    cached_images(make, 1, tmp_path, count=3, seed=6)
    cached_images(make, 1, tmp_path, count=2, seed=5)
    assert calls == [3, 3, 3, 2]


def test_cached_tiles_are_those_that_are_drawn(tmp_path):
    for _ in range(2):
        images, groups = cached_images(tile_images, 1, tmp_path, count=5, seed=2)
        assert torch.equal(images, tile_images(5, 2)[0]) and torch.equal(groups, tile_images(5, 2)[1])


def changed_value(path):
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])["__metadata__"]
    tensors = load_file(path)
    tensors["images"][1, 0, 0, 0] += 1
    save_file(tensors, path, header)


def other_parameters(path):
    tensors = load_file(path)
    save_file(tensors, path, {"mark": MARK, "about": "{}", "sha256": "0"})


def other_types(path):
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(path).items()}
    save_file(tensors, path, {"mark": MARK})


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("damage", [changed_value, other_parameters, other_types, cut_off])
def test_a_damaged_file_of_ours_is_written_again_with_a_warning(tmp_path, damage):
    make, calls = counted()
    cached_images(make, 1, tmp_path, count=3, seed=7)
    damage(only_file(tmp_path))
    with pytest.warns(UserWarning, match="is damaged .*generated again"):
        images, _ = cached_images(make, 1, tmp_path, count=3, seed=7)
    assert (images == 7).all() and len(calls) == 2
    cached_images(make, 1, tmp_path, count=3, seed=7)
    assert len(calls) == 2


@pytest.mark.parametrize("content", [b"", b"a letter", None])
def test_a_file_of_somebody_elses_is_left_alone(tmp_path, content):
    make, calls = counted()
    cached_images(make, 1, tmp_path, count=3)
    path = only_file(tmp_path)
    if content is None:
        save_file({"images": torch.zeros(3)}, path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="isn't a cache file of siren_fastai: move it away, or set SIREN_FASTAI_CACHE"):
        cached_images(make, 1, tmp_path, count=3)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_costs_a_warning_only(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    make, calls = counted()
    with pytest.warns(UserWarning, match="can't be written"):
        images, _ = cached_images(make, 1, tmp_path / "file", count=3)
    assert len(images) == 3 and calls == [3]


def test_a_full_disk_costs_a_warning_only(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("siren_fastai.datasets.cache.save_file", full)
    make, _ = counted()
    with pytest.warns(UserWarning, match="can't be written.*No space left"):
        assert len(cached_images(make, 1, tmp_path, count=3)[0]) == 3
    assert not list(tmp_path.rglob(FILE)) and not list(tmp_path.rglob("*.safetensors"))


def test_the_folder_is_the_given_one_the_variables_or_the_users(tmp_path, monkeypatch):
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.setenv("SIREN_FASTAI_CACHE", str(tmp_path / "of variable"))
    assert cache_folder() == tmp_path / "of variable"
    monkeypatch.delenv("SIREN_FASTAI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "siren_fastai"


@pytest.mark.slow
def test_of_three_processes_at_once_one_makes_the_images(tmp_path):
    code = (
        "import os, sys, time, torch\n"
        "from siren_fastai.datasets.cache import cached_images\n"
        "def slow(count):\n"
        "    open(f'{sys.argv[1]}/made by {os.getpid()}', 'w').close()\n"
        "    time.sleep(1)\n"
        "    return torch.full((count, 1, 2, 2), 9, dtype=torch.uint8), torch.arange(count)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(int(cached_images(slow, 1, sys.argv[1], count=4)[0].sum()))\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path], **start) for _ in range(3)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in processes] == ["144\n"] * 3
    assert len(list(tmp_path.glob("made by *"))) == 1
