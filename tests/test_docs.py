"""The pages: generated ones are fresh, links resolve, and what they say to run does run."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from docutils.core import publish_doctree

import w2s
from w2s.arms.track import SELECTORS
from w2s.config import Config, parse
from w2s.declare import KINDS
from w2s.files.artifacts import Artifact, save
from w2s.files.matrix import Rounded
from w2s.finetuning.track import LOSSES
from w2s.label_noise.track import METHODS
from w2s.models.track import LocalModel, ModelBase
from w2s.overlap.track import CONTROLS
from w2s.selection.track import POLICIES
from w2s.weak_supervision.track import CURVES, LABEL_MODELS, STUDENTS

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {"resources", "results", "build", "dist", "w2s.egg-info"}
TEXT = {".cff", ".lock", ".md", ".py", ".rst", ".smk", ".toml", ".txt", ".yaml", ".yml", ""}


def text_files():
    """Text files of the repository, without downloads, results, environments and caches."""
    waiting = [path for path in ROOT.iterdir() if path.name not in NOT_OURS]
    found = [ROOT / "results" / "README.md"]
    while waiting:
        path = waiting.pop()
        if path.name.startswith((".", "__")) and path.is_dir() and path.name != ".ci":
            continue
        if path.is_dir():
            waiting += path.iterdir()
        elif path.suffix in TEXT:
            found.append(path)
    return sorted(found)


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), flags=re.MULTILINE | re.DOTALL)


def prose(path):
    """A Markdown page without its code blocks."""
    page = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"^ {4}.*$", "", page, flags=re.MULTILINE)


def anchors(path):
    """Anchors of a page's headings, as common Markdown renderers make them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = [path for path in text_files() if path.suffix == ".md"]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


@pytest.mark.parametrize("columns", ["40", "200"])
def test_generated_pages_are_up_to_date_at_any_width(columns):
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": columns},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_named_with_the_way_to_refresh_it(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "docs")
    generate = importlib.import_module("generate")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {"page.md": lambda: "new\n"})
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    (tmp_path / "page.md").write_text("old\n", encoding="utf-8")
    assert generate.main() == 1
    told = capsys.readouterr().err
    assert "page.md" in told
    assert "python docs/generate.py" in told
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == "new\n"


