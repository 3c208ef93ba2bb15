"""Whether a dataset can say something: every check by hand, and the command."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import w2s.preflight
from w2s.checks import Array
from w2s.cli import main
from w2s.config import parse
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, save
from w2s.preflight import Check, length_rule, preflight
from w2s.results.intervals import Bootstrap
from w2s.results.rows import pgr_row
from w2s.results.track import METRICS

CONFIG = {
    "results": "results",
    "seeds": [0, 3],
    "datasets": {
        "films": {"source": "file", "path": "films.csv"},
        "books": {"source": "file", "path": "books.csv"},
    },
    "models": {name: {"source": "hub", "id": "a/b", "revision": "main"} for name in "abc"},
    "pairs": [{"weak": "a", "strong": "b"}, {"weak": "a", "strong": "c"}],
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")


def right_of(length: Array, label: Array, cut: float, above: bool) -> int:
    return sum(int((x > cut) == above) == y for x, y in zip(length, label, strict=True))


ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=25)


@given(ROWS)
def test_length_rule_is_the_best_of_all(rows: Any) -> None:
    length, label = (np.array(column) for column in zip(*rows, strict=True))
    rule = length_rule(length, label.astype(np.int8))
    found = int((rule(length) == label).sum())
    every = {
        (cut, above): right_of(length, label, cut, above)
        for cut, above in itertools.product([-1, *length.tolist()], (True, False))
    }
    assert found == max(every.values())
    best = [cut for (cut, _), right in every.items() if right == found and cut >= 0]
    assert rule.cut == min(best)
    assert rule(length).dtype == np.int8


def test_length_rule_on_lengths_it_has_not_seen() -> None:
    rule = length_rule(np.array([3, 4, 9, 10]), np.array([0, 0, 1, 1]))
    assert rule(np.array([1, 4, 5, 99])).tolist() == [0, 0, 1, 1]
    turned = length_rule(np.array([3, 4, 9, 10]), np.array([1, 1, 0, 0]))
    assert turned(np.array([1, 4, 5, 99])).tolist() == [1, 1, 0, 0]


def write_examples(
    name: str = "films", *, pool: int = 600, val: int = 50, test: int = 200, ones: float = 0.5,
    word: str = "", leaks: int = 0, near: int = 0, torn: int = 0,
) -> None:  # fmt: skip
    """Texts of random length; `word` follows those with label 1, `ones` is their share."""
    draw = np.random.default_rng(0)
    n = pool + val + test
    part = np.array(["pool"] * pool + ["val"] * val + ["test"] * test, dtype=object)
    label = np.zeros(n, dtype=np.int8)
    for this in ("pool", "val", "test"):
        rows = np.flatnonzero(part == this)
        label[rows[: round(ones * len(rows))]] = 1
    texts = [f"{'x' * draw.integers(1, 40)} {i:05}" + word * int(label[i]) for i in range(n)]
    columns = {
        "id": np.arange(n), "source_id": np.array([str(i) for i in range(n)], dtype=object),
        "text": np.array(texts, dtype=object), "label": label, "part": part,
        "group": np.array([str(i) for i in range(n)], dtype=object),
    }  # fmt: skip
    facts = {"dataset": name, "grouped": True, "dropped": {}, "leaks": leaks,
             "near_duplicates": near, "near_leaks": torn}  # fmt: skip
    save(Artifact("examples", columns, facts), f"results/{name}/examples.parquet")


def checks(name: str = "films") -> dict[str, Check]:
    found = preflight(parse(CONFIG), name)
    return {check.name: check for check in found}


def test_a_good_dataset_has_nothing_against_it() -> None:
    write_examples()
    found = checks()
    assert list(found) == [
        "size", "balance", "majority", "length", "form", "groups", "repeats", "probes",
    ]  # fmt: skip
    assert {name: check.good for name, check in found.items()} == {
        "size": True, "balance": True, "majority": None, "length": None, "form": True,
        "groups": True, "repeats": True, "probes": None,
    }  # fmt: skip
    assert found["size"].told == "pool 600, val 50, test 200"
    assert found["balance"].told == "label 1 in pool 50.0%, val 50.0%, test 50.0%"
    assert found["majority"].told == "always the same label: 50.0% right on test"
    assert found["groups"].told.startswith("0 of 200 test texts are of a group")
    assert "`grouped: true`" not in found["groups"].told


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"pool": 500}, set()),
        ({"pool": 498}, {"size"}),
        ({"ones": 0.54}, set()),
        ({"ones": 0.56}, {"balance"}),
        ({"ones": 0.44}, {"balance"}),
        ({"word": " and more words to tell it by"}, {"form"}),
        ({"word": "!"}, set()),
        ({"leaks": 3}, {"groups"}),
        ({"near": 300}, set()),
        ({"near": 300, "torn": 1}, {"repeats"}),
    ],
    ids=str,
)
def test_each_warning_has_its_reason(changes: dict[str, Any], warned: set[str]) -> None:
    write_examples(**changes)
    found = checks()
    assert {name for name, check in found.items() if check.good is False} == warned
    for name in warned:
        assert found[name].line.startswith(f"  warn  {name}")


def test_a_rule_on_length_must_beat_the_larger_class_to_be_told() -> None:
    write_examples(ones=0.8)
    found = checks()
    assert found["form"].good is True
    assert found["majority"].told.startswith("always the same label: 80.0%")


@pytest.mark.parametrize(("ones", "share"), [(0.8, 0.82), (0.2, 0.82), (0.97, 0.973)])
def test_a_rule_on_length_may_avoid_a_tenth_of_the_errors_of_the_larger_class(
    ones: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right answers of a rule, planted: just within chance of the share, and one text above."""
    write_examples(ones=ones)
    within = int(200 * (share + Z * np.sqrt(share * (1 - share) / 200)))
    for right, good in ((within, True), (within + 1, False)):
        rule = rule_with(right, ones)
        monkeypatch.setattr(w2s.preflight, "length_rule", lambda *_, rule=rule: rule)
        form = checks()["form"]
        assert form.told == f"a rule on the length of a text alone: {right / 200:.1%} right on test"
        assert form.good is good


