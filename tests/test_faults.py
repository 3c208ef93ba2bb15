"""Kills, full and read-only disks, damage and wrong clocks: a rerun ends as if nothing had been."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from faults import Victims, flipped, mounted
from project import command, contents, copy_project, environment, make_project, planned, snakemake
from test_fetch import settings_for, write_wheel

from w2s.cli import main
from w2s.data.fetch import check_fetched, file_hashes
from w2s.data.sources import sha256_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, load, save
from w2s.inspect import verify

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

MODULES = (
    *("w2s.run", "pyarrow.parquet", "pandas", "tabulate", "PIL.Image"),
    *("matplotlib.backends.backend_svg", "matplotlib.backends.backend_agg"),
    *("w2s.overlap.tables", "w2s.overlap.tables", "w2s.weak_supervision.figures"),
    *("w2s.models.activations", "transformers.models.llama.modeling_llama"),
)
TEMPORARY = re.compile(r"\.[\w-]+-[a-z0-9_]{8}\.(parquet|safetensors|csv|md|svg|png)")


@pytest.fixture
def tally(record_property):
    """Keeps how much was tried, for `pytest --junitxml`: the numbers in docs/reliability.md."""
    return record_property


@pytest.fixture(scope="module")
def victims(tmp_path_factory):
    with Victims(tmp_path_factory.mktemp("victims"), MODULES) as started:
        yield started


def files(folder):
    """Content of the files in a folder, but for hidden ones."""
    visible = [path for path in folder.glob("*") if not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in sorted(visible)}


def hidden(folder):
    return sorted(path.name for path in folder.glob(".*"))


def whole_or_none(folder, whole):
    """The files of an unfinished job, each of which has its whole content."""
    left = files(folder)
    assert left == {made: whole[made] for made in left}
    return left


def again(victims, line, folder, whole):
    """Run the job to its end."""
    ended = victims.run(line, folder)
    assert ended.code == 0, ended.said
    assert files(folder) == whole
    return ended.said


def made_again(folder, before):
    """Run the workflow: it gives what was there before, and then has nothing to do."""
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(folder) == before
    assert planned(folder) == {}


STAGES = {"evaluate-0": 12, "tables": 72, "weak_supervision_figures": 24}  # least points


def prepared(job, victims, tmp_path, folder):
    """What an undisturbed run of the job writes, and its command with outputs in the folder."""
    place = tmp_path / "whole"
    done = victims.run(job.line(**job.elsewhere(place)), place)
    assert done.code == 0, done.said
    assert hidden(place) == []
    return files(place), job.line(**job.elsewhere(folder))


@pytest.mark.parametrize("name", STAGES)
def test_stage_killed_anywhere_leaves_whole_files_or_none(name, chain, victims, tmp_path, tally):
    folder = tmp_path / "killed"
    whole, line = prepared(chain.jobs[name], victims, tmp_path, folder)
    reruns = set()
    points = victims.run(line, folder).points
    assert points >= STAGES[name]
    for point in range(1, points + 1):
        shutil.rmtree(folder)
        assert victims.run(line, folder, kill_at=point).code == -9, point
        left = whole_or_none(folder, whole)
        assert all(TEMPORARY.fullmatch(beside) for beside in hidden(folder))
        if tuple(left) not in reruns:  # no stage of these reads its own outputs
            reruns.add(tuple(left))
            again(victims, line, folder, whole)
    assert len(reruns) == len(whole) + 1  # from none of the files to all of them
    sizes = {size for content in whole.values() for size in (len(content) // 2, 4096)}
    # a limit of a few bytes would be met by the bar that the process shows, which is a file too
    sizes = {size for size in sizes if 1000 < size < max(map(len, whole.values()))}
    tally("kills", points + len(sizes))
    half = []
    for most in sizes:
        shutil.rmtree(folder)
        ended = victims.run(line, folder, most_bytes=most)
        assert ended.code == -signal.SIGXFSZ, ended.said
        whole_or_none(folder, whole)
        half += [path for path in folder.glob(".*") if path.stat().st_size == most]
    assert half, "the process never was in the middle of a file"
    again(victims, line, folder, whole)


def test_stage_killed_over_older_outputs_leaves_each_old_or_new(chain, victims, tmp_path, tally):
    job, older = chain.jobs["evaluate-0"], chain.jobs["evaluate-1"]
    old = {path.name: older.outputs[output].read_bytes() for output, path in job.outputs.items()}
    folder = tmp_path / "killed"
    folder.mkdir()
    new, line = prepared(job, victims, tmp_path, folder)
    outcomes = set()
    points = victims.run(line, folder).points
    tally("kills", points)
    for point in range(1, points + 1):
        for name in hidden(folder):  # the next writer removes them, which is a write point too
            (folder / name).unlink()
        for name, content in old.items():
            (folder / name).write_bytes(content)
        assert victims.run(line, folder, kill_at=point).code == -9
        left = files(folder)
        assert left.keys() == old.keys()
        assert all(left[name] in (old[name], new[name]) for name in left)
        outcomes.add(tuple(left[name] == new[name] for name in left))
    assert len(outcomes) == 3
    again(victims, line, folder, new)


TEXTS = 5


def test_extraction_killed_at_any_point_goes_on_to_the_same_bytes(chain, victims, tmp_path, tally):
    tokens = load(chain / "tokens-large.safetensors")
    starts = tokens["start"][: TEXTS + 1]  # few rows, so that all their writes can be tried
    few = {"id": tokens["id"][:TEXTS], "start": starts, "token": tokens["token"][: starts[-1]]}
    save(Artifact("tokens", {**tokens.arrays, **few}, tokens.facts), tmp_path / "t.safetensors")
    folder = tmp_path / "killed"
    inputs = {"tokens": tmp_path / "t.safetensors", "activations": folder / "a.safetensors"}
    line = [*chain.jobs["activations-large"].line(**inputs), "--batch-tokens", "1"]
    ended = victims.run(line, folder)
    assert (ended.code, hidden(folder)) == (0, [])
    whole = files(folder)
    assert ended.points >= 2 * TEXTS + 10  # a row of two layers for each text, and the file
    tally("kills", ended.points)
    continued = 0
    for point in range(1, ended.points + 1):
        shutil.rmtree(folder)
        assert victims.run(line, folder, kill_at=point).code == -9, point
        assert files(folder) in ({}, whole), point
        said = again(victims, line, folder, whole)
        assert all(TEMPORARY.fullmatch(left) for left in hidden(folder)), point
        continued += "continuing at text" in said
    assert continued >= TEXTS


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A wheel in the only place where pip looks."""
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return write_wheel(links)