def test_readme_python_prints_what_the_readme_says():
    (code,) = blocks("README.md", "python")
    (promised,) = re.findall(r"^It prints `(.*)`\.$", text("README.md"), flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == promised


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_artifacts_are_loaded_as_their_page_says(storage, tmp_path, monkeypatch):
    results = tmp_path / "results/demo/movies"
    vectors = np.array([[0.5, -1.25], [3.0, 0.0078125]], dtype=np.float32)  # exact in bfloat16
    ids, words = np.arange(2), np.array(["a", "b"], dtype=object)
    texts = {"id": ids, "source_id": words, "text": words, "label": np.array([0, 1], np.int8),
             "part": np.array(["pool", "test"], dtype=object), "group": words}  # fmt: skip
    facts = {"dataset": "movies", "grouped": False, "dropped": {}, "leaks": 0}
    facts |= {"near_duplicates": 0, "near_leaks": 0}
    save(Artifact("examples", texts, facts), results / "examples.parquet")
    facts = {"dataset": "movies", "model": {}, "storage": storage, "loss": {"layer_-1": 0.0}}
    arrays = {"id": ids, "layer_-1": Rounded(vectors, storage)}
    save(Artifact("activations", arrays, facts), results / "activations/minilm-6.safetensors")
    monkeypatch.chdir(tmp_path)
    _, plain, metadata = blocks("docs/artifacts.md", "python")
    found = {}
    exec(plain, found)
    assert found["rows"]["text"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(found["vectors"], vectors)
    exec(metadata, found)
    loaded = w2s.load("results/demo/movies/activations/minilm-6.safetensors")
    np.testing.assert_array_equal(loaded["layer_-1"], vectors)


@pytest.mark.parametrize("block", blocks("README.md", "yaml"))
def test_readme_yaml_is_a_valid_part_of_a_configuration(block):
    whole = yaml.safe_load(text("config/config.yaml"))
    changed = yaml.safe_load(block)
    assert set(changed) <= set(whole)
    for track in (
        "selection",
        "weak_supervision",
        "label_noise",
    ):  # the README says so: they name datasets
        del whole[track]
    parse({**whole, **changed})


def test_readme_is_short():
    assert len(text("README.md").splitlines()) < 150


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(name):
    named = re.findall(r"make (\w+)", " ".join(re.findall(r"^ {4}.*|`.*?`", text(name), re.M)))
    assert set(named) <= set(re.findall(r"^(\w+):", text("Makefile"), flags=re.MULTILINE))


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_relative_links_resolve(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in anchors(file), f"{link}: no such heading"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_functions_and_modules_named_on_pages_exist(path):
    for name in set(re.findall(r"`(w2s(?:\.\w+)+)(?:\([^`]*\))?`", prose(path))):
        if (ROOT / name).is_file():  # a file like w2s.yaml
            continue
        found, rest = w2s, name.split(".")[1:]
        module = "w2s"
        for part in rest:
            try:
                found = importlib.import_module(module := f"{module}.{part}")
            except ModuleNotFoundError:
                assert hasattr(found, part), f"{name}: no '{part}'"
                found = getattr(found, part)


def test_test_files_named_in_the_method_exist():
    named = set(re.findall(r"`(test_\w+\.py)`", text("docs/method.md")))
    assert sorted(name for name in named if not (ROOT / "tests" / name).is_file()) == []


def test_every_function_of_the_method_has_a_test_file():
    rows = [line for line in text("docs/method.md").splitlines() if "`w2s." in line and "|" in line]
    assert [row for row in rows if "`test_" not in row] == []


def test_what_an_edit_reruns_names_every_section_and_every_setting_of_models():
    told = (
        text("config/README.md").partition("## What an edit reruns")[2].partition("## Every key")[0]
    )
    sections = set(Config.model_fields) - {"results", "resources", "datasets", "models", "pairs"}
    for name in (sections | set(ModelBase.model_fields) | set(LocalModel.model_fields)) - {
        "source"
    }:
        assert f"`{name}" in told or name == "path", name


def test_index_lists_every_decision_record():
    records = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    assert set(re.findall(r"\]\((\d{4}-.*?\.md)\)", text("docs/adr/README.md"))) == records


def test_environment_fits_the_package():
    environment = yaml.safe_load(text("environment.yml"))
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert environment["name"] == "w2s"
    (python,) = [d for d in environment["dependencies"] if str(d).startswith("python")]
    assert python.removeprefix("python").replace(" ", "") == project["requires-python"]
    (from_pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert {"-e .", "--editable ."} & set(from_pip)


@pytest.mark.parametrize("path", sorted((ROOT / "workflow" / "envs").glob("*.yaml")))
def test_environments_of_jobs_hold_the_dependencies_of_the_package(path):
    project = tomllib.loads(text("pyproject.toml"))["project"]
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    (from_pip,) = [d["pip"] for d in listed if isinstance(d, dict)]
    assert sorted(from_pip) == sorted(project["dependencies"])


def test_citation_names_this_version():
    assert yaml.safe_load(text("CITATION.cff"))["version"] == w2s.__version__


@pytest.mark.parametrize("path", sorted((ROOT / "workflow" / "report").glob("*.rst")), ids=str)
def test_captions_say_something_and_are_valid(path):
    caption = path.read_text(encoding="utf-8")
    assert len(caption.splitlines()) >= 3
    publish_doctree(caption, settings_overrides={"halt_level": 2, "report_level": 2})


def test_captions_tell_names_with_the_sentences_of_their_tables():
    told = {
        "controls": {k: s.sentence for k, s in CONTROLS.items() if s.color},
        "selection_accuracy": {k: s.sentence for k, s in POLICIES.items()},
        "finetuning_accuracy": {k: s.sentence for k, s in LOSSES.items()},
        "label_noise": {k: s.sentence for k, s in METHODS.items()},
        "table_weak_supervision": {k: s.sentence for k, s in LABEL_MODELS.items()} | STUDENTS,
        "table_arms": {k: s.sentence for k, s in SELECTORS.items()}
        | {"random": "no scores; balanced as the arms are"},
        "weak_supervision_mixes": {k: CONTROLS[k].sentence for k in CURVES},
    }
    templates = {path.name for path in (ROOT / "docs" / "captions").iterdir()}
    assert templates == {f"{name}.rst.jinja" for name in told}
    for name, words in told.items():
        caption = text(f"workflow/report/{name}.rst")
        lines = [line.removeprefix("- ") for line in caption.splitlines() if line[:2] == "- "]
        assert [line.partition("*")[2] for line in lines] == [
            f"{word}*: {sentence}." for word, sentence in words.items()
        ]
    banded = [name for name, shown in POLICIES.items() if shown.band]
    assert f"Bands (of {' and '.join(f'*{name}*' for name in banded)})" in (
        text("workflow/report/selection_accuracy.rst")
    )


@pytest.mark.parametrize("word", ["../" + "shared", "METHOD" + ".md", "DESIGN" + ".md"])
def test_the_project_stands_alone(word):
    files = text_files()
    assert [path for path in files if word in path.read_text(encoding="utf-8")] == []


QUOTED = {
    "main": "main_table",
    "mixing": "mixing_table",
    "comparisons": "comparisons_table",
    "regions": "regions_table",
    "selection": "selection_table",
    "detection": "detection_table",
    "weak_supervision": "weak_supervision_table",
    "arms": "arms_table",
    "negative_controls": "negative_controls_table",
    "weak_supervision_comparisons": "comparisons_table",
    "finetuning": "finetuning_table",
    "finetuning_comparisons": "comparisons_table",
}


@pytest.fixture
def quoted(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("quoted")


def test_quoted_tables_have_the_declared_columns(quoted):
    assert {name for names in quoted.QUOTED.values() for name in names} == set(QUOTED)
    for name, kind in QUOTED.items():
        header = quoted.path_of(name).read_text(encoding="utf-8").splitlines()[0]
        assert header.split(",") == list(KINDS[kind].arrays), name


def test_no_number_of_the_default_run_is_typed_in():
    typed = re.compile(r"(?<![\w])[+-]?0?\.\d{3}(?!\d)")
    for name in ("docs/evidence.md.jinja", "docs/readme.md.jinja"):
        assert not typed.findall(text(name)), name
    before, _, rest = text("README.md").partition("<!-- from docs/readme.md.jinja")
    assert not typed.findall(before + rest.partition("<!-- to here -->")[2])


def test_a_sentence_that_the_tables_do_not_bear_out_stops_the_pages(quoted):
    assert quoted.holds(True, "Mixes are small.") == "Mixes are small."
    with pytest.raises(ValueError, match=r"no longer true .* Mixes are small\."):
        quoted.holds(False, "Mixes are small.")
    with pytest.raises(ValueError, match="found 0 rows"):
        quoted.row("main", dataset="nowhere")


def test_quoted_numbers_are_written_as_the_pages_write_them(quoted):
    assert [quoted.signed(x) for x in (0.0391, -0.0004, 0.0, -1.2345)] == [
        "+.039", ".000", ".000", "-1.234"
    ]  # fmt: skip
    assert [quoted.plain(x) for x in (0.685, float("nan"))] == [".685", "none"]
    shown = [quoted.holm({"p_holm": p}) for p in (0.0001, 0.0499, 0.05, 1.0)]
    assert shown == ["**< .001**", "**.050**", ".050", "1"]
