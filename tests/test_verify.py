"""`w2s verify` finds every damaged file, and with `--delete` the next run heals."""

import random
import shutil

import pandas as pd
import pytest
import tiny
from test_fetch import FOREIGN, write_manifest

from w2s.cli import main
from w2s.data.fetch import file_hashes
from w2s.files.artifacts import digest, load
from w2s.inspect import verify
from w2s.models.source import parse_source


@pytest.fixture
def copy(chain, tmp_path):
    return shutil.copytree(chain.folder, tmp_path / "results")


def artifacts(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".parquet", ".safetensors"))


def test_every_truncated_artifact_is_found(copy, capsys):
    assert main(["verify", str(copy)]) == 0
    assert capsys.readouterr().out == f"{len(artifacts(copy))} whole, 0 damaged, 0 not artifacts\n"
    for path in artifacts(copy):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
    report = verify([copy])
    assert list(report.damaged) == artifacts(copy)
    assert report.whole == 0
    for path, why in report.damaged.items():
        assert why.startswith(f"{path}: ")
        assert "\n" not in why


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_is_found_in_every_artifact(copy, seed):
    draw = random.Random(seed)
    before = {path: load(path).checksum for path in artifacts(copy)}
    for path in artifacts(copy):
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(content))
    report = verify([copy])
    # a bit of a Parquet footer that nothing reads, as a statistic, changes no content
    harmless = [path for path in artifacts(copy) if path not in report.damaged]
    assert all(path.suffix == ".parquet" for path in harmless)
    assert all(digest(load(path)) == before[path] for path in harmless)
    assert len(report.damaged) > len(harmless)


def test_damaged_files_are_deleted_and_others_stay(copy, capsys):
    bad = copy / "regions-0.parquet"
    bad.write_bytes(bad.read_bytes()[:-9])
    assert main(["verify", str(copy)]) == 2
    assert bad.exists()
    said = capsys.readouterr()
    assert said.err.startswith(f"w2s verify: error: {bad}: damaged (")
    before = artifacts(copy)
    assert main(["verify", "--delete", str(copy)]) == 0
    assert artifacts(copy) == [path for path in before if path != bad]
    assert f"deleted {bad}" in capsys.readouterr().out
    assert main(["verify", str(copy)]) == 0
    assert main(["verify", str(copy / "none")]) == 2
    assert "found nothing there, expected a file or a folder" in capsys.readouterr().err


def test_files_of_others_and_unfinished_work_are_left_alone(copy):
    pd.DataFrame({"a": [1]}).to_parquet(copy / "mine.parquet")
    (copy / ".work-x").mkdir()
    (copy / ".work-x" / "half.safetensors").write_bytes(b"half")
    count = len(artifacts(copy)) - 2
    report = verify([copy])
    assert (report.whole, report.foreign, report.damaged) == (count, 1, {})


def test_downloads_are_checked_by_their_manifest(tmp_path):
    folder = tmp_path / "pkg-1.0"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    manifest = write_manifest(folder, file_hashes(folder))
    report = verify([tmp_path])
    assert (report.whole, report.foreign, report.damaged) == (1, 0, {})
    whole = manifest.read_text()
    for new in ('"b.saf', "'a.saf"):  # of a file that is not there, and no JSON
        manifest.write_text(whole.replace('"a.saf', new))
        assert list(verify([tmp_path]).damaged) == [manifest]


@pytest.mark.parametrize("content", FOREIGN)
def test_a_users_own_model_is_never_deleted(content, tmp_path, capsys):
    folder = tiny.write_model(tmp_path / "m")
    (folder / "manifest.json").write_text(content)
    (folder / "half.safetensors").write_bytes(b"half")
    before = sorted(folder.iterdir())
    parse_source(str(folder))
    assert main(["verify", "--delete", str(tmp_path)]) == 0
    assert sorted(folder.iterdir()) == before
    assert capsys.readouterr().out == "0 whole, 0 damaged, 3 not artifacts\n"
