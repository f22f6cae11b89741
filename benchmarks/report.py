"""What every benchmark prints: the machine, versions and random seeds, then a table; the same goes to a JSON file."""

import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch


def machine() -> dict:
    """The processor, threads, accelerator and versions of this run."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return dict(
        date=str(date.today()),
        processor=names[0] if names else platform.processor() or platform.machine(),
        threads=torch.get_num_threads(),
        gpu=gpu,
        python=platform.python_version(),
        **{name: version(name) for name in ("torch", "fastai", "numpy")},
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def report(name: str, rows: list[dict], notes: dict | None = None, show: bool = True) -> pd.DataFrame:
    """Print the rows as a Markdown table under the machine's line, unless `show` is False, and write `NAME.json`."""
    table, about = pd.DataFrame(rows), {**machine(), **(notes or {})}
    if show:
        print(f"\n### {name}\n")
        print(", ".join(f"{key} {value}" for key, value in about.items()) + "\n")
        print(_markdown(table), flush=True)
    path = Path("benchmarks/results") / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(about=about, rows=rows), indent=1, default=float))
    return table


def _markdown(table: pd.DataFrame) -> str:
    cells = [[str(c) for c in table.columns], ["---"] * len(table.columns)]
    cells += [[_cell(x) for x in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _cell(x) -> str:
    if x is None or (isinstance(x, float) and x != x):
        return "–"
    return f"{x:.4g}" if isinstance(x, float) else str(x)
