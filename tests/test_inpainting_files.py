"""Files of inpainting networks: equal after reading, half the bytes, and hostile ones end in a clear error."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from siren_fastai.inpainting.files import load_network, save_network
from siren_fastai.inpainting.networks import ae, ae_fc, unet

NETWORKS = {
    "unet": lambda: unet(widths=(4, 6), last_skip=False, conv="gated", attention=True),
    "partial": lambda: unet(widths=(4, 6), conv="partial", dilation=(2, 4)),
    "ae": lambda: ae(widths=(4, 6), channels=1, norm="group"),
    "ae_fc": lambda: ae_fc(16, 5, widths=(4, 6)),
}


def batch(model):
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(3, model.channels, 16, 16, generator=generator)
    mask = torch.ones(3, 1, 16, 16)
    mask[:, :, 4:9, 5:12] = 0
    return image, mask


def trained(name):
    """A network whose batch norm has seen images."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    model.train()(*batch(model))
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_is_read_is_equal(name, tmp_path):
    model = trained(name)
    path = save_network(model, tmp_path / "net.safetensors", about={"seed": 3})
    state = torch.get_rng_state()
    loaded = load_network(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.settings == model.settings and loaded.about == {"seed": 3} and not loaded.training
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert torch.equal(loaded(*batch(model)), model(*batch(model)))


def test_a_file_of_float16_is_nearly_half_as_large_and_nearly_equal(tmp_path):
    model = unet(widths=(16, 32))
    whole, half = (save_network(model, tmp_path / f"{half}.safetensors", half=half) for half in (False, True))
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    loaded = load_network(half)
    assert next(loaded.parameters()).dtype == torch.float32
    torch.testing.assert_close(loaded(*batch(model)), model.eval()(*batch(model)), atol=5e-3, rtol=0)


def test_a_file_is_read_on_the_cpu_whatever_the_weights_were_in(tmp_path):
    model = NETWORKS["unet"]().double()
    loaded = load_network(save_network(model, tmp_path / "net.safetensors"))
    assert next(loaded.parameters()).dtype == torch.float32


def with_header(path, model, **changes):
    """A file with another header."""
    save_network(model, path)
    header = {"format": "siren_fastai inpainting network", "version": 1, "settings": model.settings, "about": {}}
    tensors = load_file(path)
    path.write_bytes(save(tensors, {"siren_fastai": json.dumps({**header, **changes})}))
    return path


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "siren_fastai start"}, "its format is not"),
        ({"version": 2}, "it is of version 2, and this library reads version 1"),
        ({"settings": {"kind": "unet", "widths": [4, 8]}}, "are not those of `settings`"),
        ({"settings": {"kind": "unet", "widths": [4096] * 8}}, "are not those of `settings`"),
        ({"settings": {"kind": "unet", "dilation": [2] * 10**5}}, "ask for more layers"),
        ({"settings": {"kind": "unet", "widths": [10**9, 8]}}, "`widths` must be of integers from 1 to"),
        ({"settings": {"kind": "gan"}}, "`kind` must be one of"),
        ({"settings": {"secret": 1}}, "unexpected keyword argument"),
        ({"settings": [1, 2]}, "no attribute 'get'"),
        ({"about": 3}, "not iterable"),
    ],
)
def test_a_file_with_another_header_is_an_error(changes, message, tmp_path):
    path = with_header(tmp_path / "net.safetensors", NETWORKS["unet"](), **changes)
    with pytest.raises(ValueError, match=f"(?s)is not an inpainting network .*{message}"):
        load_network(path)


def test_files_that_are_damaged_or_of_another_kind_are_errors(tmp_path):
    path = save_network(NETWORKS["ae"](), tmp_path / "net.safetensors")
    content = path.read_bytes()
    for n in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:n])
        with pytest.raises(ValueError, match="is not an inpainting network"):
            load_network(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="its format is not"):
        load_network(path)
    with pytest.raises(FileNotFoundError):
        load_network(tmp_path / "missing.safetensors")


def test_wrong_tensors_are_errors(tmp_path):
    model = NETWORKS["unet"]()
    path = save_network(model, tmp_path / "net.safetensors")
    tensors = load_file(path)
    header = {"format": "siren_fastai inpainting network", "version": 1, "settings": model.settings, "about": {}}
    name = next(name for name in tensors if tensors[name].is_floating_point())
    wrong = [
        (torch.full_like(tensors[name], torch.nan), "holds NaN or infinite values"),
        (tensors[name].to(torch.int32), "must be of torch.float32 or torch.float16"),
        (tensors[name][:1], "are not those of `settings`"),
    ]
    for tensor, message in wrong:
        path.write_bytes(save({**tensors, name: tensor.contiguous()}, {"siren_fastai": json.dumps(header)}))
        with pytest.raises(ValueError, match=message):
            load_network(path)


def test_what_cannot_be_saved_is_an_error_and_leaves_an_older_file(tmp_path):
    path = save_network(NETWORKS["ae"](), tmp_path / "net.safetensors")
    before = path.read_bytes()
    with pytest.raises(TypeError, match="must be an inpainting network, as `unet"):
        save_network(torch.nn.Linear(2, 2), path)
    changed = NETWORKS["unet"]()
    changed.head = torch.nn.Identity()
    with pytest.raises(ValueError, match="was changed in a way"):
        save_network(changed, path)
    diverged = NETWORKS["unet"]()
    next(diverged.parameters()).data.fill_(torch.inf)
    with pytest.raises(ValueError, match="diverged"):
        save_network(diverged, path)
    large = NETWORKS["unet"]()
    next(large.parameters()).data.fill_(1e6)
    with pytest.raises(ValueError, match="float16 is too small"):
        save_network(large, path, half=True)
    with pytest.raises(ValueError, match="must end in .safetensors"):
        save_network(NETWORKS["ae"](), tmp_path / "net.pth")
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["net.safetensors"]
