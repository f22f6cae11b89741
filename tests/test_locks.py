"""One process at a time in a folder."""

import subprocess
import sys

import pytest

from siren_fastai.locks import LOCK, lock_folder


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path):
    first = lock_folder(tmp_path)
    with pytest.raises(BlockingIOError, match="another process is writing to"):
        lock_folder(tmp_path)
    first.release()
    with lock_folder(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.slow
def test_a_killed_process_leaves_no_lock(tmp_path):
    code = (
        "import sys; from siren_fastai.locks import lock_folder\n"
        "lock = lock_folder(sys.argv[1]); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "locked\n"
            with pytest.raises(BlockingIOError):
                lock_folder(tmp_path)
        finally:
            process.kill()
    lock_folder(tmp_path).release()


def test_a_file_system_without_locks_gets_a_warning(tmp_path, monkeypatch):
    def unsupported(self, **options):
        raise OSError(37, "No locks available")  # a network's file system without the service for them

    monkeypatch.setattr("filelock.FileLock.acquire", unsupported)
    with pytest.warns(UserWarning, match="is on a file system without locks: start nothing else there"):
        lock_folder(tmp_path).release()
