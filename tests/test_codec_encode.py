"""The steps of an encode: rounds of fine-tuning until the file fits, or a file that is rounded once more."""

from dataclasses import dataclass, field

import pytest
import torch
from fastai.torch_core import no_random
from learners import picture

from siren_fastai.codec.clusters import Clusters
from siren_fastai.codec.encode import fit_source, quantize_network
from siren_fastai.codec.plan import Settings, plan_for
from siren_fastai.codec.source import FREQUENCIES, source_of
from siren_fastai.codec.training import FittedNetwork, Trainer
from siren_fastai.quality import psnr
from siren_fastai.quantize.quantizers import Quantizer, round_step
from siren_fastai.sirn.decode import decompress

pytestmark = pytest.mark.numerics

FEW_BITS = (2, 4, 6, 8)


@dataclass(frozen=True)
class SpoilingTrainer(Trainer):
    """Its first `spoiled` tunings end with steps so fine that the file is too large; `gentle` records how it tuned."""

    spoiled: int = 0
    gentle: list = field(default_factory=list)

    def fine_tune(self, network, quantizers, steps, budget_bits=None, gently=False):
        self.gentle.append(gently)
        tuned, found = super().fine_tune(network, quantizers, steps, budget_bits, gently)
        finer = {n: Quantizer(10, round_step(q.step / 4)) for n, q in found.items()}
        return tuned, finer if len(self.gentle) <= self.spoiled else found


def encoded(spoiled=0, n_bytes=900, steps=12, image=None, clusters=None, **settings):
    image = torch.from_numpy(picture(24, 32)) if image is None else image
    source = source_of(image, clusters=clusters)
    with no_random(0):
        plan = plan_for(source, n_bytes, Settings(steps, bits=FEW_BITS, **settings))
        trainer = SpoilingTrainer(source.values, "cpu", False, spoiled=spoiled)
        source, fitted = fit_source(source, plan, trainer)
        found = quantize_network(source, fitted, plan, trainer)
    assert len(found.data) <= n_bytes and psnr(decompress(found.data), image) > 5
    return found, trainer.gentle


def test_new_networks_start_low_in_every_direction_of_the_pixels_and_at_the_mean_colour():
    image = torch.from_numpy(picture(20, 80))
    model = source_of(image).network([2, 4096, 3])
    reach = model[0].omega_0 * model[0].linear.weight.detach().abs().amax(0)
    torch.testing.assert_close(reach, torch.tensor([FREQUENCIES / 2.0, FREQUENCIES * 2.0]), rtol=0.03, atol=0)
    torch.testing.assert_close(model[-1].bias.detach(), image.mean((0, 1)))
    many = source_of(image, clusters=Clusters(2, use="network")).network([2, 8, 3])
    assert (
        len({p.detach()[0, 0].item() for name, p in many.named_parameters() if name.endswith("0.linear.weight")}) == 2
    )


@pytest.mark.parametrize("clusters", [None, Clusters(2, use="network"), Clusters(3)], ids=["one", "two", "features"])
def test_a_file_that_is_too_large_is_fine_tuned_again_gently(clusters):
    _, gentle = encoded(spoiled=1, clusters=clusters)
    assert gentle[:2] == [False, True] and len(gentle) <= 3


def test_a_file_that_stays_too_large_is_rounded_once_more_to_its_size():
    found, gentle = encoded(spoiled=9)
    assert gentle == [False, True, True] and len(found.data) > 0.9 * 900


@pytest.mark.slow
def test_a_flat_image_is_not_taken_for_a_fit_that_diverged():
    image = torch.full((16, 16, 3), 0.25)
    found, _ = encoded(n_bytes=600, steps=150, image=image)
    assert psnr(decompress(found.data), image) > 40 and found.network.steps < 200


@pytest.mark.parametrize("weights", ["quantized", "float16"])
def test_quantising_leaves_the_fitted_network_as_it_is(weights):
    source = source_of(torch.from_numpy(picture(24, 32)))
    plan = plan_for(source, 1200, Settings(5, weights, FEW_BITS))
    fitted = FittedNetwork(source.network(plan.dims), steps=3)
    before = [p.detach().clone() for p in fitted.model.parameters()]
    found = quantize_network(source, fitted, plan, Trainer(source.values, "cpu", False))
    assert all(torch.equal(a, b) for a, b in zip(before, fitted.model.parameters(), strict=True))
    assert found.network.steps == 3 + (0 if weights == "float16" else 3) and fitted.steps == 3


def test_clusters_by_error_end_with_other_labels_and_the_given_source_keeps_its_own():
    source = source_of(torch.from_numpy(picture(24, 32)), clusters=Clusters(2, "error", "network", cell=4))
    first = source.labels.map.copy()
    plan = plan_for(source, 1200, Settings(12, bits=FEW_BITS))
    moved, _ = fit_source(source, plan, Trainer(source.values, "cpu", False))
    assert (moved.labels.map != first).any() and (source.labels.map == first).all()
