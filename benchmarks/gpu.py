"""What a CUDA machine makes of the library, in one command of at most nine minutes and one table.

python benchmarks/gpu.py [--folder kodak] [--parts suite loops ...] [--device cuda] [--quick] [--name gpu]

suite    the tests that need a CUDA device
levels   seconds to 35 and 40 dB at 256x256 and 512x512, compared with the recipe of Sitzmann et al. 2020
goal     512x512 with three hidden layers of 256: seconds and PSNR of short fits; the goal is 37 dB in 2 s
many     24 images at once in a stack, and three of them one after the other
codec    encoding at 0.1 and 0.35 bits per pixel, and the same file decoded on the processor and on the GPU
memory   what fitting and rendering large images takes
loops    ms of a training step: through the Learner, by bare loops, as a CUDA graph, compiled

Each part runs in a process of its own, which is ended at its time limit. Rows are printed and stored as they are found,
so that a part that fails or hangs loses only what it had not measured yet. Nothing is downloaded. Seconds are those of
the clock on the wall, after the GPU has finished; three random seeds where ranges are given. `peak MiB` is the most GPU
memory that PyTorch's tensors took in a case. `--quick` tries every part with tiny images.
"""

import argparse
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch
from report import report

LIMITS = dict(suite=70, levels=115, goal=75, many=80, codec=80, memory=45, loops=150)  # seconds of each part
PARTS = Path(__file__).with_name("gpu_parts.py")
TOTAL = 525  # seconds of all parts, which leaves time to store the table
MARK = "row: "  # before each row that a part prints


def run_part(name: str, options: argparse.Namespace, limit: float):
    """Run a part for at most `limit` seconds; yield its rows as they come, and a last one about its end."""
    command = [sys.executable, str(PARTS), name, "--device", options.device]
    command += ["--quick"] if options.quick else []
    command += ["--folder", options.folder] if options.folder else []
    start, lines, last = time.monotonic(), queue.Queue(), ""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
    )
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    try:
        while True:
            line = lines.get(timeout=max(0.0, start + limit - time.monotonic()))
            if line is None:
                break
            if line.startswith(MARK):
                yield from rows_of(name, json.loads(line.removeprefix(MARK)))
            elif line.strip():
                last = line.strip()
        code = process.wait(timeout=max(1.0, start + limit - time.monotonic()))
        end = "complete" if code == 0 else f"failed with code {code}: {last[:200]}"
    except (queue.Empty, subprocess.TimeoutExpired):
        end = f"stopped at its limit of {limit:.0f} s"
    finally:
        _end(process)
    yield dict(part=name, case=end, measure="all of it", median=time.monotonic() - start, unit="s")


def _read(stream, lines: queue.Queue) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen) -> None:
    """End the part and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended
    process.wait()


def rows_of(part: str, found: dict) -> list[dict]:
    """A case's measures as rows: the median of their values, and the range of several."""
    rows = []
    for measure, (values, unit) in found["measures"].items():
        values = sorted(values) if isinstance(values, list) else [values]
        spread = f"{values[0]:.4g}–{values[-1]:.4g}" if len(values) > 1 else None
        row = dict(part=part, case=found["case"], measure=measure, median=statistics.median(values), unit=unit)
        rows.append(row | dict(range=spread) | {"peak MiB": found["peak"]})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=list(LIMITS), choices=list(LIMITS))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--folder", default="", help="images for `many`, such as Kodak's; default: tiles of two photos")
    parser.add_argument("--quick", action="store_true", help="tiny images, to try every part")
    parser.add_argument("--name", default="gpu", help="of the JSON file")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here; `--device cpu --quick` tries the parts without one")
    rows, started = [], time.monotonic()
    notes = dict(seeds=[0, 1, 2], seconds="wall clock", quick=options.quick, device=options.device)
    for name in options.parts:
        limit = min(LIMITS[name], TOTAL - (time.monotonic() - started))
        if limit < 5:
            rows.append(dict(part=name, case="no time was left for it"))
            continue
        for row in run_part(name, options, limit):
            rows.append(row)
            print(", ".join(f"{key} {value}" for key, value in row.items() if value is not None), flush=True)
            report(options.name, rows, notes, show=False)
    report(options.name, rows, notes)


if __name__ == "__main__":
    main()