def test_fetch_killed_at_any_point_leaves_a_whole_folder_or_none(package, tmp_path, tally):
    folder = tmp_path / "resources" / "tinypack-1.0"
    manifest = folder / "manifest.json"
    line = ["fetch", "--manifest", manifest, "--settings", settings_for(sha256_of(package))]
    with Victims(tmp_path, ["w2s.run", "w2s.data.fetch"]) as victims:
        points = victims.run(line, folder.parent).points
        whole = file_hashes(folder)
        over = victims.run(line, folder.parent).points  # over an earlier download
        kept = shutil.copytree(folder.parent, tmp_path / "kept")
        tally("kills", points + over)
        assert over > points >= 7
        tries = [(False, point) for point in range(1, points + 1)]
        for earlier, point in [*tries, *((True, point) for point in range(1, over + 1))]:
            shutil.rmtree(folder.parent, ignore_errors=True)
            if earlier:
                shutil.copytree(kept, folder.parent)
            assert victims.run(line, folder.parent, kill_at=point).code == -9
            assert not folder.exists() or file_hashes(folder) == whole, (earlier, point)
        assert victims.run(line, folder.parent).code == 0
    check_fetched(folder)
    assert file_hashes(folder) == whole


def leave(free, disk):
    """Fill the disk but for so many bytes, with a file."""
    ballast = disk / "ballast"
    room = shutil.disk_usage(disk).free
    ballast.write_bytes(bytes(room - free))
    assert shutil.disk_usage(disk).free <= free
    return ballast


