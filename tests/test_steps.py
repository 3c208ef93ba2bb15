"""The stages against independent computations of what they promise."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections import Counter
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
from w2s.data.examples import examples
from w2s.data.files import text_id
from w2s.data.splits import REASONS, split
from w2s.data.track import ExamplesSettings, SplitSettings
from w2s.errors import ArtifactError, DataError
from w2s.files.artifacts import Artifact, load
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source
from w2s.overlap.detect import detect_overlap, overlap
from w2s.overlap.evaluate import evaluate
from w2s.overlap.mixing import FEW
from w2s.overlap.strong import strong
from w2s.overlap.tables import tables
from w2s.overlap.track import (
    EvaluateSettings,
    OverlapSettings,
    StrongSettings,
    TablesSettings,
    WeakLabelsSettings,
)
from w2s.overlap.weak_labels import weak_labels
from w2s.probes.cross_validation import CANDIDATES
from w2s.probes.probes import fit_probes
from w2s.results.metrics import REFERENCES, calibration_error

L2 = 1e-3
CURVES = (
    "plain", "placebo", "fixed_hard", "overlap_against_easy", "purity_matched",
    "purity_matched_placebo", "brier_matched", "brier_matched_placebo", "label_balanced",
    "label_balanced_placebo", "same_capacity",
)  # fmt: skip


def by_id(artifact: Artifact, name: str) -> dict[int, Any]:
    return dict(zip(artifact["id"].tolist(), artifact[name], strict=True))


def shuffled(artifact: Artifact, seed: int = 0) -> Artifact:
    """The same rows in another order."""
    return artifact.where(np.random.default_rng(seed).permutation(len(artifact)))


def sklearn_probe(x: Any, y: Any) -> LogisticRegression:
    """The probe's objective, mean loss + L2 |w|^2, on hard labels."""
    model = LogisticRegression(C=1 / (2 * len(x) * L2), tol=1e-10, max_iter=10_000)
    return model.fit(x.astype(np.float64), y)


def file_settings(**changes: Any) -> ExamplesSettings:
    data = {"source": "file", "path": "texts.csv", "val": 0.1, "test": 0.3, **changes}
    return parse_as(ExamplesSettings, {"dataset": "films", "data": data})


def mean_accuracies(metrics: Artifact) -> dict[tuple[str, float], float]:
    frame = metrics.frame
    rows = frame[(frame["group"] == "overall") & (frame["metric"] == "accuracy")]
    means = rows.groupby(["control", rows["proportion"].fillna(-1)])["value"].mean()
    return dict(means.items())


def test_examples_of_a_file_are_its_rows(chain: Chain) -> None:
    rows = pd.read_csv(chain.inputs / "texts.csv")
    found = load(chain / "examples.parquet")
    assert by_id(found, "label") == {
        text_id(text): label for text, label in zip(rows["text"], rows["label"], strict=True)
    }
    assert Counter(zip(found["part"], found["label"].tolist(), strict=True)) == {
        **{("pool", 0): 120, ("pool", 1): 120, ("val", 0): 20, ("val", 1): 20},
        **{("test", 0): 60, ("test", 1): 60},
    }
    assert found.facts == {
        "dataset": "films",
        "grouped": False,
        "leaks": 0,
        "near_duplicates": 0,
        "near_leaks": 0,
        "dropped": dict.fromkeys(("duplicate", "duplicate with another label", *REASONS), 0),
    }


def test_examples_keep_groups_together_and_say_so(tmp_path: Path) -> None:
    path = tiny.write_dataset(tmp_path / "texts.csv", groups=True)
    (found,) = examples(path, settings=file_settings(group="group")).values()
    assert found.facts["grouped"] is True
    for group in set(found["group"]):
        assert len(set(found["part"][found["group"] == group])) == 1
    (apart,) = examples(path, settings=file_settings(group="group", grouped=False)).values()
    assert apart.facts["grouped"] is False


def test_near_duplicates_stay_in_a_half_or_are_left_out(tmp_path: Path) -> None:
    path = tiny.write_dataset(tmp_path / "texts.csv")
    frame = pd.read_csv(path)
    pd.concat([frame, frame.assign(text=frame["text"] + "\n")]).to_csv(path, index=False)
    (found,) = examples(path, settings=file_settings()).values()
    assert (found.facts["near_duplicates"], found.facts["near_leaks"]) == (len(frame), 0)
    halves = split(found, settings=SplitSettings(dataset="films", seed=0))["split"]
    half = by_id(halves, "half")
    texts = found["text"][found["part"] == "pool"]
    assert len(texts) > 100
    assert all(half[text_id(text.strip())] == half[text_id(text)] for text in texts)
    (fewer,) = examples(path, settings=file_settings(drop_near_duplicates=True)).values()
    assert sorted(fewer["text"]) == sorted(frame["text"])
    assert fewer.facts["near_duplicates"] == 0
    assert fewer.facts["dropped"]["near-duplicate"] == len(frame)


