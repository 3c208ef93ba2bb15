"""The folder of an unfinished job: one process at a time, gone when the output is complete."""

import errno
import fcntl
import os
import re
import subprocess
import sys

import pytest

from w2s.errors import ArtifactError
from w2s.files import resume
from w2s.files.resume import work_folder

IDENTITY = {"settings": {"layers": [-1]}}


def leave(output, identity=IDENTITY, name="a.rows"):
    """The folder of a job that failed with work in it."""
    with pytest.raises(KeyboardInterrupt), work_folder(output, identity) as folder:  # noqa: PT012
        (folder / name).write_text("some")
        raise KeyboardInterrupt
    return folder


def folders(output):
    return sorted(path.name for path in output.parent.iterdir() if path.name.startswith(".work"))


@pytest.fixture
def output(tmp_path):
    return tmp_path / "deep" / "a.safetensors"


def test_folder_is_beside_the_output_and_named_for_it_and_the_identity(output):
    with work_folder(output, IDENTITY) as folder:
        assert folder.is_dir()
        assert folder.parent == output.parent
        assert re.fullmatch(r"\.work-a\.safetensors-[0-9a-f]{16}", folder.name)
        (folder / "a.rows").write_text("all")
    assert list(output.parent.iterdir()) == []  # it goes with success, and if there is no work
    with work_folder(output, {"settings": {"layers": [0]}}) as other:
        assert other != folder
    with pytest.raises(ArtifactError), work_folder(output, IDENTITY):
        raise ArtifactError("a.safetensors: bad")
    with work_folder(output, IDENTITY) as folder:  # that somebody removed
        (folder / "lock").unlink()
        folder.rmdir()
    assert list(output.parent.iterdir()) == []


def test_work_stays_after_an_error_for_the_same_job(output):
    folder = leave(output)
    assert (folder / "a.rows").read_text() == "some"
    with work_folder(output, IDENTITY) as again:
        assert again == folder
        assert (again / "a.rows").read_text() == "some"
    assert folders(output) == []


def test_success_removes_stale_folders_of_the_same_output_only(output):
    leave(output, 1)
    leave(output, 2)
    other = leave(output.with_name("a.safetensors-b.safetensors"))
    near = output.parent / ".work-a.safetensors-notes"
    near.mkdir()
    with work_folder(output, 3):
        assert len(folders(output)) == 5
    assert folders(output) == sorted([other.name, near.name])


def test_second_process_is_told_in_one_line_and_harms_nothing(output):
    program = (
        "import sys; from pathlib import Path; from w2s.files.resume import work_folder\n"
        "with work_folder(Path(sys.argv[1]), int(sys.argv[2])): print('in')"
    )

    def second(identity):
        line = [sys.executable, "-c", program, str(output), str(identity)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    with work_folder(output, 7) as folder:
        (folder / "a.rows").write_text("some")
        said = second(7).stderr.splitlines()[-1]
        assert said.endswith("found another process at work on it, expected none; wait for its end")
        assert second(8).stdout == "in\n"  # other settings; ours is in use, so it is not stale
        assert (folder / "a.rows").read_text() == "some"
    assert second(7).stdout == "in\n"


def test_lock_of_a_folder_that_was_removed_meanwhile_does_not_count(output, monkeypatch):
    real, calls = fcntl.flock, []

    def flock(handle, how):
        if not calls:  # between open and flock the other process ends, and a third one comes
            calls.append(handle)
            (lock,) = output.parent.glob(".work*/lock")
            lock.unlink()
            lock.write_text("")
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with work_folder(output, IDENTITY) as folder:
        assert calls
        inside = os.open(folder / "lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            real(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(inside)


def test_file_system_without_locks_or_room_is_told(output, monkeypatch, caplog):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(resume.fcntl, "flock", none)
    with work_folder(output, IDENTITY) as folder:
        assert folder.is_dir()
    assert "no locks" in caplog.records[0].getMessage()
    (output.parent / "file").write_text("not a folder")
    output = output.parent / "file" / "a.safetensors"
    with pytest.raises(ArtifactError) as caught, work_folder(output, IDENTITY):
        pass
    assert str(caught.value).startswith(f"{output}: cannot be written (")
