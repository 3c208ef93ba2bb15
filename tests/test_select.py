"""The stages `corpora_labels` and `select` against independent computations of their promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from conftest import CUT, PAIR, PATHS, SEEDS, Chain
from test_steps import LARGE, by_id, changed, files, renamed, run_stage, shuffled

from w2s.checks import rows_of
from w2s.declare import KINDS
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, digest, load, save
from w2s.overlap.detect import Detector, fit_detector
from w2s.probes.probes import fit_probes
from w2s.selection.track import Policy

POLICIES = get_args(Policy)
Texts = dict[str, list[int]]  # part -> ids


def run(weak, activations, paths=None, *, examples=None, **changes):
    """`select` with the settings of the chain's job, some changed.

    Without examples every point is a group of its own.
    """
    data = {**PAIR, "experiment": "cut", "sources": CUT, "paths": PATHS | (paths or {})} | changes
    if examples is None:
        examples = []
        for name in data["sources"].get("datasets") or [data["sources"]["dataset"]]:
            ids = weak["id"][weak["dataset"] == name]
            arrays = {"id": ids, "group": ids.astype(str).astype(object)}
            examples.append(Artifact("examples", arrays, {"dataset": name}))
    return run_stage("select", weak, activations, examples, **data)


def inputs_of(chain: Chain, seed: int = 0) -> tuple[Artifact, list[Artifact]]:
    weak, activations = files(chain, f"weak_labels-{seed}.parquet", LARGE)
    return weak, [activations]


def outputs_of(chain: Chain, seed: int = 0) -> dict[str, Artifact]:
    found = files(
        chain, f"points-{seed}.parquet", f"paths-{seed}.parquet", f"selected-{seed}.safetensors"
    )
    return dict(zip(("points", "paths", "predictions"), found, strict=True))


def columns_of(artifact: Artifact, *, without: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Columns as lists, to compare exactly; NaN as None."""
    return {
        name: [None if value != value else value for value in column.tolist()]
        for name, column in artifact.arrays.items()
        if name not in without
    }


def rows_by_policy(found: dict[str, Artifact]) -> dict[str, tuple[dict[str, list[Any]], bytes]]:
    """Each policy's rows of the paths and the bytes of its predictions."""
    paths, predictions = found["paths"], found["predictions"]
    result = {}
    for policy in dict.fromkeys(paths["policy"]):
        mine = paths["policy"] == policy
        proba = b"".join(predictions[name][mine].tobytes() for name in ("all", "overlap"))
        result[policy] = (columns_of(paths.where(mine)), proba)
    return result


def assert_same_probe(found: Any, expected: Any) -> None:
    """Equal as far as certified: of few rows, objectives that differ by 1e-6 may be 1 % apart."""
    difference = np.abs(found - expected)
    assert difference.max() < 2e-2
    assert difference.mean() < 6e-3


def layer(activations: Artifact, ids: Any) -> Any:
    return activations["layer_-1"][rows_of(ids, activations["id"], what="activations")]


def detector_of(weak: Artifact, activations: Artifact) -> Detector:
    val = weak.where(weak["part"] == "val")
    return fit_detector(val["weak_proba"], layer(activations, val["id"]))


@pytest.mark.parametrize("seed", SEEDS)
def test_points_are_strong_train_and_their_regions_those_of_a_detector_of_val(chain, seed):
    weak, (activations,) = inputs_of(chain, seed)
    points = outputs_of(chain, seed)["points"]
    train = weak.where(weak["part"] == "strong_train")
    assert points["id"].tolist() == train["id"].tolist()
    for name in ("label", "weak_proba"):
        np.testing.assert_array_equal(points[name], train[name])
    assert set(points["source"]) == {"s1", "s2"}
    others = set(weak["id"][weak["part"] != "strong_train"].tolist())
    assert not others & set(points["id"].tolist())
    assert points.facts["n_reference"] == np.sum(weak["part"] == "val") == 40

    detector = detector_of(weak, activations)
    assert points.facts["tau_hard"] == detector.tau_hard
    assert points.facts["tau_overlap"] == detector.tau_overlap
    expected = detector.apply(points["weak_proba"], layer(activations, points["id"]))
    assert points["region"].tolist() == expected.region.tolist()
    assert set(points["region"]) == {"easy", "hard", "overlap"}

    frame = points.frame
    frame["right"] = (frame["weak_proba"] >= 0.5) == (frame["label"] == 1)
    frame["dense"] = frame["region"] == "overlap"
    n_overlap = frame["dense"].sum()
    for name, share in (("s1", 0.1), ("s2", 0.9)):
        mine = frame[frame["source"] == name]
        assert points.facts["sources"][name] == pytest.approx(
            {
                "points": len(mine),
                "density": mine["dense"].mean(),
                "right_density": (mine["dense"] & mine["right"]).mean(),
                "label_accuracy": mine["right"].mean(),
            }
        )
        assert mine["dense"].sum() == pytest.approx(share * n_overlap, abs=0.5)


