"""The built-in studies: each can be run, and its claims and figures fit the results that it will have."""

import pandas as pd
import pytest

from siren_fastai.study.autoencoding.scores import HISTORY_COLUMNS as AUTOENCODE_HISTORY
from siren_fastai.study.figures import draw, read_figure
from siren_fastai.study.fitting.scores import HISTORY_COLUMNS as FIT_HISTORY
from siren_fastai.study.inpainting.scores import HISTORY_COLUMNS as INPAINT_HISTORY
from siren_fastai.study.judging.claims import read_claim
from siren_fastai.study.registry import experiment_named
from siren_fastai.study.study import load_study, study_names
from siren_fastai.study.verdicts import verdict

MAX_EXPERIMENTS = 1100  # of a reduced study, which a laptop runs in minutes
HISTORIES = {"fit": FIT_HISTORY, "difference": FIT_HISTORY, "autoencode": AUTOENCODE_HISTORY}
HISTORIES["inpaint"] = INPAINT_HISTORY
TINY = {
    "fit": {"size": 16, "bs": "full", "steps": 2, "epochs": None, "pictures": False},
    "autoencode": {"max_samples": 32, "evaluations": 2, "hidden": 4, "count": 84, "fractals": 22},
    "inpaint": {"max_samples": 32, "evaluations": 2, "widths": [4, 8], "count": 24, "crops": 2, "test_images": 3},
}
TINY["difference"] = TINY["fit"]


@pytest.fixture(params=study_names())
def study(request):
    return load_study(request.param)


def measured(study) -> pd.DataFrame:
    """A table as of a finished study, whose measures are made up and differ from row to row."""
    names = [claim["measure"] for claim in study.claims] + [one["y"] for one in study.figures]
    done = [item for item in study.combinations if item.refused is None]
    rows = [
        {**item.settings, **item.axes, "number": item.number, "slug": item.slug, **dict.fromkeys(names, 1.0 + i % 7)}
        for i, item in enumerate(done)
    ]
    table = pd.DataFrame(rows)
    table.attrs["axes"] = list(done[0].axes)
    return table


def test_a_study_says_what_it_is_and_both_protocols(study):
    assert study.title and study.source and set(study.protocol) == {"reduced", "full"}
    assert study.claims and study.figures and len(study.combinations) <= MAX_EXPERIMENTS


def test_the_full_protocol_can_be_run_too(study):
    full = load_study(study.name, full=True)
    assert full.full and any(item.refused is None for item in full.combinations)


def test_every_claim_has_three_seeds_for_each_pair(study):
    table = measured(study)
    for claim in map(read_claim, study.claims):
        numbers = verdict(claim, table).numbers
        assert numbers["pairs"] > 0 and numbers["enough"], f"{claim.says!r} could never be reproduced"


def test_every_figure_can_be_drawn(study):
    table = measured(study)
    points = [
        table.assign(**{name: step for name in HISTORIES[study.experiment] if name != "lr"}) for step in (1.0, 2.0)
    ]
    for spec in map(read_figure, study.figures):
        assert draw(spec, pd.concat(points) if spec.kind == "curves" else table).axes


@pytest.mark.slow
def test_measures_are_columns_that_the_experiment_returns(study, tmp_path):
    experiment, settings = experiment_named(study.experiment), dict(study.combinations[0].settings)
    tiny = dict(TINY[study.experiment])
    if "hidden" in experiment.defaults and "hidden" not in tiny and not {"dims", "total_bytes"} & settings.keys():
        tiny["hidden"] = [4, 4]
    row = experiment.run(experiment.complete({**settings, **tiny}), tmp_path)
    assert {claim["measure"] for claim in study.claims} <= row.keys()
    assert {figure["y"] for figure in study.figures if figure["kind"] != "curves"} <= row.keys()
    curves = [figure for figure in study.figures if figure["kind"] == "curves"]
    assert {figure[axis] for figure in curves for axis in "xy"} <= set(HISTORIES[study.experiment])