def rule_with(right: int, ones: float) -> Any:
    """A rule that is right on so many of the 200 test texts that `write_examples` writes."""
    label = (np.arange(200) < round(ones * 200)).astype(np.int8)
    return lambda length: np.where(np.arange(200) < right, label, 1 - label)


def test_a_rule_on_length_is_not_told_where_there_is_one_label_only() -> None:
    write_examples(ones=1.0)
    assert checks()["form"].good is True


def test_leaks_say_what_keeps_groups_apart() -> None:
    write_examples(leaks=1234)
    assert checks()["groups"].told == (
        "1,234 of 200 test texts are of a group (passage, document) of the pool; "
        "`grouped: true` keeps them apart"
    )


def test_near_duplicates_are_told_and_what_leaves_them_out() -> None:
    write_examples(near=120, torn=67)
    assert checks()["repeats"].told == (
        "120 of 850 texts differ from another in white space, case, punctuation only; "
        "67 of 200 test texts from one of the pool; `drop_near_duplicates: true` leaves them out"
    )
    write_examples(near=3)
    assert checks()["repeats"].told.endswith("only; 0 of 200 test texts from one of the pool")


def test_length_shows_quantiles_of_characters() -> None:
    write_examples()
    assert checks()["length"].told.startswith("characters of a text: ")


def write_tokens(model: str, truncated: int, n: int = 100, side: str = "right") -> None:
    arrays = {"id": np.arange(n), "start": np.arange(n + 1) * 20,
              "token": np.zeros(20 * n, dtype=np.int32)}  # fmt: skip
    facts = {"dataset": "films", "truncated": truncated, "side": side}
    save(Artifact("tokens", arrays, facts), f"results/films/tokens/{model}.safetensors")


