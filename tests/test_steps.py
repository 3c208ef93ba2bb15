"""The stages against independent computations of what they promise."""

from __future__ import annotations

import importlib
import io
import itertools
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from conftest import MIXING, PAIR, SEEDS, Chain
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score
from sklearn.neighbors import KNeighborsRegressor

from w2s.config import parse_as
from w2s.data.files import text_id
from w2s.data.splits import REASONS
from w2s.errors import ArtifactError, DataError
from w2s.files.artifacts import Artifact, load
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source
from w2s.overlap.detect import detect_overlap
from w2s.overlap.mixing import FEW
from w2s.probes.columns import CANDIDATES
from w2s.probes.probes import fit_probes
from w2s.results.metrics import METRICS, REFERENCES, calibration_error
from w2s.tracks import STAGES

L2 = 1e-3
CURVES = (
    "plain", "placebo", "fixed_hard", "overlap_against_easy", "purity_matched",
    "purity_matched_placebo", "brier_matched", "brier_matched_placebo", "label_balanced",
    "label_balanced_placebo", "same_capacity",
)  # fmt: skip
LARGE = "activations-large.safetensors"
SMALL = "activations-small.safetensors"
KNN = {"kind": "knn", "neighbors": 7}


def run_stage(name: str, *inputs: Any, **settings: Any) -> dict[str, Any]:
    """What the stage's function makes of its inputs, with settings as in a configuration."""
    stage = STAGES[name]
    module, _, function = stage.function.partition(":")
    chosen = parse_as(stage.settings, settings)
    found: dict[str, Any] = getattr(importlib.import_module(module), function)(
        *inputs, settings=chosen
    )
    return found


def by_id(artifact: Artifact, name: str) -> dict[int, Any]:
    return dict(zip(artifact["id"].tolist(), artifact[name], strict=True))


def of(artifact: Artifact, name: str, ids: Any) -> Any:
    """Values of a column, found by id one after another."""
    values = by_id(artifact, name)
    return np.array([values[i] for i in np.asarray(ids).tolist()])


def shuffled(artifact: Artifact, seed: int = 0) -> Artifact:
    """The same rows in another order."""
    return artifact.where(np.random.default_rng(seed).permutation(len(artifact)))


def changed(artifact: Artifact, **arrays: Any) -> Artifact:
    return replace(artifact, arrays={**artifact.arrays, **arrays})


def renamed(artifact: Artifact, **facts: Any) -> Artifact:
    """The same rows of another job: facts are changed."""
    return replace(artifact, facts={**artifact.facts, **facts})


def turned(inputs: list[Artifact], *places: int) -> Iterator[list[Artifact]]:
    """The inputs with the rows of one in another order, for each of the places."""
    for place in places:
        yield [shuffled(a) if i == place else a for i, a in enumerate(inputs)]


def files(chain: Chain, *names: str) -> list[Artifact]:
    return [load(chain / name) for name in names]


def sklearn_probe(x: Any, y: Any, weight: Any = None) -> Any:
    """The probe's objective, mean loss + L2 |w|^2, on hard labels."""
    n = len(x) if weight is None else weight.sum()
    model = LogisticRegression(C=1 / (2 * n * L2), tol=1e-10, max_iter=10_000)
    return model.fit(x.astype(np.float64), y, sample_weight=weight)


def made_of(path: Path, dataset: str = "films", **data: Any) -> Artifact:
    """Examples of a file."""
    data = {"source": "file", "path": "texts.csv", "val": 0.1, "test": 0.3, **data}
    return run_stage("examples", path, dataset=dataset, data=data)["examples"]


def halves_of(found: Artifact, dataset: str = "films") -> Artifact:
    return run_stage("split", found, dataset=dataset, seed=0)["split"]


def mean_accuracies(metrics: Artifact) -> dict[tuple[str, float], float]:
    frame = metrics.frame
    rows = frame[(frame["group"] == "overall") & (frame["metric"] == "accuracy")]
    means = rows.groupby(["control", rows["proportion"].fillna(-1)])["value"].mean()
    return dict(means.items())


