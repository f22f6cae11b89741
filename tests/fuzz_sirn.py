"""A fuzzer of the `.sirn` decoder: `python tests/fuzz_sirn.py --cases 50000 --seed 0`.

Files are invented (valid ones of extreme sizes, made by the writer; golden ones with bytes changed; sections of random
content) and get a checksum that fits. With the default limits each must be refused with a FormatError or decoded to
finite pixels, within `--seconds` of processor time and `--megabytes` beyond its output. What breaks that is printed as
hex, for tests/test_sirn_hostile.py; the exit status says whether anything did.
"""

import argparse
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sirn_files import reseal

from siren_fastai.names import DENOISERS
from siren_fastai.sirn.contents import CodedTensor, Denoise, Encoded, Labels, Network
from siren_fastai.sirn.decode import decode
from siren_fastai.sirn.format import FormatError, read, write
from siren_fastai.sirn.reader import varint

GOLDEN = [path.read_bytes() for path in sorted((Path(__file__).parent / "golden").glob("*.sirn"))]
SIDES = (1, 2, 3, 7, 16, 64, 100, 400, 1000, 1300, 4096, 8192, 30000, 1 << 20, 1 << 26)
WIDTHS = (1, 2, 3, 8, 16, 40, 64, 128, 256, 512, 1024, 4096)
CHANNELS = (1, 1, 1, 3, 3, 3, 2, 4, 8, 64, 300, 1300, 4096)
STRENGTHS = (1e-4, 0.01, 0.1, 1.0, 2.0, 8.0, 10.0)


def valid(rng: random.Random) -> bytes:
    """A file as the writer makes it, of any size it may have."""
    height, width = rng.choice(SIDES), rng.choice(SIDES)
    channels, k = rng.choice(CHANNELS), rng.choice((1, 1, 1, 2, 5, 40, 256))
    labels = None
    if k > 1:
        size = [min(n, rng.choice((1, 2, 16, 32, 360))) for n in (height, width)]
        use = rng.choice(("network", "network", "feature", "scalar"))
        labels = Labels(np.random.default_rng(rng.getrandbits(32)).integers(0, k, size), k, use)
    inputs = 2 + (Labels.features(labels.k, labels.use) if labels else 0)
    hidden = rng.choice(([], [rng.choice(WIDTHS)], [rng.choice(WIDTHS)] * rng.choice((2, 5, 64))))
    networks = [
        network([inputs, *hidden, channels], rng) for _ in range(k if labels and labels.use == "network" else 1)
    ]
    noise = Denoise(rng.choice(DENOISERS), rng.choice(STRENGTHS)) if rng.random() < 0.4 else None
    omega = rng.choice((30.0, 30.0, 2.0**-10, 2.0**17))
    return write(Encoded(height, width, channels, networks, omega_0=omega, labels=labels, denoise=noise))


def network(dims: list[int], rng: random.Random) -> Network:
    """Mostly zeros, which take no bytes: the cheapest way to claim much."""
    if Network.count(dims) > 1 << 21:
        raise ValueError("more than any file of this size may claim")
    tensors = []
    for shape in Network.shapes(dims):
        symbols = np.zeros(shape, np.int32)
        if rng.random() < 0.2:
            symbols.flat[:: rng.randint(1, 50)] = rng.randint(-31, 31)
        tensors.append(CodedTensor("uniform", 6, torch.tensor(2.0 ** rng.choice((-126, -8, 0, 32))), symbols))
    return Network(dims, tensors)


def damaged(rng: random.Random) -> bytes:
    """A golden file with a few bytes set, inserted or removed."""
    body = bytearray(rng.choice(GOLDEN)[:-4])
    for _ in range(rng.randint(1, 6)):
        at, text = rng.randrange(5, len(body)), rng.randbytes(rng.randint(1, 4))
        kind = rng.choice(("set", "insert", "delete", "number"))
        text = varint(rng.choice(SIDES)) if kind == "number" else text
        body[at : at + (0 if kind == "insert" else len(text))] = b"" if kind == "delete" else text
    return bytes(body) + bytes(4)


def invented(rng: random.Random) -> bytes:
    """Sections in order, of numbers and bytes that mean something."""
    pieces = [varint(n) for n in SIDES] + [b"\x06", b"\x16", b"\x26", b"\0", b"\x06\x80\x3e\x00", b"\x00\x00\x00\x3f"]
    body = b"\x89SRN\x01"
    for tag in range(1, 6):
        if tag in (1, 4) or rng.random() < 0.4:
            text = b"".join(rng.choices(pieces, k=rng.randint(0, 8)))
            if tag == 1:
                text = bytes([rng.choice((0, 16, 32, 8, 4))]) + text
            body += bytes([tag]) + varint(len(text)) + text
    return body + bytes(4)


def peak(reset: bool = False) -> int:
    """Most resident bytes of this process since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split("VmHWM:")[1].split()[0])


def decoded(data: bytes) -> tuple[str, float, int]:
    """What became of a file, the processor seconds and the bytes beyond its output that this took."""
    before, start, image = peak(reset=True), time.process_time(), torch.zeros(())
    try:
        image, became = decode(read(data)), "decoded"
    except FormatError:
        became = "refused"
    except Exception as error:  # what the fuzzer is for: reported with the file
        became = repr(error)
    seconds, spent = time.process_time() - start, peak() - before - 4 * image.numel()
    finite = all(bool(part.isfinite().all()) for part in image.view(-1).split(1 << 20))
    return became if finite else "not finite", seconds, spent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--megabytes", type=float, default=500.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, counts, worst, finds = random.Random(options.seed), {}, {"seconds": 0.0, "megabytes": 0.0}, 0
    for case in range(options.cases):
        make = rng.choices((valid, damaged, invented), (3, 5, 2))[0]
        try:
            data = reseal(make(rng))
        except ValueError:  # the writer refuses it: no such file
            continue
        became, seconds, spent = decoded(data)
        for _ in range(2):  # beside other programs a file may take several times its processor time: the least counts
            if seconds > options.seconds:
                seconds = min(seconds, decoded(data)[1])
        kind = became if became in ("decoded", "refused") else "broken"
        counts[kind] = counts.get(kind, 0) + 1
        megabytes = spent / 1e6
        if kind == "broken" or seconds > options.seconds or megabytes > options.megabytes:
            finds += 1
            print(f"case {case}, {make.__name__}: {became}, {seconds:.2f} s, {megabytes:.0f} MB: {data.hex()}")
        worst = {"seconds": max(worst["seconds"], seconds), "megabytes": max(worst["megabytes"], megabytes)}
        if case % 1000 == 999:
            print(f"{case + 1} cases, {counts}, worst {worst}", file=sys.stderr, flush=True)
    print(f"{counts}, worst {worst}, {finds} finds")
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