@pytest.mark.parametrize(("cut", "good"), [(0, True), (5, True), (6, False)])
def test_texts_that_are_cut_are_told(cut: int, good: bool) -> None:
    write_examples()
    write_tokens("a", cut)
    found = checks()["tokens"]
    assert found.good is good
    assert found.told == f"a cuts the end of {cut} of 100 texts, 2,000 tokens in all"


@pytest.mark.parametrize(
    ("side", "cut", "good", "told"),
    [
        ("left", 5, True, "a cuts the beginning of 5 of 100 texts, "),
        ("left", 6, False, "a cuts the beginning of 6 of 100 texts, "),
        ("right", 0, True, "a cuts the end, question and answer, of 0 of 100 texts, "),
        ("right", 1, False, "a cuts the end, question and answer, of 1 of 100 texts, "),
    ],
)
def test_a_text_of_a_task_that_loses_its_question_is_told(
    side: str, cut: int, good: bool, told: str
) -> None:
    write_examples()
    write_tokens("a", cut, side=side)
    films = {"source": "hub", "task": "quail"}
    config = parse({**CONFIG, "datasets": {**CONFIG["datasets"], "films": films}})
    found = next(check for check in preflight(config, "films") if check.name == "tokens")
    assert found.good is good
    assert found.told == f"{told}2,000 tokens in all"


def test_a_coordinate_that_decides_cosines_is_told() -> None:
    write_examples()
    x = np.random.default_rng(0).normal(size=(50, 100)).astype(np.float32)
    moved = x.copy()
    moved[:, 7] += 20
    arrays = {"id": np.arange(50), "layer_-1": moved, "layer_0": x}
    facts = {"dataset": "films", "model": {}, "storage": "float32",
             "loss": {"layer_-1": 0.0, "layer_0": 0.0}}  # fmt: skip
    save(Artifact("activations", arrays, facts), "results/films/activations/b.safetensors")
    found = [check for check in preflight(parse(CONFIG), "films") if check.name == "norm"]
    told = {check.told.partition(":")[0]: check for check in found}
    assert told["b, layer_-1"].good is False
    assert told["b, layer_0"].good is True
    assert told["b, layer_-1"].told.startswith("b, layer_-1: coordinate 7 holds 8")


def write_metrics(pair: str, seed: int, floor: float, ceiling: float) -> None:
    """The ceiling as networks have it: the mean over two starting points."""
    rows = [
        ("floor", "overall", "accuracy", floor), ("floor", "easy", "accuracy", 0.123),
        ("floor", "overall", "auroc", 0.99), ("w2s", "overall", "accuracy", 0.321),
        ("ceiling", "overall", "accuracy", ceiling - 0.04),
        ("ceiling", "overall", "accuracy", ceiling + 0.04),
    ]  # fmt: skip
    names = ("control", "group", "metric")
    columns: dict[str, Any] = {
        name: np.array([row[i] for row in rows], dtype=object) for i, name in enumerate(names)
    }
    weak, strong = pair.split("--")
    columns |= {
        "proportion": np.full(6, np.nan), "repeat": np.zeros(6, np.int32),
        "value": np.array([row[3] for row in rows]), "n": np.full(6, 200, np.int32),
        "reason": np.full(6, "", dtype=object),
    }  # fmt: skip
    if "restart" in METRICS.arrays:
        columns["restart"] = np.array([0, 0, 0, 0, 0, 1], np.int32)
    facts = {
        "dataset": "films", "weak": weak, "strong": strong, "seed": seed, "n_pool": 600,
        "density": 0.1, "easy_share": 0.5, "hard_share": 0.4, "status": "ok", "reason": "",
    }  # fmt: skip
    save(Artifact("metrics", columns, facts), f"results/films/{pair}/seed{seed}/metrics.parquet")


Z = 1.96


def error(share: float) -> float:
    """Of an accuracy on 200 test texts."""
    return float(Z * np.sqrt(share * (1 - share) / 200))


