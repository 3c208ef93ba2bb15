"""The configuration: defaults, and one clear line for every mistake."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

# MOVER: from w2s import settings
from w2s import config
from w2s.config import Config, parse, parse_as
from w2s.data import track as config_sources
from w2s.data.track import ICWSM14, PackageFile
from w2s.errors import ConfigError
from w2s.selection import track as config_selection

REPOSITORY = Path(__file__).parents[1]
SHA = "0" * 64


def example() -> dict[str, Any]:
    return {
        "results": "results",
        "seeds": [0, 1],
        "datasets": {
            "films": {"source": "file", "path": "films.csv"},
            "tweets": {"source": "icwsm14", "part": "tweets"},
        },
        "models": {
            "small": {"source": "local", "path": "models/small"},
            "large": {"source": "hub", "id": "a/b", "revision": "main"},
            "packed": {
                "source": "package",
                "package": {"name": "p", "version": "1.0", "sha256": SHA},
            },
        },
        "pairs": [{"weak": "small", "strong": "large"}],
    }


REMOVED = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with one setting changed, added or (REMOVED) removed."""
    result = example()
    node: Any = result
    *above, last = path.split(".")
    for key in above:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if value is REMOVED:
        del node[last]
    else:
        node[last] = value
    return result


def lines_for(data: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(data)
    return str(caught.value).split("\n")


def test_embedded_configuration_parses() -> None:
    text = (REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8")
    parsed = parse(yaml.safe_load(text))
    assert list(parsed.datasets) == ["movies", "amazon", "nyt", "tweets"]
    assert [pair.name for pair in parsed.pairs] == ["minilm-1--minilm-6"]


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "config").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_configuration_file_parses(path: Path) -> None:
    parsed = parse(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert parsed.pairs or parsed.synthetic or parsed.weak_supervision


def test_defaults_are_those_of_the_method() -> None:
    parsed = parse(example())
    assert parsed.probe.l2 == 1e-3
    assert parsed.overlap.model_dump() == {
        "similarity": "cosine",
        "absolute": True,
        "tau_hard": "change_point",
        "tau_overlap": "change_point",
    }
    assert parsed.mixing.proportions == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    assert set(parsed.mixing.controls) == {
        *("plain", "purity_matched", "label_balanced", "same_capacity", "random", "true_labels"),
        *("placebo", "fixed_hard", "overlap_against_easy", "brier_matched", "few_labels"),
    }
    assert (parsed.evaluation.bootstrap, parsed.evaluation.level) == (2000, 0.95)
    assert parsed.resources == "resources"
    assert parsed.models["small"].layers == (-1,)
    assert parsed.models["small"].pooling == "last"
    assert parsed.datasets["films"].grouped
    labeled = parse(changed("weak_supervision", {"datasets": ["films"], "features": "large"}))
    assert labeled.weak_supervision is not None
    assert (labeled.weak_supervision.restarts, labeled.weak_supervision.proportions) == (5, None)
    assert parsed.datasets["tweets"].model_dump()["package"] == ICWSM14.model_dump()


MISTAKES = [
    ("overlap.similarty", "dot", "did you mean 'similarity'?"),
    ("seed", [1], "did you mean 'seeds'?"),
    ("nonsense", 1, "expected one of results, resources, seeds"),
    ("datasets.films.tilte", "x", "did you mean 'title'?"),
    ("models.small.poling", "mean", "did you mean 'pooling'?"),
    ("models.small.revision", "main", "expected one of"),
    ("pairs.0.weak_layers", 1, "did you mean 'weak_layer'?"),
    ("models.packed.package.sha", SHA, "did you mean 'sha256'?"),
    ("mixing.seeds", [1], "expected one of proportions, repeats, controls"),
    ("overlap.datasets", {}, "expected one of similarity"),
    ("overlap.similarity", "euclid", "'cosine' or 'dot'"),
    ("overlap.tau_hard", "high", "'change_point'"),
    ("overlap.tau_hard", [1], "'change_point'"),
    ("overlap.tau_hard", {"quantile": 2}, "less than or equal to 1"),
    ("overlap.tau_overlap", {"quantil": 0.2}, "did you mean 'quantile'?"),
    ("overlap.tau_hard", float("nan"), "found nan"),
    ("pairs.0.weak", "smal", "'smal' is not a model; did you mean 'small'?"),
    ("pairs.0.strong", "zzz", "'zzz' is not a model; expected one of small, large, packed"),
    ("pairs.0.strong_layer", 3, "found 3, expected one of the layers [-1]"),
    ("mixing.proportions", [0, 1.5], "found 1.5"),
    ("mixing.proportions", [-0.1, 1], "found -0.1"),
    ("mixing.proportions", [1.1], "found 1.1"),
    ("mixing.proportions", [], "at least 1 item"),
    ("mixing.proportions", [0.1, 0.1], "found a value twice"),
    ("mixing.proportions", 0.3, "found 0.3"),
    ("mixing.controls", ["plan", "plain"], "'plain'"),
    ("mixing.controls", ["plain", "plain"], "found a value twice"),
    ("mixing.repeats", 0, "found 0"),
    ("mixing.controls", ["placebo", "brier"], "'brier_matched'"),
    ("mixing.controls", ["placebo", "random"], "found placebo without plain"),
    ("seeds", [], "at least 1 item"),
    ("seeds", [1, 1], "found a seed twice in [1, 1], expected once"),
    ("seeds", [-1], "found -1"),
    ("seeds", [2**32], "found 4294967296; input should be less than 4294967296"),
    ("seeds", 3, "found 3"),
    ("pairs", [], "at least 1 item"),
    ("pairs", [{"weak": "small", "strong": "large"}] * 2, "found a pair twice"),
    ("models.packed.package.sha256", "xyz", "found 'xyz'"),
    ("models.packed.package.sha256", "A" * 64, "[0-9a-f]{64}"),
    ("models.packed.package.name", "../p", "found '../p'"),
    ("models.packed.package.version", ">=1", "found '>=1'"),
    ("models.packed.package.format", "egg", "'wheel' or 'sdist'"),
    ("models.large.revision", REMOVED, "expected a value"),
    ("models.small.path", REMOVED, "expected a value"),
    ("models.packed.package", REMOVED, "expected a value"),
    ("models.small.num_layers", 0, "found 0"),
    ("models.small.pooling", "max", "'last', 'mean' or 'first'"),
    ("models.small.dtype", "int8", "'float32', 'bfloat16' or 'float16'"),
    ("models.small.layers", [], "at least 1 item"),
    ("models.small.max_length", 0, "found 0"),
    ("models.a/b", {"source": "local", "path": "x"}, "pattern"),
    ("datasets.tables", {"source": "file", "path": "x"}, "choose another"),
    ("datasets.logs", {"source": "file", "path": "x"}, "choose another"),
    ("datasets.a--b", {"source": "file", "path": "x"}, "pattern"),
    ("datasets.two words", {"source": "file", "path": "x"}, "pattern"),
    ("datasets", {}, "at least 1 item"),
    ("datasets", REMOVED, "expected at least 1 item"),
    ("datasets.films", None, "found None"),
    ("datasets.films.path", REMOVED, "expected a value"),
    ("datasets.films.test", 1.5, "found 1.5"),
    ("datasets.films.test", 1, "found 1"),
    ("datasets.films.val", 0.0, "found 0.0"),
    ("datasets.films.pool", "many", "found 'many'"),
    ("datasets.tweets.part", "books", "'tweets'"),
    ("datasets.tweets.part", REMOVED, "expected a value"),
    ("datasets.tweets.min_rating", 5, "less than 4"),
    ("probe.l2", 0, "greater than 0"),
    ("evaluation.level", 1.2, "less than 1"),
    ("evaluation.bootstrap", 5, "greater than or equal to 100"),
    ("runtime.device", "gpu", "found 'gpu'"),
    ("runtime.batch_tokens", 0, "found 0"),
    ("results", REMOVED, "expected a value"),
    ("mixing.repeats", True, "found True, expected no true or false"),
    ("mixing.proportions", [0, True], "found [0, True], expected no true or false"),
    ("probe.l2", False, "found False, expected no true or false"),
    ("mixing.controls", "plain", "found 'plain'; expected a list in brackets"),
    ("overlap", [], "found []; expected lines of `key: value`"),
    ("models.packed.layers", 2, "found 2; expected a list in brackets"),
    *(
        (where, value, expected)
        for where in ("results", "resources", "datasets.films.path", "models.small.path")
        for value, expected in [
            ("", "expected a path"),
            (" ", "expected a path"),
            ("-r", "that does not begin with a dash"),
            ("a/{x}", "without braces"),
            ("}", "without braces"),
            ("<results>", "angle brackets"),
            ("a\nb", "line breaks"),
            ("a\tb", "control characters"),
            ("~nobody-of-that-name/x", "the home folder of a user who is known here"),
            (5, "valid string"),
        ]
    ),
    ("results", "./-r", "that does not begin with a dash"),
    *(("results", path, "expected a folder of its own") for path in ("/", "..", "a/..", "../..")),
]


def test_paths_are_told_to_jobs_with_the_home_folder_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for text, found in [("~/my out/", "/home/me/my out"), ("./é 'q' $X #1;*", "é 'q' $X #1;*")]:
        assert parse(changed("results", text)).results == found
    parsed = parse(changed("models.small.path", "~/m/"))
    assert parsed.models["small"].path == "/home/me/m"  # type: ignore[union-attr]
    hub = {"source": "hub", "task": "boolq", "local": "~/l", "tasks_file": "~/t.py"}
    told = parse(changed("datasets.yes", hub)).datasets["yes"].model_dump()
    assert (told["local"], told["tasks_file"]) == ("/home/me/l", "/home/me/t.py")


@pytest.mark.parametrize(("path", "value", "expected"), MISTAKES)
def test_mistake_is_one_line_that_names_the_setting(path: str, value: Any, expected: str) -> None:
    lines = lines_for(changed(path, value))
    assert len(lines) == 1
    where = "datasets: 'tables'" if path == "datasets.tables" else path
    where = "datasets: 'logs'" if path == "datasets.logs" else where
    assert lines[0].startswith(where)
    assert expected in lines[0]


@pytest.mark.parametrize(("section", "tag"), [("models.large", "hubb"), ("datasets.films", "csv")])
def test_unknown_source_names_the_entry_and_the_known_sources(section: str, tag: str) -> None:
    (line,) = lines_for(changed(f"{section}.source", tag))
    assert line.startswith(section)
    assert repr(tag) in line
    assert "'file'" in line or "'hub'" in line


@pytest.mark.parametrize("name", ["float", "int", "Quantile"])
def test_path_keeps_the_name_of_a_dataset_that_looks_like_a_type(name: str) -> None:
    (line,) = lines_for(changed(f"datasets.{name}", {"source": "icwsm14", "part": "books"}))
    assert line.startswith(f"datasets.{name}.part: found 'books'")


def test_mistakes_in_different_sections_have_a_line_each() -> None:
    data = changed("overlap.similarty", "dot")
    data["probe"] = {"l2": -1}
    data["seeds"] = ["one", 2]
    starts = [line.split(":")[0].split(" ")[0] for line in lines_for(data)]
    assert sorted(starts) == ["overlap.similarty", "probe.l2", "seeds.0"]


def test_two_unknown_keys_of_a_section_have_a_line_each() -> None:
    data = changed("overlap.similarty", "dot")
    data["overlap"]["absolut"] = True
    starts = [line.split(" ")[0] for line in lines_for(data)]
    assert sorted(starts) == ["overlap.absolut", "overlap.similarty"]


def test_two_unknown_models_of_the_pairs_have_a_line_each() -> None:
    data = changed("pairs", [{"weak": "a", "strong": "large"}, {"weak": "small", "strong": "b"}])
    starts = [line.split(":")[0] for line in lines_for(data)]
    assert sorted(starts) == ["pairs.0.weak", "pairs.1.strong"]


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_something_else_than_a_mapping_is_one_line(data: Any) -> None:
    (line,) = lines_for(data)
    assert repr(data) in line


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    st.sampled_from([*sorted(Config.model_fields), "datasets.films", "models.small", "pairs.0"]),
)
def test_no_value_whatever_causes_anything_but_a_config_error(value: Any, path: str) -> None:
    data = changed(path, value) if path != "pairs.0" else changed("pairs", [value])
    with suppress(ConfigError):
        assert isinstance(parse(data), Config)


def test_layers_of_a_pair_must_be_cached() -> None:
    data = changed("models.large.layers", [2, 4])
    data["pairs"][0]["strong_layer"] = 4
    assert parse(data).pairs[0].strong_layer == 4


def test_settings_cannot_be_changed_after_parsing() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(example()).probe.l2 = 2


def test_package_key_is_a_folder_name() -> None:
    package = PackageFile(name="a.b-c_d", version="1.0", sha256=SHA)
    assert package.key == "a.b-c_d-1.0"


def test_every_setting_is_documented() -> None:
    known, classes = [config_sources.Strict], {config_sources.Strict}
    while known:
        known = [inner for outer in known for inner in outer.__subclasses__()]
        classes |= {found for found in known if found.__module__.startswith("w2s.")}
    assert len(classes) > 20
    for found in classes:
        assert found.__doc__, found
        assert found is config_sources.Strict or found.__doc__ != config_sources.Strict.__doc__
        for name, setting in found.model_fields.items():
            assert setting.description, f"{found.__name__}.{name}"
            assert setting.description.endswith("."), f"{found.__name__}.{name}"


def test_schema_is_exported_as_json() -> None:
    schema = Config.model_json_schema()
    assert json.loads(json.dumps(schema))["additionalProperties"] is False


def test_parse_as_reports_mistakes_of_any_settings_class() -> None:
    with pytest.raises(ConfigError, match=r"^levle is not a setting; did you mean 'level'\?$"):
        parse_as(config.EvaluationConfig, {"levle": 0.9})


def test_round_trip_through_json_changes_nothing() -> None:
    parsed = parse(example())
    assert isinstance(parsed, BaseModel)
    assert parse(json.loads(parsed.model_dump_json())) == parsed


CUT = {"sources": "partition", "dataset": "films"}
BOTH = {"sources": "corpora", "datasets": ["films", "tweets"], "targets": ["films"]}


def experiment(entry: dict[str, Any], **changes: Any) -> list[str]:
    """The lines for a configuration with one selection experiment, named one."""
    found = {key: value for key, value in {**entry, **changes}.items() if value is not REMOVED}
    return lines_for(changed("selection.experiments", {"one": found}))


def test_selection_of_sources_parses_with_the_defaults_of_the_method() -> None:
    assert parse(example()).selection.experiments == {}
    paths = parse(example()).selection.paths
    assert (paths.rounds, paths.epsilon) == (50, 0.1)
    assert {
        "ucb",
        "thompson",
        "epsilon_greedy",
        "random",
        "oracle",
        "label_oracle",
        "original",
    } == (set(paths.policies))
    found = parse(changed("selection.experiments", {"cut": CUT, "both": BOTH})).selection
    cut, both = found.experiments["cut"], found.experiments["both"]
    assert isinstance(cut, config_selection.Partition)
    assert (cut.overlap_shares, cut.counts, cut.datasets) == ((0.1, 0.9), "even", ("films",))
    assert isinstance(both, config_selection.Corpora)
    assert (both.datasets, both.targets) == (("films", "tweets"), ("films",))


def test_shares_add_up_whatever_their_rounding() -> None:
    for shares in (
        [1],
        [0.5, 0.5],
        [0.1] * 10,
        [1 / 3] * 3,
        [0.333333, 0.333333, 0.333334],
        [0, 1],
    ):
        data = changed("selection.experiments", {"one": {**CUT, "overlap_shares": shares}})
        assert parse(data).selection.experiments["one"].overlap_shares == tuple(shares)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entry", "changes", "setting", "expected"),
    [
        (CUT, {"overlap_shares": [0.1, 0.8]}, ".overlap_shares", "shares that add up to 1"),
        (CUT, {"overlap_shares": [0.6, 0.6]}, ".overlap_shares", "found [0.6, 0.6]"),
        (CUT, {"overlap_shares": []}, ".overlap_shares", "at least 1 item"),
        (CUT, {"overlap_shares": [1.5, 0]}, ".overlap_shares.0", "found 1.5"),
        (CUT, {"overlap_shares": [-0.5, 1]}, ".overlap_shares.0", "found -0.5"),
        (CUT, {"overlap_shares": 0.5}, ".overlap_shares", "found 0.5"),
        (CUT, {"counts": "odd"}, ".counts", "'even' or 'rebalanced'"),
        (CUT, {"dataset": REMOVED}, ".dataset", "expected a value"),
        (CUT, {"dataset": "film"}, "", "'film' is not a dataset; did you mean 'films'?"),
        (CUT, {"datasets": ["films", "tweets"]}, ".datasets", "did you mean 'dataset'?"),
        (CUT, {"targets": ["films"]}, ".targets", "is not a setting"),
        (CUT, {"sources": "parts"}, "", "'partition', 'corpora'"),
        (CUT, {"sources": REMOVED}, "", "'sources'"),
        (BOTH, {"datasets": ["films", "tweet"]}, "", "'tweet' is not a dataset; did you mean"),
        (BOTH, {"datasets": ["films"]}, ".datasets", "at least 2 items"),
        (BOTH, {"datasets": ["films", "films"]}, ".datasets", "found a value twice"),
        (BOTH, {"datasets": REMOVED}, ".datasets", "expected a value"),
        (BOTH, {"targets": ["books"]}, ".targets", "found 'books', expected some of films, tweets"),
        (BOTH, {"targets": ["films", "films"]}, ".targets", "found a value twice"),
        (BOTH, {"targets": []}, ".targets", "at least 1 item"),
        (BOTH, {"targets": REMOVED}, ".targets", "expected a value"),
        (BOTH, {"overlap_shares": [1]}, ".overlap_shares", "is not a setting"),
        (BOTH, {"dataset": "films"}, ".dataset", "did you mean 'datasets'?"),
    ],
)  # fmt: skip
def test_mistake_in_an_experiment_is_one_line_that_names_the_setting(
    entry: dict[str, Any], changes: dict[str, Any], setting: str, expected: str
) -> None:
    lines = experiment(entry, **changes)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"selection.experiments.one{setting}")
    assert expected in lines[0]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("policies", ["ucb", "ucb"], "found a value twice in ['ucb', 'ucb'], expected once"),
        ("policies", ["ubc"], "found 'ubc'"),
        ("policies", [], "at least 1 item"),
        ("policies", "ucb", "found 'ucb'"),
        ("rounds", 0, "found 0"),
        ("batch", 0, "found 0"),
        ("repeats", 0, "found 0"),
        ("epsilon", 1.1, "found 1.1"),
        ("epsilon", -0.1, "found -0.1"),
        ("round", 5, "did you mean 'rounds'?"),
    ],
)
def test_mistake_in_the_paths_is_one_line_that_names_the_setting(
    path: str, value: Any, expected: str
) -> None:
    lines = lines_for(changed(f"selection.paths.{path}", value))
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"selection.paths.{path}")
    assert expected in lines[0]


