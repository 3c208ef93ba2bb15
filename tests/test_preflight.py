"""Whether a dataset can say something: every check by hand, and the command."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import w2s.preflight
from w2s.cli import main
from w2s.config import parse
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, save
from w2s.preflight import length_rule, preflight
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
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=25))
def test_length_rule_is_the_best_of_all(rows):
    length, label = (np.array(column) for column in zip(*rows, strict=True))
    rule = length_rule(length, label.astype(np.int8))
    found = int((rule(length) == label).sum())
    every = {
        (cut, above): sum(int((x > cut) == above) == y for x, y in rows)
        for cut, above in itertools.product([-1, *length.tolist()], (True, False))
    }
    assert found == max(every.values())
    best = [cut for (cut, _), right in every.items() if right == found and cut >= 0]
    below, above = rule(np.array([min(best), min(best) + 0.5]))
    assert below != above
    assert rule(length).dtype == np.int8


def test_length_rule_on_lengths_it_has_not_seen():
    for label in ([0, 0, 1, 1], [1, 1, 0, 0]):
        rule = length_rule(np.array([3, 4, 9, 10]), np.array(label))
        assert rule(np.array([1, 4, 5, 99])).tolist() == label


def write_examples(
    name="films", *, pool=600, val=50, test=200, ones=0.5, word="", leaks=0, near=0, torn=0
):
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


def checks(data=CONFIG):
    """The last check of each name."""
    return {check.name: check for check in preflight(parse(data), "films")}


def against(found):
    return {name for name, check in found.items() if check.good is False}


def test_a_good_dataset_has_nothing_against_it():
    write_examples()
    found = checks()
    assert [(name, check.good) for name, check in found.items()] == [
        ("size", True), ("balance", True), ("majority", None), ("length", None), ("form", True),
        ("groups", True), ("repeats", True), ("probes", None),
    ]  # fmt: skip
    assert found["size"].told == "pool 600, val 50, test 200"
    assert found["balance"].told == "label 1 in pool 50.0%, val 50.0%, test 50.0%"
    assert found["majority"].told == "always the same label: 50.0% right on test"
    assert found["length"].told.startswith("characters of a text: ")
    assert found["groups"].told.startswith("0 of 200 test texts are of a group")
    assert "`grouped: true`" not in found["groups"].told


def test_each_warning_has_its_reason(subtests):
    for changes, warned in (
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
    ):
        with subtests.test(str(changes)):
            write_examples(**changes)
            found = checks()
            assert against(found) == warned
            assert all(found[name].line.startswith(f"  warn  {name}") for name in warned)


def test_leaks_and_near_duplicates_are_told_and_what_keeps_them_out():
    write_examples(leaks=1234)
    assert checks()["groups"].told == (
        "1,234 of 200 test texts are of a group (passage, document) of the pool; "
        "`grouped: true` keeps them apart"
    )
    write_examples(near=120, torn=67)
    assert checks()["repeats"].told == (
        "120 of 850 texts differ from another in white space, case, punctuation only; "
        "67 of 200 test texts from one of the pool; `drop_near_duplicates: true` leaves them out"
    )
    write_examples(near=3)
    assert checks()["repeats"].told.endswith("only; 0 of 200 test texts from one of the pool")


def test_a_rule_on_length_must_beat_the_larger_class_to_be_told():
    write_examples(ones=0.8)
    found = checks()
    assert found["form"].good is True
    assert found["majority"].told.startswith("always the same label: 80.0%")
    write_examples(ones=1.0)  # one label only
    assert checks()["form"].good is True


Z = 1.96


def error(share):
    """Of an accuracy on 200 test texts."""
    return float(Z * np.sqrt(share * (1 - share) / 200))


@pytest.mark.parametrize(("ones", "share"), [(0.8, 0.82), (0.2, 0.82), (0.97, 0.973)])
def test_a_rule_on_length_may_avoid_a_tenth_of_the_errors_of_the_larger_class(
    ones, share, monkeypatch
):
    """Right answers of a rule, planted: just within chance of the share, and one text above."""
    write_examples(ones=ones)
    label = (np.arange(200) < round(ones * 200)).astype(np.int8)  # of the test texts
    within = int(200 * (share + error(share)))
    for right, good in ((within, True), (within + 1, False)):
        said = np.where(np.arange(200) < right, label, 1 - label)
        monkeypatch.setattr(w2s.preflight, "length_rule", lambda *_, said=said: lambda _: said)
        form = checks()["form"]
        assert form.told == f"a rule on the length of a text alone: {right / 200:.1%} right on test"
        assert form.good is good


def write_tokens(model, truncated, n=100, side="right"):
    arrays = {"id": np.arange(n), "start": np.arange(n + 1) * 20,
              "token": np.zeros(20 * n, dtype=np.int32)}  # fmt: skip
    facts = {"dataset": "films", "truncated": truncated, "side": side}
    save(Artifact("tokens", arrays, facts), f"results/films/tokens/{model}.safetensors")


def test_texts_that_are_cut_are_told(subtests):
    films = {"source": "hub", "task": "quail"}
    task = {**CONFIG, "datasets": {**CONFIG["datasets"], "films": films}}
    write_examples()
    for config, side, cut, good, told in (
        (CONFIG, "right", 0, True, "the end"),
        (CONFIG, "right", 5, True, "the end"),
        (CONFIG, "right", 6, False, "the end"),
        (task, "left", 5, True, "the beginning"),
        (task, "left", 6, False, "the beginning"),
        (task, "right", 0, True, "the end, question and answer,"),
        (task, "right", 1, False, "the end, question and answer,"),
    ):
        with subtests.test(f"{told} {cut}"):
            write_tokens("a", cut, side=side)
            found = checks(config)["tokens"]
            assert found.good is good
            assert found.told == f"a cuts {told} of {cut} of 100 texts, 2,000 tokens in all"


def test_a_coordinate_that_decides_cosines_is_told():
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


def write_metrics(pair, seed, floor, ceiling):
    """The ceiling as networks have it: the mean over two starting points."""
    rows = [
        ("floor", "overall", "accuracy", floor), ("floor", "easy", "accuracy", 0.123),
        ("floor", "overall", "auroc", 0.99), ("w2s", "overall", "accuracy", 0.321),
        ("ceiling", "overall", "accuracy", ceiling - 0.04),
        ("ceiling", "overall", "accuracy", ceiling + 0.04),
    ]  # fmt: skip
    names = ("control", "group", "metric")
    columns = {name: np.array([row[i] for row in rows], object) for i, name in enumerate(names)}
    columns |= {
        "proportion": np.full(6, np.nan), "repeat": np.zeros(6, np.int32),
        "value": np.array([row[3] for row in rows]), "n": np.full(6, 200, np.int32),
        "reason": np.full(6, "", dtype=object),
    }  # fmt: skip
    if "restart" in METRICS.arrays:
        columns["restart"] = np.array([0, 0, 0, 0, 0, 1], np.int32)
    weak, strong = pair.split("--")
    facts = {
        "dataset": "films", "weak": weak, "strong": strong, "seed": seed, "n_pool": 600,
        "density": 0.1, "easy_share": 0.5, "hard_share": 0.4, "stability": 0.9,
        "status": "ok", "reason": "",
    }  # fmt: skip
    save(Artifact("metrics", columns, facts), f"results/films/{pair}/seed{seed}/metrics.parquet")


HALF = error(0.5)


def test_floor_and_ceiling_are_means_over_seeds_and_restarts(subtests):
    write_examples()
    for floor, gap, warned in (
        (0.51 + HALF, 0.01 + error(0.51 + HALF), set()),
        (0.49 + HALF, 0.01 + HALF, {"floor"}),
        (0.51 + HALF, -0.01 + error(0.51 + HALF), {"ceiling"}),
        (0.9, 0.01 + error(0.9), set()),  # chance has less room far from one half
        (0.9, -0.01 + error(0.9), {"ceiling"}),
        (0.3, -0.2, {"floor", "ceiling"}),
        (float("nan"), 0.2, {"floor", "ceiling"}),
    ):
        with subtests.test(f"{floor} {gap}"):
            for seed, more in ((0, 0.02), (3, -0.02)):
                write_metrics("a--b", seed, floor + more, floor + gap - more)
            found = checks()
            assert against(found) - {"gap"} == warned
            told = {name: check.told for name, check in found.items()}
            same = f"always the same label 0.500 ± {HALF:.3f}"
            assert told["floor"] == f"a--b: weak floor {floor:.3f}, 2 seeds, {same}"
            assert told["ceiling"].startswith(f"a--b: strong ceiling {floor + gap:.3f}, ")
            if floor >= 0.5:
                assert told["ceiling"].endswith(f"{gap:+.3f} to the floor ± {error(floor):.3f}")
            assert told["probes"] == (
                "a--c: not trained yet; with 200 test texts PGR needs a gap of up to 0.196"
            )


def test_only_what_the_configuration_names_is_read():
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
def test_probes_of_an_unbalanced_dataset_must_beat_the_larger_class(ones, subtests):
    write_examples(ones=ones)
    for floor, ceiling, warned in (
        (0.75, 0.9, {"floor"}),  # far above one half, and worse than always the same label
        (0.81 + error(0.8), 0.99, set()),
        (0.79 + error(0.8), 0.99, {"floor"}),
        (0.7, 0.79, {"floor", "ceiling"}),  # far above the floor, and no better than it either
        (0.7, 0.79 + error(0.8), {"floor", "ceiling"}),
        (0.7, 0.81 + error(0.8), {"floor"}),
    ):
        with subtests.test(f"{floor} {ceiling}"):
            write_metrics("a--b", 0, floor, ceiling)
            found = checks()
            assert against(found) - {"gap"} == warned | {"balance"}
            same = f"always the same label 0.800 ± {error(0.8):.3f}"
            assert found["floor"].told.endswith(same)
            if floor < 0.8:
                best = f"{ceiling - 0.8:+.3f} to always the same label ± {error(0.8):.3f}"
                assert found["ceiling"].told.endswith(best)


def test_a_gap_that_is_too_small_for_pgr_is_told(subtests):
    write_examples()
    for floor, ceiling, told in (
        (0.7, 0.73, "0.030 ± 0.088, often without an interval; it needs 0.177: more test texts, "),
        (0.7, 0.85, "0.150 ± 0.081, often without an interval; it needs 0.161: "),
        (0.7, 0.87, "0.170 ± 0.079"),
        (0.7, 0.7, "0.000 ± 0.090, undefined; it needs 0.180: "),
        (0.8, 0.7, "-0.100 ± 0.084, undefined; it needs 0.169: "),
    ):
        with subtests.test(f"{floor} {ceiling}"):
            write_metrics("a--b", 0, floor, ceiling)
            gap = checks()["gap"]
            assert gap.told.startswith(f"a--b: PGR is a share of a gap of {told}")
            assert gap.good is ("needs" not in told)
    write_metrics("a--b", 0, float("nan"), 0.7)
    gap = checks()["gap"]
    assert (gap.good, gap.told) == (False, "a--b: PGR is undefined, as floor or ceiling is")


def test_a_gap_that_preflight_takes_has_an_interval_and_half_of_it_often_has_none():
    """Bootstraps of five seeds on test points whose floor and ceiling err independently."""
    n, floor = 400, 0.7
    rng = np.random.default_rng(0)

    def lacking(gap):
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


# The command.


def command(capsys, *names):
    """Exit code, the lines that it shows, and its errors."""
    code = main(["preflight", *names, "--config", "config.yaml"])
    shown = capsys.readouterr()
    return code, shown.out.splitlines(), shown.err.splitlines()


def test_command_shows_every_dataset_or_the_one_that_is_named(capsys):
    write_examples("films", pool=100)
    write_examples("books")
    code, lines, errors = command(capsys)
    assert (code, errors) == (0, [])
    heads = ["films: look at: size", "books: nothing speaks against it"]
    assert [line for line in lines if not line.startswith(" ")] == heads
    assert "  warn  size      pool 100, val 50, test 200" in lines
    code, lines, _ = command(capsys, "books")
    assert (code, lines[0]) == (0, heads[1])


def test_command_goes_on_after_examples_that_are_missing_or_damaged(capsys):
    with pytest.raises(
        ArtifactError, match=r"found no file, .*snakemake --cores 1 texts"
    ) as caught:
        preflight(parse(CONFIG), "films")
    assert "\n" not in str(caught.value)
    write_examples("books")
    path = "results/films/examples.parquet"
    for why in (f"w2s preflight: error: {path}: found no file", "damaged"):
        code, lines, (line,) = command(capsys)
        assert code == 2
        assert why in line
        assert lines[0] == "books: nothing speaks against it"
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(b"nothing")


def test_unknown_dataset_is_one_line_with_the_nearest(capsys):
    told = "w2s preflight: error: 'film' is not a dataset of config.yaml; did you mean 'films'?"
    assert command(capsys, "film") == (2, [], [told])