ERROR = error(0.5)


@pytest.mark.parametrize(
    ("floor", "gap", "warned"),
    [
        (0.51 + ERROR, 0.01 + error(0.51 + ERROR), set()),
        (0.49 + ERROR, 0.01 + ERROR, {"floor"}),
        (0.51 + ERROR, -0.01 + error(0.51 + ERROR), {"ceiling"}),
        (0.9, 0.01 + error(0.9), set()),  # chance has less room far from one half
        (0.9, -0.01 + error(0.9), {"ceiling"}),
        (0.3, -0.2, {"floor", "ceiling"}),
        (float("nan"), 0.2, {"floor", "ceiling"}),
    ],
)
def test_floor_and_ceiling_are_means_over_seeds_and_restarts(
    floor: float, gap: float, warned: set[str]
) -> None:
    write_examples()
    for seed, more in ((0, 0.02), (3, -0.02)):
        write_metrics("a--b", seed, floor + more, floor + gap - more)
    found = preflight(parse(CONFIG), "films")
    assert {check.name for check in found if check.good is False} - {"gap"} == warned
    told = {check.name: check.told for check in found}
    same = f"always the same label 0.500 ± {ERROR:.3f}"
    assert told["floor"] == f"a--b: weak floor {floor:.3f}, 2 seeds, {same}"
    ceiling = f"a--b: strong ceiling {floor + gap:.3f}, "
    assert told["ceiling"].startswith(ceiling)
    if floor >= 0.5:
        assert told["ceiling"].endswith(f"{gap:+.3f} to the floor ± {error(floor):.3f}")
    assert told["probes"] == (
        "a--c: not trained yet; with 200 test texts PGR needs a gap of up to 0.196"
    )


def test_only_what_the_configuration_names_is_read() -> None:
    """Seeds, models and pairs that it does not name any more have left files."""
    write_examples()
    for pair, seed, floor in (("a--b", 3, 0.7), ("a--b", 7, 0.1), ("b--a", 0, 0.1)):
        write_metrics(pair, seed, floor, 0.9)
    write_tokens("a", 1)
    write_tokens("gone", 9)
    found = preflight(parse(CONFIG), "films")
    told = [check.told for check in found if check.name in ("floor", "probes", "tokens")]
    assert [line.partition(",")[0].partition(";")[0] for line in told] == [
        "a cuts the end of 1 of 100 texts", "a--b: weak floor 0.700", "a--c: not trained yet"
    ]  # fmt: skip


@pytest.mark.parametrize("ones", [0.8, 0.2])
@pytest.mark.parametrize(
    ("floor", "ceiling", "warned"),
    [
        (0.75, 0.9, {"floor"}),  # far above one half, and worse than always the same label
        (0.81 + error(0.8), 0.99, set()),
        (0.79 + error(0.8), 0.99, {"floor"}),
        (0.7, 0.79, {"floor", "ceiling"}),  # far above the floor, and no better than it either
        (0.7, 0.79 + error(0.8), {"floor", "ceiling"}),
        (0.7, 0.81 + error(0.8), {"floor"}),
    ],
)
def test_probes_of_an_unbalanced_dataset_must_beat_the_larger_class(
    ones: float, floor: float, ceiling: float, warned: set[str]
) -> None:
    write_examples(ones=ones)
    write_metrics("a--b", 0, floor, ceiling)
    found = {check.name: check for check in preflight(parse(CONFIG), "films")}
    against = {name for name, check in found.items() if check.good is False} - {"gap"}
    assert against == warned | {"balance"}
    assert found["floor"].told.endswith(f"always the same label 0.800 ± {error(0.8):.3f}")
    if floor < 0.8:
        best = f"{ceiling - 0.8:+.3f} to always the same label ± {error(0.8):.3f}"
        assert found["ceiling"].told.endswith(best)


