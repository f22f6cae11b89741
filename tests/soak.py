"""A soak test of the command line: `python tests/soak.py --minutes 60 --seed 0`.

Seeded random commands on tiny images, some of them at the same time in one folder, get random signals after random
delays. After each step: the inputs are as they were; what existed before is unchanged, or was replaced by a command
that was allowed to; every file can be read; a fit that ended early can be resumed. At the end no temporary file is left
and no lock is held. Prints a summary; the exit status says whether anything failed. Needs a system with fork.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from cli_runs import TINY, picture_file
from PIL import Image

from siren_fastai.analysis.history import read_history
from siren_fastai.cli.main import main as run_command
from siren_fastai.files import MARK, replacing
from siren_fastai.fits.checkpoint import load_checkpoint
from siren_fastai.locks import LOCK, lock_folder
from siren_fastai.sirn.decode import decompress

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENDINGS = ([signal.SIGINT], [signal.SIGTERM], [signal.SIGHUP], [signal.SIGKILL], [signal.SIGINT] * 2)
ENDINGS += ([signal.SIGINT] * 10, [signal.SIGTERM, signal.SIGINT], [signal.SIGINT, signal.SIGKILL])
MAX_S = 300.0  # for one command, with others at the same time
KEPT = "was replaced although the command was interrupted"


@dataclass
class Command:
    """A command line, and what it may replace: files, or everything in folders."""

    words: list
    replaces: list[Path] = field(default_factory=list)
    fit: Path | None = None  # its folder
    output: Path | None = None  # of compress


@dataclass
class Run:
    """A started command; `ended` sets the last three."""

    command: Command
    process: int
    log: Path
    began: float = field(default_factory=time.monotonic)
    signals: list = field(default_factory=list)
    code: int | None = None
    text: str = ""


class Soak:
    """A folder with inputs, and commands that are run in it."""

    def __init__(self, root: Path, seed: int):
        self.root, self.rng, self.failures, self.counts = root, random.Random(seed), [], Counter()
        self.steps = self.started = 0
        self.images = root / "images"
        self.images.mkdir(parents=True)
        sizes = [(8, 8, 1), (9, 12, 3), (16, 11, 3)]
        self.inputs = [picture_file(self.images / f"{i}.png", *size, seed=i) for i, size in enumerate(sizes)]
        self.precious = root / "logs" / "photos" / "cat.txt"  # a folder that no fit has made
        self.precious.parent.mkdir(parents=True)
        self.precious.write_text("precious")
        (root / "out").mkdir()
        self.logs = root.with_name(root.name + "_logs")
        self.logs.mkdir()

    # --- commands

    def command(self) -> Command:
        """A random command."""
        kinds = (self.fit, self.fit, self.fit, self.resume, self.compress, self.compress, self.decompress)
        return self.rng.choice((*kinds, self.render, self.evaluate, self.analyze, self.rd))()

    def yes(self) -> list[str]:
        return self.rng.choice(([], ["--y"]))

    def fit(self) -> Command:
        rng, name = self.rng, self.rng.choice(("a", "a", "b", "photos"))
        folder, asked = self.root / "logs" / name, rng.choice(([], ["--y"], ["--y"], ["--n"]))
        words = ["fit", "--logging_root", self.root / "logs", "--experiment_name", name, *TINY, *asked, "--bs", 16]
        words += ["--image_filepath", rng.choice(self.inputs), "--num_epochs", rng.choice((0, 1, 5, 60, 300))]
        words += ["--epochs_til_ckpt", rng.choice((1, 7, 50)), "--steps_til_summary", rng.choice((5, 100))]
        words += rng.choice(([], [], ["--evaluate"], ["--show_graphics"]))
        words += rng.choice(([], [], [], ["--omega_0", "1e300"]))
        return Command(words, [folder] if asked == ["--y"] and name != "photos" else [], folder)

    def resume(self) -> Command:
        folder = self.rng.choice(self.fits() or [self.root / "logs" / "a"])
        words = ["fit", "--logging_root", folder.parent, "--experiment_name", folder.name, "--resume"]
        return Command(words, [folder], folder)

    def compress(self) -> Command:
        output, report, yes = self.root / "out" / self.rng.choice(("x.sirn", "y.sirn")), [], self.yes()
        if self.rng.random() < 0.5:
            report = ["--report", self.root / "out" / "report.json"]
        target = self.rng.choice((["--bpp", 20], ["--quality", 60], ["--psnr", 20]))
        steps = ["--steps", self.rng.choice((4, 12, 40))]
        words = ["compress", self.rng.choice(self.inputs[1:]), output, *target, *steps, *yes, *report]
        return Command(words, [output, *report[1:]] if yes else [], output=output)

    def decompress(self) -> Command:
        output, yes = self.root / "out" / "back.png", self.yes()
        return Command(["decompress", self.root / "out" / "x.sirn", output, *yes], [output] if yes else [])

    def checkpoint(self) -> Path:
        fits = [fit / "checkpoints" / "model_current.safetensors" for fit in self.fits()]
        return self.rng.choice(fits or [self.root / "none.safetensors"])

    def render(self) -> Command:
        output, yes = self.root / "out" / "render.png", self.yes()
        words = ["render", self.checkpoint(), output, "--size", self.rng.choice((5, 40)), *yes]
        return Command(words, [output] if yes else [])

    def evaluate(self) -> Command:
        output, yes = self.root / "out" / "evaluation", self.yes()
        return Command(["evaluate", self.checkpoint(), "--output", output, *yes], [output] if yes else [])

    def analyze(self) -> Command:
        folder, yes = self.rng.choice(self.fits() or [self.root / "none"]), self.yes()
        return Command(["analyze", folder, *yes], [folder / "analysis"] if yes else [])

    def rd(self) -> Command:
        output, yes = self.root / "out" / "rd", self.yes()
        words = ["rd", self.images, "--output", output, "--bpp", 20, "--codecs", "jpeg", "--steps", 4, *yes]
        return Command(words, [output] if yes else [])

    def fits(self) -> list[Path]:
        """The folders that can be resumed."""
        return sorted(path.parents[1] for path in self.root.glob("logs/*/checkpoints/model_current.safetensors"))

    # --- running

    def warm_up(self) -> None:
        """Import here what the commands import when they run, and not again in each process."""
        spare = self.logs / "warm-up"
        run_command(["fit", "--experiment_name", str(spare), *TINY, "--num_epochs", "1", "--sidelength", "8"])
        run_command(["compress", str(self.inputs[1]), str(spare / "x.sirn"), "--bpp", "20", "--steps", "1"])

    def start(self, command: Command) -> Run:
        """Run it in a process of its own, with everything imported already."""
        self.started += 1
        log = self.logs / f"{self.started}.txt"
        log.touch()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child, a copy of this process, can answer
        process = os.fork()
        if process:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            return Run(command, process, log)
        code = 70
        try:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1), os.dup2(output, 2), os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.argv = ["siren-fastai", *map(str, command.words)]
            with suppress(KeyboardInterrupt):  # one that was waiting
                code = 130
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                code = 70
            code = code if code == 130 else run_command()
        except BaseException:  # what a real process would print
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(code)

    def end(self, run: Run, ending: list) -> None:
        """Send the signals, and wait for its end."""
        for number in ending:
            time.sleep(self.rng.random() * 0.05)
            if self.wait(run, 0):
                break
            os.kill(run.process, number)
            run.signals.append(number)
        if not self.wait(run, MAX_S):
            os.kill(run.process, signal.SIGKILL)
            self.wait(run, MAX_S)
            self.fail(run, f"took more than {MAX_S:g} s")
        run.text = run.log.read_text()

    def wait(self, run: Run, seconds: float) -> bool:
        """Whether it ends within these seconds."""
        limit = time.monotonic() + seconds
        while run.code is None:
            process, status = os.waitpid(run.process, os.WNOHANG)
            if process:
                run.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > limit:
                return False
            else:
                time.sleep(0.002)
        return True

    def step(self) -> None:
        """One command or two at once, with or without signals, and the checks."""
        self.steps += 1
        before = self.snapshot()
        commands = [self.command()]
        if self.rng.random() < 0.2:
            commands.append(commands[0] if self.rng.random() < 0.5 else self.command())
        runs = [self.start(command) for command in commands]
        ending = list(self.rng.choice(ENDINGS)) if self.rng.random() < 0.6 else []
        time.sleep(self.rng.expovariate(4) if ending else 0)
        for i, run in enumerate(runs):
            self.end(run, ending if i == 0 else [])
        self.check(runs, before)
        for run in runs:
            self.counts[f"{run.command.words[0]}: {describe(run.code)}"] += 1
            if run.command.fit and run.signals:
                self.check_resumable(run)
        for folder in self.root.glob("logs/*_00[3-9]"):  # enough of them
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()

    # --- checks

    def snapshot(self) -> dict[Path, str]:
        """The files and what is in them; without locks and temporary files."""
        files = (
            path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith((f"{MARK}-", LOCK))
        )
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def check(self, runs: list[Run], before: dict[Path, str]) -> None:
        after = self.snapshot()
        for path, digest in before.items():
            if after.get(path) != digest:
                self.check_change(runs, path)
        for path in after:
            if after[path] != before.get(path):
                self.check_readable(runs, path)
        for run in runs:
            silent = [-number for number in run.signals if not run.text]  # it came before the command could answer
            known = (0, 1, 2, 130, *silent, *([-signal.SIGKILL] if signal.SIGKILL in run.signals else []))
            if run.code not in known or "Traceback" in run.text:
                self.fail(run, f"ended with {run.code}")

    def check_change(self, runs: list[Run], path: Path) -> None:
        """A file that existed has another content, or is gone."""
        allowed = [run for run in runs if any(place in (path, *path.parents) for place in run.command.replaces)]
        if not allowed:
            self.fail(runs[0], f"{path} was changed")
        for run in allowed if len(runs) == 1 else []:
            if run.code == 2 and "another process" not in run.text:
                self.fail(run, f"{path} was changed by a command that was rejected")
            if path == run.command.output and run.code == 130 and "is complete" not in run.text:
                self.fail(run, f"{path} {KEPT}")

    def check_readable(self, runs: list[Run], path: Path) -> None:
        try:
            if path.suffix == ".sirn":
                decompress(path)
            elif path.suffix == ".png":
                with Image.open(path) as image:
                    image.load()
            elif path.suffix == ".safetensors":
                load_checkpoint(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.name == "history.txt":
                read_history(path)
        except (ValueError, OSError) as error:
            self.fail(runs[0], f"{path} cannot be read: {error}")

    def check_resumable(self, run: Run) -> None:
        """A fit that got a signal goes on where it stopped."""
        folder = run.command.fit
        if folder not in self.fits():
            if (folder / "history.txt").exists():
                self.fail(run, f"{folder} has a history, and nothing to resume")
            return
        words = ["fit", "--logging_root", folder.parent, "--experiment_name", folder.name, "--resume"]
        again = self.start(Command(words))
        self.end(again, [])
        if again.code:
            self.fail(again, f"{folder} could not be resumed after {run.command.words}")
        self.counts["resumed after a signal"] += 1

    def finish(self) -> None:
        """No temporary file stays, and no lock is held."""
        left = [path for path in self.root.rglob(f"{MARK}-*") if path.is_file()]
        self.counts["temporary files of killed processes"] = len(left)
        for path in left:
            os.utime(path, (time.time() - 3600,) * 2)
        for folder in {path.parent for path in left}:
            with replacing(folder / "last.txt") as temporary:
                temporary.write_text("the next file in this folder")
        for path in self.root.rglob(f"{MARK}-*"):
            self.failures.append(f"{path} is left")
        for path in self.root.rglob(LOCK):
            lock_folder(path.parent).release()

    def fail(self, run: Run, what: str) -> None:
        words, signals = " ".join(map(str, run.command.words)), [number.name for number in run.signals]
        self.failures.append(f"step {self.steps}: {what}\n  {words}\n  {signals}, {run.code}: {run.text[-2000:]}")
        print(self.failures[-1], flush=True)


def describe(code: int) -> str:
    """An exit status in words."""
    names = {0: "finished", 1: "failed", 2: "rejected", 130: "interrupted"}
    return names.get(code, f"killed ({code})" if code < 0 else str(code))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder, "soak"), chosen.seed)
        soak.warm_up()
        end = time.monotonic() + 60 * chosen.minutes
        while time.monotonic() < end:
            soak.step()
        soak.finish()
    for name, count in sorted(soak.counts.items()):
        print(f"{count:6} {name}")
    print(f"{soak.steps} steps, seed {chosen.seed}: {len(soak.failures)} failures")
    return bool(soak.failures)


if __name__ == "__main__":
    sys.exit(main())
