"""The configuration: defaults, and one clear line for every mistake."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from w2s import config
from w2s.config import Config, parse, parse_as
from w2s.data.track import ICWSM14, PackageFile
from w2s.declare import Strict
from w2s.errors import ConfigError
from w2s.selection import track as config_selection

REPOSITORY = Path(__file__).parents[1]
SHA = "0" * 64
REMOVED = object()
CUT = {"sources": "partition", "dataset": "films"}
BOTH = {"sources": "corpora", "datasets": ["films", "tweets"], "targets": ["films"]}
HUB = {"source": "hub", "task": "boolq"}


def example():
    package = {"name": "p", "version": "1.0", "sha256": SHA}
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
            "packed": {"source": "package", "package": package},
        },
        "pairs": [{"weak": "small", "strong": "large"}],
    }


def changed(path, value):
    """The example with one setting changed, added or (REMOVED) removed."""
    result = node = example()
    *above, last = path.split(".")
    for key in above:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if value is REMOVED:
        del node[last]
    else:
        node[last] = value
    return result


def lines_for(data):
    with pytest.raises(ConfigError) as caught:
        parse(data)
    return str(caught.value).split("\n")


def test_every_configuration_file_parses():
    parsed = {
        path.name: parse(yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in (REPOSITORY / "config").glob("*.yaml")
    }
    assert all(
        found.pairs or found.synthetic or found.weak_supervision for found in parsed.values()
    )
    embedded = parsed["config.yaml"]
    assert list(embedded.datasets) == ["movies", "amazon", "nyt", "tweets"]
    assert [pair.name for pair in embedded.pairs] == ["minilm-1--minilm-6"]


def test_defaults_are_those_of_the_method():
    parsed = parse(example())
    assert parsed.probe.l2 == 1e-3
    assert parsed.overlap.model_dump() == {
        "similarity": "cosine",
        "absolute": True,
        "center": "none",
        "aggregate": "max",
        "tau_hard": "change_point",
        "tau_overlap": "change_point",
    }
    assert parsed.mixing.proportions == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    assert set(parsed.mixing.controls) >= {
        *("plain", "purity_matched", "label_balanced", "same_capacity", "random", "true_labels"),
        *("placebo", "fixed_hard", "overlap_against_easy", "brier_matched", "few_labels"),
    }
    assert (parsed.evaluation.bootstrap, parsed.evaluation.level) == (2000, 0.95)
    assert parsed.resources == "resources"
    assert parsed.models["small"].layers == (-1,)
    assert parsed.models["small"].pooling == "last"
    assert parsed.datasets["films"].grouped
    labeled = parse(changed("weak_supervision", {"datasets": ["films"], "features": "large"}))
    assert (labeled.weak_supervision.restarts, labeled.weak_supervision.proportions) == (5, None)
    assert parsed.datasets["tweets"].model_dump()["package"] == ICWSM14.model_dump()
    assert parse(changed("datasets.yes", HUB)).datasets["yes"].model_dump() == {
        "title": "", "source": "hub", "task": "boolq", "tasks_file": None, "revision": None,
        "local": None, "max_rows": 50_000, "pool": None, "val": 0.1, "test": 5000, "grouped": True,
        "drop_near_duplicates": False, "candidates": "drawn",
    }  # fmt: skip


def test_selection_of_sources_parses_with_the_defaults_of_the_method():
    selection = parse(example()).selection
    assert selection.experiments == {}
    assert (selection.paths.rounds, selection.paths.epsilon) == (50, 0.1)
    policies = {"ucb", "thompson", "epsilon_greedy", "random", "oracle", "label_oracle", "original"}
    assert set(selection.paths.policies) == policies
    found = parse(changed("selection.experiments", {"cut": CUT, "both": BOTH})).selection
    cut, both = found.experiments["cut"], found.experiments["both"]
    assert isinstance(cut, config_selection.Partition)
    assert (cut.overlap_shares, cut.counts, cut.datasets) == ((0.1, 0.9), "even", ("films",))
    assert isinstance(both, config_selection.Corpora)
    assert (both.datasets, both.targets) == (("films", "tweets"), ("films",))


PATHS = [
    ("", "expected a path"), (" ", "expected a path"), ("-r", "that does not begin with a dash"),
    ("a/{x}", "without braces"), ("}", "without braces"), ("<results>", "angle brackets"),
    ("a\nb", "line breaks"), ("a\tb", "control characters"), (5, "valid string"),
    ("~nobody-of-that-name/x", "the home folder of a user who is known here"),
]  # fmt: skip
MISTAKES = [  # setting, and its values with what is told of each
    ("overlap.similarty", ("dot", "did you mean 'similarity'?")),
    ("overlap.similarity", ("euclid", "'cosine' or 'dot'")),
    ("overlap.tau_hard", ("high", "'change_point'"), ([1], "'change_point'"),
     ({"quantile": 2}, "less than or equal to 1"), (float("nan"), "found nan")),
    ("overlap.tau_overlap", ({"quantil": 0.2}, "did you mean 'quantile'?")),
    ("overlap.datasets", ({}, "expected one of similarity")),
    ("overlap", ([], "found []; expected lines of `key: value`")),
    ("seed", ([1], "did you mean 'seeds'?")),
    ("nonsense", (1, "expected one of results, resources, seeds")),
    ("seeds", ([], "at least 1 item"), ([1, 1], "found a seed twice in [1, 1], expected once"),
     ([-1], "found -1"), ([2**32], "found 4294967296; input should be less than 4294967296"),
     (3, "found 3")),
    ("pairs", ([], "at least 1 item"),
     ([{"weak": "small", "strong": "large"}] * 2, "found a pair twice")),
    ("pairs.0.weak", ("smal", "'smal' is not a model; did you mean 'small'?")),
    ("pairs.0.strong", ("zzz", "'zzz' is not a model; expected one of small, large, packed")),
    ("pairs.0.strong_layer", (3, "found 3, expected one of the layers [-1]")),
    ("pairs.0.weak_layers", (1, "did you mean 'weak_layer'?")),
    ("mixing.proportions", ([0, 1.5], "found 1.5"), ([-0.1, 1], "found -0.1"), ([1.1], "found 1.1"),
     ([], "at least 1 item"), ([0.1, 0.1], "found a value twice"), (0.3, "found 0.3"),
     ([0, True], "found [0, True], expected no true or false")),
    ("mixing.controls", (["plan", "plain"], "'plain'"), (["placebo", "brier"], "'brier_matched'"),
     (["plain", "plain"], "found a value twice"),
     ("plain", "found 'plain'; expected a list in brackets"),
     (["placebo", "random"], "found placebo without plain")),
    ("mixing.repeats", (0, "found 0"), (True, "found True, expected no true or false")),
    ("mixing.seeds", ([1], "expected one of proportions, repeats, controls")),
    ("models.small.poling", ("mean", "did you mean 'pooling'?")),
    ("models.small.revision", ("main", "expected one of")),
    ("models.small.path", (REMOVED, "expected a value"), *PATHS),
    ("models.small.num_layers", (0, "found 0")),
    ("models.small.pooling", ("max", "'last', 'mean' or 'first'")),
    ("models.small.dtype", ("int8", "'float32', 'bfloat16' or 'float16'")),
    ("models.small.layers", ([], "at least 1 item")),
    ("models.small.max_length", (0, "found 0")),
    ("models.small.storage", ("float64", "found 'float64'")),
    ("models.large.revision", (REMOVED, "expected a value")),
    ("models.a/b", ({"source": "local", "path": "x"}, "pattern")),
    ("models.packed.layers", (2, "found 2; expected a list in brackets")),
    ("models.packed.package", (REMOVED, "expected a value")),
    ("models.packed.package.sha", (SHA, "did you mean 'sha256'?")),
    ("models.packed.package.sha256", ("xyz", "found 'xyz'"), ("A" * 64, "[0-9a-f]{64}")),
    ("models.packed.package.name", ("../p", "found '../p'")),
    ("models.packed.package.version", (">=1", "found '>=1'")),
    ("models.packed.package.format", ("egg", "'wheel' or 'sdist'")),
    ("datasets", ({}, "at least 1 item"), (REMOVED, "expected at least 1 item")),
    *((f"datasets.{name}", ({"source": "file", "path": "x"}, "pattern"))
      for name in ("a--b", "two words")),
    ("datasets.films", (None, "found None")),
    ("datasets.films.tilte", ("x", "did you mean 'title'?")),
    ("datasets.films.path", (REMOVED, "expected a value"), *PATHS),
    ("datasets.films.test", (1.5, "found 1.5"), (1, "found 1")),
    ("datasets.films.val", (0.0, "found 0.0")),
    ("datasets.films.pool", ("many", "found 'many'")),
    ("datasets.tweets.part", ("books", "'tweets'"), (REMOVED, "expected a value")),
    ("datasets.tweets.min_rating", (5, "less than 4")),
    ("probe.l2", (0, "greater than 0"), (False, "found False, expected no true or false")),
    ("evaluation.level", (1.2, "less than 1")),
    ("evaluation.bootstrap", (5, "greater than or equal to 100")),
    ("runtime.device", ("gpu", "found 'gpu'")),
    ("runtime.batch_tokens", (0, "found 0")),
    ("extraction.shards", (0, "found 0")),
    ("extraction.shard", (2, "did you mean 'shards'?")),
    ("resources", *PATHS),
    ("results", (REMOVED, "expected a value"), ("./-r", "that does not begin with a dash"), *PATHS,
     *((path, "expected a folder of its own") for path in ("/", "..", "a/..", "../.."))),
    ("selection.paths.policies", (["ubc"], "found 'ubc'"), ([], "at least 1 item"),
     (["ucb", "ucb"], "found a value twice in ['ucb', 'ucb'], expected once"),
     ("ucb", "found 'ucb'")),
    *((f"selection.paths.{name}", (0, "found 0")) for name in ("rounds", "batch", "repeats")),
    ("selection.paths.epsilon", (1.1, "found 1.1"), (-0.1, "found -0.1")),
    ("selection.paths.round", (5, "did you mean 'rounds'?")),
]  # fmt: skip
EXPERIMENTS = [  # entry, changes, setting, what is told of it
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
]  # fmt: skip
WITHIN = [  # setting, value, and the beginning of the line after the setting
    ("datasets.yes", {"source": "hub"}, ".task: found nothing"),
    ("datasets.yes", {**HUB, "task": ""}, ".task: found ''"),
    ("datasets.yes", {**HUB, "task": "a/b"}, ".task: found 'a/b'"),
    ("datasets.yes", {**HUB, "task": "../b"}, ".task: found '../b'"),
    ("datasets.yes", {**HUB, "max_rows": 1}, ".max_rows: found 1"),
    ("datasets.yes", {**HUB, "test": 1}, ".test: found 1"),
    ("datasets.yes", {**HUB, "path": "x"}, ".path is not a setting"),
    ("datasets.yes", {**HUB, "revison": 1}, ".revison is not a setting; did you mean 'revision'?"),
    ("models.small.estimate", {"width": 0}, ".width: found 0"),
    ("models.small.estimate", {"speed": 1}, ".speed is not a setting"),
    ("models.small.estimate", {"tokens_per_second": 0}, ".tokens_per_second: found 0"),
    ("models.small.estimate", {"gigabytes": -1}, ".gigabytes: found -1"),
    *((f"datasets.{name}", {"source": "icwsm14", "part": "books"}, ".part: found 'books'")
      for name in ("float", "int", "Quantile")),  # as types are called
]  # fmt: skip


def mistakes():
    """Every mistake: the setting, its value, the beginning of the line and what is in it."""
    for path, *cases in MISTAKES:
        for value, expected in cases:
            yield path, value, path, expected
    for entry, changes, setting, expected in EXPERIMENTS:
        found = {k: v for k, v in {**entry, **changes}.items() if v is not REMOVED}
        where = f"selection.experiments.one{setting}"
        yield "selection.experiments", {"one": found}, where, expected
    for path, value, expected in WITHIN:
        yield path, value, path + expected, ""
    for name in ("two words", "a/b", "a--b", ""):  # names of experiments are those of folders
        yield "selection.experiments", {name: CUT}, "selection.experiments", ""
    for name in ("tables", "logs", "selection"):
        told = f"datasets: '{name}' is the name of a results folder; choose another"
        yield f"datasets.{name}", {"source": "file", "path": "x"}, told, ""


def test_mistake_is_one_line_that_names_the_setting(subtests):
    for path, value, where, expected in mistakes():
        with subtests.test(f"{path} {value}"):
            (line,) = lines_for(changed(path, value))
            assert line.startswith(where)
            assert expected in line


def test_unknown_source_names_the_entry_and_the_known_sources():
    for section, tag, known in (
        ("models.large", "hubb", "'hub'"),
        ("datasets.films", "csv", "'file'"),
    ):
        (line,) = lines_for(changed(f"{section}.source", tag))
        assert line.startswith(section)
        assert repr(tag) in line
        assert known in line


def test_several_mistakes_have_a_line_each(subtests):
    sections = changed("overlap.similarty", "dot") | {"probe": {"l2": -1}, "seeds": ["one", 2]}
    keys = changed("overlap.similarty", "dot")
    keys["overlap"]["absolut"] = True
    pairs = [{"weak": "a", "strong": "large"}, {"weak": "small", "strong": "b"}]
    wrong, unknown = {**CUT, "overlap_shares": [1, 1]}, {**BOTH, "datasets": ["films", "nope"]}
    for data, expected in (
        (sections, ["overlap.similarty", "probe.l2", "seeds.0"]),
        (keys, ["overlap.absolut", "overlap.similarty"]),
        (changed("pairs", pairs), ["pairs.0.weak", "pairs.1.strong"]),
        *(
            (
                changed("selection.experiments", {"one": entry, "two": entry}),
                [f"selection.experiments.{name}.{setting}" for name in ("one", "two")],
            )
            for entry, setting in ((wrong, "overlap_shares"), (unknown, "datasets"))
        ),
    ):
        with subtests.test(str(expected)):
            starts = [line.split(":")[0].split(" ")[0] for line in lines_for(data)]
            assert sorted(starts) == expected


def test_something_else_than_a_mapping_is_one_line():
    for data in (None, [], "text", 3):
        (line,) = lines_for(data)
        assert repr(data) in line


def test_a_name_that_yaml_reads_as_something_else_is_told_to_be_quoted():
    for word, told in (("no", "False"), ("on", "True"), ("2024", "2024")):
        data = example()
        data["datasets"] |= yaml.safe_load(f"{word}: {{source: file, path: films.csv}}")
        (line,) = lines_for(data)
        assert line.startswith(f"datasets.{told}: found {told}; input should be a valid string")
        assert "in quotes" in line


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
def test_no_value_whatever_causes_anything_but_a_config_error(value, path):
    data = changed(path, value) if path != "pairs.0" else changed("pairs", [value])
    with suppress(ConfigError):
        assert isinstance(parse(data), Config)


def test_paths_are_told_to_jobs_with_the_home_folder_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for text, found in [("~/my out/", "/home/me/my out"), ("./é 'q' $X #1;*", "é 'q' $X #1;*")]:
        assert parse(changed("results", text)).results == found
    parsed = parse(changed("models.small.path", "~/m/"))
    assert parsed.models["small"].path == "/home/me/m"
    hub = {**HUB, "local": "~/l", "tasks_file": "~/t.py"}
    told = parse(changed("datasets.yes", hub)).datasets["yes"].model_dump()
    assert (told["local"], told["tasks_file"]) == ("/home/me/l", "/home/me/t.py")


def test_layers_of_a_pair_must_be_cached():
    data = changed("models.large.layers", [2, 4])
    data["pairs"][0]["strong_layer"] = 4
    assert parse(data).pairs[0].strong_layer == 4


def test_shares_add_up_whatever_their_rounding():
    near = [0.333333, 0.333333, 0.333334]
    for shares in ([1], [0.5, 0.5], [0.1] * 10, [1 / 3] * 3, near, [0, 1]):
        data = changed("selection.experiments", {"one": {**CUT, "overlap_shares": shares}})
        assert parse(data).selection.experiments["one"].overlap_shares == tuple(shares)


def test_settings_cannot_be_changed_after_parsing():
    with pytest.raises(ValueError, match="frozen"):
        parse(example()).probe.l2 = 2


def test_package_key_is_a_folder_name():
    package = PackageFile(name="a.b-c_d", version="1.0", sha256=SHA)
    assert package.key == "a.b-c_d-1.0"


def test_every_setting_is_documented():
    known, classes = [Strict], set()
    while known:
        known = [inner for outer in known for inner in outer.__subclasses__()]
        classes |= {found for found in known if found.__module__.startswith("w2s.")}
    assert len(classes) > 20
    for found in classes:
        assert found.__doc__, found
        assert found is Strict or found.__doc__ != Strict.__doc__
        for name, setting in found.model_fields.items():
            assert setting.description, f"{found.__name__}.{name}"
            assert setting.description.endswith("."), f"{found.__name__}.{name}"


def test_schema_and_a_round_trip_through_json():
    schema = Config.model_json_schema()
    assert json.loads(json.dumps(schema))["additionalProperties"] is False
    parsed = parse(example())
    assert parse(json.loads(parsed.model_dump_json())) == parsed


def test_parse_as_reports_mistakes_of_any_settings_class():
    with pytest.raises(ConfigError, match=r"^levle is not a setting; did you mean 'level'\?$"):
        parse_as(config.EvaluationConfig, {"levle": 0.9})
