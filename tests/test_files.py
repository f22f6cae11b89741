"""Files are replaced whole or not at all; JSON is strict."""

import errno
import json
import math
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

from siren_fastai.files import check_writable, persist, replacing, strict_json, write_json


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


def write(path, text="new"):
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_the_target_of_a_symbolic_link_is_written_and_the_link_stays(tmp_path):
    target, link = tmp_path / "real" / "a.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink() and target.read_text() == "new"


def test_a_file_of_several_names_keeps_them(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("old and longer")
    os.link(first, second)
    write(first)
    assert second.read_text() == "new" and first.samefile(second)


def test_permissions_of_a_replaced_file_stay(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    write(path)
    assert path.stat().st_mode & 0o777 == 0o640 and path.read_text() == "new"


def test_a_fifo_is_written_through(tmp_path):
    fifo, received = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: received.append(fifo.read_text()), daemon=True)
    reader.start()
    write(fifo)
    reader.join(10)
    assert received == ["new"] and fifo.is_fifo()


def test_a_pipe_is_written_through():
    read, sink = os.pipe()
    write(f"/dev/fd/{sink}")
    os.close(sink)
    with open(read) as received:
        assert received.read() == "new"


def test_devices_stay_devices():
    write("/dev/null")
    assert not os.path.isfile("/dev/null")
    with pytest.raises(OSError) as caught:
        write("/dev/full")
    assert caught.value.errno == errno.ENOSPC and not os.path.isfile("/dev/full")


def test_a_read_only_file_is_rejected_for_root_too(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"):
        write(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name, error", [(".", IsADirectoryError), ("x" * 300, OSError), ("file/below.txt", NotADirectoryError)]
)
def test_what_cannot_be_written_is_known_beforehand(tmp_path, name, error):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(error):
        check_writable(tmp_path / name)


def test_what_can_be_written_is_not_made_beforehand(tmp_path):
    assert check_writable(tmp_path / "new" / "a.txt") == tmp_path / "new" / "a.txt" and not list(tmp_path.iterdir())


def test_a_name_of_the_longest_length_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    write(path)
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    code = (
        "import os, sys; from siren_fastai.files import replacing\n"
        "with replacing(sys.argv[1]) as path: print(path, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt"], capture_output=True, text=True)
    left = tmp_path / done.stdout.strip()
    other = tmp_path / ".siren_fastai-mine.txt"
    other.write_text("not a temporary file")
    assert left.exists()
    write(tmp_path / "b.txt")
    assert left.exists(), "it is too young to be judged"
    os.utime(left, (time.time() - 3600,) * 2)
    write(tmp_path / "b.txt")
    assert not left.exists() and other.exists()


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


def test_what_ctrl_c_ends_early_is_written_all_the_same(tmp_path):
    signals = [KeyboardInterrupt]

    def save():
        write(tmp_path / "a.txt", "whole")
        if signals:
            raise signals.pop()
        write(tmp_path / "b.txt", "whole")

    with pytest.raises(KeyboardInterrupt):
        persist(save)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "whole", "b.txt": "whole"}
    signals.append(ValueError)
    with pytest.raises(ValueError):
        persist(save)
    assert persist(lambda: 3) == 3
