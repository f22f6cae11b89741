"""`siren-fastai study`: from a YAML file to a table with verdicts, and what a run leaves when it is disturbed."""

import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest
from study_runs import wait_until

from siren_fastai.cli.commands import COMMANDS
from siren_fastai.cli.main import main
from siren_fastai.cli.parser import parse

STUDY = """
title: Two widths
source: a test
protocol: {reduced: 16x16 pixels, full: 32x32 pixels}
experiment: fit
matrix:
  mult: [1, 2]
  seed: [0, 1, 2]
size: 16
hidden: [8]
epochs: 2
full: {size: 32}
claims:
  - {says: Wider is better., measure: psnr, better: higher, first: {mult: 2}, than: {mult: 1}}
figures:
  - {kind: points, x: mult, y: psnr}
  - {kind: curves, x: steps, y: psnr, group: mult}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "widths.yaml").write_text(STUDY)
    return tmp_path


def run(*arguments):
    return main(["study", *map(str, arguments)])


def folders(path):
    return sorted(item.name for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))


def test_a_dry_run_lists_the_experiments_and_writes_nothing(study, capsys):
    assert run("run", "widths.yaml", "--dry_run", "--only", "*seed-1", "--set", "mult=[1,3]") == 0
    head, *slugs = capsys.readouterr().out.splitlines()
    assert head == "widths, reduced protocol, in studies/widths: 2 to run, 0 finished"
    assert [slug.strip() for slug in slugs] == ["mult-1_seed-1", "mult-3_seed-1"] and not (study / "studies").exists()


def test_show_describes_the_matrix_and_the_claims(study, capsys):
    assert run("show", "widths.yaml", "--full") == 0
    text = capsys.readouterr().out
    assert "widths: Two widths" in text and "Protocol, full: 32x32 pixels" in text
    assert "6 experiments, 'fit':\n  mult: 1, 2\n  seed: 0, 1, 2\n" in text and "claim: Wider is better." in text


def test_list_names_the_studies_of_the_library(capsys):
    from siren_fastai.study.study import study_names

    assert run("list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == study_names()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard
def test_run_results_and_plot(study, capsys):
    assert run("run", "widths.yaml", "--jobs", 1) == 0
    assert "studies/widths: 6 done\n" in capsys.readouterr().out and len(folders(study / "studies/widths")) == 6
    assert run("run", "widths.yaml", "--jobs", 1) == 0
    assert "0 to run, 6 finished" in capsys.readouterr().out

    assert run("results", "studies/widths") == 0
    text = capsys.readouterr().out
    assert text.startswith("# Two widths\n\nSource: a test\nProtocol, reduced: 16x16 pixels\n\n6 experiments;")
    assert "| mult | psnr | count |" in text and "- Wider is better.\n  " in text and "in 3 pairs, 3 seeds" in text

    assert run("results", "studies/widths", "--format", "csv", "--output", "table.csv") == 0
    table = pd.read_csv("table.csv")
    assert list(table["mult"]) == [1, 1, 1, 2, 2, 2] and table["psnr"].between(0, 60).all()
    assert run("results", "studies/widths", "--format", "json", "--by", "seed", "--measure", "psnr") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["seed"], row["count"]) for row in rows] == [(0, 2), (1, 2), (2, 2)]

    assert run("results", "studies/widths", "--format", "tensorboard") == 0
    assert capsys.readouterr().out == "`tensorboard --logdir studies/widths/summaries` shows them\n"
    assert run("plot", "studies/widths", "--output", "figures") == 0
    assert sorted(os.listdir("figures")) == ["figure_1.png", "figure_2.png"]
    assert run("plot", "studies/widths", "--output", "figures") == 2
    assert "figures/figure_1.png already exists: give --y" in capsys.readouterr().err


def test_a_failure_is_told_and_gives_exit_code_1(study, capsys, monkeypatch):
    def fail(settings, folder):
        if settings["seed"] == 1:
            raise RuntimeError("the lamp went out")
        return {"psnr": 30.0}

    monkeypatch.setattr("siren_fastai.study.fitting.run.run_fit", fail)
    assert run("run", "widths.yaml", "--jobs", 1, "--stack", 1, "--set", "mult=1") == 1
    out, err = capsys.readouterr()
    assert "2 done, 1 failed\n  mult-1_seed-1 failed: RuntimeError: the lamp went out (see studies/widths/mult" in out
    assert "1 experiments failed; the others are complete" in err
    assert "in fail" in (study / "studies/widths/mult-1_seed-1/error.txt").read_text()


def test_results_say_what_is_unfinished_or_failed(study, capsys, monkeypatch):
    def fail(settings, folder):
        if settings["seed"] == 1:
            raise RuntimeError("the lamp went out")
        return {"psnr": 30.0 + settings["mult"]}

    monkeypatch.setattr("siren_fastai.study.fitting.run.run_fit", fail)
    assert run("run", "widths.yaml", "--jobs", 1, "--stack", 1, "--only", "mult-1_seed-1") == 1
    assert run("results", "studies/widths") == 2
    assert "holds no results; 1 experiments failed, see their error.txt" in capsys.readouterr().err
    only = ["--only", "mult-1*", "--only", "mult-2_seed-0"]
    assert run("run", "widths.yaml", "--jobs", 1, "--stack", 1, *only) == 1
    capsys.readouterr()
    assert run("results", "studies/widths") == 0
    out, err = capsys.readouterr()
    assert "3 of 6 experiments finished, 1 failed; median" in out and "1 pair, 1 seed; 1 row without a partner." in out
    assert err == ""
    assert run("results", "studies/widths", "--format", "csv") == 0
    out, err = capsys.readouterr()
    assert err == "siren-fastai: warning: studies/widths: 3 of 6 experiments finished, 1 failed\n" and "mult" in out


def test_other_seeds_with_other_settings_are_refused_before_anything_runs(study, capsys):
    assert run("run", "widths.yaml", "--jobs", 1, "--set", "mult=1") == 0
    assert run("run", "widths.yaml", "--dry_run", "--set", "mult=1", "--set", "seed=[3,4]", "--set", "epochs=3") == 2
    assert "holds a result with epochs 2, not 3, which this run would not replace" in capsys.readouterr().err
    assert run("run", "widths.yaml", "--jobs", 1, "--set", "mult=1", "--set", "seed=[3,4]") == 0
    assert len(folders(study / "studies/widths")) == 5
    path = study / "studies/widths/mult-1_seed-4/settings.json"
    path.write_text(path.read_text().replace('"epochs": 2', '"epochs": 7'))
    capsys.readouterr()
    assert run("results", "studies/widths") == 0
    out, err = capsys.readouterr()
    assert "5 experiments; median" in out and "**Mixed**: settings differ that are no axis: epochs (2, 7)." in out
    assert "warning: studies/widths holds results with settings that differ" in err


def test_fits_that_cannot_share_a_job_are_run_one_by_one_which_is_told(study, capsys, monkeypatch):
    def fail(settings, folders):
        raise MemoryError("too many at once")

    monkeypatch.setattr("siren_fastai.study.fitting.together.run_fits", fail)
    assert run("run", "widths.yaml", "--jobs", 1, "--stack", 2, "--set", "mult=1") == 0
    out = capsys.readouterr().out
    assert "3 done" in out
    assert "2 were run one by one, as they could not be run together: MemoryError: too many at once" in out


def test_other_settings_need_y(study, capsys):
    assert run("run", "widths.yaml", "--jobs", 1, "--set", "mult=1", "--set", "seed=0", "--output", "here") == 0
    assert (
        run("run", "widths.yaml", "--jobs", 1, "--only", "mult-1_seed-0", "--set", "epochs=3", "--output", "here") == 2
    )
    assert "holds a result with epochs 2, not 3" in (message := capsys.readouterr().err) and "give --y" in message
    assert (
        run("run", "widths.yaml", "--jobs", 1, "--set", "epochs=3", "--only", "*1_seed-0", "--output", "here", "--y")
        == 0
    )
    assert json.loads((study / "here/mult-1_seed-0/settings.json").read_text())["settings"]["epochs"] == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["runs"], "got 'runs'; did you mean run?"),
        (["run"], "`study run` needs a study, or a YAML file"),
        (["plot"], "`study plot` needs the folder of a run"),
        (
            ["list", "omega"],
            "lists all studies, got 'omega'; `siren-fastai study show omega` describes one",
        ),
        (["run", "unheard-of"], "there is no study 'unheard-of'"),
        (["run", "unheard-of.yaml"], "there is no file 'unheard-of.yaml'"),
        (["show", "./"], "there is no study './'"),
        (["show", "../x/"], "there is no file '../x'"),
        (["show", "folder.yaml"], "'folder.yaml' is a folder"),
        (
            ["run", "widths.yaml", "--dry_run", "--set", "device=tpu"],
            "must be auto, cpu, cuda or cuda:<n>, got 'tpu'",
        ),
        (["run", "widths.yaml", "--dry_run", "--set", "device=cuda:99"], "cuda:99: not available here"),
        (["run", "widths.yaml", "--dry_run", "--set", "device=cuda:99", "--set", "clusters=2"], "not available here"),
        (["run", "widths.yaml", "--only", "seed-7"], "--only 'seed-7' fits none of the 6 experiments"),
        (["run", "widths.yaml", "--set", "colour=red"], "colour"),
        (["run", "widths.yaml", "--set", "epochs"], "expected key=value, got 'epochs'"),
        (["run", "widths.yaml", "--jobs", "0"], "must be an integer from 1 to 1024"),
        (["results", "nowhere"], "there is no folder nowhere"),
        (["results", "."], "holds no results"),
        (["results", ".", "--format", "tensorboard"], "holds no results"),
        (["results", ".", "--format", "tensorboard", "--output", "x"], "--output is not for --format tensorboard"),
        (["results", ".", "--format", "tensorboard", "--by", "seed"], "--by is not for --format tensorboard"),
    ],
)
def test_wrong_arguments_are_one_line(study, capsys, arguments, message):
    (study / "folder.yaml").mkdir()
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and not (study / "studies").exists()


def test_options_that_repeat_come_from_the_environment_and_config_files_too(tmp_path):
    config = tmp_path / "run.ini"
    config.write_text("set = [epochs=3, size=8]\nonly = *seed-0*\n")
    chosen = parse(COMMANDS["study"], ["run", "x", "-c", str(config)], {})
    assert chosen.set == ["epochs=3", "size=8"] and chosen.only == ["*seed-0*"]
    chosen = parse(COMMANDS["study"], ["run", "x"], {"SIREN_FASTAI_SET": "[epochs=3,size=8]"})
    assert chosen.set == ["epochs=3", "size=8"]
    assert parse(COMMANDS["study"], ["run", "x", "--set", "a=1", "--set", "b=[1,2]"], {}).set == ["a=1", "b=[1,2]"]


# --- disturbed


def started(folder, *arguments):
    """`study run` in a process of its own, once an experiment is finished."""
    command = [sys.executable, "-m", "siren_fastai.cli", "study", "run", "widths.yaml", "--jobs", "2", *arguments]
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children would ignore it
    try:
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, handler)
    if not wait_until(lambda: finished(folder) or process.poll() is not None, 240):
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(process.communicate()[1])
    return process


def finished(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("studies/widths/mult-*/result.json")}


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(study, capsys):
    longer = ["--stack", "1", "--set", "epochs=120", "--set", "mult=[1,2,3]"]
    process = started(study, *longer)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the workers get it too
    _, err = process.communicate(timeout=60)
    before = finished(study)
    assert 1 <= len(before) < 9 and folders(study / "studies/widths") == sorted(before)
    assert process.returncode == 130 and "interrupted; what is finished is in studies/widths" in err
    assert "Traceback" not in err and not list(study.rglob(".running/*/*/*"))
    assert run("run", "widths.yaml", "--jobs", 1, *longer) == 0
    assert f"{9 - len(before)} to run, {len(before)} finished" in capsys.readouterr().out
    assert len(finished(study)) == 9 and before.items() <= finished(study).items()