PAGE = 4096  # what that disk gives at once


@pytest.mark.parametrize("name", [*STAGES, "activations-large"])
def test_full_disk_leaves_whole_files_or_none(name, chain, victims, small_disk, tmp_path):
    job, folder = chain.jobs[name], small_disk / "out"
    whole, line = prepared(job, victims, tmp_path, folder)
    extraction = name not in STAGES  # which keeps its unfinished work
    some = (10 * PAGE, 40 * PAGE) if extraction else (PAGE, sum(map(len, whole.values())) // 2)
    for free in (0, *some):
        ballast = leave(free, small_disk)
        ended = victims.run(line, folder)
        assert ended.code == 2, ended.said
        last = ended.said.splitlines()[-1]
        assert last.startswith(f"w2s {job.stage}: error: {folder}/")
        assert last.endswith("No space left on device)")
        assert "Traceback" not in ended.said
        assert len(whole_or_none(folder, whole)) < len(whole)
        assert extraction or hidden(folder) == []
        ballast.unlink()
    again(victims, line, folder, whole)
    assert hidden(folder) == []


def test_fetch_on_a_full_disk_is_one_line_and_leaves_nothing(package, small_disk, capsys):
    manifest = small_disk / "resources" / "tinypack-1.0" / "manifest.json"
    line = ["fetch", "--manifest", str(manifest), "--settings", settings_for(sha256_of(package))]
    (small_disk / "resources").mkdir()
    for free in (0, 2 * PAGE):
        ballast = leave(free, small_disk)
        assert main(line) == 2
        (message,) = capsys.readouterr().err.splitlines()
        assert message.startswith(f"w2s fetch: error: {manifest}: cannot be written (No space")
        assert list((small_disk / "resources").iterdir()) == []
        ballast.unlink()
    assert main(line) == 0
    check_fetched(manifest.parent)


@pytest.mark.parametrize("name", ["evaluate-0", "activations-small"])
def test_read_only_folder_is_one_line(name, chain, tmp_path, capsys):
    job = chain.jobs[name]
    folder = tmp_path / "out"
    folder.mkdir()
    try:
        with mounted(folder, "--bind", "-o", "ro", str(folder)):
            for place in (folder, folder / "deeper"):
                capsys.readouterr()
                assert main(job.line(**job.elsewhere(place))) == 2
                message = capsys.readouterr().err.splitlines()[-1]
                assert message.startswith(f"w2s {job.stage}: error: {place}/")
                assert message.endswith(": cannot be written (Read-only file system)")
            assert list(folder.iterdir()) == []
    except PermissionError as error:
        pytest.skip(f"no read-only folder: {error}")
    assert main(job.line(**job.elsewhere(folder))) == 0
    assert files(folder) == {path.name: path.read_bytes() for path in job.outputs.values()}


def test_damage_of_any_kind_of_artifact_is_told_in_one_line_with_a_remedy(chain, tmp_path, tally):
    paths = sorted(p for p in chain.folder.iterdir() if p.suffix in (".parquet", ".safetensors"))
    kinds = {load(path).kind: path for path in reversed(paths)}
    assert len(kinds) >= 20
    tried = unread = 0
    for kind, path in kinds.items():
        content, checksum = path.read_bytes(), load(path).checksum
        damaged = tmp_path / path.name
        size = len(content)
        ends = [*range(8), *range(size - 8, size)]
        places = sorted({*ends, *range(0, size, max(1, size // 40))})
        changed = [flipped(content, place) for place in places]
        cuts = [content[:cut] for cut in {0, 1, 8, size // 3, size // 2, size - 8, size - 1}]
        for number, other in enumerate([*cuts, *changed]):
            damaged.write_bytes(other)
            tried += 1
            try:
                assert load(damaged).checksum == checksum, (kind, number)
                unread += 1
                assert number >= len(cuts), (kind, number)
                assert path.suffix == ".parquet"  # a bit of the footer that nothing reads
            except ArtifactError as error:
                message = str(error)
                assert message.startswith(f"{damaged}: "), message
                assert "\n" not in message
                assert re.search(r"run (the stage )?again|expect(s|ed)|declare", message), message
    tally("damages", tried)
    tally("damages that change no content", unread)
    assert unread < tried / 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project that has run, and what a second Snakemake said meanwhile."""
    plain = {"title": "Plain", "source": "file", "path": "plain.csv"}
    folder = tmp_path_factory.mktemp("faults") / "finished"
    make_project(folder, seeds=(0,), datasets={"plain": plain})
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(folder), cwd=folder, env=environment(), **quiet) as first:
        while not list(folder.glob(".snakemake/locks/*.output.lock")):
            assert first.poll() is None
            time.sleep(0.05)
        second = snakemake(folder)
        assert first.poll() is None, "the first one has ended before the second was refused"
        assert first.wait() == 0
    return folder, second


@pytest.fixture
def project(finished, tmp_path):
    return copy_project(finished[0], tmp_path / "project")


def test_second_snakemake_in_a_folder_is_refused_and_harms_nothing(finished):
    folder, second = finished
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stdout + second.stderr
    assert verify([folder / "results"]).damaged == {}
    assert planned(folder) == {}


def test_damaged_artifacts_are_found_deleted_and_made_again(project, capsys):
    before, results = contents(project), project / "results"
    seed0 = results / "plain/small--large/seed0"
    bad = [seed0 / "predictions.safetensors", seed0 / "regions.parquet"]
    bad.append(results / "tables/main.parquet")
    for path in bad:
        content = path.read_bytes()
        path.write_bytes(flipped(content, len(content) // 3))
    assert main(["verify", "--delete", str(results)]) == 0
    deleted = re.findall(r"^deleted (.*)$", capsys.readouterr().out, flags=re.MULTILINE)
    assert deleted == [str(path) for path in bad]
    made_again(project, before)
    assert verify([results]).damaged == {}


FUTURE, PAST = 4e9, 1e9  # seconds since 1970: after 2090, before 2002


def touch(path, when):
    for each in (path, *path.rglob("*")):
        os.utime(each, (when, when))


@pytest.mark.parametrize(
    ("what", "when"), [("results", FUTURE), ("models", PAST), ("plain.csv", PAST)]
)
def test_times_that_keep_the_order_of_files_rerun_nothing(what, when, project):
    touch(project / what, when)
    assert planned(project) == {}


def test_results_that_look_older_than_their_inputs_are_made_again_the_same(project):
    before = contents(project)
    touch(project / "results", PAST)
    made_again(project, before)


def test_results_of_an_input_that_failed_do_not_pass_for_up_to_date(project):
    source, before = project / "plain.csv", contents(project)
    good = source.read_bytes()
    source.write_bytes(good + b"a fine film,2\r\n")
    for _ in range(2):  # the second run must say so again: the tables are of the older input
        done = snakemake(project)
        assert done.returncode == 1
        assert "found label 2, expected 0 or 1" in done.stdout + done.stderr
    source.write_bytes(good)
    made_again(project, before)


def test_changed_input_from_the_future_stops_the_run_until_it_is_put_right(project):
    source, before = project / "plain.csv", contents(project)
    source.write_text(source.read_text("utf-8") + "a fine film,1\n", encoding="utf-8")
    touch(source, FUTURE)
    done = snakemake(project)
    assert done.returncode == 1
    assert "clock skew" in done.stdout + done.stderr
    left = contents(project)
    assert left == {name: before[name] for name in left}
    touch(source, time.time())
    plan = snakemake(project, "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert re.search(r"^examples +1$", plan.stdout + plan.stderr, flags=re.MULTILINE)
