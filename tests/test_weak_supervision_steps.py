"""Weak supervision as stages: label models and students by id, WRENCH folders, settings, jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from conftest import SEEDS
from test_steps import by_id, changed, of, renamed, run_stage, shuffled

from w2s import dag
from w2s.checks import Array
from w2s.cli import main
from w2s.config import Config, parse, parse_as
from w2s.errors import ArtifactError, ConfigError, DataError
from w2s.files.artifacts import Artifact, digest, load
from w2s.overlap.detect import fit_detector
from w2s.probes.mlp import MLPs, fit_mlps
from w2s.probes.probes import fit_probes
from w2s.results.metrics import LABEL_SCORES, REFERENCES
from w2s.weak_supervision.label_models import FITS
from w2s.weak_supervision.track import StudentSettings

MIXING = {"proportions": [0, 0.5, 1], "repeats": 2}
Found = dict[str, Artifact]


@dataclass(frozen=True)
class Made:
    """Artifacts of a small dataset in WRENCH's format, with features and four LFs."""

    examples: Artifact
    split: Artifact
    votes: Artifact
    features: Artifact

    def weak_labels(self, name: str = "dawid_skene", votes: Any = None) -> Artifact:
        """The labels of a label model, of other votes where they are given."""
        matrix = self.votes if votes is None else changed(self.votes, votes=votes)
        return labels_of(self.examples, self.split, matrix, name)

    def taught(self, strong: str = "mlp", weak: Artifact | None = None, **changes: Any) -> Found:
        return taught(
            self.weak_labels() if weak is None else weak, self.features, strong, **changes
        )


def labels_of(texts: Artifact, halves: Artifact, votes: Artifact, name: str) -> Artifact:
    return run_stage("label_model", texts, halves, votes, label_model=name)["weak_labels"]


def read(folder: Path, **changes: Any) -> Artifact:
    """Examples of a folder in WRENCH's format."""
    data = {"source": "wrench", "path": "w", "holds": "features"} | changes
    return run_stage("examples", folder / "train.json", dataset="w", data=data)["examples"]


def votes_in(texts: Artifact, folder: Path) -> Artifact:
    return run_stage("wrench_votes", texts, folder / "train.json")["label_matrix"]


