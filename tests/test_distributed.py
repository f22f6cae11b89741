"""Several processes: fits by torchrun and fastai's `distrib_ctx`, compared with those of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import distributed_fits
import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes saw, by the name of the fit."""
    folder = tmp_path_factory.mktemp("ranks")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    command = [sys.executable, *launch, TESTS / "distributed_fits.py", folder]
    done = subprocess.run(command, env=environment, timeout=240, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return [json.loads((folder / f"rank_{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(params=[fit.__name__ for fit in distributed_fits.BOTH])
def fits(request, ranks, tmp_path):
    """A fit as each of two processes saw it, and the same fit in this process."""
    return [rank[request.param] for rank in ranks], getattr(distributed_fits, request.param)(tmp_path)


def test_the_curve_of_two_processes_is_that_of_one(fits):
    (first, _), alone = fits
    assert len(first["rows"]) == len(alone["rows"])
    for row, expected in zip(first["rows"], alone["rows"], strict=True):
        assert row == pytest.approx(expected, rel=1e-3)


def assert_same(first: dict, second: dict) -> None:
    """Two processes saw the same; fastai's own average, which each rounds for itself, up to rounding."""
    for row, other in zip(first["rows"], second["rows"], strict=True):
        assert row.pop("mean_error") == pytest.approx(other.pop("mean_error"), rel=1e-5)
    assert first == second


def test_every_process_sees_the_same_numbers_and_has_the_same_weights(fits):
    assert_same(*fits[0])


def test_the_metrics_are_those_of_the_whole_signal(ranks):
    for rank in ranks:
        last = rank["plain"]["rows"][-1]
        assert last["psnr"] == pytest.approx(rank["plain"]["psnr"], abs=1e-4)
        assert last["ssim"] == pytest.approx(rank["plain"]["ssim"], abs=1e-5)


def test_stopping_ends_every_process_before_the_last_epoch(ranks):
    for name in ("stopped", "stopped_early"):
        assert 1 < len(ranks[0][name]["rows"]) == len(ranks[1][name]["rows"]) < 30


def test_samples_seen_are_those_of_all_processes(ranks):
    assert [row["samples_seen"] for row in ranks[1]["plain"]["rows"]] == [99, 198, 297, 396]


def test_each_process_trains_on_its_own_half_of_every_batch_of_images(ranks, tmp_path):
    whole = distributed_fits.autoencoder_parts(tmp_path)
    halves = [rank["autoencoder_parts"] for rank in ranks]
    assert [len(batch) for half in halves for batch in half] == [20] * 8
    for batch, first, second in zip(whole, *halves, strict=True):
        assert first + second == pytest.approx(batch, rel=1e-12)


def test_each_process_makes_its_own_part_of_every_batch_of_images_with_holes(ranks, tmp_path):
    whole = distributed_fits.inpainting_parts(tmp_path)
    for batch, *parts in zip(whole, *(rank["inpainting_parts"] for rank in ranks), strict=True):
        assert abs(len(parts[0]) - len(parts[1])) <= 1
        assert parts[0] + parts[1] == pytest.approx(batch, rel=1e-6)


def test_frozen_layers_stay_as_they_are_and_train_afterwards(ranks):
    assert all(rank["frozen"]["kept"] and rank["frozen"]["freed"] for rank in ranks)
    assert ranks[0]["frozen"]["weights"] == ranks[1]["frozen"]["weights"]


def test_processes_start_from_the_weights_and_the_order_of_the_first(ranks):
    assert_same(*(rank["drawn_late"] for rank in ranks))


def test_the_quantisers_have_the_names_of_the_networks_parameters(ranks):
    assert all(name[0].isdigit() for rank in ranks for name in rank["quantized"]["names"])


def test_one_process_writes_the_files(ranks):
    assert ranks[0]["files"] == ["at_1.0dB.png", "fit.gif", "history.csv", "history.json"]
    assert ranks[1]["files"] == []


def test_predictions_are_in_the_datas_order_on_every_process(ranks):
    for rank in ranks:
        assert rank["predictions"] == pytest.approx([0, 0, 0], abs=1e-5)


def test_an_interrupted_fit_leaves_whole_loaders_and_the_bare_network(ranks):
    for rank in ranks:
        *sizes, model = rank["interrupted"]
        assert sum(sizes) == 99 and model == "Sequential"


def test_the_best_epoch_is_loaded_on_every_process(ranks):
    first, second = (rank["saved_best"] for rank in ranks)
    assert_same(first, second)
    assert first["psnr"] == pytest.approx(max(row["psnr"] for row in first["rows"]), abs=1e-4)


def test_a_learner_of_fastais_with_our_loaders_needs_our_trainer(ranks):
    for rank in ranks:
        assert "SharedTrainer" in rank["added_by_hand"]["message"]
        assert rank["added_by_hand"]["psnr"] == ranks[0]["added_by_hand"]["psnr"]


def test_augmented_images_are_those_of_one_process_each_with_its_own_part(ranks, tmp_path):
    first, second = (rank["pictures"] for rank in ranks)
    alone = distributed_fits.pictures(tmp_path)
    assert first["first"] + second["first"] == alone["first"]
    assert [len(rank["first"]) for rank in (first, second)] == [5, 6]  # of 44 images in four batches
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    assert first["weights"] == second["weights"] == pytest.approx(alone["weights"], abs=1e-3)


ERRORS = [
    ("other_data", "set_seed"),
    ("other_pictures", "the processes hold other samples"),
    ("other_holes", "the processes hold other samples"),
    ("too_few_samples", "too few for 2 processes"),
    ("rate_finder", "`lr_find` works"),
]


@pytest.mark.parametrize("name, words", ERRORS)
def test_what_cannot_work_ends_in_a_clear_error_on_every_process(ranks, name, words):
    assert all(words in rank[name] for rank in ranks)


def test_metrics_and_freezing_work_in_a_learner_of_fastais(ranks):
    for rank in ranks:
        found = rank["fastais_own"]
        assert found["kept"] and found["psnr"] == pytest.approx(found["truth"], abs=1e-3)
        assert found["psnr"] == ranks[0]["fastais_own"]["psnr"] and found["samples_seen"] >= 2 * 45


def test_a_fault_on_one_process_takes_all_of_them_back(ranks):
    first, second = (rank["reverted"] for rank in ranks)
    assert first["rows"] == second["rows"] and len(first["rows"]) == 1 and first["rows"][0]["lr"] == 5e-3
    assert first["weights"] == second["weights"]
    assert [*first["reasons"], *second["reasons"]] == ["another process had a fault", "the loss was nan"]
