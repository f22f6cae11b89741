"""One image as a network, JPEG, WebP and AVIF in files of about equal size; writes docs/small_files.png.

python benchmarks/equal_bytes.py [--picture chelsea] [--bytes 2240] [--steps N]

The other codecs write the file whose size is closest to the network's.
"""

import argparse

import matplotlib.pyplot as plt
import skimage.data
from report import report

from siren_fastai.classics import available_codecs, encode_classic, pillow_points
from siren_fastai.codec.compress import compress
from siren_fastai.figures import show_pictures
from siren_fastai.files import replacing
from siren_fastai.images import load_image, to_uint8
from siren_fastai.quality import psnr, ssim

SHOWN = {"network": "network", "jpeg": "JPEG", "webp": "WebP"}


def closest(image, codec: str, n_bytes: int):
    """`(quality, bytes, decoded)` of the file whose size is closest to `n_bytes`."""
    sizes = {quality: len(encode_classic(image, codec, quality)) for quality in range(101)}
    return pillow_points(image, codec, [min(sizes, key=lambda quality: abs(sizes[quality] - n_bytes))])[0]


def files(image, n_bytes: int, steps: int | None) -> dict:
    """`(setting, bytes, decoded image)` of each codec."""
    ours = compress(image, max_bytes=n_bytes, steps=steps, progress=False)
    made = {"network": ("default steps" if steps is None else f"{steps} steps", len(ours.data), ours.image)}
    return made | {codec: closest(image, codec, len(ours.data)) for codec in available_codecs()}


def row(codec: str, setting, n_bytes: int, decoded, image) -> dict:
    rounded = to_uint8(decoded) / 255
    quality = {"PSNR dB": psnr(rounded, image), "SSIM": ssim(rounded, image)}
    return {"codec": codec, "setting": setting, "bytes": n_bytes, "bpp": 8 * n_bytes / image[..., 0].numel(), **quality}


def draw(image, made: dict, rows: list[dict]) -> None:
    shown = {f"original, {image.numel()} bytes uncompressed": image}
    for r in rows:
        if r["codec"] in SHOWN:
            shown[f"{SHOWN[r['codec']]}, {r['bytes']} bytes, {r['PSNR dB']:.1f} dB"] = made[r["codec"]][2]
    figure, axes = plt.subplots(2, 2, figsize=(9.1, 6.6), layout="constrained")
    show_pictures(shown, axes.flat)
    with replacing("docs/small_files.png") as temporary:
        figure.savefig(temporary, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", default="chelsea", help="one of scikit-image's, or a file")
    parser.add_argument("--bytes", type=int, default=2240)
    parser.add_argument("--steps", type=int, help="of training (default: the codec's)")
    options = parser.parse_args()
    image = load_image(getattr(skimage.data, options.picture, lambda: options.picture)(), mode="rgb")
    made = files(image, options.bytes, options.steps)
    rows = [row(codec, *parts, image) for codec, parts in made.items()]
    report("equal_bytes", rows, dict(picture=options.picture, size=tuple(image.shape[:2]), seed=0))
    draw(image, made, rows)


if __name__ == "__main__":
    main()