def test_examples_of_a_file_are_its_rows(chain):
    rows = pd.read_csv(chain.inputs / "texts.csv")
    found = load(chain / "examples.parquet")
    assert by_id(found, "label") == dict(
        zip(map(text_id, rows["text"]), rows["label"], strict=True)
    )
    assert Counter(zip(found["part"], found["label"].tolist(), strict=True)) == {
        **{("pool", 0): 120, ("pool", 1): 120, ("val", 0): 20, ("val", 1): 20},
        **{("test", 0): 60, ("test", 1): 60},
    }
    assert found.facts == {
        **{"dataset": "films", "grouped": False, "leaks": 0},
        **{"near_duplicates": 0, "near_leaks": 0},
        "dropped": dict.fromkeys(("duplicate", "duplicate with another label", *REASONS), 0),
    }


def test_examples_and_halves_keep_groups_together_and_take_the_given_split(tmp_path):
    path = tiny.write_dataset(tmp_path / "texts.csv", groups=True)
    found = made_of(path, group="group")
    assert found.facts["grouped"] is True
    for group in set(found["group"]):
        assert len(set(found["part"][found["group"] == group])) == 1
    assert made_of(path, group="group", grouped=False).facts["grouped"] is False
    halves = halves_of(found)
    groups = by_id(found, "group")
    pairs = {(groups[number], half) for number, half in by_id(halves, "half").items()}
    assert len(pairs) == len({group for group, _ in pairs}) > 5  # each group in one half
    assert halves.facts["grouped"] is True
    path = tiny.write_dataset(tmp_path / "splits.csv", splits=True)
    rows = pd.read_csv(path)
    parts = rows["split"].replace("train", "pool")
    given = dict(zip(map(text_id, rows["text"]), parts, strict=True))
    assert by_id(made_of(path, split="split"), "part") == given


def test_near_duplicates_stay_in_a_half_or_are_left_out(tmp_path):
    path = tiny.write_dataset(tmp_path / "texts.csv")
    frame = pd.read_csv(path)
    pd.concat([frame, frame.assign(text=frame["text"] + "\n")]).to_csv(path, index=False)
    found = made_of(path)
    assert (found.facts["near_duplicates"], found.facts["near_leaks"]) == (len(frame), 0)
    half = by_id(halves_of(found), "half")
    texts = found["text"][found["part"] == "pool"]
    assert len(texts) > 100
    assert all(half[text_id(text.strip())] == half[text_id(text)] for text in texts)
    fewer = made_of(path, drop_near_duplicates=True)
    assert sorted(fewer["text"]) == sorted(frame["text"])
    assert fewer.facts["near_duplicates"] == 0
    assert fewer.facts["dropped"]["near-duplicate"] == len(frame)


def test_parts_and_halves_depend_on_the_name_of_the_dataset_and_on_no_other(chain, tmp_path):
    path = tiny.write_dataset(tmp_path / "texts.csv")
    found = load(chain / "examples.parquet")
    names = ("films", "films", "books")
    parts = [by_id(made_of(path, name), "part") for name in names]
    halves = [halves_of(found, name)["half"].tolist() for name in names]
    for drawn in (parts, halves):
        assert drawn[0] == drawn[1]
        assert drawn[0] != drawn[2]


