"""Files are replaced whole or not at all; JSON is strict."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from siren_fastai.files import replacing, strict_json, write_json


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists() and temporary.suffix == ".csv" and temporary.parent == path.parent
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def read_strictly(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"not strict JSON: {name}"))


def test_numbers_that_json_lacks_become_strings_that_float_reads():
    value = {"psnr": math.inf, "low": [-math.inf, 1.5, (math.nan, True)], "missing": None, 3: "inf"}
    read = read_strictly(strict_json(value))
    assert read == {"psnr": "inf", "low": ["-inf", 1.5, ["nan", True]], "missing": None, "3": "inf"}
    assert float(read["psnr"]) == math.inf and math.isnan(float(read["low"][2][0]))


@pytest.mark.parametrize(
    "value, plain",
    [
        (np.float32(0.5), 0.5),
        (np.float64("inf"), "inf"),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (torch.tensor(2.0), 2.0),
        (np.array([[1.0, np.nan]]), [[1.0, "nan"]]),
        (torch.tensor([1, 2]), [1, 2]),
    ],
)
def test_arrays_and_tensors_become_plain_numbers_and_lists(value, plain):
    assert read_strictly(strict_json({"value": value})) == {"value": plain}


def test_a_table_written_as_json_is_read_back_by_pandas(tmp_path):
    table = pd.DataFrame({"psnr": [1.5, math.inf, math.nan], "epoch": [0, 1, 2]})
    path = write_json(table.to_dict("records"), tmp_path / "new" / "table.json")
    pd.testing.assert_frame_equal(pd.read_json(path), table)


def test_a_value_that_is_not_json_is_rejected_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json({"a": object()}, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