def test_only_val_moves_the_detector(chain):
    weak, (activations,) = inputs_of(chain)
    before = outputs_of(chain)
    tau = [before["points"].facts[name] for name in ("tau_hard", "tau_overlap")]
    told = {}
    for part in ("strong_train", "test", "val"):
        x = activations["layer_-1"].copy()
        mine = np.isin(activations["id"], weak["id"][weak["part"] == part])
        x[mine] = np.random.default_rng(0).normal(size=(mine.sum(), x.shape[1]))
        told[part] = run(weak, [changed(activations, **{"layer_-1": x})])
    for part in ("strong_train", "test"):
        facts = told[part]["points"].facts
        assert [facts[name] for name in ("tau_hard", "tau_overlap")] == tau
    assert told["val"]["points"].facts["tau_overlap"] != tau[1]
    assert told["strong_train"]["points"]["region"].tolist() != before["points"]["region"].tolist()
    # test activations move nothing but the predictions
    assert digest(told["test"]["points"]) == digest(replace(before["points"], provenance={}))
    assert columns_of(told["test"]["paths"]) == columns_of(before["paths"])


def test_true_labels_move_the_label_oracle_only_and_epsilon_epsilon_greedy(chain):
    weak, activations = inputs_of(chain)
    before = rows_by_policy(outputs_of(chain))
    label = weak["label"].copy()
    train = weak["part"] == "strong_train"
    label[train] = np.random.default_rng(1).integers(0, 2, train.sum())
    after = rows_by_policy(run(changed(weak, label=label), activations))
    assert {name for name in POLICIES if before[name] != after[name]} <= {"label_oracle"}
    after = rows_by_policy(run(weak, activations, {"epsilon": 1.0}))
    assert {name for name in POLICIES if before[name] != after[name]} == {"epsilon_greedy"}


@pytest.mark.parametrize("seed", SEEDS)
def test_rounds_and_predictions_are_those_of_the_points_drawn(chain, seed):
    found = outputs_of(chain, seed)
    points, paths = found["points"].frame, found["paths"].frame
    sources = found["paths"].facts["sources"]
    assert list(paths.groupby(["policy", "repeat"], sort=False).groups) == [
        (policy, repeat) for policy in POLICIES for repeat in (0, 1)
    ]
    for (policy, repeat), rows in paths.groupby(["policy", "repeat"], sort=False):
        assert rows["round"].tolist() == [1, 2, 3, 4, 5, 6]
        drawn = points[f"drawn_{policy}_{repeat}"]
        assert sorted(drawn[drawn > 0].tolist()) == [t for t in range(1, 7) for _ in range(4)]
        left = {name: told["points"] for name, told in sources.items()}
        regret = 0.0
        for row in rows.itertuples():
            batch, so_far = points[drawn == row.round], points[(drawn > 0) & (drawn <= row.round)]
            assert set(batch["source"]) == {row.source}
            assert row.density == np.mean(batch["region"] == "overlap")
            assert row.n_all == len(so_far) == 4 * row.round
            assert row.n_overlap == np.sum(so_far["region"] == "overlap")
            best = max(told["density"] for name, told in sources.items() if left[name] >= 4)
            regret += best - sources[row.source]["density"]
            assert row.regret == pytest.approx(regret, abs=1e-12)
            left[row.source] -= 4
    weak, (activations,) = inputs_of(chain, seed)
    points, paths, predictions = found["points"], found["paths"], found["predictions"]
    test = weak.where(weak["part"] == "test")
    assert predictions["id"].tolist() == test["id"].tolist()
    assert predictions["label"].tolist() == test["label"].tolist()
    assert predictions["row"].tolist() == list(range(len(paths)))
    x, x_test = (layer(activations, item["id"]) for item in (points, test))
    frame = paths.frame
    for row in (0, 5, 17, 40, 83):
        policy, repeat, t = frame.loc[row, ["policy", "repeat", "round"]]
        drawn = points[f"drawn_{policy}_{repeat}"]
        so_far = (drawn > 0) & (drawn <= t)
        for name, mine in (("all", so_far), ("overlap", so_far & (points["region"] == "overlap"))):
            if mine.any():
                alone = fit_probes(x[mine], points["weak_proba"][mine].astype(float))
                assert_same_probe(predictions[name][row], alone.predict_proba(x_test))
                assert frame.loc[row, f"gap_{name}"] <= 1e-6
            else:
                assert np.all(predictions[name][row] == 0.5)
                assert "untrained" in frame.loc[row, f"reason_{name}"]


