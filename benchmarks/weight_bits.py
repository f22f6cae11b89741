"""What k bits for each weight cost: PSNR and bytes of whole files, with and without training for the bits.

python benchmarks/weight_bits.py [PICTURE] [--size 256] [--seeds 0 1 2] [--steps 1500]

One network per random seed, sized for 0.5 bits per pixel, then k = 2 to 10 bits for every tensor with one step each
(rounded), with a step per row, and after fine-tuning with quantised weights for half as many steps; float16; and bits
chosen tensor by tensor for the size of the 4, 5 and 6 bit files, also fine-tuned with a rate penalty. A size is the
length of the file; PSNR is that of the 8-bit pixels that the file decodes to. Medians over the seeds. A second
table compares the default networks' sizes with JPEG.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

from clock import square_picture
from fastai.torch_core import no_random
from report import report
from torch import nn

from siren_fastai.classics import pillow_points
from siren_fastai.codec.size import dims_for
from siren_fastai.codec.training import FittedNetwork, Trainer
from siren_fastai.coords import grid_coords
from siren_fastai.default_model import HIDDEN
from siren_fastai.images import to_uint8
from siren_fastai.models.siren import siren_model
from siren_fastai.quality import psnr
from siren_fastai.quantize.allocate import choose_quantizers, sample_error
from siren_fastai.quantize.quantizers import BITS, fit_quantizer
from siren_fastai.sirn.contents import Network
from siren_fastai.sirn.decode import decompress
from siren_fastai.sirn.encode import encoded_of
from siren_fastai.sirn.format import write

TUNE = 0.5  # of the steps


def scored(image, model: nn.Module, quantizers) -> tuple[int, float]:
    """Bytes and PSNR of the file."""
    data = write(encoded_of(model, tuple(image.shape[:2]), quantizers))
    return len(data), psnr(to_uint8(decompress(data)) / 255.0, to_uint8(image) / 255.0)


def tuned(image, network: FittedNetwork, quantizers, steps: int, penalized: bool = False) -> tuple[int, float]:
    """After fine-tuning with these quantisers; or with a rate penalty, towards the bits that they take."""
    trainer, steps = Trainer(image, progress=False), round(TUNE * steps)
    if penalized:
        network, quantizers = trainer.tune_towards(network, quantizers, 1.0, steps)
    else:
        network, quantizers = trainer.fine_tune(network, quantizers, steps)
    return scored(image, network.model, quantizers)


def one_seed(image, seed: int, steps: int) -> dict[tuple, tuple[int, float]]:
    """(bits, method) -> bytes and PSNR."""
    found, pixels = {}, image.shape[0] * image.shape[1]
    with no_random(seed):
        start = FittedNetwork(siren_model(dims_for(0.5 * pixels / 8, image.shape[2])))
        network = Trainer(image, progress=False).fit(start, steps)
        fresh = replace(network, rate=None)  # a later fit takes the default rate
        model, error = network.model, sample_error(grid_coords(image.shape[:2]), image.flatten(0, 1))
        found["float16", "rounded"] = scored(image, model, None)
        for bits in BITS:
            for method, by_row in (("rounded", False), ("a step per row", True)):
                quantizers = {name: fit_quantizer(p, bits, by_row) for name, p in model.named_parameters()}
                found[bits, method] = scored(image, model, quantizers)
            quantizers = {name: fit_quantizer(p, bits) for name, p in model.named_parameters()}
            found[bits, "fine-tuned"] = tuned(image, fresh, quantizers, steps)
        for bits in (4, 5, 6):
            row = f"chosen, for the size of {bits}"
            quantizers = choose_quantizers(model, error, 8 * found[bits, "rounded"][0] - 8 * 24)
            found[row, "rounded"] = scored(image, model, quantizers)
            found[row, "fine-tuned"] = tuned(image, fresh, quantizers, steps)
            found[row, "rate penalty"] = tuned(image, fresh, quantizers, steps, penalized=True)
    return found


def table(runs: list[dict], pixels: int) -> list[dict]:
    rows = []
    for bits in dict.fromkeys(bits for bits, _ in runs[0]):
        row = {"bits": bits}
        for method in ("rounded", "a step per row", "fine-tuned", "rate penalty"):
            if (bits, method) in runs[0]:
                sizes, levels = zip(*(run[bits, method] for run in runs), strict=True)
                row[f"{method}: bpp"] = 8 * statistics.median(sizes) / pixels
                row[f"{method}: dB"] = statistics.median(levels)
                row[f"{method}: spread"] = max(levels) - min(levels)
        rows.append(row)
    return rows


def jpeg_at(image, level: float) -> tuple[int, int, float]:
    """The least quality of JPEG with this PSNR (or the best): quality, bytes, PSNR."""
    target = to_uint8(image) / 255.0
    points = pillow_points(image, "jpeg", range(1, 101))
    found = [(quality, size, psnr(decoded, target)) for quality, size, decoded in points]
    return next((point for point in found if point[2] >= level), found[-1])


def reality(image) -> list[dict]:
    """The default networks' weights in float32, float16, 8 and 4 bits, compared with the raw image and JPEG."""
    pixels, channels, rows = image.shape[0] * image.shape[1], image.shape[2], []
    for dims in ([2, 256, 128, 64, 32, channels], [2, 512, 256, 128, 64, channels], [2, *HIDDEN, channels]):
        n = Network.count(dims)
        row = {"what": str(dims), "parameters": n}
        rows.append(row | {f"{bits} bit bpp": bits * n / pixels for bits in (32, 16, 8, 4)})
    rows.append({"what": "raw 8 bit picture", "bytes": pixels * channels, "bpp": 8.0 * channels})
    for level in (33, 36, 38):
        quality, size, found = jpeg_at(image, level)
        rows.append({"what": f"JPEG, quality {quality}, {found:.1f} dB", "bytes": size, "bpp": 8 * size / pixels})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", default="astronaut")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    image = square_picture(options.picture, options.size)
    notes = dict(picture=Path(options.picture).stem, size=options.size, seeds=options.seeds, steps=options.steps)
    runs = [one_seed(image, seed, options.steps) for seed in options.seeds]
    report("weight_bits", table(runs, options.size**2), notes)
    report("weight_bits_reality", reality(image), dict(picture=notes["picture"], size=options.size))


if __name__ == "__main__":
    main()
