"""GPUs are used by one job at a time: real locks, real processes, made-up cards."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, nullcontext
from types import SimpleNamespace

import pytest
import torch

from w2s.errors import DataError
from w2s.models import cards
from w2s.models.cards import card_names, locked, own_card, wanted

NAMES = ["first", "second"]
ENOUGH = 60  # seconds after which a test that waits is stuck
FORK = multiprocessing.get_context("fork")  # children that need not import torch again
ALL_IN_USE = "waiting for a free GPU: 2 cards, all in use"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(cards, "POLL", 0.01)


def job(folder, names, every, seconds):
    """Hold a card, or all, for a while, and write when into a common file."""
    with locked(names, every=every, folder=folder) as place:
        mine = sorted(names) if every else [names[place]]
        for word in ("takes", "leaves"):
            with (folder / "journal").open("a", encoding="utf-8") as journal:
                journal.write(f"{word} {' '.join(mine)}\n")
            time.sleep(seconds if word == "takes" else 0)


def finished(jobs):
    """Run processes to their end."""
    for process in jobs:
        process.start()
    for process in jobs:
        process.join(ENOUGH)
        process.kill()
        assert process.exitcode == 0  # and not stuck


def most_at_once(folder):
    """Jobs in the journal, and the most on one card at a time."""
    using = {}
    jobs = most = 0
    for line in (folder / "journal").read_text(encoding="utf-8").splitlines():
        word, *names = line.split()
        jobs += word == "leaves"
        for name in names:
            using[name] = using.get(name, 0) + (1 if word == "takes" else -1)
            most = max(most, using[name])
    return jobs, most


def test_two_jobs_take_two_cards_and_both_can_be_taken_again_also_after_an_error(tmp_path):
    for _ in range(2):
        with locked(NAMES, folder=tmp_path) as one, locked(NAMES, folder=tmp_path) as other:
            assert (one, other) == (0, 1)
    for every in (False, True):
        with pytest.raises(DataError, match="mine"), locked(NAMES, every=every, folder=tmp_path):
            raise DataError("mine")
    with locked(NAMES, every=True, folder=tmp_path):
        pass


def test_never_two_processes_on_one_card_and_all_come_to_their_end(tmp_path):
    orders = [NAMES, NAMES[::-1]]
    plans = {"one": [(False, 0.03)] * 8, "some on all": [(i % 3 > 0, 0.01) for i in range(9)]}
    for name, plan in plans.items():
        folder = tmp_path / name
        folder.mkdir()
        calls = [(folder, orders[i % 2], *each) for i, each in enumerate(plan)]
        finished([FORK.Process(target=job, args=call) for call in calls])
        assert most_at_once(folder) == (len(plan), 1)


def test_a_process_that_is_killed_leaves_its_card_free(tmp_path):
    holder = FORK.Process(target=job, args=(tmp_path, ["only"], False, ENOUGH))
    holder.start()
    try:
        while not (tmp_path / "journal").exists():
            assert holder.is_alive()
            time.sleep(0.01)
        assert cards._lock(tmp_path / "w2s-gpu-only.lock") is None
    finally:
        holder.kill()
        holder.join()
    with locked(["only"], folder=tmp_path) as place:
        assert place == 0


def waiting(use, caplog):
    """A thread that has begun to wait."""
    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    end = time.monotonic() + ENOUGH
    while "waiting for" not in caplog.text:
        assert time.monotonic() < end
        time.sleep(0.01)
    return thread


def test_a_job_waits_with_one_line_until_a_card_is_free(tmp_path, caplog):
    taken = []

    def use():
        with locked(NAMES, folder=tmp_path) as place:
            taken.append(place)

    with locked(NAMES, folder=tmp_path), ExitStack() as second:
        second.enter_context(locked(NAMES, folder=tmp_path))
        thread = waiting(use, caplog)
        time.sleep(0.1)
        assert not taken
        assert caplog.messages == [ALL_IN_USE]
        second.close()
        thread.join(ENOUGH)
        assert taken == [1]


def test_lines_of_jobs_that_wait_for_one_card_and_for_all(tmp_path, caplog):
    def use(names, every):
        with locked(names, every=every, folder=tmp_path):
            pass

    for names, every, line in (
        (["second"], False, "waiting for a free GPU: 1 card, in use"),
        (NAMES, True, "waiting for all GPUs: 1 of 2 taken so far"),
        (NAMES[::-1], True, "waiting for all GPUs: 1 of 2 taken so far"),  # in the same order
    ):
        caplog.clear()
        with locked(["second"], folder=tmp_path):
            thread = waiting(lambda names=names, every=every: use(names, every), caplog)
        thread.join(ENOUGH)
        assert not thread.is_alive()
        assert caplog.messages == [line]


def test_lock_files_are_for_all_users_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with locked(["only"], folder=tmp_path):
            (path,) = tmp_path.iterdir()
            assert path.name == "w2s-gpu-only.lock"
            assert path.stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(before)
    path.chmod(0o444)  # of a user whose files others cannot write
    with locked(["only"], folder=tmp_path):
        pass


def test_a_file_that_cannot_be_locked_is_one_line(tmp_path):
    (tmp_path / "precious").touch()
    (tmp_path / "w2s-gpu-only.lock").symlink_to(tmp_path / "precious")
    for folder in (tmp_path, tmp_path / "folder gone"):
        with pytest.raises(DataError) as caught, locked(["only"], folder=folder):
            pass
        assert "found a file that cannot be locked (" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_cards_that_a_device_means_have_one_name_under_any_number():
    assert wanted("cpu", 4) == wanted("auto", 0) == wanted("cuda", 0) == wanted("cuda:3", 3) == []
    assert (wanted("auto", 3), wanted("cuda", 2)) == ([0, 1, 2], [0, 1])
    assert wanted("cuda:1", 3) == [1]
    uuids = ["aaaa-1", "bbbb-2", "cccc-3"]
    everything = dict(zip(uuids, card_names([0, 1, 2], uuids, ""), strict=True))
    assert len(set(everything.values())) == 3
    for preset in ("2,0", "GPU-cccc,GPU-aaaa"):
        names = card_names([0, 1], ["cccc-3", "aaaa-1"], preset)
        assert names == [everything["cccc-3"], everything["aaaa-1"]]
    assert card_names([1], ["bbbb-2"], "") == [everything["bbbb-2"]]
    # parts of a card have names of their own, though the driver may call them by that of the whole
    one = card_names([0], ["aaaa-1"], "MIG-GPU-aaaa-1/3/0")
    other = card_names([0], ["aaaa-1"], " MIG-GPU-aaaa-1/5/0")
    assert one != other
    assert one == ["MIG-GPU-aaaa-1_3_0"]


@pytest.fixture
def two_cards(tmp_path, monkeypatch):
    """A machine with two cards, as far as torch is asked; the numbers of those made current."""
    current = []
    monkeypatch.setattr(cards, "visible", lambda: 2)
    told = [SimpleNamespace(uuid=f"uuid-{place}") for place in range(2)]
    monkeypatch.setattr(torch.cuda, "get_device_properties", told.__getitem__)
    monkeypatch.setattr(torch.cuda, "device", lambda place: nullcontext(current.append(place)))
    monkeypatch.setattr(cards.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return current


def test_a_job_gets_the_number_of_its_own_card(two_cards, tmp_path):
    with own_card("auto") as one, own_card("cuda") as other:
        assert (one, other) == ("cuda:0", "cuda:1")
        assert two_cards == [0, 1]
    names = [f"w2s-gpu-uuid-{place}.lock" for place in range(2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with own_card("cuda:1") as given, own_card("auto") as left:
        assert (given, left) == ("cuda:1", "cuda:0")


def test_a_card_asked_for_is_waited_for_and_a_model_on_all_leaves_none(two_cards, caplog):
    taken = []

    def use(device):
        with own_card(device) as found:
            taken.append(found)

    for device, every, said in (
        ("cuda:1", False, "waiting for a free GPU: 1 card, in use"),  # another is free
        ("auto", True, ALL_IN_USE),
    ):
        caplog.clear()
        with own_card(device, every=every) as found:
            assert found == device
            thread = waiting(lambda device=device: use(device), caplog)
            assert caplog.messages == [said]
        thread.join(ENOUGH)
        assert not thread.is_alive()
    assert taken == ["cuda:1", "cuda:0"]


def test_without_a_card_nothing_is_locked(two_cards, tmp_path):
    for device in ("cpu", "cuda:7"):
        with own_card(device) as given:
            assert given == device
    assert not list(tmp_path.iterdir())


REPORT = """
import sys, torch
from pathlib import Path
from w2s.models.cards import own_card
with own_card(sys.argv[1]) as device:
    torch.zeros(1, device=device)
    print(device, torch.cuda.current_device())
"""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_card_has_one_lock_by_its_number_and_by_its_name(tmp_path):
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    for preset in (os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0], uuid):
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": preset, "TMPDIR": str(tmp_path)}
        line = [sys.executable, "-c", REPORT, "auto"]
        done = subprocess.run(line, capture_output=True, text=True, check=True, env=env)
        assert done.stdout.split() == ["cuda:0", "0"]
    assert len(list(tmp_path.glob("w2s-gpu-*.lock"))) == 1