def test_fault_a_reward_does_not_depend_on_other_pulls(chain):
    """The original refits its detector at each pull: here every batch can be judged alone."""
    weak, (activations,) = inputs_of(chain)
    found = outputs_of(chain)
    detector, points = detector_of(weak, activations), found["points"]
    x = layer(activations, points["id"])
    for row in found["paths"].frame.itertuples():
        batch = points[f"drawn_{row.policy}_{row.repeat}"] == row.round
        assert row.density == detector.apply(points["weak_proba"][batch], x[batch]).density


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_of_the_test_points_are_those_of_the_examples(chain, seed):
    weak, activations = inputs_of(chain, seed)
    examples = load(chain / "examples.parquet")
    assert len(set(outputs_of(chain, seed)["predictions"]["group"].tolist())) == 120  # no groups
    passage = np.array([f"passage {i % 7}" for i in examples["id"]], dtype=object)
    grouped = changed(examples, group=passage)
    found = run(weak, activations, {"rounds": 1, "repeats": 1}, examples=[shuffled(grouped)])[
        "predictions"
    ]
    assert found["group"].dtype == np.int64
    assert found["group"].tolist() == [i % 7 for i in found["id"].tolist()]


def test_inputs_that_do_not_fit_are_refused(subtests, chain):
    weak, (activations,) = inputs_of(chain)
    examples = load(chain / "examples.parquet")
    books = renamed(examples, dataset="books")
    fewer = examples.where(examples["id"] != weak["id"][weak["part"] == "test"][5])
    short = activations.where(activations["id"] != weak["id"][3])
    cut = {"sources": "partition", "dataset": "books"}
    corpora = {"sources": "corpora", "datasets": ["films", "books"], "targets": ["books"]}
    those = "found those of films, expected those of"
    for given, examples_, chosen, expected in (
        (activations, [books], {}, "examples: found those of books, expected those of films"),
        (activations, [fewer], {}, "examples: found no row for 1 of 120 example ids"),
        (activations, None, {"sources": cut}, f"{those} books"),
        (activations, None, {"sources": corpora}, f"{those} films, books"),
        (short, None, {}, "found no row for 1 of 280 example ids"),
        (activations, None, {"layer": 5}, "expected layer_5"),
    ):
        with subtests.test(expected=expected):
            with pytest.raises(ArtifactError, match=expected) as caught:
                run(weak, [given], **chosen, examples=examples_)
            assert "\n" not in str(caught.value)


def test_an_untrained_probe_says_one_half_with_its_reason(chain):
    found = outputs_of(chain)
    empty = found["paths"]["n_overlap"] == 0
    assert empty.any()
    assert not empty.all()
    assert np.all(found["predictions"]["overlap"][empty] == 0.5)
    reason = found["paths"]["reason_overlap"]
    assert set(reason[empty]) == {"no overlap point yet: the probe is untrained and says 1/2"}
    assert set(reason[~empty]) == {""}
    assert np.isnan(found["paths"]["gap_overlap"][empty]).all()
    assert set(found["paths"]["reason_all"]) == {""}