def features_in(texts: Artifact, folder: Path) -> Artifact:
    return run_stage("wrench_features", texts, folder / "train.json")["activations"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tiny.write_wrench(tmp_path_factory.mktemp("wrench"), n=400)
    texts = read(folder)
    halves = run_stage("split", texts, dataset="w", seed=3)["split"]
    return Made(texts, halves, votes_in(texts, folder), features_in(texts, folder))


def taught(weak: Artifact, features: Artifact, strong: str = "mlp", **changes: Any) -> Found:
    chosen = {"weak": "dawid_skene", "strong": strong, "mixing": MIXING, "restarts": 2} | changes
    return run_stage("student", weak, features, **chosen)


def run_of(found: Found, control: str, restart: int = 0) -> Array:
    """Test predictions of the only run of a control, and a restart."""
    runs = found["runs"]
    (number,) = np.flatnonzero((runs["control"] == control) & (runs["restart"] == restart))
    proba: Array = found["predictions"]["proba"][number]
    return proba


def sides(weak: Artifact, features: Artifact) -> tuple[Array, Array, Array, Array, Array]:
    """strong_train's features, weak labels and true labels, and the test points' features, ids."""
    pool, test = (weak["id"][weak["part"] == part] for part in ("strong_train", "test"))
    x, x_test = (of(features, "layer_-1", ids) for ids in (pool, test))
    return x, of(weak, "weak_proba", pool).astype(float), of(weak, "label", pool), x_test, test


# --- labeling functions ---------------------------------------------------------------------------


def test_of_long_texts_vader_reads_the_beginning_and_the_facts_say_so(made, capsys):
    text = made.examples["text"].copy()
    text[:2] = [" ".join(["good", *["table"] * 20_000, *["awful"] * 20]), "awful " * 1000]
    texts = changed(made.examples, text=text)
    found = run_stage("label_matrix", texts, lfs=["vader", "afinn"])["label_matrix"]
    assert found.facts == {"dataset": "w", "lfs": ["vader", "afinn"], "cut": 1}
    assert found["votes"][:2].tolist() == [[1, 0], [0, 0]]
    assert "labeling functions w: 100%" in capsys.readouterr().err
    assert run_stage("label_matrix", texts, lfs=["afinn"])["label_matrix"].facts["cut"] == 0


# --- label models ---------------------------------------------------------------------------------

EVERY = pytest.mark.parametrize("name", list(FITS))


@EVERY
def test_a_label_model_is_fitted_on_the_votes_of_weak_train(made, name):
    """And it labels every other point, whose votes change nothing of the fit."""
    weak = made.weak_labels(name)
    train = made.split["id"][made.split["half"] == "weak_train"]
    fitted = FITS[name](of(made.votes, "votes", train), seed=3)
    expected = fitted.predict_proba(of(made.votes, "votes", weak["id"]))
    np.testing.assert_allclose(weak["weak_proba"], expected, atol=1e-6)
    assert weak.facts["n_train"] == len(train) == 200
    assert len(np.unique(weak["weak_proba"])) > 4
    assert set(weak["id"]) == set(made.examples["id"]) - set(train)
    parts = by_id(made.examples, "part") | by_id(made.split, "half")
    assert weak["part"].tolist() == [parts[i] for i in weak["id"].tolist()]
    np.testing.assert_array_equal(weak["label"], of(made.examples, "label", weak["id"]))

    votes = made.votes["votes"].copy()
    mine = np.isin(made.votes["id"], weak["id"][::3])
    votes[mine] = np.random.default_rng(0).integers(-1, 2, votes[mine].shape)
    after = made.weak_labels(name, votes)
    same = ~np.isin(weak["id"], weak["id"][::3])
    np.testing.assert_array_equal(after["weak_proba"][same], weak["weak_proba"][same])
    assert (after["weak_proba"][~same] != weak["weak_proba"][~same]).any()

    if name != "majority_vote":
        votes = made.votes["votes"].copy()
        mine = ~np.isin(made.votes["id"], weak["id"])
        votes[mine, 0] = np.where(votes[mine, 0] < 0, -1, 1 - votes[mine, 0])
        after = made.weak_labels(name, votes)
        assert np.abs(after["weak_proba"] - weak["weak_proba"]).max() > 0.1


@EVERY
def test_a_label_model_reads_no_label_and_matches_votes_and_halves_by_id(made, name):
    """The original takes positions of a half for positions of the whole set."""
    before = made.weak_labels(name)
    label = np.random.default_rng(1).permutation(made.examples["label"])
    assert (label != made.examples["label"]).any()
    other = labels_of(changed(made.examples, label=label), made.split, made.votes, name)
    for column in ("id", "part", "weak_proba"):
        np.testing.assert_array_equal(other[column], before[column])
    assert other.facts == before.facts
    assert (other["label"] != before["label"]).any()

    after = labels_of(made.examples, shuffled(made.split), shuffled(made.votes, 1), name)
    assert digest(after) == digest(before)
    turned = labels_of(shuffled(made.examples, 2), made.split, made.votes, name)
    assert turned["id"].tolist() != before["id"].tolist()
    proba = of(turned, "weak_proba", before["id"])
    np.testing.assert_allclose(proba, before["weak_proba"], atol=1e-6)


def test_a_label_matrix_without_a_row_or_of_another_dataset_is_refused(made):
    with pytest.raises(ArtifactError, match=r"label_matrix: found no row for 1 of 666"):
        labels_of(made.examples, made.split, made.votes.where(slice(1, None)), "dawid_skene")
    other = renamed(made.votes, dataset="x")
    with pytest.raises(ArtifactError, match=r"label_matrix: found dataset x, expected w"):
        labels_of(made.examples, made.split, other, "dawid_skene")


def test_a_fit_that_is_undefined_is_an_outcome_with_its_reason(made):
    """Only two LFs ever vote: METHOD 2 wants NaN with the reason, and that the others go on."""
    votes = made.votes["votes"].copy()
    votes[:, 2:] = -1
    weak = made.weak_labels(votes=votes)
    assert len(weak) == len(made.weak_labels())
    assert weak.facts["status"] == "degenerate"
    assert "labeling functions" in weak.facts["reason"]
    assert (weak["weak_proba"] == 0.5).all()
    shown = table_of(made, scored(made, weak, taught(weak, made.features)))
    mixes = shown.drop(["ceiling", "few_labels", "label_model"])
    assert mixes["accuracy"].isna().all()
    assert np.isfinite(shown.loc["few_labels", "accuracy"]).sum() > 4
    assert np.isfinite(shown.loc["ceiling", "accuracy"])


@EVERY
def test_votes_that_are_one_sided_or_rare_are_told_with_the_reason(made, name, caplog):
    votes = np.where(made.votes["votes"] == 1, 1, -1).astype(np.int8)
    weak = made.weak_labels(name, votes)
    assert weak.facts["status"] == "degenerate"
    only = "found votes for class 1 only, expected both classes"
    assert weak.facts["reason"] == f"label model '{name}': {only}"
    assert (weak["weak_proba"] == 0.5).all()
    assert set(made.taught("probe", weak)["regions"]["region"]) == {"undefined"}
    made.weak_labels(name)
    assert caplog.text == ""
    rare = np.random.default_rng(0).random(made.votes["votes"].shape) < 0.06
    votes = np.where(rare, made.votes["votes"], -1).astype(np.int8)
    made.weak_labels(name, votes)
    told = [line for line in caplog.messages if "labeling functions vote on" in line]
    assert len(told) == (name == "snorkel")
    assert all(line.startswith("label_model w: ") and "below 10%" in line for line in told)


# --- students -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlp(made: Made) -> Found:
    return made.taught()


@pytest.fixture(scope="module")
def probe(made: Made) -> Found:
    return made.taught("probe")


def test_w2s_and_ceiling_are_trained_on_strong_train(made, mlp, probe):
    x, proba, label, x_test, test = sides(made.weak_labels(), made.features)
    assert mlp["predictions"]["id"].tolist() == test.tolist()
    for restart in (0, 1):
        for control, targets in (("w2s", proba), ("ceiling", label)):
            alone = fit_mlps(x, targets, seed=3, restart=restart).predict_proba(x_test)
            np.testing.assert_allclose(run_of(mlp, control, restart), alone, atol=1e-5)
    assert np.abs(run_of(mlp, "w2s") - run_of(mlp, "ceiling")).max() > 0.05
    for control, targets in (("w2s", proba), ("ceiling", label.astype(float))):
        alone = fit_probes(x, targets).predict_proba(x_test)
        np.testing.assert_allclose(run_of(probe, control), alone, atol=5e-3)
    assert np.abs(run_of(probe, "w2s") - run_of(probe, "ceiling")).max() > 0.05


def test_every_training_of_a_perceptron_has_every_restart(mlp, probe, made):
    frame = mlp["runs"].frame
    parts = [frame[frame["restart"] == number].reset_index(drop=True) for number in (0, 1)]
    same = ["control", "proportion", "repeat", "n_train", *LABEL_SCORES]
    pd.testing.assert_frame_equal(parts[0][same], parts[1][same])
    assert len(frame) == sum(map(len, parts))
    assert frame["run"].tolist() == list(range(len(frame)))
    assert {"ceiling", "few_labels", "plain", "placebo", "random"} < set(frame["control"])
    proba = mlp["predictions"]["proba"].reshape(2, len(parts[0]), -1)
    for number, reason in enumerate(parts[0]["reason"]):
        moved = np.abs(proba[0, number] - proba[1, number])
        assert (moved.max() > 1e-3) if not reason else np.isnan(moved).all()
    assert (probe["runs"]["restart"] == 0).all()
    # more restarts leave the others as they are, but not the regions, which are of all networks
    few = {"mixing": {**MIXING, "controls": ["few_labels"], "repeats": 1}}
    one, three = (made.taught(restarts=n, **few) for n in (1, 3))
    for control in ("w2s", "ceiling"):
        for restart in (0, 1):
            proba = run_of(three, control, restart)
            np.testing.assert_allclose(proba, run_of(mlp, control, restart), atol=1e-4)
        np.testing.assert_allclose(run_of(one, control), run_of(mlp, control), atol=1e-4)
    assert set(three["runs"]["restart"]) == {0, 1, 2}
    assert by_id(one["regions"], "region") != by_id(three["regions"], "region")


def test_w2s_is_the_very_networks_that_the_regions_come_from(made, monkeypatch):
    """A network trained again would be another one: training amplifies rounding."""
    seen: list[MLPs] = []
    hidden = MLPs.hidden

    def noted(self: MLPs, x: Array, *, column: int = 0) -> Array:
        seen.append(self)
        return hidden(self, x, column=column)

    monkeypatch.setattr(MLPs, "hidden", noted)
    weak = made.weak_labels()
    found = taught(weak, made.features, restarts=3)
    *_, x_test, _ = sides(weak, made.features)
    monkeypatch.undo()  # or the list would grow while it is read
    assert len(seen) == 3
    for number, network in enumerate(seen):
        proba = network.predict_proba(x_test)[:, 0].astype(np.float32)
        assert proba.tobytes() == run_of(found, "w2s", number).tobytes()
    expected = expected_regions(weak, side_by_side(seen), made.features)
    assert by_id(found["regions"], "region") == expected


def test_perceptrons_learn_nothing_from_labels_of_exactly_one_half(made):
    weak = made.weak_labels()
    half = np.random.default_rng(5).random(len(weak)) < 0.2  # of every part
    weak = changed(weak, weak_proba=np.where(half, np.float32(0.5), weak["weak_proba"]))
    found = taught(weak, made.features)
    x, proba, label, x_test, _ = sides(weak, made.features)
    kept = proba != 0.5
    frame = found["runs"].frame.set_index("control")
    w2s = frame.loc["w2s"].iloc[0]
    assert w2s["n_train"] == kept.sum() < frame.loc["ceiling"].iloc[0]["n_train"] == 200
    assert w2s["label_accuracy"] == np.mean((proba > 0.5)[kept] == (label == 1)[kept])
    alone = fit_mlps(x, proba, kept.astype(float), seed=3).predict_proba(x_test)
    np.testing.assert_allclose(run_of(found, "w2s"), alone, atol=1e-5)
    trained = frame[(frame["n_train"] > 0) & (frame["reason"] == "")].drop(["ceiling"])
    hard = trained["label_brier"] - (1 - trained["label_accuracy"])  # of labels that are 0 or 1
    np.testing.assert_allclose(hard, 0, atol=1e-12)
    soft = taught(weak, made.features, "probe")["runs"].frame.set_index("control")
    assert soft.loc["w2s", "n_train"] == 200  # a soft label of 1/2 is a label
    assert soft.loc["w2s", "label_accuracy"] == w2s["label_accuracy"]


def test_perceptrons_train_on_hard_labels_and_probes_on_soft_ones(made, mlp, probe):
    weak = made.weak_labels()
    said = weak["weak_proba"]
    proba = np.where(said == 0.5, 0.5, np.where(said > 0.5, 0.75, 0.2) + said / 10)
    other = changed(weak, weak_proba=proba.astype(np.float32))  # of another confidence
    for sign in (np.greater, np.equal):
        np.testing.assert_array_equal(sign(other["weak_proba"], 0.5), sign(said, 0.5))
    after = taught(other, made.features)
    np.testing.assert_array_equal(run_of(after, "w2s"), run_of(mlp, "w2s"))
    soft = run_of(taught(other, made.features, "probe"), "w2s")
    assert np.abs(soft - run_of(probe, "w2s")).max() > 0.02


def expected_regions(weak: Artifact, seen: Callable[[Array], Array], features: Artifact) -> Any:
    """Regions of strong_train and test points by id, by the detector on what is seen of them."""
    x, proba, _, x_test, test = sides(weak, features)
    detector = fit_detector(proba, seen(x))
    pool = weak["id"][weak["part"] == "strong_train"]
    found = detector.apply(proba, seen(x)).region.tolist()
    found += detector.apply(of(weak, "weak_proba", test), seen(x_test)).region.tolist()
    return dict(zip([*pool.tolist(), *test.tolist()], found, strict=True))


def side_by_side(networks: list[MLPs]) -> Callable[[Array], Array]:
    """Their last hidden layers, concatenated."""
    return lambda x: np.concatenate([network.hidden(x) for network in networks], axis=1)


def test_regions_come_from_last_hidden_layers_or_from_the_activations(made, mlp, probe):
    weak = made.weak_labels()
    x, proba, *_ = sides(weak, made.features)
    networks = [fit_mlps(x, proba, seed=3, restart=restart) for restart in (0, 1)]
    expected = expected_regions(weak, side_by_side(networks), made.features)
    assert by_id(mlp["regions"], "region") == expected
    assert set(expected.values()) == {"easy", "hard", "overlap"}
    assert set(mlp["regions"]["part"]) == {"strong_train", "test"}
    of_probe = expected_regions(weak, lambda x: x, made.features)
    assert by_id(probe["regions"], "region") == of_probe != expected


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_fault_activations_are_matched_by_id_and_only_strong_train_teaches(made, strong, request):
    """The original indexes the whole set's activations with positions in a half."""
    before = request.getfixturevalue(strong)
    weak = made.weak_labels()
    after = taught(weak, shuffled(made.features), strong)
    for name, artifact in before.items():
        assert digest(after[name]) == digest(artifact), name
    other = weak["part"] != "strong_train"
    arrays = {name: np.where(other, 1 - weak[name], weak[name]) for name in ("weak_proba", "label")}
    after = taught(changed(weak, **arrays), made.features, strong)
    for name in ("runs", "predictions"):
        assert digest(after[name]) == digest(before[name]), name
    assert after["regions"].facts == before["regions"].facts


def test_true_labels_move_no_run_on_weak_labels_of_any_points(made, probe):
    """But those that control purity, which need the truth to choose points."""
    weak = made.weak_labels()
    after = taught(changed(weak, label=1 - weak["label"]), made.features, "probe")
    for control in ("w2s", "plain", "random", "label_balanced"):
        mine = probe["runs"]["control"] == control
        for name in ("n_train", "proportion"):
            np.testing.assert_array_equal(after["runs"][name][mine], probe["runs"][name][mine])
        np.testing.assert_allclose(  # solved together with others, so equal within the gap
            after["predictions"]["proba"][mine], probe["predictions"]["proba"][mine], atol=5e-3
        )
    assert np.abs(run_of(after, "ceiling") - run_of(probe, "ceiling")).max() > 0.1


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_a_label_model_has_no_student_of_its_own_capacity(made, strong, request):
    every = {
        *("plain", "placebo", "fixed_hard", "overlap_against_easy", "purity_matched"),
        *("purity_matched_placebo", "label_balanced", "label_balanced_placebo"),
        *("few_labels", "random", "true_labels"),
    }
    if strong == "probe":  # hard labels have a Brier score that purity_matched holds constant
        every |= {"brier_matched", "brier_matched_placebo"}
    found = request.getfixturevalue(strong)["runs"]
    assert set(found["control"]) == every | {"ceiling", "w2s"}
    for others in ([], ["plain"]):
        mixing = {**MIXING, "repeats": 1, "controls": ["same_capacity", *others]}
        runs = taught(made.weak_labels(), made.features, strong, mixing=mixing)["runs"]
        assert set(runs["control"]) == {*others, "ceiling", "w2s"}


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_mixes_have_one_size_and_label_accuracy_is_that_of_strong_train(made, strong, request):
    found = request.getfixturevalue(strong)
    runs = found["runs"].frame
    runs = runs[runs["restart"] == runs["restart"].max()].set_index("control")
    _, proba, label, _, _ = sides(made.weak_labels(), made.features)
    voted = proba != 0.5  # a point without votes has no class, so a perceptron leaves it out
    right = ((proba > 0.5) == (label == 1))[voted]
    assert voted.sum() < 200
    assert runs.loc["w2s", "label_accuracy"] == right.mean()
    assert runs.loc["w2s", "n_train"] == (voted.sum() if strong == "mlp" else 200)
    assert tuple(runs.loc["ceiling", ["n_train", "label_accuracy"]]) == (200, 1)
    assert (runs.loc["true_labels", "label_accuracy"] == 1).all()
    region = found["regions"]["region"][found["regions"]["part"] == "strong_train"]
    sizes = np.bincount(region[voted | (strong == "probe")] == "overlap")
    for control in ("plain", "placebo", "random", "true_labels"):
        assert set(runs.loc[control, "n_train"]) == {sizes.min()}
    purity = runs.loc[["purity_matched", "purity_matched_placebo"]]
    one = 1 / purity["n_train"].min()
    np.testing.assert_allclose(purity["label_accuracy"], right.mean(), atol=one)


def test_fault_rows_of_zeros_have_cosine_zero(made, monkeypatch):
    """A ReLU layer may be silent on a point; the original's cosine is NaN there."""
    hidden = MLPs.hidden

    def silent(self: MLPs, x: Array, *, column: int = 0) -> Array:
        return hidden(self, x, column=column) * (np.asarray(x)[:, :1] < 0.3)

    monkeypatch.setattr(MLPs, "hidden", silent)
    found = made.taught()
    regions = found["regions"]
    zero = of(made.features, "layer_-1", regions["id"])[:, 0] >= 0.3
    hard = regions["region"] == "hard"
    assert (zero & hard).any()  # hard points of zeros are nobody's nearest
    np.testing.assert_array_equal(np.isnan(regions["score"]), hard)
    zeros = regions.where(zero & ~hard)
    assert len(zeros) > 10
    assert (set(zeros["score"]), set(zeros["region"])) == ({0}, {"easy"})
    assert (regions["score"][~zero & ~hard] > 0).all()
    assert regions.facts["status"] == "ok"
    done = found["runs"]["reason"] == ""
    assert done[found["runs"]["control"] != "few_labels"].all()
    assert np.isfinite(found["predictions"]["proba"][done]).all()


def scored(made: Made, weak: Artifact, found: Found) -> Found:
    read_by = (found[name] for name in ("regions", "runs", "predictions"))
    return run_stage("evaluate", made.examples, weak, *read_by)


def table_of(made: Made, *pairs: Found) -> Any:
    read_by = ([pair[name] for pair in pairs] for name in ("metrics", "correct"))
    shown = {"evaluation": {"bootstrap": 100}}
    found = run_stage("weak_supervision_tables", [made.examples], [made.votes], *read_by, **shown)
    return found["weak_supervision"].frame.set_index("control")


def all_one_half(weak: Artifact) -> Artifact:
    return changed(weak, weak_proba=np.full(len(weak), 0.5, dtype=np.float32))


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_labels_that_are_all_one_half_are_an_outcome_with_a_reason(made, strong):
    half = all_one_half(made.weak_labels())
    found = made.taught(strong, half)
    assert found["regions"].facts["status"] == "degenerate"
    told = "equal values" if strong == "probe" else "mlp: found no row with a weight above 0"
    assert told in found["regions"].facts["reason"]
    assert set(found["regions"]["region"]) == {"undefined"}
    shown = table_of(made, scored(made, half, found))
    mixes = shown.drop(["label_model", "w2s", "ceiling", "few_labels", *REFERENCES])
    assert mixes[["accuracy", "lo", "hi", "label_accuracy"]].isna().all().all()
    assert mixes["reason"].str.contains(told).all()
    assert set(mixes["n_seeds"]) == {0}
    assert shown.loc["label_model", "accuracy"] == 0.5  # neither class
    assert shown.loc["ceiling", "accuracy"] > 0.6
    if strong == "mlp":
        assert np.isnan(shown.loc["w2s", "accuracy"])
        assert shown.loc["w2s", "reason"] == "found no row with a weight above 0"


@pytest.mark.parametrize("side", [0, 1])
def test_labels_of_one_class_are_an_outcome_with_a_reason_but_soft_ones_have_a_probe(made, side):
    weak = made.weak_labels()
    proba = 0.49 * weak["weak_proba"] + 0.5 * side  # of one class, with confidences that differ
    weak = changed(weak, weak_proba=proba.astype(np.float32))
    found = taught(weak, made.features)
    assert set(found["regions"]["region"]) == {"undefined"}  # no perceptron to look through
    shown = table_of(made, scored(made, weak, found))
    only = f"found only targets equal to {side}, expected both classes"
    for control in ("w2s", "plain", "random"):
        rows = shown.loc[[control]]
        assert rows[["accuracy", "lo", "hi"]].isna().all().all()
        assert {why.removeprefix("mlp: ") for why in rows["reason"]} == {only}
        assert set(rows["n_seeds"]) == {0}
    assert shown.loc[["purity_matched"], "accuracy"].isna().all()
    assert all(shown.loc[["purity_matched"], "reason"])
    assert np.isfinite(shown.loc["ceiling", "accuracy"])
    assert np.isnan(shown.loc["true_labels", "accuracy"])  # of the size of mixes: none
    _, _, label, _, _ = sides(weak, made.features)
    assert shown.loc["label_model", "label_accuracy"] == pytest.approx(np.mean(label == side))
    shown = table_of(made, scored(made, weak, taught(weak, made.features, "probe")))
    assert shown.loc["w2s", "reason"] == ""
    assert np.isfinite(shown.loc["w2s", "accuracy"])


def test_a_degenerate_seed_leaves_the_other(made, mlp):
    weak = made.weak_labels()
    good = scored(made, weak, mlp)
    half = renamed(all_one_half(weak), seed=4)
    bad = scored(made, half, made.taught(weak=half))
    alone, both = (table_of(made, *pairs) for pairs in ((good,), (good, bad)))
    for control in (["w2s"], ["plain"], ["random"]):
        shown, expected = (table.loc[control, "accuracy"] for table in (both, alone))
        np.testing.assert_array_equal(shown, expected)
        assert set(both.loc[control, "n_seeds"]) == {1}
    assert both.loc["label_model", "n_seeds"] == both.loc["ceiling", "n_seeds"] == 2


def test_a_stage_gives_the_same_bytes_twice(subtests, chain, tmp_path):
    for name in ("label_model-0", "student-0", "wrench_votes", "wrench_features"):
        with subtests.test(name=name):
            job = chain.jobs[name]
            again = job.elsewhere(tmp_path)
            assert main(job.line(**again)) == 0
            for output, path in again.items():
                assert path.read_bytes() == job.outputs[output].read_bytes()


def test_fault_the_label_model_is_judged_by_the_half_that_students_learn_from(chain):
    """The original compares its accuracy on one half with a student's on another."""
    shown = load(chain / "table-lf-weak_supervision.parquet").frame.set_index("control")
    on_test, of_labels, own = [], [], []
    for seed in SEEDS:
        weak = load(chain / f"lf-labels-{seed}.parquet")
        right = (weak["weak_proba"] > 0.5) == (weak["label"] == 1)
        half = weak["weak_proba"] == 0.5
        assert half.any()  # neither right nor wrong as a label, half right as a prediction
        on_test.append(np.where(half, 0.5, right)[weak["part"] == "test"].mean())
        of_labels.append(right[(weak["part"] == "strong_train") & ~half].mean())
        predictions = load(chain / f"lf-predictions-{seed}.safetensors")
        mine = load(chain / f"lf-runs-{seed}.parquet")["control"] == "w2s"
        assert mine.sum() == 2  # restarts
        label = of(weak, "label", predictions["id"])
        own.append(np.mean((predictions["proba"][mine] >= 0.5) == (label == 1)))
    model = shown.loc["label_model"]
    assert model["accuracy"] == pytest.approx(np.mean(on_test), abs=1e-6)
    assert model["label_accuracy"] == pytest.approx(np.mean(of_labels))
    assert model["label_accuracy"] != model["accuracy"]
    # the accuracy of the labels that the student learns from, and its own on the same test points
    assert shown.loc["w2s", "label_accuracy"] == pytest.approx(np.mean(of_labels))
    assert shown.loc["w2s", "accuracy"] == pytest.approx(np.mean(own), abs=1e-6)


# --- WRENCH ---------------------------------------------------------------------------------------


def edit(folder: Path, part: str, row: str, **changes: Any) -> None:
    """Change a row of a part, or every row where its name is empty."""
    path = folder / f"{part}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    for name in [row] if row else rows:
        rows[name].update(changes)
    path.write_text(json.dumps(rows), encoding="utf-8")


def source_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of a folder by the names that examples give them."""
    return {
        f"{part} {name}": row
        for part in ("train", "valid", "test")
        for name, row in json.loads((folder / f"{part}.json").read_text(encoding="utf-8")).items()
    }


def test_votes_and_texts_are_matched_by_name_where_duplicates_were_dropped(tmp_path):
    folder = tiny.write_wrench(tmp_path / "w", n=30, features=False)
    words = source_rows(folder)["train 2"]["data"]
    for part, row in (("train", "5"), ("valid", "0"), ("test", "3")):
        edit(folder, part, row, data=words)
    texts = read(folder, holds="text")
    rows = source_rows(folder)
    names = texts["source_id"].tolist()
    assert sorted(set(rows) - set(names)) == ["test 3", "train 5", "valid 0"]
    dropped = texts.facts["dropped"]
    assert dropped["duplicate"] + dropped["duplicate with another label"] == 3
    assert texts["text"].tolist() == [rows[name]["data"]["text"] for name in names]
    for turned in (texts, shuffled(texts)):
        votes = votes_in(turned, folder)
        assert votes["id"].tolist() == turned["id"].tolist()
        expected = [rows[name]["weak_labels"] for name in turned["source_id"]]
        assert votes["votes"].tolist() == expected
        assert votes.facts == {"dataset": "w", "lfs": ["lf1", "lf2", "lf3", "lf4"], "cut": 0}


def test_features_and_votes_are_matched_by_name_and_classes_balanced_where_asked_for(tmp_path):
    folder = tiny.write_wrench(tmp_path / "w")
    rows = source_rows(folder)
    whole, balanced = read(folder), read(folder, balanced=True)
    for part, name in {"pool": "train", "val": "valid", "test": "test"}.items():
        labels = [row["label"] for key, row in rows.items() if key.startswith(name)]
        mine = whole["label"][whole["part"] == part]
        assert mine.tolist() == labels
        assert mine.mean() < 0.5
        other = balanced["label"][balanced["part"] == part]
        assert len(other) == 2 * min(sum(labels), len(labels) - sum(labels))
        assert other.mean() == 0.5
    assert whole.facts["dropped"]["unbalanced"] == 0
    assert balanced.facts["dropped"]["unbalanced"] == len(whole) - len(balanced) > 0
    assert whole["source_id"].tolist() == list(rows)
    for texts in (whole, shuffled(whole), balanced, shuffled(balanced)):
        names = texts["source_id"].tolist()
        assert texts["label"].tolist() == [rows[name]["label"] for name in names]
        features, votes = features_in(texts, folder), votes_in(texts, folder)
        assert features["id"].tolist() == votes["id"].tolist() == texts["id"].tolist()
        raw = np.array([rows[name]["data"]["feature"] for name in names])
        expected = (raw - raw.mean(axis=0)) / raw.std(axis=0)
        np.testing.assert_allclose(features["layer_-1"], expected, atol=1e-5)
        assert votes["votes"].tolist() == [rows[name]["weak_labels"] for name in names]


def test_a_folder_that_does_not_fit_is_refused_in_one_line(subtests, tmp_path):
    folder = tiny.write_wrench(tmp_path / "w", n=30)
    smaller = tiny.write_wrench(tmp_path / "24", n=24)
    bare = tiny.write_wrench(tmp_path / "bare", n=30, features=False)
    one_class = tiny.write_wrench(tmp_path / "one", n=30)
    edit(one_class, "test", "", label=0)
    cases = [
        (lambda: features_in(read(bare), bare), r"bare: found text, expected `holds: features`"),
        (lambda: read(folder, holds="text"), "holds"),
        (lambda: read(one_class), "part test"),
        (lambda: votes_in(read(folder), smaller),
         r"24: found no row 'train 24', expected all the examples"),
    ]  # fmt: skip
    for part in ("train", "valid", "test"):
        missing = tiny.write_wrench(tmp_path / f"no {part}", n=30)
        (missing / f"{part}.json").unlink()
        cases.append((lambda missing=missing: read(missing), rf"{part}\.json: found no file"))
    for call, message in cases:
        with subtests.test(message=message):
            with pytest.raises(DataError, match=message) as caught:
                call()
            assert "\n" not in str(caught.value)


# --- configuration --------------------------------------------------------------------------------


def example(**changes: Any) -> dict[str, Any]:
    """A dataset of texts, one of features and one of texts in WRENCH's format."""
    return {
        "results": "results",
        "seeds": [0, 1],
        "datasets": {
            "films": {"source": "file", "path": "films.csv"},
            "census": {"source": "wrench", "path": "data/census", "holds": "features"},
            "imdb": {"source": "wrench", "path": "data/imdb", "holds": "text"},
        },
        "models": {"six": {"source": "local", "path": "six", "layers": [3, -1]}},
        "weak_supervision": {"datasets": ["films", "census", "imdb"], "features": "six"},
    } | changes


def changes_of(**changes: Any) -> dict[str, Any]:
    return {"weak_supervision": {**example()["weak_supervision"], **changes}}


def lines_for(**data: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(example(**data))
    return str(caught.value).split("\n")


SIX = example()["models"]["six"]
OWN = {"datasets": ["census"]}


def test_a_mistake_is_one_line_with_its_setting(subtests):
    two = {"models": {"six": SIX, "one": SIX}, "pairs": [{"weak": "one", "strong": "six"}]}
    c = {"source": "wrench", "path": "c"}
    none = "found none, expected at least 1 item, as `weak_supervision` needs seeds and datasets; "
    none += "`synthetic` alone needs none of them"
    of_weak_supervision = {
        "datasets: 'cenus' is not a dataset; did you mean 'census'?":
            {"datasets": ["films", "cenus"]},
        "datasets: found a value twice in ['films', 'films'], expected once":
            {"datasets": ["films", "films"]},
        "features: 'sex' is not a model; did you mean 'six'?": {"features": "sex"},
        "layer: found 2, expected one of the layers [3, -1] cached for 'six'": {"layer": 2},
        "feature is not a setting; did you mean 'features'?": {"feature": "six"},
        "students.0: found 'mpl'; input should be 'mlp' or 'probe'": {"students": ["mpl"]},
        "label_models.0: found 'mean'; input should be 'majority_vote', 'snorkel' or 'dawid_skene'":
            {"label_models": ["mean"]},
        "restarts: found 0; input should be greater than or equal to 1": {"restarts": 0},
        "proportions: found []; tuple should have at least 1 item after validation, not 0":
            {"proportions": []},
        "proportions.1: found 1.5; input should be less than or equal to 1":
            {"proportions": [0, 1.5]},
        "proportions: found a value twice in [0.5, 0.5], expected once":
            {"proportions": [0.5, 0.5]},
    }  # fmt: skip
    cases = [
        (f"weak_supervision.{line}", changes_of(**changes))
        for line, changes in of_weak_supervision.items()
    ]
    cases += [
        *((f"models: '{name}' is a word of weak supervision; choose another",
           {"models": {"six": SIX, name: SIX}}) for name in ("mlp", "majority_vote", "features")),
        ("datasets.census: found features, expected texts for the pairs of models", two),
        (f"seeds: {none}", {"seeds": []}),
        (f"datasets: {none}", {"datasets": {}, "weak_supervision": OWN}),
        ("datasets.c.holds: found 'numbers'; input should be 'text' or 'features'",
         {"datasets": {"c": {**c, "holds": "numbers"}}}),
        ("weak_supervision.datasets: 'cenus' is not a dataset; did you mean 'census'?",
         {"models": {}, "weak_supervision": {"datasets": ["census", "cenus"]}}),
        ("datasets.c.holds: found nothing, expected a value", {"datasets": {"c": c}}),
    ]  # fmt: skip
    for line, changes in cases:
        with subtests.test(line=line):
            assert lines_for(**changes) == [line]


def test_texts_need_features_and_label_models_three_lfs_but_no_model_and_no_pairs():
    (line,) = lines_for(weak_supervision={"datasets": ["films"]})
    assert line.startswith("weak_supervision.features: found nothing")
    (line,) = lines_for(**changes_of(datasets=["films"], lfs=["afinn", "vader"]))
    assert line.startswith("weak_supervision.lfs: found 2")
    config = parse(example(models={}, weak_supervision=OWN))
    assert (config.pairs, config.models) == ((), {})
    chosen = config.weak_supervision
    assert (len(chosen.lfs), chosen.students) == (13, ("mlp", "probe"))
    assert chosen.label_models == ("majority_vote", "snorkel", "dawid_skene")


# --- jobs -----------------------------------------------------------------------------------------


def config_of(**changes: Any) -> Config:
    return parse(example(**changes_of(**changes)))


def test_paths_and_what_students_read():
    config = config_of()
    path = "results/films/label_models/snorkel/seed1/weak_labels.parquet"
    for strong in ("mlp", "probe"):
        job = {"dataset": "films", "weak": "snorkel", "strong": strong, "seed": "1"}
        assert dag.job_labels(config, **job) == path
    pair = {"dataset": "films", "weak": "one", "strong": "six", "seed": "1"}
    assert dag.job_labels(config, **pair) == "results/films/one--six/seed1/weak_labels.parquet"
    found = {name: dag.features_of(config, name) for name in config.datasets}
    assert found == {"films": "six", "census": "features", "imdb": "six"}
    assert dag.features_of(parse(example(models={}, weak_supervision=OWN)), "census") == "features"
    config = config_of(label_models=["dawid_skene"], students=["probe", "mlp"])
    assert dag.label_models_of(config) == ("dawid_skene",)
    assert dag.students_of(config) == ("probe", "mlp")
    two = {"models": {"six": SIX, "one": SIX}, "pairs": [{"weak": "one", "strong": "six"}]}
    films = {"films": example()["datasets"]["films"]}
    without = parse(example(datasets=films, **two, weak_supervision=None))
    assert dag.label_models_of(without) == dag.students_of(without) == ()
    config = config_of()
    assert dag.wrench_datasets(config) == ["census", "imdb"]
    assert dag.dataset_source(config, "census") == "data/census/train.json"
    beside = ["data/census/valid.json", "data/census/test.json"]
    assert dag.beside_source(config, "census") == beside
    assert dag.beside_source(config, "films") == []


def settings_of(config: Config, stage: str = "student", **job: str) -> dict[str, Any]:
    if stage == "student":
        job = {"dataset": "films", "weak": "snorkel", "strong": "mlp", "seed": "0"} | job
    found: dict[str, Any] = json.loads(dag.settings(config, stage, **job))
    return found


def test_settings_of_students_label_models_and_figures():
    cases = [("films", {}, -1), ("films", {"layer": 3}, 3), ("census", {}, -1),
             ("census", {"layer": 3}, -1), ("imdb", {"layer": 3}, 3)]  # fmt: skip
    for dataset, chosen, layer in cases:
        found = settings_of(config_of(**chosen), dataset=dataset)
        assert (found["weak"], found["strong"]) == ("snorkel", "mlp")
        assert found["layer"] == layer, (dataset, chosen)
        assert set(found) == {"weak", "strong", "layer", "restarts", "probe", "overlap", "mixing"}
    # restarts and proportions of weak supervision are those of perceptrons
    config = config_of(restarts=3, proportions=[0, 1])
    for dataset in ("films", "census"):
        mlp, probe = (settings_of(config, dataset=dataset, strong=s) for s in ("mlp", "probe"))
        assert (mlp["restarts"], mlp["mixing"].pop("proportions")) == (3, [0, 1])
        assert "restarts" not in probe
        assert probe["mixing"].pop("proportions") == list(config.mixing.proportions)
        assert mlp["mixing"] == probe["mixing"]
        told = settings_of(config_of(), dataset=dataset)
        assert (told["restarts"], len(told["mixing"]["proportions"])) == (5, 11)
        assert parse_as(StudentSettings, told).restarts == 5
    job = {"dataset": "films", "weak": "snorkel", "seed": "0"}
    assert dag.settings(config_of(), "label_model", **job) == '{"label_model": "snorkel"}'
    found = settings_of(config_of(datasets=["imdb", "films"]), "weak_supervision_figures")
    assert found == {"titles": [["films", "films"], ["imdb", "imdb"]]}