def icwsm14(folder: Path, content: bytes, part: str = "nytEditorialSnippets") -> Path:
    """A manifest with an archive beside it as `fetch` leaves them."""
    with tarfile.open(folder / "hutto_ICWSM_2014.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"hutto_ICWSM_2014/{part}_GroundTruth.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    manifest = folder / "manifest.json"
    manifest.write_text("{}")
    return manifest


def read_icwsm14(manifest: Path) -> Artifact:
    data = {"source": "icwsm14", "part": "nytEditorialSnippets"}
    return run_stage("examples", manifest, dataset="nyt", data=data)["examples"]


def test_examples_of_icwsm14_come_from_the_fetched_archive(tmp_path):
    lines = [f"{i // 4}_{i}\t{(-1) ** i * 2}\tsentence {i} of naïve café\r\n" for i in range(80)]
    lines += ["90_1\t0.2\tnobody can say\r\n", "91_1\t2\tsentence 0 of naïve café\r\n"]
    found = read_icwsm14(icwsm14(tmp_path, "".join(lines).encode()))
    assert found.facts["grouped"] is True
    assert found.facts["dropped"] == {
        **dict.fromkeys(REASONS, 0),
        **{"ambiguous": 1, "duplicate": 1, "duplicate with another label": 0},
    }
    assert set(found["group"]) == {str(i) for i in range(20)}
    assert found["text"][0] == "sentence 0 of naïve café"


def test_bad_icwsm14_archive_is_one_line(subtests, tmp_path):
    for fault in ("no archive", "damaged archive", "no member", "no UTF-8"):
        content = b"1\t2\t\xff\xfe\n" if fault == "no UTF-8" else b"1\t2\ttext\n"
        part = "tweets" if fault == "no member" else "nytEditorialSnippets"
        manifest = icwsm14(tmp_path, content, part)
        archive = tmp_path / "hutto_ICWSM_2014.tar.gz"
        if fault == "no archive":
            archive.unlink()
        if fault == "damaged archive":
            archive.write_bytes(archive.read_bytes()[:60])
        with subtests.test(fault=fault):
            with pytest.raises(DataError) as caught:
                read_icwsm14(manifest)
            assert "\n" not in str(caught.value)


def test_halves_are_the_pool_divided_in_each_class(chain):
    found = load(chain / "examples.parquet")
    labels = by_id(found, "label")
    pool = set(found["id"][found["part"] == "pool"].tolist())
    halves = [by_id(load(chain / f"split-{seed}.parquet"), "half") for seed in SEEDS]
    for half in halves:
        assert set(half) == pool
        counts = Counter((name, labels[i]) for i, name in half.items())
        assert counts == dict.fromkeys(
            itertools.product(("weak_train", "strong_train"), (0, 1)), 60
        )
    agree = np.mean([halves[0][i] == halves[1][i] for i in pool])
    assert 0.3 < agree < 0.7  # the seeds share nothing


def test_tokens_and_activations_are_those_of_each_text(chain):
    found = load(chain / "examples.parquet")
    kinds = (("small", 2, {"num_layers": 1}, (-1,), "last"), ("large", 1, {}, (0, -1), "mean"))
    for model, extra, options, layers, pooling in kinds:
        tokens = load(chain / f"tokens-{model}.safetensors")
        assert tokens["id"].tolist() == found["id"].tolist()
        assert tokens.facts == {"dataset": "films", "truncated": 0, "side": "right"}
        lengths = np.diff(tokens["start"]).tolist()
        assert lengths == [len(text.split()) + extra for text in found["text"]]
        activations = load(chain / f"activations-{model}.safetensors")
        encoder = load_encoder(parse_source(str(chain.inputs / model)), device="cpu", **options)
        for row in (0, 7, 399):
            ids = tokens["token"][tokens["start"][row] : tokens["start"][row + 1]]
            start = np.array([0, len(ids)], dtype=np.int64)
            alone = extract(encoder, start, ids, layers=layers, pooling=pooling)
            for layer in layers:
                (mine,) = of(activations, f"layer_{layer}", [tokens["id"][row]])
                np.testing.assert_allclose(mine, alone[layer][0], atol=1e-5)
        assert list(activations.facts["model"]) == ["model.safetensors"]


def weak_inputs(chain: Chain, seed: int = 0) -> list[Artifact]:
    return files(chain, "examples.parquet", f"split-{seed}.parquet", SMALL)


@pytest.mark.parametrize("seed", SEEDS)
def test_weak_labels_are_sklearns_probabilities_for_unseen_points(chain, seed):
    found, halves, activations = weak_inputs(chain, seed)
    labels, half = by_id(found, "label"), by_id(halves, "half")
    train = [i for i, name in half.items() if name == "weak_train"]
    probe = sklearn_probe(of(activations, "layer_-1", train), of(found, "label", train))
    weak = load(chain / f"weak_labels-{seed}.parquet")
    rest = of(activations, "layer_-1", weak["id"]).astype(np.float64)
    expected = probe.predict_proba(rest)[:, 1]
    np.testing.assert_allclose(weak["weak_proba"], expected, atol=2e-3)
    assert set(weak["id"].tolist()) == set(found["id"].tolist()) - set(train)
    parts = {**by_id(found, "part"), **half}
    for name, values in (("label", labels), ("part", parts)):
        assert by_id(weak, name) == {i: values[i] for i in weak["id"].tolist()}
    assert weak.facts["n_train"] == len(train) == 120
    assert 0 <= weak.facts["gap"] <= 1e-6


def test_weak_labels_do_not_depend_on_the_order_of_inputs_and_need_the_whole_split(chain):
    found, halves, activations = weak_inputs(chain)
    straight = run_stage("weak_labels", found, halves, activations)["weak_labels"]
    for inputs in turned([found, halves, activations], 0, 1, 2):
        other = run_stage("weak_labels", *inputs)["weak_labels"]
        first, second = by_id(straight, "weak_proba"), by_id(other, "weak_proba")
        assert set(first) == set(second)
        np.testing.assert_allclose([second[i] for i in first], list(first.values()), atol=1e-4)
        assert by_id(other, "part") == by_id(straight, "part")
    smaller = halves.where(np.arange(len(halves)) < 100)  # of an older, smaller pool
    with pytest.raises(ArtifactError):
        run_stage("weak_labels", found, smaller, activations)


def overlap_inputs(chain: Chain) -> list[Artifact]:
    return files(chain, "weak_labels-0.parquet", LARGE)


def test_regions_are_those_of_the_detector_on_strong_train(chain):
    weak, activations = overlap_inputs(chain)
    regions = load(chain / "regions-0.parquet")
    assert set(regions["id"].tolist()) == set(weak["id"][weak["part"] != "val"].tolist())
    train = regions.where(regions["part"] == "strong_train")
    x = of(activations, "layer_-1", train["id"])
    expected = detect_overlap(of(weak, "weak_proba", train["id"]), x)
    assert train["region"].tolist() == expected.region.tolist()
    np.testing.assert_allclose(train["score"], expected.score, rtol=1e-6)
    assert regions.facts["tau_hard"] == expected.tau_hard
    np.testing.assert_allclose(regions.facts["tau_overlap"], expected.tau_overlap, rtol=1e-6)
    assert regions.facts["density"] == pytest.approx(expected.density)
    assert 0 < regions.facts["stability"] < 1


def test_test_points_get_regions_by_the_thresholds_of_strong_train(chain):
    weak, activations = overlap_inputs(chain)
    regions = load(chain / "regions-0.parquet")
    proba, x = by_id(weak, "weak_proba"), by_id(activations, "layer_-1")
    hard = regions["id"][(regions["part"] == "strong_train") & (regions["region"] == "hard")]
    unit = {i: x[i] / np.linalg.norm(x[i]) for i in regions["id"].tolist()}
    near = np.stack([unit[i] for i in hard.tolist()])
    for row in regions.frame.itertuples():
        confidence = 2 * abs(float(proba[row.id]) - 0.5)
        if confidence < regions.facts["tau_hard"]:
            assert (row.region, np.isnan(row.score)) == ("hard", True)
            continue
        expected = np.abs(near @ unit[row.id]).max()
        assert row.score == pytest.approx(expected, abs=1e-5)
        if abs(expected - regions.facts["tau_overlap"]) > 1e-5:
            above = expected >= regions.facts["tau_overlap"]
            assert row.region == ("overlap" if above else "easy"), row.part


def test_a_coordinate_that_decides_cosines_is_in_the_log(chain, caplog):
    weak, activations = overlap_inputs(chain)
    run_stage("overlap", weak, activations)
    assert caplog.text == ""
    x = activations["layer_-1"].copy()
    x[:, 5] += 100
    run_stage("overlap", weak, changed(activations, **{"layer_-1": x}))
    (line,) = caplog.messages
    assert line.startswith("overlap films: coordinate 5 holds 9")
    assert line.endswith("% of the squared norm of the strong vectors")


def test_thresholds_can_be_numbers_and_quantiles_and_do_not_depend_on_the_order(chain):
    chosen = {"tau_hard": 0.3, "tau_overlap": {"quantile": 0.5}}
    regions = run_stage("overlap", *overlap_inputs(chain), overlap=chosen)["regions"]
    assert regions.facts["tau_hard"] == 0.3
    train = regions.where(regions["part"] == "strong_train")
    scores = train["score"][np.isfinite(train["score"])]
    assert regions.facts["tau_overlap"] == pytest.approx(np.quantile(scores, 0.5))
    assert np.mean(train["region"] == "hard") == np.mean(train["confidence"] < 0.3)
    straight = load(chain / "regions-0.parquet")
    for inputs in turned(overlap_inputs(chain), 0, 1):
        other = run_stage("overlap", *inputs)["regions"]
        assert by_id(other, "region") == by_id(straight, "region")
        assert other.facts["tau_hard"] == straight.facts["tau_hard"]


def strong_inputs(chain: Chain, seed: int = 0) -> list[Artifact]:
    return files(chain, f"weak_labels-{seed}.parquet", f"regions-{seed}.parquet", SMALL, LARGE)


def strong(*inputs: Artifact, probe: Any = None, **mixing: Any) -> dict[str, Artifact]:
    """Runs and predictions, with some settings of the mixing experiment changed."""
    more = {} if probe is None else {"probe": probe}
    return run_stage("strong", *inputs, **PAIR, mixing={**MIXING, **mixing}, **more)


def trained(chain: Chain, seed: int = 0) -> dict[str, Artifact]:
    """Runs and predictions of the chain, by the names of the stage's outputs."""
    found = files(chain, f"runs-{seed}.parquet", f"predictions-{seed}.safetensors")
    return dict(zip(("runs", "predictions"), found, strict=True))


def named_runs(found: dict[str, Artifact]) -> dict[tuple[str, float, int], Any]:
    """Size, accuracy of the labels and test predictions of each run, by its name."""
    keys = ["control", "proportion", "repeat", "n_train", "label_accuracy"]
    rows = found["runs"].frame[keys].fillna(-1).itertuples(index=False, name=None)
    proba = found["predictions"]["proba"]
    return {row[:3]: (*row[3:], one) for row, one in zip(rows, proba, strict=True)}


def outcome(found: dict[str, Artifact]) -> dict[tuple[str, float, int], Any]:
    """Test predictions of each run by its name."""
    return {name: run[-1] for name, run in named_runs(found).items()}


def test_runs_are_ceiling_w2s_and_every_mix_and_repeat(chain):
    runs = load(chain / "runs-0.parquet")
    assert Counter(runs["control"].tolist()) == {
        **{"ceiling": 1, "w2s": 1, "same_capacity_w2s": 1, "few_labels": 2 * len(FEW)},
        **{"random": 2, "true_labels": 2},
        **{name: 3 * 2 for name in CURVES},
    }
    assert runs["run"].tolist() == list(range(len(runs)))
    plain = runs.frame[runs.frame["control"] == "plain"]
    assert sorted(set(plain["proportion"])) == [0, 0.5, 1]
    assert len(set(plain["n_train"])) == 1
    assert (runs["gap"][runs["reason"] == ""] <= 1e-6).all()
    assert (runs["restart"] == 0).all()
    # and those that are asked for
    runs = strong(*strong_inputs(chain), controls=["plain"])["runs"]
    assert set(runs["control"]) == {"ceiling", "w2s", "plain"}
    runs = strong(*strong_inputs(chain), controls=["few_labels"], repeats=1)["runs"]
    assert runs["control"].tolist() == ["ceiling", "w2s", *["few_labels"] * len(FEW)]
    assert runs["proportion"][2:].tolist() == list(FEW)


def test_runs_say_how_good_the_labels_they_are_trained_on_are(chain):
    weak = load(chain / "weak_labels-0.parquet")
    pool = weak.where(weak["part"] == "strong_train")
    proba, label = pool["weak_proba"].astype(float), pool["label"]
    frame = load(chain / "runs-0.parquet").frame.set_index("control")
    for control in ("w2s", "same_capacity_w2s"):
        row = frame.loc[control]
        assert row["label_brier"] == pytest.approx(brier_score_loss(label, proba))
        assert row["label_accuracy"] == pytest.approx(np.mean((proba > 0.5) == (label == 1)))
        assert row["label_calibration"] == pytest.approx(calibration_error(proba, label))
        assert row["n_train"] == len(pool)
    for control in ("ceiling", "few_labels", "true_labels"):
        rows = frame.loc[[control]]
        rows = rows[rows["reason"] == ""]
        assert len(rows)
        assert (rows["label_accuracy"] == 1).all()
        assert (rows[["label_brier", "label_calibration"]] == 0).all().all()
    hard = frame.loc[["purity_matched", "label_balanced"]]  # a hard label is right or wrong
    np.testing.assert_allclose(hard["label_brier"], 1 - hard["label_accuracy"])
    assert (frame.loc["plain", "label_brier"] < 1 - frame.loc["plain", "label_accuracy"]).all()


def test_where_weak_labels_are_undefined_only_what_needs_none_is_trained(chain):
    weak, regions, *activations = strong_inputs(chain)
    weak = renamed(weak, status="degenerate", reason="one class")
    weak = changed(weak, weak_proba=np.full(len(weak), 0.5, dtype=np.float32))
    regions = renamed(regions, status="degenerate", reason="no labels")
    regions = changed(regions, region=np.full(len(regions), "undefined", dtype=object))
    results = strong(weak, regions, *activations)
    frame = results["runs"].frame.set_index("control")
    done = np.isfinite(results["predictions"]["proba"]).all(axis=1)
    large = frame["n_train"].to_numpy() >= 2
    np.testing.assert_array_equal(done, large)
    assert set(frame.index[large]) == {"ceiling", "few_labels"}
    assert set(frame.loc[["w2s", "same_capacity_w2s"], "reason"]) == {"one class"}
    curves = frame.drop(["ceiling", "few_labels", "w2s", "same_capacity_w2s"])
    assert set(curves["reason"]) == {"no labels"}
    assert set(curves.index) == {*CURVES, "random", "true_labels"}


def test_ceiling_and_w2s_are_sklearns_probes(chain):
    """W2s of the weak model's capacity is a probe on the weak activations."""
    weak, _, *activations = strong_inputs(chain)
    train, test = (weak.where(weak["part"] == part) for part in ("strong_train", "test"))
    small, large = (
        [of(x, "layer_-1", part["id"]).astype(float) for part in (train, test)] for x in activations
    )
    found = trained(chain)
    assert found["predictions"]["id"].tolist() == test["id"].tolist()
    runs = named_runs(found)
    ceiling, w2s, capacity = (runs[f"{c}", -1, 0] for c in ("ceiling", "w2s", "same_capacity_w2s"))
    expected = sklearn_probe(large[0], train["label"]).predict_proba(large[1])[:, 1]
    np.testing.assert_allclose(ceiling[-1], expected, atol=2e-3)
    assert ceiling[1] == 1
    soft = train["weak_proba"].astype(float)
    # a soft label is a row of each class with its probability as weight
    both, label = np.concatenate([large[0]] * 2), np.repeat([1, 0], len(soft))
    model = sklearn_probe(both, label, np.concatenate([soft, 1 - soft]))
    np.testing.assert_allclose(w2s[-1], expit(model.decision_function(large[1])), atol=2e-3)
    assert w2s[1] == pytest.approx(np.mean((soft > 0.5) == (train["label"] == 1)))
    expected = fit_probes(small[0], soft, l2=L2).predict_proba(small[1])
    np.testing.assert_allclose(capacity[-1], expected, atol=5e-3)


def test_other_controls_proportions_and_repeats_draw_the_same_mixes(subtests, chain):
    whole = named_runs(trained(chain))
    for mixing in (
        {"controls": ["same_capacity", "random"], "proportions": [1.0, 0.5]},
        {"controls": ["true_labels", "label_balanced"]},
        {"repeats": 3},
        {"proportions": [0.0, 0.3, 0.5, 1.0]},
    ):
        with subtests.test(**mixing):
            found = named_runs(strong(*strong_inputs(chain), **mixing))
            both = set(found) & set(whole)
            assert {"ceiling", "w2s"} < {name for name, *_ in both}
            for key in both:
                assert found[key][:2] == whole[key][:2]
                # the probes of a job are solved together, each to its gap of 1e-6: no closer
                np.testing.assert_allclose(found[key][2], whole[key][2], atol=5e-3)


def test_mixes_are_drawn_anew_for_every_repeat_seed_and_dataset_but_not_for_an_order(chain):
    whole, second = (outcome(trained(chain, seed)) for seed in SEEDS)
    assert np.abs(whole["plain", 0.5, 0] - whole["plain", 0.5, 1]).max() > 1e-3
    assert np.abs(whole["plain", 0.5, 0] - second["plain", 0.5, 0]).max() > 1e-3
    assert np.abs(whole["ceiling", -1, 0] - second["ceiling", -1, 0]).max() > 1e-3
    for name, value in (("seed", 7), ("dataset", "books")):
        named = [
            renamed(a, **{name: value}) if name in a.facts else a for a in strong_inputs(chain)
        ]
        found = outcome(strong(*named))
        for key in (("ceiling", -1, 0), ("w2s", -1, 0)):  # the same points and labels
            np.testing.assert_allclose(found[key], whole[key], atol=5e-3)
        drawn = (("plain", 0.5, 0), ("plain", 0.5, 1), ("random", -1, 0), ("true_labels", -1, 1))
        for key in drawn:
            assert np.abs(found[key] - whole[key]).max() > 5e-3, (name, key)
    for inputs in turned(strong_inputs(chain), 1, 2, 3):
        found = outcome(strong(*inputs))
        for key, proba in whole.items():
            np.testing.assert_allclose(found[key], proba, atol=1e-6)


def evaluate_inputs(chain: Chain) -> list[Artifact]:
    read = files(chain, "examples.parquet", "weak_labels-0.parquet", "regions-0.parquet")
    return [*read, *trained(chain).values()]


def test_metrics_are_sklearns_on_all_test_points_and_by_region(chain):
    found, weak, regions, runs, predictions = evaluate_inputs(chain)
    label, floor, words = (
        of(artifact, name, predictions["id"])
        for artifact, name in ((found, "label"), (weak, "weak_proba"), (regions, "region"))
    )
    (ceiling,) = np.flatnonzero(runs["control"] == "ceiling")
    proba = {"floor": floor, "ceiling": predictions["proba"][ceiling]}
    frame = load(chain / "metrics-0.parquet").frame
    groups = ("overall", "easy", "hard", "overlap")
    for control, group in itertools.product(proba, groups):
        mask = (words == group) | (group == "overall")
        y, p = label[mask], proba[control][mask].astype(float)
        expected = {
            "accuracy": accuracy_score(y, p >= 0.5),
            "auroc": roc_auc_score(y, p),
            "brier": brier_score_loss(y, p),
        }
        rows = frame[(frame["control"] == control) & (frame["group"] == group)]
        values = dict(zip(rows["metric"], rows["value"], strict=True))
        assert {name: values[name] for name in expected} == pytest.approx(expected)
        assert set(values) == set(METRICS)
        assert set(rows["n"]) == {mask.sum()}


def test_correct_averages_the_repeats_of_each_row(chain):
    found, *_, runs, predictions = evaluate_inputs(chain)
    label = of(found, "label", predictions["id"])
    correct = load(chain / "correct-0.safetensors")
    assert len(correct["correct"]) == 1 + 3 + len(FEW) + len(CURVES) * 3 + 2
    assert (correct["restart"] == 0).all()
    names = zip(correct.facts["control"], np.nan_to_num(correct["proportion"], nan=-1), strict=True)
    for row, (control, proportion) in enumerate(names):
        if control == "floor":
            continue
        same = runs["control"] == control
        same &= np.nan_to_num(runs["proportion"], nan=-1) == proportion
        right = (predictions["proba"][same] >= 0.5) == (label == 1)
        if (runs["reason"][same] != "").any():
            assert np.isnan(correct["correct"][row]).all()
            assert correct.facts["row_reason"][row]
        else:
            np.testing.assert_allclose(correct["correct"][row], right.mean(axis=0), atol=1e-6)


def test_metrics_do_not_depend_on_the_order_of_the_inputs_and_need_every_run(chain):
    straight = load(chain / "metrics-0.parquet").frame
    for inputs in turned(evaluate_inputs(chain), 0, 1, 2):
        pd.testing.assert_frame_equal(run_stage("evaluate", *inputs)["metrics"].frame, straight)
    *inputs, predictions = evaluate_inputs(chain)
    fewer = changed(predictions, **{name: predictions[name][:5] for name in ("run", "proba")})
    with pytest.raises(ArtifactError):
        run_stage("evaluate", *inputs, fewer)


def test_main_and_mixing_tables_are_means_over_seeds_and_repeats(chain):
    accuracies = [mean_accuracies(load(chain / f"metrics-{seed}.parquet")) for seed in SEEDS]
    (row,) = load(chain / "table-main.parquet").frame.to_dict("records")
    for name in ("floor", "w2s", "ceiling"):
        mean = np.mean([found[name, -1] for found in accuracies])
        assert row[name] == pytest.approx(mean)
        assert row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"]
    pgr = (row["w2s"] - row["floor"]) / (row["ceiling"] - row["floor"])
    assert row["pgr"] == pytest.approx(pgr)
    assert (row["n_seeds"], row["n_pool"], row["status"]) == (2, 240, "ok")
    shares = [load(chain / f"regions-{seed}.parquet").facts["density"] for seed in SEEDS]
    assert row["overlap_density"] == pytest.approx(np.mean(shares))
    kept = [load(chain / f"regions-{seed}.parquet").facts["stability"] for seed in SEEDS]
    assert row["stability"] == pytest.approx(np.mean(kept))
    assert row["overlap_density"] + row["easy_share"] + row["hard_share"] == pytest.approx(1)
    frame = load(chain / "table-mixing.parquet").frame
    assert len(frame) == 1 + len(FEW) + len(CURVES) * 3 + 2 + len(REFERENCES)
    frame = frame[~frame["control"].isin(REFERENCES)]
    for row in frame.to_dict("records"):
        key = (row["control"], -1 if np.isnan(row["proportion"]) else row["proportion"])
        known = [found[key] for found in accuracies if np.isfinite(found[key])]
        assert row["n_seeds"] == len(known)
        if known:
            assert row["accuracy"] == pytest.approx(np.mean(known))
        assert (row["n_seeds"] == len(SEEDS)) == (row["reason"] == "")


def test_comparisons_are_differences_of_the_tables(chain):
    main = load(chain / "table-main.parquet").frame.iloc[0]
    frame = load(chain / "table-comparisons.parquet").frame
    overall = frame[frame["group"] == "overall"].set_index("comparison")["difference"]
    for a, b in (("w2s", "floor"), ("ceiling", "w2s"), ("ceiling", "floor")):
        assert overall[f"{a} - {b}"] == pytest.approx(main[a] - main[b])
    mixing = load(chain / "table-mixing.parquet").frame.set_index(["control", "proportion"])
    plain = mixing["accuracy"]["plain"]
    assert overall["plain: p=1 - p=0"] == pytest.approx(plain[1.0] - plain[0.0])
    against = sum("reference" in name for name in frame["comparison"].unique())
    by_region = dict.fromkeys(("easy", "hard", "overlap"), len(overall) + against)
    assert Counter(frame["group"]) == {"overall": len(overall), **by_region}


def test_tables_match_test_points_by_id_and_datasets_do_not_depend_on_another(chain):
    metrics = files(chain, *(f"metrics-{seed}.parquet" for seed in SEEDS))
    correct = files(chain, *(f"correct-{seed}.safetensors" for seed in SEEDS))

    def tables(*inputs):
        return run_stage("tables", *inputs, evaluation={"bootstrap": 200})

    alone = tables(metrics, correct)
    order = np.random.default_rng(0).permutation(len(correct[1]["id"]))
    moved = {name: correct[1][name][..., order] for name in ("id", "region", "correct")}
    again = tables(metrics, [correct[0], changed(correct[1], **moved)])
    books = [[renamed(a, dataset="books") for a in part] for part in (metrics, correct)]
    both = tables(books[0] + metrics, books[1] + correct)
    assert both["main"]["dataset"].tolist() == ["books", "films"]
    for name, table in alone.items():
        pd.testing.assert_frame_equal(again[name].frame, table.frame)
        found = both[name].where(both[name]["dataset"] == "films").frame
        expected = table.frame
        if name == "comparisons":  # Holm's correction is for all comparisons of the table
            more = np.array(found["p_holm"] >= expected["p_holm"]) | expected["p_holm"].isna()
            assert more.all()
            found, expected = (one.drop(columns="p_holm") for one in (found, expected))
        pd.testing.assert_frame_equal(found, expected)


def test_figures_name_the_dataset_and_the_curves_and_no_date(chain):
    for name, words in {
        "mixing": ("Films", "plain", "ceiling", "floor", "w2s"),
        "controls": ("Films", "label_balanced", "same_capacity", "random"),
        "curves": ("Films", "hard", "easy", "overlap"),
        "by_region": ("Films", "floor", "ceiling", "hard"),
    }.items():
        text = (chain / f"{name}.svg").read_text(encoding="utf-8")
        assert [word for word in words if word not in text] == [], name
        assert "<dc:date>" not in text


def test_knn_probes_are_sklearns_through_all_stages(chain):
    found, halves, activations = weak_inputs(chain)
    weak = run_stage("weak_labels", found, halves, activations, probe=KNN)["weak_labels"]
    train = halves["id"][halves["half"] == "weak_train"]
    peer = KNeighborsRegressor(7, algorithm="brute")
    peer.fit(of(activations, "layer_-1", train), of(found, "label", train))
    expected = peer.predict(of(activations, "layer_-1", weak["id"]))
    np.testing.assert_allclose(weak["weak_proba"], expected, atol=1e-6)
    assert (weak.facts["gap"], weak.facts["l2"]) == (0, None)
    runs = strong(*strong_inputs(chain), probe=KNN)["runs"]
    assert (runs["gap"][runs["reason"] == ""] == 0).all()
    assert np.isnan(runs["l2"]).all()


def test_cross_validated_probes_record_their_penalties(chain):
    probe = {"l2": "cv"}
    weak, again = (
        run_stage("weak_labels", *weak_inputs(chain), probe=probe)["weak_labels"] for _ in range(2)
    )
    assert weak.facts["l2"] in CANDIDATES
    np.testing.assert_array_equal(weak["weak_proba"], again["weak_proba"])
    runs = strong(*strong_inputs(chain), probe=probe)["runs"]
    done = runs["reason"] == ""
    assert set(runs["l2"][done]) <= set(CANDIDATES)
    assert (runs["gap"][done] <= 1e-6).all()