def test_a_policy_moves_no_number_of_another(subtests, chain):
    weak, activations = inputs_of(chain)
    before = outputs_of(chain)
    rows = rows_by_policy(before)
    without = ([n for n in POLICIES if n != left_out] for left_out in ("ucb", "random", "original"))
    for policies in (*without, POLICIES[::-1], ("thompson",), ("label_oracle", "epsilon_greedy")):
        with subtests.test(policies=policies):
            after = run(weak, activations, {"policies": policies})
            assert rows_by_policy(after) == {name: rows[name] for name in policies}
            assert after["paths"].facts["policies"] == list(policies)
            for name, column in after["points"].arrays.items():
                np.testing.assert_array_equal(column, before["points"][name])


def test_another_repeat_moves_no_path_of_the_first_and_no_choice_the_sources(chain):
    weak, activations = inputs_of(chain)
    one = run(weak, activations, {"repeats": 1})
    both = outputs_of(chain)
    first = both["paths"]["repeat"] == 0
    found, alone = (
        columns_of(paths, without=("gap_all", "gap_overlap"))
        for paths in (both["paths"].where(first), one["paths"])
    )
    assert found == alone
    for name in ("all", "overlap"):
        assert_same_probe(both["predictions"][name][first], one["predictions"][name])
    paths = {"rounds": 3, "batch": 7, "repeats": 1, "policies": ["ucb"]}
    after = run(weak, activations, paths)["points"]
    for name in ("id", "source", "region"):
        assert after[name].tolist() == both["points"][name].tolist()


def test_seeds_and_experiments_draw_sources_and_paths_of_their_own(chain):
    weak, activations = inputs_of(chain)
    first = outputs_of(chain)["points"]
    other = run(weak, activations, experiment="again")["points"]
    assert first["region"].tolist() == other["region"].tolist()
    later = run(renamed(weak, seed=7), activations)["points"]
    for found in (other, later):
        assert np.mean(found["source"] == first["source"]) < 0.8
        same = (found["drawn_random_0"] > 0) & (first["drawn_random_0"] > 0)
        assert same.sum() < 15  # of 24 drawn, 24 * 24 / 120 = 5 expected


def test_the_order_of_activations_and_examples_does_not_matter(chain):
    weak, (activations,) = inputs_of(chain)
    examples = [shuffled(load(chain / "examples.parquet"), 1)]
    after = run(weak, [shuffled(activations)], examples=examples)
    for name, before in outputs_of(chain).items():
        assert digest(after[name]) == digest(replace(before, provenance={}))