def test_examples_take_the_given_split(tmp_path: Path) -> None:
    path = tiny.write_dataset(tmp_path / "texts.csv", splits=True)
    (found,) = examples(path, settings=file_settings(split="split")).values()
    rows = pd.read_csv(path)
    names = {"train": "pool"}
    given = {text_id(t): names.get(s, s) for t, s in zip(rows["text"], rows["split"], strict=True)}
    assert by_id(found, "part") == given


def test_parts_of_a_dataset_depend_on_its_name_and_on_no_other_dataset(tmp_path: Path) -> None:
    path = tiny.write_dataset(tmp_path / "texts.csv")
    drawn = []
    for name in ("films", "films", "books"):
        settings = file_settings().model_copy(update={"dataset": name})
        drawn.append(by_id(examples(path, settings=settings)["examples"], "part"))
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def write_icwsm14(folder: Path, content: bytes, part: str = "nytEditorialSnippets") -> Path:
    """A manifest with an archive beside it as `fetch` leaves them."""
    with tarfile.open(folder / "hutto_ICWSM_2014.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"hutto_ICWSM_2014/{part}_GroundTruth.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    manifest = folder / "manifest.json"
    manifest.write_text("{}")
    return manifest


ICWSM14 = parse_as(
    ExamplesSettings,
    {"dataset": "nyt", "data": {"source": "icwsm14", "part": "nytEditorialSnippets"}},
)


def test_examples_of_icwsm14_come_from_the_fetched_archive(tmp_path: Path) -> None:
    lines = [f"{i // 4}_{i}\t{(-1) ** i * 2}\tsentence {i} of naïve café\r\n" for i in range(80)]
    lines += ["90_1\t0.2\tnobody can say\r\n", "91_1\t2\tsentence 0 of naïve café\r\n"]
    manifest = write_icwsm14(tmp_path, "".join(lines).encode())
    found = examples(manifest, settings=ICWSM14)["examples"]
    assert found.facts["grouped"] is True
    assert found.facts["dropped"] == {
        **dict.fromkeys(REASONS, 0),
        **{"ambiguous": 1, "duplicate": 1, "duplicate with another label": 0},
    }
    assert set(found["group"]) == {str(i) for i in range(20)}
    assert found["text"][0] == "sentence 0 of naïve café"


@pytest.mark.parametrize("fault", ["no archive", "damaged archive", "no member", "no UTF-8"])
def test_bad_icwsm14_archive_is_one_line(fault: str, tmp_path: Path) -> None:
    content = b"1\t2\t\xff\xfe\n" if fault == "no UTF-8" else b"1\t2\ttext\n"
    part = "tweets" if fault == "no member" else "nytEditorialSnippets"
    manifest = write_icwsm14(tmp_path, content, part)
    archive = tmp_path / "hutto_ICWSM_2014.tar.gz"
    if fault == "no archive":
        archive.unlink()
    if fault == "damaged archive":
        archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        examples(manifest, settings=ICWSM14)
    assert "\n" not in str(caught.value)


def test_halves_are_the_pool_divided_in_each_class(chain: Chain) -> None:
    found = load(chain / "examples.parquet")
    labels = by_id(found, "label")
    pool = set(found["id"][found["part"] == "pool"].tolist())
    halves = [by_id(load(chain / f"split-{seed}.parquet"), "half") for seed in SEEDS]
    for half in halves:
        assert set(half) == pool
        assert Counter((name, labels[i]) for i, name in half.items()) == {
            (name, label): 60 for name in ("weak_train", "strong_train") for label in (0, 1)
        }
    agree = np.mean([halves[0][i] == halves[1][i] for i in pool])
    assert 0.3 < agree < 0.7  # the seeds share nothing


def test_halves_keep_groups_together(tmp_path: Path) -> None:
    path = tiny.write_dataset(tmp_path / "texts.csv", groups=True)
    found = examples(path, settings=file_settings(group="group"))["examples"]
    halves = split(found, settings=SplitSettings(dataset="films", seed=0))["split"]
    groups = by_id(found, "group")
    sides: dict[str, set[str]] = {}
    for number, half in by_id(halves, "half").items():
        sides.setdefault(groups[number], set()).add(half)
    assert len(sides) > 5
    assert {len(names) for names in sides.values()} == {1}
    assert halves.facts["grouped"] is True


def test_halves_of_one_dataset_do_not_depend_on_another(chain: Chain) -> None:
    found = load(chain / "examples.parquet")
    drawn = [
        split(found, settings=SplitSettings(dataset=name, seed=0))["split"]["half"].tolist()
        for name in ("films", "films", "books")
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_tokens_are_those_of_the_examples_in_their_order(chain: Chain) -> None:
    found = load(chain / "examples.parquet")
    for model, extra in (("small", 2), ("large", 1)):
        tokens = load(chain / f"tokens-{model}.safetensors")
        assert tokens["id"].tolist() == found["id"].tolist()
        assert tokens.facts == {"dataset": "films", "truncated": 0, "side": "right"}
        lengths = np.diff(tokens["start"]).tolist()
        assert lengths == [len(text.split()) + extra for text in found["text"]]


@pytest.mark.parametrize(
    ("model", "options", "layers", "pooling"),
    [("small", {"num_layers": 1}, (-1,), "last"), ("large", {}, (0, -1), "mean")],
)
def test_activations_are_those_of_each_text_by_id(
    model: str, options: dict[str, Any], layers: tuple[int, ...], pooling: Any, chain: Chain
) -> None:
    tokens = load(chain / f"tokens-{model}.safetensors")
    found = load(chain / f"activations-{model}.safetensors")
    encoder = load_encoder(parse_source(str(chain.inputs / model)), device="cpu", **options)
    some = [0, 7, 399]
    for row in some:
        ids = tokens["token"][tokens["start"][row] : tokens["start"][row + 1]]
        start = np.array([0, len(ids)], dtype=np.int64)
        alone = extract(encoder, start, ids, layers=layers, pooling=pooling)
        place = found["id"].tolist().index(tokens["id"][row])
        for layer in layers:
            np.testing.assert_allclose(found[f"layer_{layer}"][place], alone[layer][0], atol=1e-5)
    assert list(found.facts["model"]) == ["model.safetensors"]


def weak_inputs(chain: Chain, seed: int = 0) -> list[Artifact]:
    names = ("examples.parquet", f"split-{seed}.parquet", "activations-small.safetensors")
    return [load(chain / name) for name in names]


@pytest.mark.parametrize("seed", SEEDS)
def test_weak_labels_are_sklearns_probabilities_for_unseen_points(chain: Chain, seed: int) -> None:
    found, halves, activations = weak_inputs(chain, seed)
    x = by_id(activations, "layer_-1")
    labels, half = by_id(found, "label"), by_id(halves, "half")
    train = [i for i, name in half.items() if name == "weak_train"]
    probe = sklearn_probe(np.stack([x[i] for i in train]), [labels[i] for i in train])
    weak = load(chain / f"weak_labels-{seed}.parquet")
    rest = np.stack([x[i] for i in weak["id"].tolist()])
    expected = probe.predict_proba(rest.astype(np.float64))[:, 1]
    np.testing.assert_allclose(weak["weak_proba"], expected, atol=2e-3)
    assert set(weak["id"].tolist()) == set(found["id"].tolist()) - set(train)
    assert by_id(weak, "label") == {i: labels[i] for i in weak["id"].tolist()}
    parts = {**by_id(found, "part"), **half}
    assert by_id(weak, "part") == {i: parts[i] for i in weak["id"].tolist()}
    assert weak.facts["n_train"] == len(train) == 120
    assert 0 <= weak.facts["gap"] <= 1e-6


def test_weak_labels_do_not_depend_on_the_order_of_any_input(chain: Chain) -> None:
    settings = WeakLabelsSettings()
    straight = weak_labels(*weak_inputs(chain), settings=settings)["weak_labels"]
    for place in range(3):
        inputs = weak_inputs(chain)
        inputs[place] = shuffled(inputs[place])
        turned = weak_labels(*inputs, settings=settings)["weak_labels"]
        first, second = by_id(straight, "weak_proba"), by_id(turned, "weak_proba")
        assert set(first) == set(second)
        np.testing.assert_allclose([second[i] for i in first], list(first.values()), atol=1e-4)
        assert by_id(turned, "part") == by_id(straight, "part")


def test_split_that_does_not_cover_the_pool_is_refused(chain: Chain) -> None:
    found, halves, activations = weak_inputs(chain)
    smaller = halves.where(np.arange(len(halves)) < 100)  # of an older, smaller pool
    with pytest.raises(ArtifactError):
        weak_labels(found, smaller, activations, settings=WeakLabelsSettings())


def overlap_inputs(chain: Chain) -> list[Artifact]:
    return [
        load(chain / name) for name in ("weak_labels-0.parquet", "activations-large.safetensors")
    ]


def test_regions_are_those_of_the_detector_on_strong_train(chain: Chain) -> None:
    weak, activations = overlap_inputs(chain)
    x = by_id(activations, "layer_-1")
    regions = load(chain / "regions-0.parquet")
    parts = by_id(weak, "part")
    assert set(regions["id"].tolist()) == {i for i, part in parts.items() if part != "val"}
    train = regions.where(regions["part"] == "strong_train")
    ids = train["id"].tolist()
    proba = by_id(weak, "weak_proba")
    expected = detect_overlap(np.array([proba[i] for i in ids]), np.stack([x[i] for i in ids]))
    assert train["region"].tolist() == expected.region.tolist()
    np.testing.assert_allclose(train["score"], expected.score, rtol=1e-6)
    assert regions.facts["tau_hard"] == expected.tau_hard
    np.testing.assert_allclose(regions.facts["tau_overlap"], expected.tau_overlap, rtol=1e-6)
    assert regions.facts["density"] == pytest.approx(expected.density)


def test_test_points_get_regions_by_the_thresholds_of_strong_train(chain: Chain) -> None:
    weak, activations = overlap_inputs(chain)
    regions = load(chain / "regions-0.parquet")
    proba, x = by_id(weak, "weak_proba"), by_id(activations, "layer_-1")
    hard = regions["id"][(regions["part"] == "strong_train") & (regions["region"] == "hard")]
    unit = {i: x[i] / np.linalg.norm(x[i]) for i in regions["id"].tolist()}
    near = np.stack([unit[i] for i in hard.tolist()])
    for i, part, region, score in zip(
        *(regions[name].tolist() for name in ("id", "part", "region", "score")), strict=True
    ):
        confidence = 2 * abs(float(proba[i]) - 0.5)
        if confidence < regions.facts["tau_hard"]:
            assert (region, np.isnan(score)) == ("hard", True)
            continue
        expected = np.abs(near @ unit[i]).max()
        assert score == pytest.approx(expected, abs=1e-5)
        if abs(expected - regions.facts["tau_overlap"]) > 1e-5:
            above = expected >= regions.facts["tau_overlap"]
            assert region == ("overlap" if above else "easy"), part


def test_regions_do_not_depend_on_the_order_of_the_inputs(chain: Chain) -> None:
    straight = load(chain / "regions-0.parquet")
    for place in range(2):
        inputs = overlap_inputs(chain)
        inputs[place] = shuffled(inputs[place])
        turned = overlap(*inputs, settings=OverlapSettings())["regions"]
        assert by_id(turned, "region") == by_id(straight, "region")
        assert turned.facts["tau_hard"] == straight.facts["tau_hard"]


def test_a_coordinate_that_decides_cosines_is_in_the_log(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    weak, activations = overlap_inputs(chain)
    overlap(weak, activations, settings=OverlapSettings())
    assert caplog.text == ""
    x = activations["layer_-1"].copy()
    x[:, 5] += 100
    moved = replace(activations, arrays={**activations.arrays, "layer_-1": x})
    overlap(weak, moved, settings=OverlapSettings())
    (line,) = caplog.messages
    assert line.startswith("overlap films: coordinate 5 holds 9")
    assert line.endswith("% of the squared norm of the strong vectors")


def test_thresholds_can_be_numbers_and_quantiles(chain: Chain) -> None:
    settings = parse_as(
        OverlapSettings, {"overlap": {"tau_hard": 0.3, "tau_overlap": {"quantile": 0.5}}}
    )
    regions = overlap(*overlap_inputs(chain), settings=settings)["regions"]
    assert regions.facts["tau_hard"] == 0.3
    train = regions.where(regions["part"] == "strong_train")
    scores = train["score"][np.isfinite(train["score"])]
    assert regions.facts["tau_overlap"] == pytest.approx(np.quantile(scores, 0.5))
    assert np.mean(train["region"] == "hard") == np.mean(train["confidence"] < 0.3)


def strong_inputs(chain: Chain, seed: int = 0) -> list[Artifact]:
    names = (f"weak_labels-{seed}.parquet", f"regions-{seed}.parquet",
             "activations-small.safetensors", "activations-large.safetensors")  # fmt: skip
    return [load(chain / name) for name in names]


def strong_settings(**mixing: Any) -> StrongSettings:
    return parse_as(StrongSettings, {**PAIR, "mixing": {**MIXING, **mixing}})


def outcome(runs: Artifact, predictions: Artifact) -> dict[tuple[str, float, int], Any]:
    """Test predictions of each run by its name."""
    keys = zip(
        runs["control"].tolist(),
        np.nan_to_num(runs["proportion"], nan=-1.0).tolist(),
        runs["repeat"].tolist(),
        strict=True,
    )
    return dict(zip(keys, predictions["proba"], strict=True))


def named_runs(runs: Artifact, predictions: Artifact) -> dict[Any, tuple[int, float, Any]]:
    """Size, accuracy of the labels and test predictions of each run, by its name."""
    facts = zip(
        runs["n_train"].tolist(),
        np.nan_to_num(runs["label_accuracy"], nan=-1).tolist(),
        predictions["proba"],
        strict=True,
    )
    return dict(zip(outcome(runs, predictions), facts, strict=True))


def test_runs_are_ceiling_w2s_and_every_mix_and_repeat(chain: Chain) -> None:
    runs = load(chain / "runs-0.parquet")
    curves = {name: 3 * 2 for name in CURVES}
    assert Counter(runs["control"].tolist()) == {
        **{"ceiling": 1, "w2s": 1, "same_capacity_w2s": 1, "few_labels": 2 * len(FEW)},
        **{"random": 2, "true_labels": 2},
        **curves,
    }
    assert runs["run"].tolist() == list(range(len(runs)))
    plain = runs.frame[runs.frame["control"] == "plain"]
    assert sorted(set(plain["proportion"])) == [0, 0.5, 1]
    assert len(set(plain["n_train"])) == 1
    assert (runs["gap"][runs["reason"] == ""] <= 1e-6).all()
    assert (runs["restart"] == 0).all()


def test_runs_say_how_good_the_labels_they_are_trained_on_are(chain: Chain) -> None:
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


def test_w2s_of_the_weak_models_capacity_is_a_probe_on_its_activations(chain: Chain) -> None:
    weak, _, activations, _ = strong_inputs(chain)
    x = by_id(activations, "layer_-1")
    train, test = (weak.where(weak["part"] == part) for part in ("strong_train", "test"))
    rows = [np.stack([x[i] for i in part["id"].tolist()]) for part in (train, test)]
    expected = fit_probes(rows[0], train["weak_proba"].astype(float), l2=L2).predict_proba(rows[1])
    runs, predictions = load(chain / "runs-0.parquet"), load(chain / "predictions-0.safetensors")
    (row,) = np.flatnonzero(runs["control"] == "same_capacity_w2s")
    np.testing.assert_allclose(predictions["proba"][row], expected, atol=5e-3)


def test_without_few_labels_and_same_capacity_their_runs_are_not_there(chain: Chain) -> None:
    results = strong(*strong_inputs(chain), settings=strong_settings(controls=["plain"]))
    assert set(results["runs"]["control"]) == {"ceiling", "w2s", "plain"}
    some = strong_settings(controls=["few_labels"], repeats=1)
    runs = strong(*strong_inputs(chain), settings=some)["runs"]
    assert runs["control"].tolist() == ["ceiling", "w2s", *["few_labels"] * len(FEW)]
    assert runs["proportion"][2:].tolist() == list(FEW)


def test_where_weak_labels_are_undefined_only_what_needs_none_is_trained(chain: Chain) -> None:
    inputs = strong_inputs(chain)
    half = np.full(len(inputs[0]), 0.5, dtype=np.float32)
    facts = {**inputs[0].facts, "status": "degenerate", "reason": "one class"}
    inputs[0] = replace(inputs[0], arrays={**inputs[0].arrays, "weak_proba": half}, facts=facts)
    undefined = np.full(len(inputs[1]), "undefined", dtype=object)
    facts = {**inputs[1].facts, "status": "degenerate", "reason": "no labels"}
    inputs[1] = replace(inputs[1], arrays={**inputs[1].arrays, "region": undefined}, facts=facts)
    results = strong(*inputs, settings=strong_settings())
    frame = results["runs"].frame.set_index("control")
    done = np.isfinite(results["predictions"]["proba"]).all(axis=1)
    large = frame["n_train"].to_numpy() >= 2
    np.testing.assert_array_equal(done, large)
    assert set(frame.index[large]) == {"ceiling", "few_labels"}
    assert set(frame.loc[["w2s", "same_capacity_w2s"], "reason"]) == {"one class"}
    curves = frame.drop(["ceiling", "few_labels", "w2s", "same_capacity_w2s"])
    assert set(curves["reason"]) == {"no labels"}
    assert set(curves.index) == {*CURVES, "random", "true_labels"}


def test_ceiling_is_sklearns_probe_on_true_labels(chain: Chain) -> None:
    weak, _, _, activations = strong_inputs(chain)
    x = by_id(activations, "layer_-1")
    train, test = (weak.where(weak["part"] == part) for part in ("strong_train", "test"))
    rows = [np.stack([x[i] for i in part["id"].tolist()]) for part in (train, test)]
    expected = sklearn_probe(rows[0], train["label"]).predict_proba(rows[1].astype(float))[:, 1]
    runs, predictions = load(chain / "runs-0.parquet"), load(chain / "predictions-0.safetensors")
    assert predictions["id"].tolist() == test["id"].tolist()
    (row,) = np.flatnonzero(runs["control"] == "ceiling")
    np.testing.assert_allclose(predictions["proba"][row], expected, atol=2e-3)
    assert runs["label_accuracy"][row] == 1


def test_w2s_is_sklearns_probe_on_soft_weak_labels(chain: Chain) -> None:
    weak, _, _, activations = strong_inputs(chain)
    x = by_id(activations, "layer_-1")
    train, test = (weak.where(weak["part"] == part) for part in ("strong_train", "test"))
    rows = [np.stack([x[i] for i in part["id"].tolist()]).astype(float) for part in (train, test)]
    soft = train["weak_proba"].astype(float)
    # a soft label is a row of each class with its probability as weight
    model = LogisticRegression(C=1 / (2 * len(soft) * L2), tol=1e-10, max_iter=10_000)
    both, label = np.concatenate([rows[0]] * 2), np.repeat([1, 0], len(soft))
    model.fit(both, label, sample_weight=np.concatenate([soft, 1 - soft]))
    expected = expit(model.decision_function(rows[1]))
    runs, predictions = load(chain / "runs-0.parquet"), load(chain / "predictions-0.safetensors")
    (row,) = np.flatnonzero(runs["control"] == "w2s")
    np.testing.assert_allclose(predictions["proba"][row], expected, atol=2e-3)
    accuracy = np.mean((soft > 0.5) == (train["label"] == 1))
    assert runs["label_accuracy"][row] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    "mixing",
    [
        {"controls": ["same_capacity", "random"], "proportions": [1.0, 0.5]},
        {"controls": ["true_labels", "label_balanced"]},
        {"repeats": 3},
        {"proportions": [0.0, 0.3, 0.5, 1.0]},
    ],
)
def test_other_controls_proportions_and_repeats_draw_the_same_mixes(
    mixing: dict[str, Any], chain: Chain
) -> None:
    whole = named_runs(load(chain / "runs-0.parquet"), load(chain / "predictions-0.safetensors"))
    results = strong(*strong_inputs(chain), settings=strong_settings(**mixing))
    found = named_runs(results["runs"], results["predictions"])
    both = set(found) & set(whole)
    assert {"ceiling", "w2s"} < {name for name, *_ in both}
    for key in both:
        assert found[key][:2] == whole[key][:2]
        # the probes of a job are solved together, each to its gap of 1e-6: no closer than that
        np.testing.assert_allclose(found[key][2], whole[key][2], atol=5e-3)


def test_repeats_and_seeds_draw_different_points(chain: Chain) -> None:
    first, second = (
        outcome(load(chain / f"runs-{s}.parquet"), load(chain / f"predictions-{s}.safetensors"))
        for s in SEEDS
    )
    assert np.abs(first["plain", 0.5, 0] - first["plain", 0.5, 1]).max() > 1e-3
    assert np.abs(first["plain", 0.5, 0] - second["plain", 0.5, 0]).max() > 1e-3
    assert np.abs(first["ceiling", -1, 0] - second["ceiling", -1, 0]).max() > 1e-3


@pytest.mark.parametrize("change", [{"seed": 7}, {"dataset": "books"}])
def test_mixes_are_drawn_anew_for_every_seed_and_dataset(
    change: dict[str, Any], chain: Chain
) -> None:
    whole = outcome(load(chain / "runs-0.parquet"), load(chain / "predictions-0.safetensors"))
    named = [
        replace(a, facts={**a.facts, **{k: v for k, v in change.items() if k in a.facts}})
        for a in strong_inputs(chain)
    ]
    results = strong(*named, settings=strong_settings())
    found = outcome(results["runs"], results["predictions"])
    for key in (("ceiling", -1, 0), ("w2s", -1, 0)):  # the same points and labels
        np.testing.assert_allclose(found[key], whole[key], atol=5e-3)
    for key in (("plain", 0.5, 0), ("plain", 0.5, 1), ("random", -1, 0), ("true_labels", -1, 1)):
        assert np.abs(found[key] - whole[key]).max() > 5e-3, key


def test_strong_does_not_depend_on_the_order_of_activations_and_regions(chain: Chain) -> None:
    whole = outcome(load(chain / "runs-0.parquet"), load(chain / "predictions-0.safetensors"))
    for place in (1, 2, 3):
        inputs = strong_inputs(chain)
        inputs[place] = shuffled(inputs[place])
        results = strong(*inputs, settings=strong_settings())
        found = outcome(results["runs"], results["predictions"])
        for key, proba in whole.items():
            np.testing.assert_allclose(found[key], proba, atol=1e-6)


def evaluate_inputs(chain: Chain, seed: int = 0) -> list[Artifact]:
    names = ("weak_labels", "regions", "runs", "predictions")
    return [load(chain / "examples.parquet")] + [
        load(next(chain.folder.glob(f"{name}-{seed}.*"))) for name in names
    ]


def test_metrics_are_sklearns_on_all_test_points_and_by_region(chain: Chain) -> None:
    found, weak, regions, runs, predictions = evaluate_inputs(chain)
    labels, floor = by_id(found, "label"), by_id(weak, "weak_proba")
    region = by_id(regions, "region")
    ids = predictions["id"].tolist()
    label = np.array([labels[i] for i in ids])
    words = np.array([region[i] for i in ids])
    (ceiling,) = np.flatnonzero(runs["control"] == "ceiling")
    proba = {"floor": np.array([floor[i] for i in ids]), "ceiling": predictions["proba"][ceiling]}
    frame = load(chain / "metrics-0.parquet").frame
    groups = ("overall", "easy", "hard", "overlap")
    for control, group in itertools.product(proba, groups):
        mask = np.ones(len(ids), dtype=bool) if group == "overall" else words == group
        y, p = label[mask], proba[control][mask].astype(float)
        expected = {
            "accuracy": accuracy_score(y, p >= 0.5),
            "auroc": roc_auc_score(y, p),
            "brier": brier_score_loss(y, p),
        }
        rows = frame[(frame["control"] == control) & (frame["group"] == group)]
        assert dict(zip(rows["metric"], rows["value"], strict=True)) == pytest.approx(expected)
        assert set(rows["n"]) == {mask.sum()}


def test_correct_averages_the_repeats_of_each_row(chain: Chain) -> None:
    found, *_, runs, predictions = evaluate_inputs(chain)
    labels = by_id(found, "label")
    label = np.array([labels[i] for i in predictions["id"].tolist()])
    correct = load(chain / "correct-0.safetensors")
    assert len(correct["correct"]) == 1 + 3 + len(FEW) + len(CURVES) * 3 + 2
    assert (correct["restart"] == 0).all()
    for row, control in enumerate(correct.facts["control"]):
        if control == "floor":
            continue
        same = (runs["control"] == control) & (
            np.nan_to_num(runs["proportion"], nan=-1)
            == np.nan_to_num(correct["proportion"][row], nan=-1)
        )
        right = (predictions["proba"][same] >= 0.5) == (label == 1)
        missing = (runs["reason"][same] != "").any()
        if missing:
            assert np.isnan(correct["correct"][row]).all()
            assert correct.facts["row_reason"][row]
        else:
            np.testing.assert_allclose(correct["correct"][row], right.mean(axis=0), atol=1e-6)


def test_metrics_do_not_depend_on_the_order_of_the_inputs(chain: Chain) -> None:
    straight = load(chain / "metrics-0.parquet").frame
    for place in (0, 1, 2):
        inputs = evaluate_inputs(chain)
        inputs[place] = shuffled(inputs[place])
        turned = evaluate(*inputs, settings=EvaluateSettings())["metrics"].frame
        pd.testing.assert_frame_equal(turned, straight)


def test_predictions_of_fewer_runs_are_refused(chain: Chain) -> None:
    inputs = evaluate_inputs(chain)
    few = {name: inputs[4][name][:5] for name in ("run", "proba")}
    inputs[4] = replace(inputs[4], arrays={**inputs[4].arrays, **few})
    with pytest.raises(ArtifactError):
        evaluate(*inputs, settings=EvaluateSettings())


def test_main_table_is_the_mean_over_the_seeds(chain: Chain) -> None:
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
    assert row["overlap_density"] + row["easy_share"] + row["hard_share"] == pytest.approx(1)


def test_mixing_table_is_the_mean_over_seeds_and_repeats(chain: Chain) -> None:
    accuracies = [mean_accuracies(load(chain / f"metrics-{seed}.parquet")) for seed in SEEDS]
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


def test_comparisons_are_differences_of_the_tables(chain: Chain) -> None:
    main = load(chain / "table-main.parquet").frame.iloc[0]
    frame = load(chain / "table-comparisons.parquet").frame
    overall = frame[frame["group"] == "overall"].set_index("comparison")["difference"]
    for a, b in (("w2s", "floor"), ("ceiling", "w2s"), ("ceiling", "floor")):
        assert overall[f"{a} - {b}"] == pytest.approx(main[a] - main[b])
    mixing = load(chain / "table-mixing.parquet").frame.set_index(["control", "proportion"])
    plain = mixing["accuracy"]["plain"]
    assert overall["plain: p=1 - p=0"] == pytest.approx(plain[1.0] - plain[0.0])
    against = sum("reference" in name for name in frame["comparison"].unique())
    assert Counter(frame["group"]) == {
        "overall": len(overall),
        **dict.fromkeys(("easy", "hard", "overlap"), len(overall) + against),
    }


def test_tables_match_the_test_points_of_the_seeds_by_id(chain: Chain) -> None:
    metrics = [load(chain / f"metrics-{seed}.parquet") for seed in SEEDS]
    correct = [load(chain / f"correct-{seed}.safetensors") for seed in SEEDS]
    order = np.random.default_rng(0).permutation(len(correct[1]["id"]))
    turned = {
        **correct[1].arrays,
        "id": correct[1]["id"][order],
        "region": correct[1]["region"][order],
        "correct": correct[1]["correct"][:, order],
    }
    settings = parse_as(TablesSettings, {"evaluation": {"bootstrap": 200}})
    straight = tables(metrics, correct, settings=settings)
    shuffled_ = tables(metrics, [correct[0], replace(correct[1], arrays=turned)], settings=settings)
    for name, table in straight.items():
        pd.testing.assert_frame_equal(shuffled_[name].frame, table.frame)


def test_tables_of_one_dataset_do_not_depend_on_another(chain: Chain) -> None:
    settings = parse_as(TablesSettings, {"evaluation": {"bootstrap": 200}})
    metrics = [load(chain / f"metrics-{seed}.parquet") for seed in SEEDS]
    correct = [load(chain / f"correct-{seed}.safetensors") for seed in SEEDS]
    alone = tables(metrics, correct, settings=settings)
    books = [
        [replace(a, facts={**a.facts, "dataset": "books"}) for a in part]
        for part in (metrics, correct)
    ]
    both = tables(books[0] + metrics, books[1] + correct, settings=settings)
    for name, table in alone.items():
        found = both[name].where(both[name]["dataset"] == "films").frame
        expected = table.frame
        if name == "comparisons":  # Holm's correction is for all comparisons of the table
            more = np.array(found["p_holm"] >= expected["p_holm"]) | expected["p_holm"].isna()
            assert more.all()
            found, expected = (one.drop(columns="p_holm") for one in (found, expected))
        pd.testing.assert_frame_equal(found, expected)
    assert both["main"]["dataset"].tolist() == ["books", "films"]


def test_figures_name_the_dataset_and_the_curves(chain: Chain) -> None:
    for name, words in {
        "mixing": ("Films", "plain", "ceiling", "floor", "w2s"),
        "controls": ("Films", "label_balanced", "same_capacity", "random"),
        "curves": ("Films", "hard", "easy", "overlap"),
        "by_region": ("Films", "floor", "ceiling", "hard"),
    }.items():
        text = (chain / f"{name}.svg").read_text(encoding="utf-8")
        assert [word for word in words if word not in text] == [], name


def test_figures_embed_no_date_and_no_random_names(chain: Chain) -> None:
    for name in ("mixing", "curves"):
        text = (chain / f"{name}.svg").read_text(encoding="utf-8")
        assert "<dc:date>" not in text


def test_knn_probes_are_sklearns_through_all_stages(chain: Chain) -> None:
    settings = parse_as(WeakLabelsSettings, {"probe": {"kind": "knn", "neighbors": 7}})
    found, halves, activations = weak_inputs(chain)
    weak = weak_labels(found, halves, activations, settings=settings)["weak_labels"]
    x, label, half = (
        by_id(*pair) for pair in ((activations, "layer_-1"), (found, "label"), (halves, "half"))
    )
    train = [i for i, name in half.items() if name == "weak_train"]
    peer = KNeighborsRegressor(7, algorithm="brute")
    peer.fit(np.stack([x[i] for i in train]), [label[i] for i in train])
    rest = np.stack([x[i] for i in weak["id"].tolist()])
    np.testing.assert_allclose(weak["weak_proba"], peer.predict(rest), atol=1e-6)
    assert (weak.facts["gap"], weak.facts["l2"]) == (0, None)
    own = parse_as(
        StrongSettings, {**PAIR, "mixing": MIXING, "probe": {"kind": "knn", "neighbors": 7}}
    )
    runs = strong(*strong_inputs(chain), settings=own)["runs"]
    assert (runs["gap"][runs["reason"] == ""] == 0).all()
    assert np.isnan(runs["l2"]).all()


def test_cross_validated_probes_record_their_penalties(chain: Chain) -> None:
    settings = parse_as(WeakLabelsSettings, {"probe": {"l2": "cv"}})
    weak = weak_labels(*weak_inputs(chain), settings=settings)["weak_labels"]
    assert weak.facts["l2"] in CANDIDATES
    again = weak_labels(*weak_inputs(chain), settings=settings)["weak_labels"]
    np.testing.assert_array_equal(weak["weak_proba"], again["weak_proba"])
    own = parse_as(StrongSettings, {**PAIR, "mixing": MIXING, "probe": {"l2": "cv"}})
    runs = strong(*strong_inputs(chain), settings=own)["runs"]
    done = runs["reason"] == ""
    assert set(runs["l2"][done]) <= set(CANDIDATES)
    assert (runs["gap"][done] <= 1e-6).all()
