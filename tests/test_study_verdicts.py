"""Verdicts: every branch of the rule on small tables, and claims and tables that make no sense."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siren_fastai.study.judging.claims import read_claim
from siren_fastai.study.judging.retuning import best_values
from siren_fastai.study.verdicts import RULE, verdict

CLAIM = {"says": "Wide is better.", "measure": "psnr", "better": "higher", "first": {"mult": 2}, "than": {"mult": 1}}
LEVEL = CLAIM | {"measure": "steps_to_level", "better": "lower"}


def table(first, than, measure="psnr", images=("a",), **more) -> pd.DataFrame:
    """Rows of mult 2 and 1 with the values `first` and `than`: for each image, seeds 0, 1, 2, ..."""
    seeds = len(first) // len(images)
    rows = [
        {"mult": mult, "image": image, "seed": seed, measure: values[i * seeds + seed], **more}
        for mult, values in ((2, first), (1, than))
        for i, image in enumerate(images)
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs["axes"] = ["mult", "image", "seed", *more]
    return frame


def word(claim, frame) -> str:
    return verdict(claim, frame).word


def test_a_median_advantage_that_every_pair_shares_is_reproduced():
    found = verdict(CLAIM, table([31.0, 32.0, 33.0], [30.0, 30.5, 31.0]))
    assert found.word == "reproduced"
    assert found.numbers["effect"] == {"median": 1.5, "min": 1.0, "max": 2.0, "count": 3}
    assert found.numbers["first"] == {"median": 32.0, "min": 31.0, "max": 33.0, "count": 3, "reached": 3}
    assert (found.numbers["pairs"], found.numbers["seeds"], found.numbers["contrary"]) == (3, 3, 0)
    assert found.sentence == (
        "Reproduced. psnr 32 (31 to 33) against 30.5 (30 to 31); difference 1.5 (1 to 2) in 3 pairs, 3 seeds."
    )


def test_pairs_agree_in_image_and_seed_whatever_the_order_of_the_rows():
    frame = table([31.0, 32.0, 33.0], [30.9, 31.9, 32.9])
    shuffled = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    shuffled.attrs = frame.attrs
    assert verdict(CLAIM, shuffled).numbers["effect"] == verdict(CLAIM, frame).numbers["effect"]
    assert verdict(CLAIM, frame).numbers["effect"]["median"] == pytest.approx(0.1)


def test_an_infinite_psnr_is_better_than_every_number():
    frame = table([math.inf, math.inf, 60.0], [50.0, math.inf, 55.0])
    found = verdict(CLAIM, frame)
    assert found.numbers["first"] == {"median": math.inf, "min": 60.0, "max": math.inf, "count": 3, "reached": 3}
    assert "psnr ∞ (60 to ∞) against 55 (50 to ∞); difference 5 (0 to ∞) in 3 pairs" in found.sentence
    assert found.word == "reproduced"
    both = verdict(CLAIM, table([math.inf] * 3, [math.inf] * 3))
    assert both.word == "not reproduced" and "psnr ∞ against ∞; difference 0 in 3 pairs" in both.sentence
    assert verdict(CLAIM | {"ratio": 1.5}, frame).numbers["effect"]["max"] == math.inf


@pytest.mark.parametrize("values", [[math.inf] * 3, [math.inf, 70.0, math.inf]])
def test_a_learning_rate_with_an_infinite_psnr_suits_best(values):
    rates = {0.1: [30.0] * 3, 0.2: values, 0.3: [math.nan] * 3}
    rows = [{"lr": lr, "seed": seed, "psnr": psnr} for lr, many in rates.items() for seed, psnr in enumerate(many)]
    assert best_values(pd.DataFrame(rows), "lr", "psnr", "higher", []) == {(): (0.2, True)}
    lost = pd.DataFrame([row for row in rows if row["lr"] == 0.3])
    assert best_values(lost, "lr", "psnr", "higher", []) == {(): (0.3, False)}


def test_rows_without_a_partner_are_counted_in_the_sentence():
    frame = table([31.0, 32.0, 33.0, 34.0], [30.0, 30.5, 31.0, 30.0])
    one = verdict(CLAIM, frame.drop(index=7))
    assert one.numbers["unpaired"] == 1 and one.sentence.endswith("3 pairs, 3 seeds; 1 row without a partner.")
    none = verdict(CLAIM, frame[frame["mult"] == 2])
    assert none.sentence.endswith("psnr: nothing to compare; 4 rows without a partner.")
    assert "partner" not in verdict(CLAIM, frame).sentence


def test_no_advantage_is_not_reproduced_and_neither_is_the_opposite():
    assert word(CLAIM, table([30.0] * 3, [30.0] * 3)) == "not reproduced"
    found = verdict(CLAIM, table([30.0] * 3, [31.0] * 3))
    assert found.word == "not reproduced" and "falls short of any advantage" in found.sentence
    assert found.numbers["contrary"] == 3


def test_one_contrary_pair_of_three_contradicts_a_good_median():
    found = verdict(CLAIM, table([31.0, 32.0, 29.0], [30.0] * 3))
    assert found.word == "not reproduced" and "1 of 3 pairs point the other way" in found.sentence


def test_one_contrary_pair_of_ten_does_not_contradict_and_two_do():
    one = table([31.0] * 9 + [29.0], [30.0] * 10)
    assert word(CLAIM, one) == "reproduced"
    assert word(CLAIM, table([31.0] * 8 + [29.0] * 2, [30.0] * 10)) == "not reproduced"


def test_an_image_whose_median_points_the_other_way_contradicts():
    many = ("a", "b", "c", "d")
    values = [31.0] * 30 + [31.0, 31.0] + [31.0] * 5 + [29.0, 29.0, 29.0]  # images of ten seeds
    assert word(CLAIM, table(values, [30.0] * 40, images=many)) == "reproduced"  # 3 of 40 pairs
    frame = table([31.0] * 27 + [31.0, 29.0, 29.0], [30.0] * 30, images=tuple("abcdefghij"))
    found = verdict(CLAIM, frame)
    assert found.word == "not reproduced" and "the median of image=j points the other way" in found.sentence


def test_fewer_than_three_seeds_in_any_group_are_too_few():
    found = verdict(CLAIM, table([31.0, 32.0], [30.0, 30.0]))
    assert found.word == "not reproduced" and "2 seeds of image=a, and 3 are needed" in found.sentence
    frame = table([31.0] * 6, [30.0] * 6, images=("a", "b"))
    lost = frame[(frame["image"] == "a") | (frame["seed"] < 1)]
    found = verdict(CLAIM, lost)
    assert found.word == "not reproduced" and "1 seed of image=b" in found.sentence
    assert not found.numbers["enough"]


def test_a_table_without_seeds_cannot_reproduce():
    frame = table([31.0] * 3, [30.0] * 3, images=("a", "b", "c")).drop(columns="seed")
    frame.attrs["axes"] = ["mult", "image"]
    assert "1 seed of image=a" in verdict(CLAIM, frame).sentence


def test_rows_without_a_partner_are_counted_and_left_out():
    frame = table([31.0] * 4, [30.0] * 4)
    found = verdict(CLAIM, frame[~((frame["mult"] == 1) & (frame["seed"] == 3))])
    assert found.word == "reproduced" and found.numbers["unpaired"] == 1 and found.numbers["pairs"] == 3
    nothing = verdict(CLAIM, frame[frame["mult"] == 2])
    assert nothing.word == "not reproduced" and "no row of `first` has a partner" in nothing.sentence


@pytest.mark.parametrize(("at_least", "expected"), [(0.5, "reproduced"), (1.5, "reproduced"), (1.6, "not reproduced")])
def test_the_median_must_reach_the_margin(at_least, expected):
    assert word(CLAIM | {"at_least": at_least}, table([31.0, 31.5, 33.0], [30.0] * 3)) == expected


def test_at_least_0_is_reached_by_equal_sides():
    assert word(CLAIM | {"at_least": 0}, table([30.0] * 3, [30.0] * 3)) == "reproduced"


def test_a_margin_is_reached_in_spite_of_rounding():
    assert 0.3 - 0.2 < 0.1
    assert word(CLAIM | {"at_least": 0.1}, table([0.3] * 3, [0.2] * 3)) == "reproduced"


def test_a_negative_margin_tolerates_pairs_down_to_it_and_no_further():
    claim = CLAIM | {"at_least": -0.5}
    assert word(claim, table([29.6, 29.7, 31.0], [30.0] * 3)) == "reproduced"
    assert word(claim, table([29.4, 29.7, 31.0], [30.0] * 3)) == "not reproduced"


def test_a_ratio_is_a_factor_in_the_direction_of_the_claim():
    claim = LEVEL | {"ratio": 1.5}
    found = verdict(claim, table([100, 100, 100], [150, 200, 300], "steps_to_level"))
    assert found.word == "reproduced" and found.numbers["effect"]["median"] == 2.0 and found.numbers["kind"] == "ratio"
    assert word(claim, table([100, 100, 100], [140, 140, 300], "steps_to_level")) == "not reproduced"
    assert word(claim, table([100, 100, 100], [90, 200, 300], "steps_to_level")) == "not reproduced"  # one is contrary
    assert verdict(CLAIM | {"ratio": 1.01}, table([33.0] * 3, [30.0] * 3)).numbers["effect"]["median"] == 1.1


def test_a_level_that_only_one_side_reached_decides_its_pair():
    found = verdict(LEVEL, table([100, 200, 300], [150, None, math.nan], "steps_to_level"))
    assert found.word == "reproduced"
    assert found.numbers["than"] == {"median": None, "min": 150.0, "max": None, "count": 3, "reached": 1}
    assert found.numbers["effect"]["max"] == math.inf
    assert "against not reached (150 to not reached)" in found.sentence
    assert word(LEVEL | {"ratio": 3}, table([100, 200, 300], [150, None, None], "steps_to_level")) == "reproduced"
    assert word(LEVEL, table([100, 200, None], [150, 300, 300], "steps_to_level")) == "not reproduced"
    assert word(LEVEL | {"ratio": 1.1}, table([100, 200, None], [150, 300, 300], "steps_to_level")) == "not reproduced"


def test_pairs_in_which_neither_reached_the_level_fall_short_but_contradict_nothing():
    assert word(LEVEL, table([100, 200, None], [150, 300, None], "steps_to_level")) == "reproduced"
    assert word(LEVEL, table([100, None, None], [150, None, None], "steps_to_level")) == "not reproduced"
    found = verdict(LEVEL | {"at_least": 0}, table([None] * 3, [None] * 3, "steps_to_level"))
    assert found.word == "not reproduced" and "neither side has a number" in found.sentence
    assert found.numbers["contrary"] == 0


def test_a_diverged_fit_is_worse_than_any():
    assert word(CLAIM, table([math.nan, 32.0, 33.0], [30.0] * 3)) == "not reproduced"
    assert word(CLAIM, table([31.0, 32.0, 33.0], [math.nan] * 3)) == "reproduced"


def retuned(first: dict, than: dict, images=("a",), measure="psnr") -> pd.DataFrame:
    """Rows for each learning rate: `first` and `than` map it to the values of the seeds."""
    parts = [table(first[lr], than[lr], measure, images, lr=lr) for lr in first]
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs["axes"] = parts[0].attrs["axes"]
    return frame


TUNED = CLAIM | {"retuned": "lr"}


def test_each_side_takes_the_learning_rate_that_suits_it():
    frame = retuned(
        {0.1: [31, 31, 31], 0.2: [34, 34, 34], 0.4: [20, 20, 20]}, {0.1: [30] * 3, 0.2: [29] * 3, 0.4: [9] * 3}
    )
    found = verdict(TUNED, frame)
    assert found.word == "reproduced" and found.numbers["effect"]["median"] == 4.0
    assert found.numbers["best"] == {"first": [0.2], "than": [0.1]}
    assert [(one["lr"], one["word"], one["suits"]) for one in found.numbers["fixed"]] == [
        (0.1, "reproduced", True),
        (0.2, "reproduced", True),
        (0.4, "reproduced", False),
    ]
    assert found.numbers["at_edge"] == 1 and "at the edge of the grid in 1 of 2 cases" in found.sentence


def test_a_claim_that_holds_at_a_rate_that_suits_one_side_only_is_confounded():
    frame = retuned({0.1: [25] * 3, 0.2: [34] * 3, 0.4: [20] * 3}, {0.1: [20] * 3, 0.2: [30] * 3, 0.4: [35] * 3})
    found = verdict(TUNED, frame)  # tuned: 34 against 35; both at 0.2: 34 against 30
    assert found.word == "confounded"
    assert found.sentence.startswith(
        "Confounded: reproduced with lr 0.2 on both sides. With each side's best lr: not rep"
    )


def test_a_claim_that_fails_at_a_rate_that_suits_one_side_is_confounded():
    frame = retuned({0.1: [25] * 3, 0.2: [34] * 3}, {0.1: [30] * 3, 0.2: [28] * 3})
    found = verdict(TUNED, frame)
    assert found.word == "confounded" and found.sentence.startswith("Confounded: not reproduced with lr 0.1")


def test_a_rate_that_suits_neither_side_changes_nothing():
    frame = retuned({0.1: [31] * 3, 0.2: [34] * 3, 9.0: [5] * 3}, {0.1: [29] * 3, 0.2: [30] * 3, 9.0: [6] * 3})
    assert [one["word"] for one in verdict(TUNED, frame).numbers["fixed"]][-1] == "not reproduced"
    assert word(TUNED, frame) == "reproduced"


def test_a_side_that_reaches_the_level_at_no_rate_has_no_rate_that_suits_it():
    frame = retuned({0.1: [None] * 3, 0.2: [100] * 3}, {0.1: [None] * 3, 0.2: [None] * 3}, measure="steps_to_level")
    found = verdict(LEVEL | {"retuned": "lr"}, frame)  # at 0.1 neither reaches it, but nobody would take 0.1
    assert found.word == "reproduced" and found.numbers["best"] == {"first": [0.2], "than": []}


def test_of_rates_without_a_median_the_one_that_reaches_most_is_taken():
    frame = retuned({0.1: [50] * 3, 0.2: [60] * 3}, {0.1: [None] * 3, 0.2: [55, None, None]}, measure="steps_to_level")
    assert verdict(LEVEL | {"retuned": "lr"}, frame).numbers["than"]["reached"] == 1


def test_the_best_rate_is_that_of_the_median_over_seeds_in_each_image():
    frame = retuned(
        {0.1: [31, 31, 99, 40, 40, 40], 0.2: [34, 34, 34, 30, 30, 30]},
        {0.1: [30] * 6, 0.2: [29] * 6},
        images=("a", "b"),
    )
    found = verdict(TUNED, frame)  # a seed of 99 alone doesn't make 0.1 the best for image a
    assert found.numbers["best"]["first"] == [0.1, 0.2]
    assert {group["image"]: group["median"] for group in found.numbers["groups"]} == {"a": 4.0, "b": 10.0}


def test_too_few_seeds_are_not_called_confounded():
    frame = retuned({0.1: [25] * 3, 0.2: [34] * 3}, {0.1: [30] * 3, 0.2: [28] * 3})
    assert word(TUNED, frame[frame["seed"] < 2]) == "not reproduced"


def test_rows_are_matched_by_settings_of_any_kind():
    frame = table([31.0] * 3, [30.0] * 3)
    frame["hidden"] = [[64, 32]] * 3 + [[32]] * 3
    frame["scheme"] = ["siren"] * 3 + [33] * 3
    by_list = CLAIM | {"first": {"hidden": [64, 32]}, "than": {"hidden": [32]}, "pair": ["seed"]}
    assert word(by_list, frame) == "reproduced"
    assert word(CLAIM | {"first": {"scheme": "siren"}, "than": {"scheme": 33}, "pair": ["seed"]}, frame) == "reproduced"


def test_several_rows_for_one_side_of_a_pair_are_an_error():
    frame = table([31.0] * 6, [30.0] * 6, images=("a", "b"))
    with pytest.raises(ValueError, match="several rows of one side share seed=0; name what tells them apart"):
        verdict(CLAIM | {"pair": ["seed"]}, frame)


def test_rows_of_both_sides_are_an_error():
    with pytest.raises(ValueError, match="3 rows match both"):
        verdict(CLAIM | {"first": {"image": "a"}, "pair": ["seed"]}, table([31.0] * 3, [30.0] * 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "psnrr"}, "no column 'psnrr'; they have mult, image, seed, psnr"),
        ({"first": {"width": 2}}, "no column 'width'"),
        ({"pair": ["picture"]}, "no column 'picture'"),
        ({"retuned": "lr"}, "no column 'lr'"),
        ({"measure": "image"}, "'image' must hold numbers, got 'a'"),
    ],
)
def test_columns_that_are_missing_or_hold_text_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        verdict(CLAIM | change, table([31.0] * 3, [30.0] * 3))


def test_a_ratio_of_numbers_below_0_is_an_error():
    with pytest.raises(ValueError, match="needs psnr above 0, got -1 and 30"):
        verdict(CLAIM | {"ratio": 1.5}, table([-1.0] * 3, [30.0] * 3))


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("Wide is better", "must be a mapping"),
        ({"says": "x"}, "needs measure, better, first, than"),
        (CLAIM | {"bettter": "higher"}, "has no key bettter"),
        (CLAIM | {"better": "more"}, "`better` must be higher or lower, got 'more'"),
        (CLAIM | {"measure": 3}, "`measure` must be text, got 3"),
        (CLAIM | {"first": {}}, "`first` must name at least one column"),
        (CLAIM | {"first": "mult"}, "`first` must name at least one column"),
        (CLAIM | {"than": {"mult": 2}}, "are the same rows"),
        (CLAIM | {"at_least": "1 dB"}, "`at_least` must be a number, got '1 dB'"),
        (CLAIM | {"at_least": math.nan}, "`at_least` must be a number"),
        (CLAIM | {"ratio": True}, "`ratio` must be a number"),
        (CLAIM | {"ratio": 0}, "`ratio` must be above 0"),
        (CLAIM | {"ratio": 2, "at_least": 1}, "not both"),
        (CLAIM | {"pair": "seed"}, "`pair` must be a list of columns"),
        (CLAIM | {"pair": 5}, "`pair` must be a list of columns, got 5"),
        (CLAIM | {"retuned": "mult"}, "which `first`, `than` or `pair` hold fixed"),
    ],
)
def test_a_claim_that_makes_no_sense_is_an_error(claim, message):
    with pytest.raises(ValueError, match=message):
        read_claim(claim)


PSNRS = st.lists(st.one_of(st.none(), st.floats(5, 60)), min_size=6, max_size=6)


@given(PSNRS, PSNRS, st.integers(0, 5))
def test_a_claim_and_its_opposite_are_never_both_reproduced_and_rows_may_come_in_any_order(first, than, seed):
    frame = table(first, than, images=("a", "b"))
    shuffled = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    shuffled.attrs = frame.attrs
    opposite = CLAIM | {"first": CLAIM["than"], "than": CLAIM["first"]}
    assert [word(CLAIM, frame), word(opposite, frame)].count("reproduced") < 2
    assert word(CLAIM, shuffled) == word(CLAIM, frame)


@given(PSNRS, PSNRS)
def test_higher_in_a_measure_is_lower_in_its_negative(first, than):
    frame = table(first, than, images=("a", "b"))
    negative = frame.assign(cost=[None if value is None else -value for value in frame["psnr"].astype(object)])
    negative.attrs = frame.attrs
    assert word(CLAIM | {"measure": "cost", "better": "lower"}, negative) == word(CLAIM, frame)


def test_the_rule_names_its_own_words_and_numbers():
    for part in ("**reproduced**", "**not reproduced**", "**confounded**", "at least 3 seeds", "one pair in ten"):
        assert part in RULE