def test_mistakes_of_two_experiments_have_a_line_each() -> None:
    wrong = {**CUT, "overlap_shares": [1, 1]}
    unknown = {**BOTH, "datasets": ["films", "nope"]}
    found = lines_for(changed("selection.experiments", {"one": wrong, "two": wrong}))
    assert [line.split(":")[0] for line in found] == [
        f"selection.experiments.{name}.overlap_shares" for name in ("one", "two")
    ]
    found = lines_for(changed("selection.experiments", {"one": unknown, "two": unknown}))
    assert [line.split(":")[0] for line in found] == [
        f"selection.experiments.{name}.datasets" for name in ("one", "two")
    ]


@pytest.mark.parametrize("name", ["two words", "a/b", "a--b", ""])
def test_names_of_experiments_are_those_of_folders(name: str) -> None:
    (line,) = lines_for(changed("selection.experiments", {name: CUT}))
    assert line.startswith("selection.experiments")


def test_selection_is_no_name_of_a_dataset() -> None:
    (line,) = lines_for(changed("datasets.selection", {"source": "file", "path": "x"}))
    assert line == "datasets: 'selection' is the name of a results folder; choose another"


def test_every_setting_of_selection_is_documented() -> None:
    classes = [
        value
        for value in vars(config_selection).values()
        if isinstance(value, type) and issubclass(value, config_sources.Strict)
    ]
    assert len(classes) == 5
    for found in classes:
        assert found.__doc__, found
        for name, setting in found.model_fields.items():
            assert setting.description, f"{found.__name__}.{name}"
            assert setting.description.endswith("."), f"{found.__name__}.{name}"