def test_a_path_ends_early_where_all_sources_run_dry(chain):
    weak, activations = inputs_of(chain)
    found = run(weak, activations, {"rounds": 50, "batch": 7, "repeats": 1})
    sizes = [told["points"] for told in found["paths"].facts["sources"].values()]
    possible = sum(size // 7 for size in sizes)
    assert possible < 50
    facts = found["paths"].facts
    assert facts["ended"] == f"all sources dry after round {possible} of 50"
    assert (facts["status"], facts["reason"], facts["rounds"]) == ("ok", "", 50)
    assert len(found["paths"]) == len(POLICIES) * possible
    for policy in POLICIES:
        drawn = found["points"][f"drawn_{policy}_0"]
        assert np.bincount(drawn)[1:].tolist() == [7] * possible
    assert outputs_of(chain)["paths"].facts["ended"] == ""


def saved_degenerate(found: dict[str, Artifact], folder: Path, n_test: int) -> str:
    """The reason of an outcome without paths, whose artifacts can be written."""
    for name, artifact in found.items():
        save(artifact, folder / f"{name}{KINDS[artifact.kind].suffix}")
    assert len(found["paths"]) == 0
    for name in ("all", "overlap"):
        assert found["predictions"][name].shape == (0, n_test)
    facts = [found[name].facts for name in ("points", "paths")]
    assert {told["status"] for told in facts} == {"degenerate"}
    assert facts[0]["reason"] == facts[1]["reason"]
    assert facts[0]["n_reference"] == 40
    assert not [name for name in found["points"].arrays if name.startswith("drawn_")]
    return str(facts[0]["reason"])


def test_without_a_detector_sources_or_batches_there_are_no_paths_and_a_reason(chain, tmp_path):
    weak, activations = inputs_of(chain)
    flat = changed(weak, weak_proba=np.full(len(weak), 0.75, dtype=np.float32))
    found = run(flat, activations)
    assert "equal values" in saved_degenerate(found, tmp_path, 120)
    assert set(found["points"]["region"]) == {"undefined"}
    assert set(found["points"]["source"]) == {""}
    assert found["points"].facts["sources"] == {}
    assert found["points"].facts["tau_hard"] is None

    sources = CUT | {"counts": "rebalanced", "overlap_shares": [0.0, 0.0, 0.0, 1.0]}
    many = {"tau_hard": {"quantile": 0.1}, "tau_overlap": {"quantile": 0.0}}
    found = run(weak, activations, sources=sources, overlap=many)
    assert "overlap points for a source of 30 points" in saved_degenerate(found, tmp_path, 120)
    assert found["points"].facts["tau_hard"] is not None
    assert "overlap" in set(found["points"]["region"])

    found = run(weak, activations, {"batch": 100})
    reason = saved_degenerate(found, tmp_path, 120)
    assert reason == "selection: found no source with 100 points"
    assert set(found["paths"].facts["sources"]) == {"s1", "s2"}
    assert set(found["points"]["source"]) == {"s1", "s2"}


def test_all_probes_can_be_chosen(chain):
    weak, activations = inputs_of(chain)
    for probe in ({"kind": "knn", "neighbors": 3}, {"l2": "cv"}):
        found = run(weak, activations, {"repeats": 1}, probe=probe)
        last = found["paths"]["round"] == 6
        assert np.isfinite(found["predictions"]["all"][last]).all()
        assert set(found["paths"]["reason_all"][last]) == {""}


# --- several datasets -----------------------------------------------------------------------------


def corpus(name: str, texts: Texts, *, seed: int = 0, d: int = 4) -> list[Artifact]:
    """Examples, split and activations; a text has the same activations in every dataset."""
    ids = np.array([i for part in texts.values() for i in part], dtype=np.int64)
    half = np.array([part for part, mine in texts.items() for _ in mine], dtype=object)
    pool = np.isin(half, ("weak_train", "strong_train"))
    rows = [np.random.default_rng(i).normal(size=d) + (2 * (i % 2) - 1) * 0.8 for i in ids]
    examples = {
        "id": ids,
        "label": (ids % 2).astype(np.int8),
        "part": np.where(pool, "pool", half).astype(object),
        "group": np.array([f"g{i // 3}" for i in ids], dtype=object),
    }
    activations = {"id": ids, "layer_-1": np.array(rows, dtype=np.float32)}
    return [
        Artifact("examples", examples, {"dataset": name}),
        Artifact("split", {"id": ids[pool], "half": half[pool]}, {"dataset": name, "seed": seed}),
        Artifact("activations", activations, {"dataset": name}),
    ]


def texts(first: int, **changes: list[int]) -> Texts:
    """Ids of 120 texts from `first` on: 30 in each half, 30 in val, 30 in test."""
    parts = ("weak_train", "strong_train", "val", "test")
    return {
        part: list(range(first + 30 * i, first + 30 * (i + 1))) + changes.get(part, [])
        for i, part in enumerate(parts)
    }


def labels_of_files(*lists: list[Artifact], targets: list[str]) -> Artifact:
    told = {"experiment": "domains", "targets": targets}
    return run_stage("corpora_labels", *lists, **told)["weak_labels"]


def labels(corpora: list[list[Artifact]], targets: list[str]) -> Artifact:
    return labels_of_files(*map(list, zip(*corpora, strict=True)), targets=targets)


TEXTS = {"a": texts(1000), "b": texts(2000), "c": texts(3000)}


def corpora_of(names: str = "abc", **changes: Any) -> list[list[Artifact]]:
    """The datasets of those names, with more texts in parts of some: `b={"test": [7]}`."""
    more = {name: changes.get(name, {}) for name in names}
    return [corpus(name, texts(TEXTS[name]["weak_train"][0], **more[name])) for name in names]


@pytest.mark.parametrize("targets", [["a"], ["b"], ["c", "a"], ["a", "b", "c"]])
def test_parts_are_the_sources_and_targets_tests_and_the_weak_train_of_targets_teaches(targets):
    found = labels(corpora_of(), targets)
    expected = {}
    for name, content in TEXTS.items():
        for part in ("strong_train", "val", *(["test"] if name in targets else [])):
            expected |= dict.fromkeys(content[part], part)
    assert by_id(found, "part") == expected
    train = [i for name, t in TEXTS.items() if name in targets for i in t["weak_train"]]
    x = {i: row for item in corpora_of() for i, row in by_id(item[2], "layer_-1").items()}
    probe = fit_probes(np.stack([x[i] for i in train]), np.array(train) % 2)
    proba = probe.predict_proba(np.stack([x[i] for i in found["id"].tolist()]))
    np.testing.assert_allclose(found["weak_proba"], proba, atol=2e-3)
    assert found.facts["n_train"] == len(train)
    assert (found.facts["dataset"], found.facts["seed"]) == ("domains", 0)
    assert found["label"].tolist() == (found["id"] % 2).tolist()
    assert not set(train) & set(found["id"].tolist())


def test_other_datasets_do_not_move_the_weak_probe():
    alone, together = labels(corpora_of("a"), ["a"]), labels(corpora_of(), ["a"])
    shared = by_id(together, "weak_proba")
    assert by_id(alone, "weak_proba") == {i: shared[i] for i in alone["id"].tolist()}


def test_one_dataset_has_the_labels_of_weak_labels(chain):
    for seed in SEEDS:
        found = load(chain / f"corpora-labels-{seed}.parquet")
        plain = load(chain / f"weak_labels-{seed}.parquet")
        for name in ("id", "part", "label"):
            assert found[name].tolist() == plain[name].tolist()
        np.testing.assert_array_equal(found["weak_proba"], plain["weak_proba"])


def test_a_text_of_two_datasets_counts_once(subtests):
    for part_in_a, part_in_b, kept in (
        ("test", "strong_train", "test"),
        ("strong_train", "test", "test"),
        ("test", "weak_train", "test"),
        ("weak_train", "test", "test"),
        ("test", "val", "test"),
        ("val", "strong_train", "val"),
        ("strong_train", "val", "val"),
        ("weak_train", "strong_train", None),
        ("strong_train", "weak_train", None),
        ("weak_train", "val", None),
        ("strong_train", "strong_train", "strong_train"),
    ):
        both = corpora_of("ab", a={part_in_a: [7]}, b={part_in_b: [7]})
        for corpora in (both, both[::-1]):
            with subtests.test(a=part_in_a, b=part_in_b, turned=corpora is not both):
                found = labels(corpora, ["a", "b"])
                assert len(set(found["id"].tolist())) == len(found)
                assert by_id(found, "part").get(7) == kept
                trained = "weak_train" in (part_in_a, part_in_b) and kept != "test"
                assert found.facts["n_train"] == 60 + trained


def test_a_text_in_what_is_not_used_of_a_dataset_stays_in_another():
    # test and weak_train of a dataset that is no target are not used at all
    for unused in ("test", "weak_train"):
        corpora = corpora_of("ab", a={unused: [7]}, b={"strong_train": [7]})
        assert by_id(labels(corpora, ["b"]), "part")[7] == "strong_train"
        assert by_id(selected(corpora, ["b"])["points"], "source")[7] == "b"


def test_one_class_only_is_told():
    even = {part: [2 * i for i in ids] for part, ids in TEXTS["a"].items()}
    found = labels([corpus("a", even), *corpora_of("b")], ["a"])
    assert found.facts["status"] == "degenerate"
    assert found.facts["reason"].startswith("weak probe: found only targets equal to")
    assert (found["weak_proba"] == 0.5).all()


def test_datasets_that_do_not_fit_together_are_one_line(subtests):
    a, b = corpora_of("ab")
    later, wider = corpus("b", TEXTS["b"], seed=1), corpus("b", TEXTS["b"], d=5)
    for lists, targets, expected in (
        (([a[0], b[0]], [a[1]], [a[2], b[2]]), ["a"],
         "found 2 examples, 1 splits and 2 activations"),
        (([a[0], b[0]], [b[1], a[1]], [a[2], b[2]]), ["a"], "found dataset"),
        (([a[0], b[0]], [a[1], b[1]], [b[2], a[2]]), ["a"], "found dataset"),
        (zip(a, b, strict=True), ["a", "z"], "found no examples of z, expected some"),
        (zip(a, later, strict=True), ["a"], "split of b: found seed 1, expected 0"),
        (zip(a, wider, strict=True), ["a"], "activations of b: found width 5, expected 4"),
    ):  # fmt: skip
        with subtests.test(expected=expected):
            with pytest.raises(ArtifactError, match=expected) as caught:
                labels_of_files(*map(list, lists), targets=targets)
            assert "\n" not in str(caught.value)


def selected(corpora, targets, weak=None):
    names = [item[0].facts["dataset"] for item in corpora]
    sources = {"sources": "corpora", "datasets": names, "targets": targets}
    paths = {"rounds": 4, "batch": 5, "repeats": 1}
    weak = labels(corpora, targets) if weak is None else weak
    activations, examples = ([item[i] for item in corpora] for i in (2, 0))
    named = {"experiment": "domains", "sources": sources}
    return run(weak, activations, paths, examples=examples, **named)


def test_groups_of_different_datasets_are_different():
    # both hold the text 7, which counts once, and call all their groups the same
    corpora = corpora_of("ab", a={"test": [7]}, b={"test": [7]})
    for item in corpora:
        names = np.array([f"g{i % 2}" for i in item[0]["id"]], dtype=object)
        item[0] = changed(item[0], group=names)
    weak = labels(corpora, ["a", "b"])
    found = by_id(selected(corpora, ["a", "b"], weak)["predictions"], "group")
    owner = by_id(weak, "dataset")
    number = {("a", 0): 0, ("a", 1): 1, ("b", 0): 2, ("b", 1): 3}
    assert found == {i: number[owner[i], i % 2] for i in found}
    assert len(found) == 61
    # and the same in whatever order the datasets are
    assert by_id(selected(corpora[::-1], ["a", "b"], weak)["predictions"], "group") == found


@pytest.mark.parametrize("targets", [["b"], ["a", "b", "c"]])
def test_each_dataset_is_a_source_and_the_targets_are_tested_on(targets):
    found = selected(corpora_of(), targets)
    owner = by_id(found["points"], "source")
    assert owner == {i: name for name, t in TEXTS.items() for i in t["strong_train"]}
    assert set(found["paths"].facts["sources"]) == {"a", "b", "c"}
    assert set(found["paths"]["source"]) <= {"a", "b", "c"}
    tested = {i for name, t in TEXTS.items() if name in targets for i in t["test"]}
    assert set(found["predictions"]["id"].tolist()) == tested
    assert found["points"].facts["n_reference"] == 90


def test_a_text_that_two_sources_hold_is_in_the_first_and_none_that_is_tested_or_taught():
    corpora = corpora_of(
        "ab", a={"test": [7, 8], "weak_train": [9], "val": [10]},
        b={"strong_train": [7, 9, 10], "val": [8]},
    )  # fmt: skip
    found = selected(corpora, ["a", "b"])
    points = set(found["points"]["id"].tolist())
    assert not points & {7, 8, 9, 10}
    assert {7, 8} <= set(found["predictions"]["id"].tolist())
    corpora = corpora_of("ab", a={"strong_train": [7]}, b={"strong_train": [7]})
    assert by_id(selected(corpora, ["a"])["points"], "source")[7] == "a"


def test_the_order_of_the_datasets_does_not_matter():
    corpora = corpora_of()
    weak = labels(corpora, ["a"])
    first, second = (selected(order, ["a"], weak) for order in (corpora, corpora[::-1]))
    assert rows_by_policy(first) == rows_by_policy(second)
    for name in first["points"].arrays:
        assert first["points"][name].tolist() == second["points"][name].tolist()


def test_another_source_leaves_the_points_of_the_others_in_their_order():
    found = [selected(corpora_of(names), ["a"]) for names in ("ab", "abc")]
    # the detector differs, as its reference pool has grown: the draws do not
    handed = []
    for outcome in found:
        paths, points = outcome["paths"], outcome["points"]
        rounds = paths["round"][(paths["policy"] == "random") & (paths["source"] == "b")]
        drawn = points["drawn_random_0"]
        handed.append([set(points["id"][drawn == t].tolist()) for t in sorted(rounds)])
    both = min(map(len, handed))
    assert both > 0
    assert handed[0][:both] == handed[1][:both]
