"""The note's decoder for a whole batch, compared with image by image as the note drew it: seconds and peak memory.

python benchmarks/decoder.py [--batch 64] [--size 32] [--rounds 5]

"training" is a forward and a backward pass, "drawing" a forward pass in eval mode without gradients. Image by image,
each code is repeated for all pixels and concatenated with the position features, as in note 002. Seconds are medians of
alternating rounds in one run (the processor's with one thread and no GPU); "times faster" compares with image by image.
"160 positions" trains on as many pixels of each image, drawn at random, which only decoders of positions can do.
bfloat16 is PyTorch's autocast. Memory is the peak beyond what the process held before, each line in its own process
(Linux only).
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from clock import now, timed_by
from report import report

from siren_fastai.autoencoder.decoders.decoder import Decoder
from siren_fastai.autoencoder.decoders.hypernetwork import HypernetworkDecoder
from siren_fastai.autoencoder.decoders.local import LocalCodesDecoder
from siren_fastai.autoencoder.decoders.manifold import ImageManifoldDecoder
from siren_fastai.autoencoder.decoders.modulated import ModulatedSirenDecoder
from siren_fastai.autoencoder.positions import position_features

CODE, POSITIONS = 102, 160
DECODERS = {
    "note, h256 2x2": lambda size: ImageManifoldDecoder(CODE, default_shape=(size, size)),
    "note, h64 4x2": lambda size: ImageManifoldDecoder(
        CODE, num_hidden=64, num_blocks=4, cos=False, default_shape=(size, size)
    ),
    "local codes": lambda size: LocalCodesDecoder(CODE, default_shape=(size, size)),
    "modulated sines": lambda size: ModulatedSirenDecoder(CODE, default_shape=(size, size)),
    "hypernetwork": lambda size: HypernetworkDecoder(CODE, default_shape=(size, size)),
}


def image_by_image(decoder, codes):
    """The images of `codes`, one after the other, as note 002 draws them."""
    images = []
    for code in codes:
        positions = decoder.grid_positions().to(codes)
        features = position_features(positions, decoder.frequencies, decoder.cos)
        x = decoder.input(torch.cat([code.expand(len(features), -1), features], dim=1))
        colors = decoder.output(decoder.blocks(decoder.activation(x)[None]))[0]
        images.append(colors.T.reshape(1, -1, *decoder.default_shape))
    return torch.cat(images)


def at_some(decoder: Decoder, codes):
    positions = decoder.grid_positions().to(codes)
    return decoder.at(codes, positions[torch.randint(len(positions), (len(codes), POSITIONS), device=codes.device)])


def whole_batch(decoder, codes):
    return decoder(codes)


def in_bfloat16(draw):
    def drawn(decoder, codes):
        with torch.autocast(codes.device.type, torch.bfloat16):
            return draw(decoder, codes)

    return drawn


PASSES = {
    "image by image": image_by_image,
    "whole batch": whole_batch,
    "whole batch, bfloat16": in_bfloat16(whole_batch),
    f"{POSITIONS} positions": at_some,
    f"{POSITIONS} positions, bfloat16": in_bfloat16(at_some),
}


def run(decoder, codes, draw, train: bool) -> float:
    """Seconds of one pass."""
    decoder.train(train)
    started = now()
    with torch.set_grad_enabled(train):
        images = draw(decoder, codes)
        if train:
            images.float().square().mean().backward()
    return now() - started


def peak_memory(options, decoder: str, how: str, train: bool) -> float:
    """MiB beyond the start, in a process of its own."""
    job = [decoder, how, str(int(train)), str(options.batch), str(options.size)]
    done = subprocess.run([sys.executable, __file__, "--job", *job], capture_output=True, text=True, check=True)
    start, peak = json.loads(done.stdout.splitlines()[-1])
    return peak - start


def peak_of_this_process() -> float:
    """MiB, from Linux: `getrusage` would count what the parent held when it started this process."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def memory_job(decoder: str, how: str, train: str, batch: str, size: str) -> None:
    model = DECODERS[decoder](int(size)).to(DEVICE)
    run(model, torch.randn(2, CODE, device=DEVICE), PASSES[how], train == "1")
    start = peak_of_this_process()
    run(model, torch.randn(int(batch), CODE, device=DEVICE), PASSES[how], train == "1")
    print(json.dumps([start, peak_of_this_process()]))


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def rows_of(options, name: str) -> list[dict]:
    torch.manual_seed(0)
    decoder = DECODERS[name](options.size).to(DEVICE)
    codes, rows = torch.randn(options.batch, CODE, device=DEVICE), []
    theirs = isinstance(decoder, ImageManifoldDecoder)
    for train in (True, False) if theirs else (True,):
        passes = {how: draw for how, draw in PASSES.items() if (theirs or how != "image by image")}
        passes = passes if train else {how: passes[how] for how in ("image by image", "whole batch")}
        seconds = {how: [] for how in passes}
        for _ in range(options.rounds + 1):
            for how, draw in passes.items():
                seconds[how].append(run(decoder, codes, draw, train))
        medians = {how: statistics.median(times[1:]) for how, times in seconds.items()}
        for how, median in medians.items():
            row = {"decoder": name, "pass": "training" if train else "drawing", "how": how, "seconds": median}
            row["times faster"] = medians["image by image"] / median if theirs else None
            rows.append(row | {"peak MiB": peak_memory(options, name, how, train)})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        return memory_job(*options.job)
    rows = [row for name in DECODERS for row in rows_of(options, name)]
    report("decoder", rows, dict(batch=options.batch, size=options.size, rounds=options.rounds, seconds=timed_by()))


if __name__ == "__main__":
    main()