@pytest.mark.parametrize(
    ("floor", "ceiling", "told"),
    [
        (0.7, 0.73, "0.030 ± 0.088, often without an interval; it needs 0.177: more test texts, "),
        (0.7, 0.85, "0.150 ± 0.081, often without an interval; it needs 0.161: "),
        (0.7, 0.87, "0.170 ± 0.079"),
        (0.7, 0.7, "0.000 ± 0.090, undefined; it needs 0.180: "),
        (0.8, 0.7, "-0.100 ± 0.084, undefined; it needs 0.169: "),
    ],
)
def test_a_gap_that_is_too_small_for_pgr_is_told(floor: float, ceiling: float, told: str) -> None:
    write_examples()
    write_metrics("a--b", 0, floor, ceiling)
    gap = next(check for check in preflight(parse(CONFIG), "films") if check.name == "gap")
    assert gap.told.startswith(f"a--b: PGR is a share of a gap of {told}")
    assert gap.good is ("needs" not in told)


def test_a_gap_of_an_undefined_floor_is_told() -> None:
    write_examples()
    write_metrics("a--b", 0, float("nan"), 0.7)
    gap = next(check for check in preflight(parse(CONFIG), "films") if check.name == "gap")
    assert (gap.good, gap.told) == (False, "a--b: PGR is undefined, as floor or ceiling is")


def test_a_gap_that_preflight_takes_has_an_interval_and_half_of_it_often_has_none() -> None:
    """Bootstraps of five seeds on test points whose floor and ceiling err independently."""
    n, floor = 400, 0.7
    rng = np.random.default_rng(0)

    def lacking(gap: float) -> float:
        found = []
        for _ in range(40):
            right = rng.random((3, n)) < np.array([[floor], [floor + gap / 2], [floor + gap]])
            correct = np.repeat(right[None], 5, axis=0).astype(np.float32)
            drawn = Bootstrap.draw(5, n, 200, rng)
            row = pgr_row(correct, np.ones((5, n), dtype=bool), drawn, 0.95)
            found.append(np.isnan(row["pgr_lo"]))
        return float(np.mean(found))

    margin = 1.96 * np.sqrt((0.7 * 0.3 + 0.8 * 0.2) / n)
    assert lacking(2 * margin) < 0.1
    assert 0.3 < lacking(margin) < 0.7


def test_missing_examples_are_told_with_what_to_do() -> None:
    with pytest.raises(
        ArtifactError, match=r"found no file, .*snakemake --cores 1 texts"
    ) as caught:
        preflight(parse(CONFIG), "films")
    assert "\n" not in str(caught.value)


# The command.


def test_command_shows_every_dataset_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    write_examples("films", pool=100)
    write_examples("books")
    assert main(["preflight", "--config", "config.yaml"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "films: look at: size",
        "books: nothing speaks against it",
    ]
    assert shown.err == ""
    assert "  warn  size      pool 100, val 50, test 200" in lines


def test_command_goes_on_after_a_dataset_without_examples(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_examples("books")
    assert main(["preflight", "--config", "config.yaml"]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("w2s preflight: error: results/films/examples.parquet: found no file")
    assert shown.out.startswith("books: nothing speaks against it\n")


def test_command_goes_on_after_damaged_examples(capsys: pytest.CaptureFixture[str]) -> None:
    write_examples("books")
    Path("results/films").mkdir(parents=True)
    Path("results/films/examples.parquet").write_bytes(b"nothing")
    assert main(["preflight", "--config", "config.yaml"]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    assert "damaged" in shown.err
    assert "books: " in shown.out


def test_command_shows_the_dataset_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_examples("books")
    assert main(["preflight", "books", "--config", "config.yaml"]) == 0
    assert capsys.readouterr().out.startswith("books: ")


def test_unknown_dataset_is_one_line_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", "film", "--config", "config.yaml"]) == 2
    assert capsys.readouterr().err == (
        "w2s preflight: error: 'film' is not a dataset of config.yaml; did you mean 'films'?\n"
    )
