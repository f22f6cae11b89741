"""`siren-fastai info`: what a compressed file holds, and where its bytes go."""

import json

from siren_fastai.cli.errors import as_usage
from siren_fastai.cli.options import Chosen, Command, Option
from siren_fastai.cli.paths import read_coded
from siren_fastai.cli.shared import CONFIG, PRINT_CONFIG, SIRN_FILE

__all__ = ["COMMAND"]

OPTIONS = (SIRN_FILE, CONFIG, Option("json", "print it as JSON", None), PRINT_CONFIG)


def run(chosen: Chosen) -> int:
    """Print a head line and a table of the parts, or with --json the same as JSON."""
    from siren_fastai.sirn.format import Limits, parts, read

    limits = Limits(work=float("inf"))  # nothing is decoded here
    data = read_coded(chosen.file, limits.size)
    with as_usage(f"{chosen.file}: "):
        encoded, rows = read(data, limits), parts(data, limits)
    head = _head(encoded, len(data))
    if chosen.json:
        named = [{"name": name, "bytes": size, "text": text} for name, size, text in rows]
        print(json.dumps({"file": chosen.file, **head, "parts": named}, indent=1))
        return 0
    print(
        f"{chosen.file}: {head['height']}x{head['width']} pixels, {_channels(encoded.channels)}, "
        f"{head['parameters']:,} parameters; {len(data):,} bytes, {head['bits_per_pixel']:.4f} bits per pixel\n"
    )
    print(_table([("part", "bytes", "share", ""), *((n, f"{s:,}", f"{s / len(data):.1%}", t) for n, s, t in rows)]))
    return 0


def _head(encoded, n_bytes: int) -> dict:
    from siren_fastai.quality import bits_per_pixel
    from siren_fastai.sirn.contents import Network

    return {
        "height": encoded.height,
        "width": encoded.width,
        "channels": encoded.channels,
        "parameters": sum(Network.count(network.dims) for network in encoded.networks),
        "bytes": n_bytes,
        "bits_per_pixel": bits_per_pixel(n_bytes, (encoded.height, encoded.width)),
    }


def _channels(count: int) -> str:
    return {1: "gray", 3: "RGB"}.get(count, f"{count} channels")


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    """Columns of text: names and texts aligned left, numbers right."""
    name, size, share = (max(len(row[column]) for row in rows) for column in (0, 1, 2))
    return "\n".join(f"{a:<{name}}  {b:>{size}}  {c:>{share}}  {d}".rstrip() for a, b, c, d in rows)


COMMAND = Command(
    name="info",
    summary="print what a compressed file holds, and where its bytes go",
    about="Print what a compressed file holds, and where its bytes go.",
    usage="FILE [options]",
    groups={"options": OPTIONS},
    run=run,
)
