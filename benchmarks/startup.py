"""Seconds until `siren-fastai --help` and each command's help are printed, compared with the interpreter alone.

python benchmarks/startup.py [--rounds 10]

Each run is a process of its own; a round runs all of them in turn. The goal for every `--help` is 0.3 s.
"""

import argparse
import statistics
import subprocess
import sys
import time

from report import report

from siren_fastai.cli.commands import COMMANDS

MODULE = ["-m", "siren_fastai.cli"]
PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "siren-fastai --help": [*MODULE, "--help"],
    **{f"siren-fastai {name} --help": [*MODULE, name, "--help"] for name in COMMANDS},
    "import siren_fastai.all": ["-c", "import siren_fastai.all"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    times = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, arguments in PROGRAMS.items():
            times[name].append(seconds(arguments))
    rows = [
        {"command": name, "median s": statistics.median(found), "least s": min(found), "most s": max(found)}
        for name, found in times.items()
    ]
    report("startup", rows, dict(rounds=rounds))


if __name__ == "__main__":
    main()