HUB = {"source": "hub", "task": "boolq"}


def test_dataset_of_the_hub_parses_with_its_defaults() -> None:
    found = parse(changed("datasets.yes", HUB)).datasets["yes"]
    assert found.model_dump() == {
        "title": "", "source": "hub", "task": "boolq", "tasks_file": None, "revision": None,
        "local": None, "max_rows": 50_000, "pool": None, "val": 0.1, "test": 5000, "grouped": True,
        "drop_near_duplicates": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("datasets.yes", {"source": "hub"}, "datasets.yes.task: found nothing"),
        ("datasets.yes", {**HUB, "task": ""}, "datasets.yes.task: found ''"),
        ("datasets.yes", {**HUB, "task": "a/b"}, "datasets.yes.task: found 'a/b'"),
        ("datasets.yes", {**HUB, "task": "../b"}, "datasets.yes.task: found '../b'"),
        ("datasets.yes", {**HUB, "max_rows": 1}, "datasets.yes.max_rows: found 1"),
        ("datasets.yes", {**HUB, "test": 1}, "datasets.yes.test: found 1"),
        ("datasets.yes", {**HUB, "path": "x"}, "datasets.yes.path is not a setting"),
        ("datasets.yes", {**HUB, "revison": "x"}, "did you mean 'revision'?"),
        ("extraction", {"shards": 0}, "extraction.shards: found 0"),
        ("extraction", {"shard": 2}, "did you mean 'shards'?"),
        ("models.small.storage", "float64", "models.small.storage: found 'float64'"),
        ("models.small.estimate", {"width": 0}, "models.small.estimate.width: found 0"),
        ("models.small.estimate", {"speed": 1}, "models.small.estimate.speed is not a setting"),
        ("models.small.estimate", {"tokens_per_second": 0}, "tokens_per_second: found 0"),
        ("models.small.estimate", {"gigabytes": -1}, "models.small.estimate.gigabytes: found -1"),
    ],
)
def test_mistake_in_a_dataset_of_the_hub_or_an_extraction_is_one_line(
    path: str, value: Any, expected: str
) -> None:
    (line,) = lines_for(changed(path, value))
    assert expected in line


@pytest.mark.parametrize(("word", "told"), [("no", "False"), ("on", "True"), ("2024", "2024")])
def test_a_name_that_yaml_reads_as_something_else_is_told_to_be_quoted(
    word: str, told: str
) -> None:
    data = example()
    data["datasets"] |= yaml.safe_load(f"{word}: {{source: file, path: films.csv}}")
    (line,) = lines_for(data)
    assert line.startswith(f"datasets.{told}: found {told}; input should be a valid string")
    assert "in quotes" in line
