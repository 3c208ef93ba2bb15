"""Weak supervision as stages: label models and students by id, WRENCH folders, settings, jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from conftest import SEEDS, Chain

from w2s import dag
from w2s.checks import Array
from w2s.cli import main
from w2s.config import Config, parse, parse_as
from w2s.data.example_files import examples
from w2s.data.splits import split
from w2s.data.track import ExamplesSettings, SplitSettings
from w2s.errors import ArtifactError, ConfigError, DataError
from w2s.files.artifacts import Artifact, digest, load
from w2s.overlap.detect import fit_detector
from w2s.overlap.evaluate import evaluate
from w2s.overlap.track import EvaluateSettings
from w2s.probes.probes import fit_probes
from w2s.results.metrics import LABEL_SCORES, REFERENCES
from w2s.weak_supervision.label_models import FITS
from w2s.weak_supervision.mlp import MLPs, fit_mlps
from w2s.weak_supervision.stages import label_matrix, label_model, wrench_features, wrench_votes
from w2s.weak_supervision.student import student
from w2s.weak_supervision.tables import weak_supervision_tables
from w2s.weak_supervision.track import (
    LabelMatrixSettings,
    LabelModelSettings,
    StudentSettings,
    WeakSupervisionTablesSettings,
    WrenchFeaturesSettings,
    WrenchVotesSettings,
)

MIXING = {"proportions": [0, 0.5, 1], "repeats": 2}
Found = dict[str, Artifact]


@dataclass(frozen=True)
class Made:
    """Artifacts of a small dataset in WRENCH's format, with features and four LFs."""

    examples: Artifact
    split: Artifact
    votes: Artifact
    features: Artifact

    def weak_labels(self, name: str = "dawid_skene") -> Artifact:
        return labels_of(self.examples, self.split, self.votes, name)


def labels_of(texts: Artifact, halves: Artifact, votes: Artifact, name: str) -> Artifact:
    settings = LabelModelSettings(label_model=name)  # type: ignore[arg-type]
    return label_model(texts, halves, votes, settings=settings)["weak_labels"]


def read(folder: Path, **changes: Any) -> Artifact:
    """Examples of a folder in WRENCH's format."""
    data = {"source": "wrench", "path": "w", "holds": "features"} | changes
    settings = parse_as(ExamplesSettings, {"dataset": "w", "data": data})
    return examples(folder / "train.json", settings=settings)["examples"]


def votes_in(texts: Artifact, folder: Path) -> Artifact:
    made = wrench_votes(texts, folder / "train.json", settings=WrenchVotesSettings())
    return made["label_matrix"]


