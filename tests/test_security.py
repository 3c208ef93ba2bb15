"""Hostile archives, hostile texts and titles, secrets: nothing escapes, runs or leaks."""

import ast
import io
import json
import tarfile
import zipfile
from xml.etree import ElementTree

import audit
import pytest
from project import REPOSITORY, SCRIPT, SECRETS, TITLE, copy_project, finished_project, snakemake
from test_fetch import settings_for, write_wheel

from w2s import dag
from w2s.cli import main
from w2s.config import parse
from w2s.data import fetch as fetch_step
from w2s.data.sources import sha256_of


def zip_with(name, mode=0o100644):
    """A writer of a zip with a member of this name; the mode may make it a link."""

    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/fine.txt", b"1")
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, "../../../outside")

    return write


def tar_with(name, kind=tarfile.REGTYPE, target=""):
    """A writer of a tar with a member of this name and kind."""

    def write(path):
        with tarfile.open(path, "w:gz") as archive:
            fine = tarfile.TarInfo("a/fine.txt")
            fine.size = 1
            archive.addfile(fine, io.BytesIO(b"1"))
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"evil"[: member.size]))

    return write


HOSTILE = {
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


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Exit code of fetching what a function writes, and the folder for downloads."""
    archive, resources = tmp_path / "hostile", tmp_path / "deep" / "resources"
    # pip would refuse some of these itself: what it hands over is replaced, all else is real
    monkeypatch.setattr(fetch_step, "download", lambda *_, **__: archive)

    def fetch(write):
        archive.unlink(missing_ok=True)
        write(archive)
        settings = settings_for("0" * 64, folder="a")
        manifest = resources / "p" / "manifest.json"
        return main(["fetch", "--manifest", str(manifest), "--settings", settings]), resources

    return fetch


def test_hostile_archive_is_refused_by_fetch_in_one_line_and_leaves_nothing(
    fetched, tmp_path, capsys, subtests
):
    for name, write in HOSTILE.items():
        with subtests.test(name):
            code, resources = fetched(write)
            assert code == 2
            (message,) = capsys.readouterr().err.splitlines()
            assert "hostile: found the unsafe member '" in message
            left = sorted(tmp_path.rglob("*"))
            assert left == [resources.parent, resources, tmp_path / "hostile"]


def test_link_in_a_zip_becomes_a_file(fetched):
    code, resources = fetched(zip_with("a/link", mode=0o120777))
    assert code == 0
    link = resources / "p" / "link"
    assert not link.is_symlink()
    assert link.read_text(encoding="utf-8") == "../../../outside"


def test_changed_download_is_refused_whatever_the_index_says(tmp_path, capsys, monkeypatch):
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


OWN_CODE = {"own_tasks.py": {"exec"}}  # a Python file of tasks that the user's settings name


def test_no_text_is_run_as_code(subtests):
    for path in sorted((REPOSITORY / "w2s").rglob("*.py")):
        with subtests.test(path.stem):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    barred = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
                    assert called not in barred - OWN_CODE.get(path.name, set())
                    assert called not in ("yaml.load", "yaml.unsafe_load", "yaml.full_load")
                    assert not called.endswith(".extractall")
                    given = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    assert given.get("shell", "False") == "False"
                    assert given.get("trust_remote_code") != "True"  # the user says so, or nobody


def test_settings_of_a_job_end_no_script_in_the_report_and_say_the_same():
    config = {
        "results": "results",
        "seeds": [0],
        "datasets": {"plain": {"title": TITLE, "source": "file", "path": "plain.csv"}},
        "models": {name: {"source": "local", "path": name} for name in ("small", "large")},
        "pairs": [{"weak": "small", "strong": "large"}],
    }
    text = dag.settings(parse(config), "figures", weak="small", strong="large")
    assert "<" not in text
    assert json.loads(text)["titles"] == [["plain", TITLE]]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A project with hostile texts and titles that was run with secrets, and its report."""
    folder = tmp_path_factory.mktemp("security") / "project"
    copy_project(finished_project(tmp_path_factory), folder)
    done = snakemake(folder, "--report", "report.html", secrets=SECRETS)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said of the report").write_text(done.stdout + done.stderr, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
def test_figures_show_a_hostile_title_as_text(hostile):
    figures = sorted((hostile / "results" / "figures").rglob("*.svg"))
    assert len(figures) == 15
    for path in figures:
        tree = ElementTree.parse(path)
        tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
        assert not tags & {"script", "b"}
        named = {key for element in tree.iter() for key in element.attrib}
        assert not [key for key in named if key.startswith("on")]
    for name in ("small--large/mixing.svg", "finetuning/accuracy.svg"):
        shown = ElementTree.parse(hostile / "results/figures" / name).getroot().itertext()
        assert "".join(TITLE.split()) in "".join("".join(shown).split())  # divided into lines


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
def test_tables_for_people_hold_no_text_of_a_dataset_and_no_title(hostile):
    tables = [p for p in (hostile / "results").rglob("*") if p.suffix in (".md", ".csv")]
    assert len(tables) == 34
    for path in tables:
        text = path.read_text(encoding="utf-8")
        assert "<" not in text, path
        if path.suffix == ".md":
            assert len({row.count("|") for row in text.splitlines()}) == 1


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
def test_report_is_one_file_that_needs_no_network_and_runs_no_script_of_a_title_or_text(hostile):
    page = (hostile / "report.html").read_text(encoding="utf-8")
    assert '<script src="http' not in page
    assert '<link rel="stylesheet" href="http' not in page
    assert "mixing.svg" in page
    assert SCRIPT not in page
    assert TITLE not in page
    assert "alert('w2s')" in page  # as text: what a job was told is shown


@pytest.mark.slow
@pytest.mark.xdist_group("workflow")
def test_no_secret_of_the_environment_is_written_or_told(hostile):
    found = [path.read_bytes() for path in hostile.rglob("*") if path.is_file()]
    assert len(found) > 100
    for secret in SECRETS.values():
        assert not any(secret.encode() in content for content in found)


def test_audit_tells_what_was_asked_and_what_was_found():
    unknown = {"name": "a", "skip_reason": "not found"}
    known = {"name": "a", "version": "1", "vulns": []}
    bad = {**known, "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
    for package, code, expected in (
        (unknown, 0, "no audit: "),
        (known, 0, "1 packages audited, 0 unknown, 0 vul"),
        (bad, 1, "a 1: X-1, fixed in 2"),
    ):
        found, lines = audit.summary({"dependencies": [package]})
        assert found == code
        assert lines[0].startswith(expected)
