"""Seconds until `siren-fastai --help` has answered, and beside it the interpreter alone and a sub-command's help.

python benchmarks/startup.py [--rounds 10]

Each is a process of its own; the rounds go through all in turn. The goal for `--help` is 0.3 s.
"""

import argparse
import statistics
import subprocess
import sys
import time

from report import report

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "siren-fastai --help": ["-m", "siren_fastai.cli", "--help"],
    "siren-fastai fit --help": ["-m", "siren_fastai.cli", "fit", "--help"],
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
    times = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    rows = [
        {"command": name, "median s": statistics.median(found), "least s": min(found), "most s": max(found)}
        for name, found in times.items()
    ]
    report("startup", rows, dict(rounds=rounds))


if __name__ == "__main__":
    main()