def features_in(texts: Artifact, folder: Path) -> Artifact:
    made = wrench_features(texts, folder / "train.json", settings=WrenchFeaturesSettings())
    return made["activations"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tiny.write_wrench(tmp_path_factory.mktemp("wrench"), n=400)
    texts = read(folder)
    halves = split(texts, settings=SplitSettings(dataset="w", seed=3))["split"]
    return Made(texts, halves, votes_in(texts, folder), features_in(texts, folder))


def taught(weak: Artifact, features: Artifact, strong: str = "mlp", **changes: Any) -> Found:
    chosen = {"weak": "dawid_skene", "strong": strong, "mixing": MIXING, "restarts": 2} | changes
    return student(weak, features, settings=parse_as(StudentSettings, chosen))


def by_id(artifact: Artifact, name: str) -> dict[int, Any]:
    return dict(zip(artifact["id"].tolist(), artifact[name], strict=True))


def of(artifact: Artifact, name: str, ids: Array) -> Array:
    """Values of a column, found by id one after another."""
    values = by_id(artifact, name)
    return np.array([values[i] for i in ids.tolist()])


def shuffled(artifact: Artifact, seed: int = 0) -> Artifact:
    return artifact.where(np.random.default_rng(seed).permutation(len(artifact)))


def changed(artifact: Artifact, **arrays: Any) -> Artifact:
    return replace(artifact, arrays={**artifact.arrays, **arrays})


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


def test_of_long_texts_vader_reads_the_beginning_and_the_facts_say_so(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = made.examples["text"].copy()
    texts[:2] = [" ".join(["good", *["table"] * 20_000, *["awful"] * 20]), "awful " * 1000]
    settings = parse_as(LabelMatrixSettings, {"lfs": ["vader", "afinn"]})
    found = label_matrix(changed(made.examples, text=texts), settings=settings)["label_matrix"]
    assert found.facts == {"dataset": "w", "lfs": ["vader", "afinn"], "cut": 1}
    assert found["votes"][:2].tolist() == [[1, 0], [0, 0]]
    assert "labeling functions w: 100%" in capsys.readouterr().err
    settings = parse_as(LabelMatrixSettings, {"lfs": ["afinn"]})
    found = label_matrix(changed(made.examples, text=texts), settings=settings)["label_matrix"]
    assert found.facts["cut"] == 0


# --- label models ---------------------------------------------------------------------------------

EVERY = pytest.mark.parametrize("name", list(FITS))


@EVERY
def test_a_label_model_is_fitted_on_the_votes_of_weak_train(made: Made, name: str) -> None:
    weak = made.weak_labels(name)
    train = made.split["id"][made.split["half"] == "weak_train"]
    votes = np.array([of(made.votes, "votes", train)]).squeeze(0)
    fitted = FITS[name](votes, seed=3)
    expected = fitted.predict_proba(of(made.votes, "votes", weak["id"]))
    np.testing.assert_allclose(weak["weak_proba"], expected, atol=1e-6)
    assert weak.facts["n_train"] == len(train) == 200
    assert len(np.unique(weak["weak_proba"])) > 4


@EVERY
def test_it_labels_every_point_but_those_of_weak_train(made: Made, name: str) -> None:
    weak = made.weak_labels(name)
    train = made.split["id"][made.split["half"] == "weak_train"]
    assert set(weak["id"]) == set(made.examples["id"]) - set(train)
    parts = by_id(made.examples, "part") | by_id(made.split, "half")
    assert weak["part"].tolist() == [parts[i] for i in weak["id"].tolist()]
    np.testing.assert_array_equal(weak["label"], of(made.examples, "label", weak["id"]))


@EVERY
def test_votes_on_other_points_change_nothing_of_the_fit(made: Made, name: str) -> None:
    before = made.weak_labels(name)
    turned = before["id"][::3]
    votes = made.votes["votes"].copy()
    mine = np.isin(made.votes["id"], turned)
    votes[mine] = np.random.default_rng(0).integers(-1, 2, votes[mine].shape)
    after = labels_of(made.examples, made.split, changed(made.votes, votes=votes), name)
    same = ~np.isin(before["id"], turned)
    np.testing.assert_array_equal(after["weak_proba"][same], before["weak_proba"][same])
    assert (after["weak_proba"][~same] != before["weak_proba"][~same]).any()


@pytest.mark.parametrize("name", ["snorkel", "dawid_skene"])
def test_votes_on_weak_train_change_the_fit(made: Made, name: str) -> None:
    before = made.weak_labels(name)
    votes = made.votes["votes"].copy()
    mine = ~np.isin(made.votes["id"], before["id"])
    votes[mine, 0] = np.where(votes[mine, 0] < 0, -1, 1 - votes[mine, 0])
    after = labels_of(made.examples, made.split, changed(made.votes, votes=votes), name)
    assert np.abs(after["weak_proba"] - before["weak_proba"]).max() > 0.1


@EVERY
def test_a_label_model_reads_no_label(made: Made, name: str) -> None:
    label = np.random.default_rng(1).permutation(made.examples["label"])
    assert (label != made.examples["label"]).any()
    other = labels_of(changed(made.examples, label=label), made.split, made.votes, name)
    before = made.weak_labels(name)
    for column in ("id", "part", "weak_proba"):
        np.testing.assert_array_equal(other[column], before[column])
    assert other.facts == before.facts
    assert (other["label"] != before["label"]).any()


@EVERY
def test_fault_votes_and_halves_are_matched_by_id(made: Made, name: str) -> None:
    """The original takes positions of a half for positions of the whole set."""
    before = made.weak_labels(name)
    after = labels_of(made.examples, shuffled(made.split), shuffled(made.votes, 1), name)
    assert digest(after) == digest(before)
    turned = labels_of(shuffled(made.examples, 2), made.split, made.votes, name)
    assert turned["id"].tolist() != before["id"].tolist()
    proba = of(turned, "weak_proba", before["id"])
    np.testing.assert_allclose(proba, before["weak_proba"], atol=1e-6)


def test_a_label_matrix_without_a_row_or_of_another_dataset_is_refused(made: Made) -> None:
    with pytest.raises(ArtifactError, match=r"label_matrix: found no row for 1 of 666"):
        labels_of(made.examples, made.split, made.votes.where(slice(1, None)), "dawid_skene")
    other = replace(made.votes, facts={**made.votes.facts, "dataset": "x"})
    with pytest.raises(ArtifactError, match=r"label_matrix: found dataset x, expected w"):
        labels_of(made.examples, made.split, other, "dawid_skene")


def test_a_fit_that_is_undefined_is_an_outcome_with_its_reason(made: Made) -> None:
    """Only two LFs ever vote: METHOD 2 wants NaN with the reason, and that the others go on."""
    votes = made.votes["votes"].copy()
    votes[:, 2:] = -1
    weak = labels_of(made.examples, made.split, changed(made.votes, votes=votes), "dawid_skene")
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
def test_votes_for_one_class_only_are_an_outcome_with_its_reason(made: Made, name: str) -> None:
    votes = np.where(made.votes["votes"] == 1, 1, -1).astype(np.int8)
    weak = labels_of(made.examples, made.split, changed(made.votes, votes=votes), name)
    assert weak.facts["status"] == "degenerate"
    assert weak.facts["reason"] == (
        f"label model '{name}': found votes for class 1 only, expected both classes"
    )
    assert (weak["weak_proba"] == 0.5).all()
    found = taught(weak, made.features, "probe")
    assert set(found["regions"]["region"]) == {"undefined"}


@EVERY
def test_rare_votes_are_told_where_the_result_depends_on_the_seed(
    made: Made, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    made.weak_labels(name)
    assert caplog.text == ""
    rare = np.random.default_rng(0).random(made.votes["votes"].shape) < 0.06
    votes = np.where(rare, made.votes["votes"], -1).astype(np.int8)
    labels_of(made.examples, made.split, changed(made.votes, votes=votes), name)
    told = [line for line in caplog.messages if "labeling functions vote on" in line]
    assert len(told) == (name == "snorkel")
    assert all(line.startswith("label_model w: ") and "below 10%" in line for line in told)


# --- students -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlp(made: Made) -> Found:
    return taught(made.weak_labels(), made.features)


@pytest.fixture(scope="module")
def probe(made: Made) -> Found:
    return taught(made.weak_labels(), made.features, "probe")


def test_w2s_and_ceiling_of_the_mlp_are_networks_of_strong_train(made: Made, mlp: Found) -> None:
    x, proba, label, x_test, test = sides(made.weak_labels(), made.features)
    assert mlp["predictions"]["id"].tolist() == test.tolist()
    for restart in (0, 1):
        for control, targets in (("w2s", proba), ("ceiling", label)):
            alone = fit_mlps(x, targets, seed=3, restart=restart).predict_proba(x_test)
            np.testing.assert_allclose(run_of(mlp, control, restart), alone, atol=1e-5)
    assert np.abs(run_of(mlp, "w2s") - run_of(mlp, "ceiling")).max() > 0.05


def test_w2s_and_ceiling_of_the_probe_are_probes_of_strong_train(made: Made, probe: Found) -> None:
    x, proba, label, x_test, _ = sides(made.weak_labels(), made.features)
    for control, targets in (("w2s", proba), ("ceiling", label.astype(float))):
        alone = fit_probes(x, targets).predict_proba(x_test)
        np.testing.assert_allclose(run_of(probe, control), alone, atol=5e-3)
    assert np.abs(run_of(probe, "w2s") - run_of(probe, "ceiling")).max() > 0.05


def hardened(weak: Artifact) -> Artifact:
    """The same labels, confidences of another kind."""
    said = weak["weak_proba"]
    proba = np.where(said == 0.5, 0.5, np.where(said > 0.5, 0.75, 0.2) + said / 10)
    return changed(weak, weak_proba=proba.astype(np.float32))


def test_every_training_of_a_perceptron_has_every_restart(mlp: Found, probe: Found) -> None:
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


def test_more_restarts_leave_the_others_as_they_are(made: Made, mlp: Found) -> None:
    """But the regions, which are those of all networks side by side."""
    few = {"mixing": {**MIXING, "controls": ["few_labels"], "repeats": 1}}
    one, three = (taught(made.weak_labels(), made.features, restarts=n, **few) for n in (1, 3))
    for control in ("w2s", "ceiling"):
        for restart in (0, 1):
            proba = run_of(three, control, restart)
            np.testing.assert_allclose(proba, run_of(mlp, control, restart), atol=1e-4)
        np.testing.assert_allclose(run_of(one, control), run_of(mlp, control), atol=1e-4)
    assert set(three["runs"]["restart"]) == {0, 1, 2}
    assert by_id(one["regions"], "region") != by_id(three["regions"], "region")


def test_w2s_is_the_very_networks_that_the_regions_come_from(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def halved(weak: Artifact, share: float = 0.2) -> Artifact:
    """Some labels of every part are exactly 1/2."""
    half = np.random.default_rng(5).random(len(weak)) < share
    return changed(weak, weak_proba=np.where(half, np.float32(0.5), weak["weak_proba"]))


def test_perceptrons_learn_nothing_from_labels_of_exactly_one_half(made: Made) -> None:
    weak = halved(made.weak_labels())
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


def test_perceptrons_train_on_hard_labels_and_probes_on_soft_ones(made: Made, mlp: Found) -> None:
    weak = made.weak_labels()
    assert ((hardened(weak)["weak_proba"] > 0.5) == (weak["weak_proba"] > 0.5)).all()
    assert ((hardened(weak)["weak_proba"] == 0.5) == (weak["weak_proba"] == 0.5)).all()
    after = taught(hardened(weak), made.features)
    np.testing.assert_array_equal(run_of(after, "w2s"), run_of(mlp, "w2s"))
    soft, hard = (
        run_of(taught(labels, made.features, "probe"), "w2s") for labels in (weak, hardened(weak))
    )
    assert np.abs(soft - hard).max() > 0.02


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


def test_regions_of_perceptrons_come_from_their_last_hidden_layers(made: Made, mlp: Found) -> None:
    weak = made.weak_labels()
    x, proba, *_ = sides(weak, made.features)
    networks = [fit_mlps(x, proba, seed=3, restart=restart) for restart in (0, 1)]
    expected = expected_regions(weak, side_by_side(networks), made.features)
    assert by_id(mlp["regions"], "region") == expected
    assert set(expected.values()) == {"easy", "hard", "overlap"}
    assert set(mlp["regions"]["part"]) == {"strong_train", "test"}


def test_regions_of_a_probe_come_from_the_activations(made: Made, probe: Found, mlp: Found) -> None:
    expected = expected_regions(made.weak_labels(), lambda x: x, made.features)
    assert by_id(probe["regions"], "region") == expected
    assert expected != by_id(mlp["regions"], "region")


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_fault_activations_are_matched_by_id(made: Made, strong: str, request: Any) -> None:
    """The original indexes the whole set's activations with positions in a half."""
    before = request.getfixturevalue(strong)
    after = taught(made.weak_labels(), shuffled(made.features), strong)
    for name, artifact in before.items():
        assert digest(after[name]) == digest(artifact), name


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_test_and_val_points_teach_nothing(made: Made, strong: str, request: Any) -> None:
    weak = made.weak_labels()
    proba = weak["weak_proba"].copy()
    label = weak["label"].copy()
    other = weak["part"] != "strong_train"
    proba[other], label[other] = 1 - proba[other], 1 - label[other]
    after = taught(changed(weak, weak_proba=proba, label=label), made.features, strong)
    before = request.getfixturevalue(strong)
    for name in ("runs", "predictions"):
        assert digest(after[name]) == digest(before[name]), name
    facts = [found["regions"].facts for found in (before, after)]
    assert facts[0] == facts[1]


def test_true_labels_move_no_run_on_weak_labels_of_any_points(made: Made, probe: Found) -> None:
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
@pytest.mark.parametrize("controls", [None, ["same_capacity"], ["same_capacity", "plain"]])
def test_a_label_model_has_no_student_of_its_own_capacity(
    made: Made, strong: str, controls: list[str] | None
) -> None:
    mixing = {**MIXING, "repeats": 1} | ({} if controls is None else {"controls": controls})
    runs = taught(made.weak_labels(), made.features, strong, mixing=mixing)["runs"]
    every = {
        *("plain", "placebo", "fixed_hard", "overlap_against_easy", "purity_matched"),
        *("purity_matched_placebo", "label_balanced", "label_balanced_placebo"),
        *("few_labels", "random", "true_labels"),
    }
    if strong == "probe":  # hard labels have a Brier score that purity_matched holds constant
        every |= {"brier_matched", "brier_matched_placebo"}
    expected = every if controls is None else set(controls) - {"same_capacity"}
    assert set(runs["control"]) == expected | {"ceiling", "w2s"}


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_mixes_have_one_size_and_label_accuracy_is_that_of_strong_train(
    made: Made, strong: str, request: Any
) -> None:
    found = request.getfixturevalue(strong)
    runs = found["runs"].frame
    runs = runs[runs["restart"] == runs["restart"].max()].set_index("control")
    _, proba, label, _, _ = sides(made.weak_labels(), made.features)
    voted = proba != 0.5  # a point without votes has no class, so a perceptron leaves it out
    right = ((proba > 0.5) == (label == 1))[voted]
    assert voted.sum() < 200
    assert runs.loc["w2s", "label_accuracy"] == right.mean()
    assert runs.loc["w2s", "n_train"] == (voted.sum() if strong == "mlp" else 200)
    assert runs.loc["ceiling", "n_train"] == 200
    assert runs.loc["ceiling", "label_accuracy"] == 1
    assert (runs.loc["true_labels", "label_accuracy"] == 1).all()
    region = found["regions"]["region"][found["regions"]["part"] == "strong_train"]
    sizes = np.bincount(region[voted | (strong == "probe")] == "overlap")
    for control in ("plain", "placebo", "random", "true_labels"):
        assert set(runs.loc[control, "n_train"]) == {sizes.min()}
    purity = runs.loc[["purity_matched", "purity_matched_placebo"]]
    np.testing.assert_allclose(
        purity["label_accuracy"], right.mean(), atol=1 / purity["n_train"].min()
    )


def test_fault_rows_of_zeros_have_cosine_zero(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ReLU layer may be silent on a point; the original's cosine is NaN there."""
    hidden = MLPs.hidden

    def silent(self: MLPs, x: Array, *, column: int = 0) -> Array:
        return hidden(self, x, column=column) * (np.asarray(x)[:, :1] < 0.3)

    monkeypatch.setattr(MLPs, "hidden", silent)
    found = taught(made.weak_labels(), made.features)
    regions = found["regions"]
    zero = of(made.features, "layer_-1", regions["id"])[:, 0] >= 0.3
    hard = regions["region"] == "hard"
    assert (zero & hard).any()  # hard points of zeros are nobody's nearest
    assert (zero & ~hard).sum() > 10
    np.testing.assert_array_equal(np.isnan(regions["score"]), hard)
    assert set(regions["score"][zero & ~hard]) == {0}
    assert set(regions["region"][zero & ~hard]) == {"easy"}
    assert (regions["score"][~zero & ~hard] > 0).all()
    assert regions.facts["status"] == "ok"
    done = found["runs"]["reason"] == ""
    assert done[found["runs"]["control"] != "few_labels"].all()
    assert np.isfinite(found["predictions"]["proba"][done]).all()


def scored(made: Made, weak: Artifact, found: Found) -> Found:
    read_by = (made.examples, weak, *(found[n] for n in ("regions", "runs", "predictions")))
    return evaluate(*read_by, settings=EvaluateSettings())


def tables_of(made: Made, *pairs: Found) -> Any:
    settings = parse_as(WeakSupervisionTablesSettings, {"evaluation": {"bootstrap": 100}})
    metrics, correct = ([pair[name] for pair in pairs] for name in ("metrics", "correct"))
    return weak_supervision_tables(
        [made.examples], [made.votes], metrics, correct, settings=settings
    )


def table_of(made: Made, *pairs: Found) -> Any:
    return tables_of(made, *pairs)["weak_supervision"].frame.set_index("control")


@pytest.mark.parametrize("strong", ["mlp", "probe"])
def test_labels_that_are_all_one_half_are_an_outcome_with_a_reason(made: Made, strong: str) -> None:
    weak = made.weak_labels()
    half = changed(weak, weak_proba=np.full(len(weak), 0.5, dtype=np.float32))
    found = taught(half, made.features, strong)
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


def one_class(weak: Artifact, side: int) -> Artifact:
    """All labels are of one class, with confidences that differ."""
    proba = 0.49 * weak["weak_proba"] + 0.5 * side
    return changed(weak, weak_proba=proba.astype(np.float32))


@pytest.mark.parametrize("side", [0, 1])
def test_labels_of_one_class_are_an_outcome_with_a_reason(made: Made, side: int) -> None:
    weak = one_class(made.weak_labels(), side)
    found = taught(weak, made.features)
    # there is no perceptron to look through
    assert set(found["regions"]["region"]) == {"undefined"}
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


@pytest.mark.parametrize("side", [0, 1])
def test_soft_labels_of_one_class_have_a_probe(made: Made, side: int) -> None:
    weak = one_class(made.weak_labels(), side)
    shown = table_of(made, scored(made, weak, taught(weak, made.features, "probe")))
    assert shown.loc["w2s", "reason"] == ""
    assert np.isfinite(shown.loc["w2s", "accuracy"])


def test_a_degenerate_seed_leaves_the_other(made: Made, mlp: Found) -> None:
    weak = made.weak_labels()
    good = scored(made, weak, mlp)
    half = changed(weak, weak_proba=np.full(len(weak), 0.5, dtype=np.float32))
    half = replace(half, facts={**half.facts, "seed": 4})
    bad = scored(made, half, taught(half, made.features))
    alone, both = (table_of(made, *pairs) for pairs in ((good,), (good, bad)))
    for control in ("w2s", "plain", "random"):
        np.testing.assert_array_equal(
            np.atleast_1d(both.loc[control, "accuracy"]),
            np.atleast_1d(alone.loc[control, "accuracy"]),
        )
        assert set(np.atleast_1d(both.loc[control, "n_seeds"])) == {1}
    assert both.loc["label_model", "n_seeds"] == both.loc["ceiling", "n_seeds"] == 2


@pytest.mark.parametrize("name", ["label_model-0", "student-0", "wrench_votes", "wrench_features"])
def test_a_stage_gives_the_same_bytes_twice(chain: Chain, tmp_path: Path, name: str) -> None:
    job = chain.jobs[name]
    again = job.elsewhere(tmp_path)
    assert main(job.line(**again)) == 0
    for output, path in again.items():
        assert path.read_bytes() == job.outputs[output].read_bytes()


def test_fault_the_label_model_is_judged_by_the_half_that_students_learn_from(
    chain: Chain,
) -> None:
    """The original compares its accuracy on one half with a student's on another."""
    shown = load(chain / "table-lf-weak_supervision.parquet").frame.set_index("control")
    accuracy: dict[str, list[float]] = {"test": [], "strong_train": []}
    for seed in SEEDS:
        weak = load(chain / f"lf-labels-{seed}.parquet").frame
        right = (weak["weak_proba"] > 0.5) == (weak["label"] == 1)
        half = weak["weak_proba"] == 0.5
        assert half.any()  # neither right nor wrong as a label, half right as a prediction
        for part, found in accuracy.items():
            mine = weak["part"] == part
            both = right[mine & ~half].mean()
            as_test = (right & ~half)[mine].mean() + half[mine].mean() / 2
            found.append(as_test if part == "test" else both)
    model = shown.loc["label_model"]
    assert model["accuracy"] == pytest.approx(np.mean(accuracy["test"]), abs=1e-6)
    assert model["label_accuracy"] == pytest.approx(np.mean(accuracy["strong_train"]))
    assert model["label_accuracy"] != model["accuracy"]
    # the accuracy of the labels that the student learns from, and its own on the same test points
    student_ = shown.loc["w2s"]
    assert student_["label_accuracy"] == pytest.approx(np.mean(accuracy["strong_train"]))
    own = []
    for seed in SEEDS:
        weak = load(chain / f"lf-labels-{seed}.parquet")
        predictions = load(chain / f"lf-predictions-{seed}.safetensors")
        runs = load(chain / f"lf-runs-{seed}.parquet")
        label = of(weak, "label", predictions["id"])
        mine = runs["control"] == "w2s"
        assert mine.sum() == 2  # restarts
        own.append(np.mean((predictions["proba"][mine] >= 0.5) == (label == 1)))
    assert student_["accuracy"] == pytest.approx(np.mean(own), abs=1e-6)


# --- WRENCH ---------------------------------------------------------------------------------------


def edit(folder: Path, part: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / f"{part}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    change(rows)
    path.write_text(json.dumps(rows), encoding="utf-8")


def source_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of a folder by the names that examples give them."""
    return {
        f"{part} {name}": row
        for part in ("train", "valid", "test")
        for name, row in json.loads((folder / f"{part}.json").read_text(encoding="utf-8")).items()
    }


def test_votes_and_texts_are_matched_by_name_where_duplicates_were_dropped(
    tmp_path: Path,
) -> None:
    folder = tiny.write_wrench(tmp_path / "w", n=30, features=False)
    words = source_rows(folder)["train 2"]["data"]
    edit(folder, "train", lambda rows: rows["5"].update(data=words))
    edit(folder, "valid", lambda rows: rows["0"].update(data=words))
    edit(folder, "test", lambda rows: rows["3"].update(data=words))
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


@pytest.mark.parametrize("balanced", [False, True])
def test_features_and_votes_are_matched_by_name(tmp_path: Path, balanced: bool) -> None:
    folder = tiny.write_wrench(tmp_path / "w", n=30)
    texts = read(folder, balanced=balanced)
    rows = source_rows(folder)
    assert (len(texts) == len(rows)) == (not balanced)
    for turned in (texts, shuffled(texts)):
        names = turned["source_id"].tolist()
        assert turned["label"].tolist() == [rows[name]["label"] for name in names]
        features = features_in(turned, folder)
        assert features["id"].tolist() == turned["id"].tolist()
        raw = np.array([rows[name]["data"]["feature"] for name in names])
        expected = (raw - raw.mean(axis=0)) / raw.std(axis=0)
        np.testing.assert_allclose(features["layer_-1"], expected, atol=1e-5)
        votes = votes_in(turned, folder)["votes"].tolist()
        assert votes == [rows[name]["weak_labels"] for name in names]


def test_classes_stay_as_they_are_unless_balanced_is_asked_for(tmp_path: Path) -> None:
    folder = tiny.write_wrench(tmp_path / "w")
    rows = source_rows(folder)
    names = {"pool": "train", "val": "valid", "test": "test"}
    texts, balanced = read(folder), read(folder, balanced=True)
    for part, name in names.items():
        labels = [row["label"] for key, row in rows.items() if key.startswith(name)]
        mine = texts["label"][texts["part"] == part]
        assert mine.tolist() == labels
        assert mine.mean() < 0.5
        other = balanced["label"][balanced["part"] == part]
        assert len(other) == 2 * min(sum(labels), len(labels) - sum(labels))
        assert other.mean() == 0.5
    assert texts.facts["dropped"]["unbalanced"] == 0
    assert balanced.facts["dropped"]["unbalanced"] == len(texts) - len(balanced)
    assert texts["source_id"].tolist() == list(rows)


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_a_missing_file_is_told_in_one_line(tmp_path: Path, part: str) -> None:
    folder = tiny.write_wrench(tmp_path / "w", n=30)
    (folder / f"{part}.json").unlink()
    with pytest.raises(DataError, match=rf"{part}\.json: found no file") as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_features_that_are_texts_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = tiny.write_wrench(tmp_path / "w", n=30, features=False)
    with pytest.raises(DataError, match=r"w: found text, expected `holds: features`") as caught:
        features_in(read(folder), folder)
    assert "\n" not in str(caught.value)


def test_texts_that_are_features_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = tiny.write_wrench(tmp_path / "w", n=30)
    with pytest.raises(DataError, match="holds"):
        read(folder, holds="text")


def test_a_part_of_one_class_is_refused(tmp_path: Path) -> None:
    """As `make_examples` promises."""
    folder = tiny.write_wrench(tmp_path / "w", n=30)
    edit(folder, "test", lambda rows: [row.update(label=0) for row in rows.values()])  # type: ignore[func-returns-value]
    with pytest.raises(DataError, match="part test"):
        read(folder)


def test_examples_of_another_folder_are_refused(tmp_path: Path) -> None:
    folder, smaller = (tiny.write_wrench(tmp_path / str(n), n=n) for n in (30, 24))
    with pytest.raises(DataError, match=r"24: found no row 'train 24', expected all the examples"):
        votes_in(read(folder), smaller)


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


def supervised(**changes: Any) -> dict[str, Any]:
    return example(weak_supervision={**example()["weak_supervision"], **changes})


def lines_for(data: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(data)
    return str(caught.value).split("\n")


SIX = example()["models"]["six"]
OWN = {"datasets": ["census"]}


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (supervised(datasets=["films", "cenus"]),
         "weak_supervision.datasets: 'cenus' is not a dataset; did you mean 'census'?"),
        (supervised(datasets=["films", "films"]),
         "weak_supervision.datasets: found a value twice in ['films', 'films'], expected once"),
        (supervised(features="sex"),
         "weak_supervision.features: 'sex' is not a model; did you mean 'six'?"),
        (supervised(layer=2),
         "weak_supervision.layer: found 2, expected one of the layers [3, -1] cached for 'six'"),
        (supervised(feature="six"),
         "weak_supervision.feature is not a setting; did you mean 'features'?"),
        (supervised(students=["mpl"]),
         "weak_supervision.students.0: found 'mpl'; input should be 'mlp' or 'probe'"),
        (supervised(label_models=["mean"]),
         "weak_supervision.label_models.0: found 'mean'; input should be 'majority_vote', "
         "'snorkel' or 'dawid_skene'"),
        (supervised(restarts=0),
         "weak_supervision.restarts: found 0; input should be greater than or equal to 1"),
        (supervised(proportions=[]),
         "weak_supervision.proportions: found []; tuple should have at least 1 item after "
         "validation, not 0"),
        (supervised(proportions=[0, 1.5]),
         "weak_supervision.proportions.1: found 1.5; input should be less than or equal to 1"),
        (supervised(proportions=[0.5, 0.5]),
         "weak_supervision.proportions: found a value twice in [0.5, 0.5], expected once"),
        (example(models={"six": SIX, "mlp": SIX}),
         "models: 'mlp' is a word of weak supervision; choose another"),
        (example(models={"six": SIX, "majority_vote": SIX}),
         "models: 'majority_vote' is a word of weak supervision; choose another"),
        (example(models={"six": SIX, "features": SIX}),
         "models: 'features' is a word of weak supervision; choose another"),
        (example(models={"six": SIX, "one": SIX}, pairs=[{"weak": "one", "strong": "six"}]),
         "datasets.census: found features, expected texts for the pairs of models"),
        (example(seeds=[]),
         "seeds: found none, expected at least 1 item, as there are weak_supervision"),
        (example(datasets={}, weak_supervision=OWN),
         "datasets: found none, expected at least 1 item, as there are weak_supervision"),
        (example(datasets={"c": {"source": "wrench", "path": "c", "holds": "numbers"}}),
         "datasets.c.holds: found 'numbers'; input should be 'text' or 'features'"),
        (example(datasets={"c": {"source": "wrench", "path": "c"}}),
         "datasets.c.holds: found nothing, expected a value"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_setting(data: dict[str, Any], line: str) -> None:
    assert lines_for(data) == [line]


def test_an_unknown_dataset_is_one_line_where_all_hold_features() -> None:
    lines = lines_for(example(models={}, weak_supervision={"datasets": ["census", "cenus"]}))
    assert lines == ["weak_supervision.datasets: 'cenus' is not a dataset; did you mean 'census'?"]


def test_texts_without_features_are_said_to_need_them() -> None:
    (line,) = lines_for(example(weak_supervision={"datasets": ["films"]}))
    assert line.startswith("weak_supervision.features: found nothing")


def test_too_few_lfs_for_a_label_model_are_found_before_any_job() -> None:
    (line,) = lines_for(supervised(datasets=["films"], lfs=["afinn", "vader"]))
    assert line.startswith("weak_supervision.lfs: found 2")


def test_features_need_no_model_and_weak_supervision_no_pairs() -> None:
    config = parse(example(models={}, weak_supervision=OWN))
    assert (config.pairs, config.models) == ((), {})
    assert config.weak_supervision is not None
    assert len(config.weak_supervision.lfs) == 13
    assert config.weak_supervision.label_models == ("majority_vote", "snorkel", "dawid_skene")
    assert config.weak_supervision.students == ("mlp", "probe")


# --- jobs -----------------------------------------------------------------------------------------


def config_of(**changes: Any) -> Config:
    return parse(supervised(**changes))


def test_paths_of_weak_labels_do_not_name_the_student() -> None:
    config = config_of()
    path = "results/films/label_models/snorkel/seed1/weak_labels.parquet"
    for strong in ("mlp", "probe"):
        job = {"dataset": "films", "weak": "snorkel", "strong": strong, "seed": "1"}
        assert dag.job_labels(config, **job) == path
    pair = {"dataset": "films", "weak": "one", "strong": "six", "seed": "1"}
    assert dag.job_labels(config, **pair) == "results/films/one--six/seed1/weak_labels.parquet"


def test_what_students_read() -> None:
    config = config_of()
    found = {name: dag.features_of(config, name) for name in config.datasets}
    assert found == {"films": "six", "census": "features", "imdb": "six"}
    assert dag.features_of(parse(example(models={}, weak_supervision=OWN)), "census") == "features"


def test_label_models_and_students_are_those_of_the_configuration() -> None:
    config = config_of(label_models=["dawid_skene"], students=["probe", "mlp"])
    assert dag.label_models_of(config) == ("dawid_skene",)
    assert dag.students_of(config) == ("probe", "mlp")
    without = parse(
        example(
            datasets={"films": example()["datasets"]["films"]},
            models={"six": SIX, "one": SIX},
            pairs=[{"weak": "one", "strong": "six"}],
            weak_supervision=None,
        )
    )
    assert dag.label_models_of(without) == dag.students_of(without) == ()


def test_files_of_datasets_in_wrenchs_format() -> None:
    config = config_of()
    assert dag.wrench_datasets(config) == ["census", "imdb"]
    assert dag.dataset_source(config, "census") == "data/census/train.json"
    beside = ["data/census/valid.json", "data/census/test.json"]
    assert dag.beside_source(config, "census") == beside
    assert dag.beside_source(config, "films") == []


@pytest.mark.parametrize(
    ("dataset", "chosen", "layer"),
    [("films", {}, -1), ("films", {"layer": 3}, 3), ("census", {}, -1),
     ("census", {"layer": 3}, -1), ("imdb", {"layer": 3}, 3)],
)  # fmt: skip
def test_settings_of_a_student_name_the_layer_it_reads(
    dataset: str, chosen: dict[str, Any], layer: int
) -> None:
    job = {"dataset": dataset, "weak": "snorkel", "strong": "mlp", "seed": "0"}
    found = json.loads(dag.settings(config_of(**chosen), "student", **job))
    assert (found["weak"], found["strong"], found["layer"]) == ("snorkel", "mlp", layer)
    assert set(found) == {"weak", "strong", "layer", "restarts", "probe", "overlap", "mixing"}


@pytest.mark.parametrize("dataset", ["films", "census"])
def test_restarts_and_proportions_of_weak_supervision_are_those_of_perceptrons(
    dataset: str,
) -> None:
    config = config_of(restarts=3, proportions=[0, 1])
    mlp, probe = (
        json.loads(
            dag.settings(config, "student", dataset=dataset, weak="snorkel", strong=s, seed="0")
        )
        for s in ("mlp", "probe")
    )
    assert (mlp["restarts"], mlp["mixing"].pop("proportions")) == (3, [0, 1])
    assert "restarts" not in probe
    assert probe["mixing"].pop("proportions") == list(config.mixing.proportions)
    assert mlp["mixing"] == probe["mixing"]
    told = json.loads(
        dag.settings(config_of(), "student", dataset=dataset, weak="snorkel", strong="mlp",
                     seed="0")
    )  # fmt: skip
    assert (told["restarts"], len(told["mixing"]["proportions"])) == (5, 11)
    assert parse_as(StudentSettings, told).restarts == 5


def test_settings_of_a_label_model_are_its_name() -> None:
    job = {"dataset": "films", "weak": "snorkel", "seed": "0"}
    assert dag.settings(config_of(), "label_model", **job) == '{"label_model": "snorkel"}'


def test_figures_show_the_datasets_of_weak_supervision_only() -> None:
    found = json.loads(dag.settings(config_of(datasets=["imdb", "films"]),
                                    "weak_supervision_figures"))  # fmt: skip
    assert found == {"titles": [["films", "films"], ["imdb", "imdb"]]}
