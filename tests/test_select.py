"""The stages `corpora_labels` and `select` against independent computations of their promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from conftest import CUT, PAIR, PATHS, SEEDS, Chain

from w2s.checks import rows_of
from w2s.config import parse_as
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, digest, load, save
from w2s.overlap.detect import Detector, fit_detector
from w2s.probes.probes import fit_probes
from w2s.selection.select import select
from w2s.selection.sources import corpora_labels
from w2s.selection.track import CorporaLabelsSettings, Policy, SelectSettings
from w2s.tracks import KINDS

POLICIES = get_args(Policy)
Texts = dict[str, list[int]]  # part -> ids


def by_id(artifact: Artifact, name: str) -> dict[int, Any]:
    return dict(zip(artifact["id"].tolist(), artifact[name], strict=True))


def run(
    weak: Artifact,
    activations: list[Artifact],
    *,
    settings: SelectSettings,
    examples: list[Artifact] | None = None,
) -> dict[str, Artifact]:
    """`select`; without examples every point is a group of its own."""
    if examples is None:
        examples = []
        for name in settings.sources.datasets:
            ids = weak["id"][weak["dataset"] == name]
            arrays = {"id": ids, "group": ids.astype(str).astype(object)}
            examples.append(Artifact("examples", arrays, {"dataset": name}))
    return select(weak, activations, examples, settings=settings)


def shuffled(artifact: Artifact, seed: int = 0) -> Artifact:
    """The same rows in another order."""
    return artifact.where(np.random.default_rng(seed).permutation(len(artifact)))


def settings(paths: dict[str, Any] | None = None, **changes: Any) -> SelectSettings:
    """Settings of the chain's job, with some changed."""
    data = {**PAIR, "experiment": "cut", "sources": CUT, "paths": PATHS | (paths or {})}
    return parse_as(SelectSettings, data | changes)


def inputs_of(chain: Chain, seed: int = 0) -> tuple[Artifact, list[Artifact]]:
    weak = load(chain / f"weak_labels-{seed}.parquet")
    return weak, [load(chain / "activations-large.safetensors")]


def outputs_of(chain: Chain, seed: int = 0) -> dict[str, Artifact]:
    return {
        "points": load(chain / f"points-{seed}.parquet"),
        "paths": load(chain / f"paths-{seed}.parquet"),
        "predictions": load(chain / f"selected-{seed}.safetensors"),
    }


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


def detector_of(weak: Artifact, activations: Artifact) -> Detector:
    val = weak.where(weak["part"] == "val")
    x = activations["layer_-1"][rows_of(val["id"], activations["id"], what="activations")]
    return fit_detector(val["weak_proba"], x)


@pytest.mark.parametrize("seed", SEEDS)
def test_points_are_strong_train_and_no_source_holds_another(chain: Chain, seed: int) -> None:
    weak, _ = inputs_of(chain, seed)
    points = outputs_of(chain, seed)["points"]
    train = weak.where(weak["part"] == "strong_train")
    assert points["id"].tolist() == train["id"].tolist()
    for name in ("label", "weak_proba"):
        np.testing.assert_array_equal(points[name], train[name])
    assert set(points["source"]) == {"s1", "s2"}
    others = set(weak["id"][weak["part"] != "strong_train"].tolist())
    assert not others & set(points["id"].tolist())
    assert points.facts["n_reference"] == np.sum(weak["part"] == "val") == 40


@pytest.mark.parametrize("seed", SEEDS)
def test_regions_are_those_of_a_detector_of_val_only(chain: Chain, seed: int) -> None:
    weak, (activations,) = inputs_of(chain, seed)
    points = outputs_of(chain, seed)["points"]
    detector = detector_of(weak, activations)
    assert points.facts["tau_hard"] == detector.tau_hard
    assert points.facts["tau_overlap"] == detector.tau_overlap
    x = activations["layer_-1"][rows_of(points["id"], activations["id"], what="activations")]
    expected = detector.apply(points["weak_proba"], x)
    assert points["region"].tolist() == expected.region.tolist()
    assert set(points["region"]) == {"easy", "hard", "overlap"}


def moved(activations: Artifact, ids: Any, seed: int = 0) -> Artifact:
    """Other activations of some points."""
    x = activations["layer_-1"].copy()
    mine = np.isin(activations["id"], ids)
    x[mine] = np.random.default_rng(seed).normal(size=(mine.sum(), x.shape[1]))
    return replace(activations, arrays={**activations.arrays, "layer_-1": x})


def test_only_val_moves_the_detector(chain: Chain) -> None:
    weak, (activations,) = inputs_of(chain)
    before = outputs_of(chain)
    tau = [before["points"].facts[name] for name in ("tau_hard", "tau_overlap")]
    told = {}
    for part in ("strong_train", "test", "val"):
        other = moved(activations, weak["id"][weak["part"] == part])
        told[part] = run(weak, [other], settings=settings())
    for part in ("strong_train", "test"):
        facts = told[part]["points"].facts
        assert [facts[name] for name in ("tau_hard", "tau_overlap")] == tau
    assert told["val"]["points"].facts["tau_overlap"] != tau[1]
    assert told["strong_train"]["points"]["region"].tolist() != before["points"]["region"].tolist()
    # test activations move nothing but the predictions
    assert digest(told["test"]["points"]) == digest(replace(before["points"], provenance={}))
    assert columns_of(told["test"]["paths"]) == columns_of(before["paths"])


def test_true_labels_of_strong_train_move_the_label_oracle_only(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    label = weak["label"].copy()
    train = weak["part"] == "strong_train"
    label[train] = np.random.default_rng(1).integers(0, 2, train.sum())
    other = replace(weak, arrays={**weak.arrays, "label": label})
    after = rows_by_policy(run(other, activations, settings=settings()))
    before = rows_by_policy(outputs_of(chain))
    assert {name for name in POLICIES if before[name] != after[name]} <= {"label_oracle"}


@pytest.mark.parametrize("seed", SEEDS)
def test_facts_of_the_sources_are_their_shares(chain: Chain, seed: int) -> None:
    points = outputs_of(chain, seed)["points"]
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


@pytest.mark.parametrize("seed", SEEDS)
def test_rounds_are_those_of_the_points_drawn(chain: Chain, seed: int) -> None:
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


def test_fault_a_reward_does_not_depend_on_other_pulls(chain: Chain) -> None:
    """The original refits its detector at each pull: here every batch can be judged alone."""
    weak, (activations,) = inputs_of(chain)
    found = outputs_of(chain)
    detector, points = detector_of(weak, activations), found["points"]
    x = activations["layer_-1"][rows_of(points["id"], activations["id"], what="activations")]
    for policy, repeat, t, density in zip(
        *(found["paths"][name].tolist() for name in ("policy", "repeat", "round", "density")),
        strict=True,
    ):
        batch = points[f"drawn_{policy}_{repeat}"] == t
        alone = detector.apply(points["weak_proba"][batch], x[batch])
        assert density == alone.density


@pytest.mark.parametrize("seed", SEEDS)
def test_predictions_are_those_of_probes_of_the_points_so_far(chain: Chain, seed: int) -> None:
    weak, (activations,) = inputs_of(chain, seed)
    found = outputs_of(chain, seed)
    points, paths, predictions = found["points"], found["paths"], found["predictions"]
    test = weak.where(weak["part"] == "test")
    assert predictions["id"].tolist() == test["id"].tolist()
    assert predictions["label"].tolist() == test["label"].tolist()
    assert predictions["row"].tolist() == list(range(len(paths)))
    x, x_test = (
        activations["layer_-1"][rows_of(item["id"], activations["id"], what="activations")]
        for item in (points, test)
    )
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


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_of_the_test_points_are_those_of_the_examples(chain: Chain, seed: int) -> None:
    weak, activations = inputs_of(chain, seed)
    examples = load(chain / "examples.parquet")
    assert len(set(outputs_of(chain, seed)["predictions"]["group"].tolist())) == 120  # no groups
    passage = np.array([f"passage {i % 7}" for i in examples["id"]], dtype=object)
    grouped = replace(examples, arrays={**examples.arrays, "group": passage})
    few = settings({"rounds": 1, "repeats": 1})
    found = run(weak, activations, settings=few, examples=[shuffled(grouped)])["predictions"]
    assert found["group"].dtype == np.int64
    assert found["group"].tolist() == [i % 7 for i in found["id"].tolist()]


def test_examples_of_another_dataset_or_without_a_test_point_are_refused(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    examples = load(chain / "examples.parquet")
    books = replace(examples, facts={**examples.facts, "dataset": "books"})
    few = examples.where(examples["id"] != weak["id"][weak["part"] == "test"][5])
    for item, expected in (
        (books, "examples: found those of books, expected those of films"),
        (few, "examples: found no row for 1 of 120 example ids"),
    ):
        with pytest.raises(ArtifactError, match=expected) as caught:
            run(weak, activations, settings=settings(), examples=[item])
        assert "\n" not in str(caught.value)


def test_an_untrained_probe_says_one_half_with_its_reason(chain: Chain) -> None:
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


@pytest.mark.parametrize(
    "policies",
    [[name for name in POLICIES if name != left_out] for left_out in ("ucb", "random", "original")]
    + [POLICIES[::-1], ("thompson",), ("label_oracle", "epsilon_greedy")],
    ids=lambda names: "+".join(names),
)
def test_a_policy_moves_no_number_of_another(policies: list[str], chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    before = rows_by_policy(outputs_of(chain))
    after = run(weak, activations, settings=settings({"policies": policies}))
    assert rows_by_policy(after) == {name: before[name] for name in policies}
    assert after["paths"].facts["policies"] == list(policies)
    points = outputs_of(chain)["points"]
    for name, column in after["points"].arrays.items():
        np.testing.assert_array_equal(column, points[name])


def test_epsilon_moves_epsilon_greedy_only(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    before = rows_by_policy(outputs_of(chain))
    after = rows_by_policy(run(weak, activations, settings=settings({"epsilon": 1.0})))
    assert {name for name in POLICIES if before[name] != after[name]} == {"epsilon_greedy"}


def test_another_repeat_moves_no_path_of_the_first(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    one = run(weak, activations, settings=settings({"repeats": 1}))
    both = outputs_of(chain)
    first = both["paths"]["repeat"] == 0
    unlike = ("gap_all", "gap_overlap")
    assert columns_of(both["paths"].where(first), without=unlike) == columns_of(
        one["paths"], without=unlike
    )
    for name in ("all", "overlap"):
        assert_same_probe(both["predictions"][name][first], one["predictions"][name])


def test_sources_do_not_depend_on_how_they_are_selected_from(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    before = outputs_of(chain)["points"]
    paths = {"rounds": 3, "batch": 7, "repeats": 1, "policies": ["ucb"]}
    after = run(weak, activations, settings=settings(paths))["points"]
    for name in ("id", "source", "region"):
        assert after[name].tolist() == before[name].tolist()


def test_seeds_and_experiments_draw_sources_and_paths_of_their_own(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    first = outputs_of(chain)["points"]
    other = run(weak, activations, settings=settings(experiment="again"))["points"]
    assert first["region"].tolist() == other["region"].tolist()
    seed = replace(weak, facts={**weak.facts, "seed": 7})
    later = run(seed, activations, settings=settings())["points"]
    for found in (other, later):
        assert np.mean(found["source"] == first["source"]) < 0.8
        same = (found["drawn_random_0"] > 0) & (first["drawn_random_0"] > 0)
        assert same.sum() < 15  # of 24 drawn, 24 * 24 / 120 = 5 expected


def test_the_order_of_activations_and_examples_does_not_matter(chain: Chain) -> None:
    weak, (activations,) = inputs_of(chain)
    examples = [shuffled(load(chain / "examples.parquet"), 1)]
    after = run(weak, [shuffled(activations)], settings=settings(), examples=examples)
    for name, before in outputs_of(chain).items():
        assert digest(after[name]) == digest(replace(before, provenance={}))


def test_a_path_ends_early_where_all_sources_run_dry(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    found = run(weak, activations, settings=settings({"rounds": 50, "batch": 7, "repeats": 1}))
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


def test_without_a_detector_there_are_no_paths_and_the_reason_is_told(
    chain: Chain, tmp_path: Path
) -> None:
    weak, activations = inputs_of(chain)
    constant = np.full(len(weak), 0.75, dtype=np.float32)
    flat = replace(weak, arrays={**weak.arrays, "weak_proba": constant})
    found = run(flat, activations, settings=settings())
    assert "equal values" in saved_degenerate(found, tmp_path, 120)
    assert set(found["points"]["region"]) == {"undefined"}
    assert set(found["points"]["source"]) == {""}
    assert found["points"].facts["sources"] == {}
    assert found["points"].facts["tau_hard"] is None


def test_too_many_overlap_points_for_sources_of_one_size(chain: Chain, tmp_path: Path) -> None:
    weak, activations = inputs_of(chain)
    sources = CUT | {"counts": "rebalanced", "overlap_shares": [0.0, 0.0, 0.0, 1.0]}
    many = {"tau_hard": {"quantile": 0.1}, "tau_overlap": {"quantile": 0.0}}
    found = run(weak, activations, settings=settings(sources=sources, overlap=many))
    assert "overlap points for a source of 30 points" in saved_degenerate(found, tmp_path, 120)
    assert found["points"].facts["tau_hard"] is not None
    assert "overlap" in set(found["points"]["region"])


def test_no_source_holds_a_batch(chain: Chain, tmp_path: Path) -> None:
    weak, activations = inputs_of(chain)
    found = run(weak, activations, settings=settings({"batch": 100}))
    reason = saved_degenerate(found, tmp_path, 120)
    assert reason == "selection: found no source with 100 points"
    assert set(found["paths"].facts["sources"]) == {"s1", "s2"}
    assert set(found["points"]["source"]) == {"s1", "s2"}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"dataset": "books"}, "found those of films, expected those of books"),
        (
            {"sources": "corpora", "datasets": ["films", "books"], "targets": ["books"]},
            "found those of films, expected those of films, books",
        ),
    ],
)
def test_activations_of_other_datasets_are_refused(
    sources: dict[str, Any], expected: str, chain: Chain
) -> None:
    weak, activations = inputs_of(chain)
    chosen = {"sources": "partition", **sources}
    with pytest.raises(ArtifactError, match=expected) as caught:
        run(weak, activations, settings=settings(sources=chosen))
    assert "\n" not in str(caught.value)


def test_points_without_activations_are_refused(chain: Chain) -> None:
    weak, (activations,) = inputs_of(chain)
    short = activations.where(activations["id"] != weak["id"][3])
    with pytest.raises(ArtifactError, match="found no row for 1 of 280 example ids"):
        run(weak, [short], settings=settings())
    with pytest.raises(ArtifactError, match="expected layer_5"):
        run(weak, [activations], settings=settings(layer=5))


def test_all_probes_can_be_chosen(chain: Chain) -> None:
    weak, activations = inputs_of(chain)
    for probe in ({"kind": "knn", "neighbors": 3}, {"l2": "cv"}):
        found = run(weak, activations, settings=settings({"repeats": 1}, probe=probe))
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
    return [
        Artifact("examples", examples, {"dataset": name}),
        Artifact("split", {"id": ids[pool], "half": half[pool]}, {"dataset": name, "seed": seed}),
        Artifact(
            "activations",
            {"id": ids, "layer_-1": np.array(rows, dtype=np.float32)},
            {"dataset": name},
        ),
    ]


def texts(first: int, **changes: list[int]) -> Texts:
    """Ids of 120 texts from `first` on: 30 in each half, 30 in val, 30 in test."""
    parts = ("weak_train", "strong_train", "val", "test")
    return {
        part: list(range(first + 30 * i, first + 30 * (i + 1))) + changes.get(part, [])
        for i, part in enumerate(parts)
    }


def labels(corpora: list[list[Artifact]], targets: list[str]) -> Artifact:
    chosen = parse_as(CorporaLabelsSettings, {"experiment": "domains", "targets": targets})
    sides = zip(*corpora, strict=True)
    return corpora_labels(*(list(side) for side in sides), settings=chosen)["weak_labels"]


A, B, C = texts(1000), texts(2000), texts(3000)


def three(targets: list[str]) -> Artifact:
    return labels([corpus("a", A), corpus("b", B), corpus("c", C)], targets)


@pytest.mark.parametrize("targets", [["a"], ["b"], ["a", "c"], ["a", "b", "c"]])
def test_parts_are_the_sources_and_the_targets_tests(targets: list[str]) -> None:
    found = by_id(three(targets), "part")
    expected = {}
    for name, content in (("a", A), ("b", B), ("c", C)):
        for part in ("strong_train", "val", *(["test"] if name in targets else [])):
            expected |= dict.fromkeys(content[part], part)
    assert found == expected


@pytest.mark.parametrize("targets", [["a"], ["c", "a"]])
def test_the_weak_probe_is_fitted_on_weak_train_of_the_targets_only(targets: list[str]) -> None:
    found = three(targets)
    train = [i for name, t in (("a", A), ("c", C)) if name in targets for i in t["weak_train"]]
    together = {i: x for name, t in (("a", A), ("b", B), ("c", C)) for i, x in by_id(
        corpus(name, t)[2], "layer_-1").items()}  # fmt: skip
    probe = fit_probes(np.stack([together[i] for i in train]), np.array(train) % 2)
    expected = probe.predict_proba(np.stack([together[i] for i in found["id"].tolist()]))
    np.testing.assert_allclose(found["weak_proba"], expected, atol=2e-3)
    assert found.facts["n_train"] == len(train)
    assert (found.facts["dataset"], found.facts["seed"]) == ("domains", 0)
    assert found["label"].tolist() == (found["id"] % 2).tolist()
    assert not set(train) & set(found["id"].tolist())


def test_other_datasets_do_not_move_the_weak_probe() -> None:
    alone, together = labels([corpus("a", A)], ["a"]), three(["a"])
    shared = by_id(together, "weak_proba")
    assert by_id(alone, "weak_proba") == {i: shared[i] for i in alone["id"].tolist()}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_dataset_has_the_labels_of_weak_labels(chain: Chain, seed: int) -> None:
    found = load(chain / f"corpora-labels-{seed}.parquet")
    plain = load(chain / f"weak_labels-{seed}.parquet")
    for name in ("id", "part", "label"):
        assert found[name].tolist() == plain[name].tolist()
    np.testing.assert_array_equal(found["weak_proba"], plain["weak_proba"])


@pytest.mark.parametrize(
    ("part_in_a", "part_in_b", "kept"),
    [
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
    ],
)
def test_a_text_of_two_datasets_counts_once(
    part_in_a: str, part_in_b: str, kept: str | None
) -> None:
    sides = (("a", 1000, part_in_a), ("b", 2000, part_in_b))
    both = [corpus(name, texts(first, **{part: [7]})) for name, first, part in sides]
    for corpora in (both, both[::-1]):
        found = labels(corpora, ["a", "b"])
        assert len(set(found["id"].tolist())) == len(found)
        assert by_id(found, "part").get(7) == kept
        trained = "weak_train" in (part_in_a, part_in_b) and kept != "test"
        assert found.facts["n_train"] == 60 + trained


def test_a_text_in_what_is_not_used_of_a_dataset_stays_in_another() -> None:
    # test and weak_train of a dataset that is no target are not used at all
    for unused in ("test", "weak_train"):
        sides = (("a", 1000, unused), ("b", 2000, "strong_train"))
        corpora = [corpus(name, texts(first, **{part: [7]})) for name, first, part in sides]
        assert by_id(labels(corpora, ["b"]), "part")[7] == "strong_train"


def test_one_class_only_is_told() -> None:
    even: Texts = {part: [2 * i for i in ids] for part, ids in texts(1000).items()}
    found = labels([corpus("a", even), corpus("b", B)], ["a"])
    assert found.facts["status"] == "degenerate"
    assert found.facts["reason"].startswith("weak probe: found only targets equal to")
    assert (found["weak_proba"] == 0.5).all()


def test_lists_of_different_lengths_are_one_line() -> None:
    chosen = parse_as(CorporaLabelsSettings, {"experiment": "domains", "targets": ["a"]})
    a, b = corpus("a", A), corpus("b", B)
    with pytest.raises(ArtifactError, match="found 2 examples, 1 splits and 2 activations"):
        corpora_labels([a[0], b[0]], [a[1]], [a[2], b[2]], settings=chosen)


def test_lists_in_different_orders_are_one_line() -> None:
    chosen = parse_as(CorporaLabelsSettings, {"experiment": "domains", "targets": ["a"]})
    a, b = corpus("a", A), corpus("b", B)
    for lists in (([a, b], [b, a], [a, b]), ([a, b], [a, b], [b, a])):
        files = [[item[i] for item in order] for i, order in enumerate(lists)]
        with pytest.raises(ArtifactError, match="found dataset") as caught:
            corpora_labels(*files, settings=chosen)
        assert "\n" not in str(caught.value)


def test_a_target_without_examples_is_one_line() -> None:
    with pytest.raises(ArtifactError, match="found no examples of z, expected some"):
        labels([corpus("a", A), corpus("b", B)], ["a", "z"])


def test_halves_of_different_seeds_are_refused() -> None:
    with pytest.raises(ArtifactError):
        labels([corpus("a", A), corpus("b", B, seed=1)], ["a"])


def test_activations_of_different_widths_are_refused() -> None:
    with pytest.raises(ArtifactError):
        labels([corpus("a", A), corpus("b", B, d=5)], ["a"])


def selected(
    corpora: list[list[Artifact]], targets: list[str], weak: Artifact | None = None
) -> dict[str, Artifact]:
    names = [item[0].facts["dataset"] for item in corpora]
    chosen = settings(
        {"rounds": 4, "batch": 5, "repeats": 1},
        experiment="domains",
        sources={"sources": "corpora", "datasets": names, "targets": targets},
    )
    weak = labels(corpora, targets) if weak is None else weak
    activations, examples = ([item[i] for item in corpora] for i in (2, 0))
    return run(weak, activations, settings=chosen, examples=examples)


def test_groups_of_different_datasets_are_different() -> None:
    # both hold the text 7, which counts once, and call all their groups the same
    corpora = [corpus(name, texts(first, test=[7])) for name, first in (("a", 1000), ("b", 2000))]
    for item in corpora:
        names = np.array([f"g{i % 2}" for i in item[0]["id"]], dtype=object)
        item[0] = replace(item[0], arrays={**item[0].arrays, "group": names})
    weak = labels(corpora, ["a", "b"])
    found = by_id(selected(corpora, ["a", "b"], weak)["predictions"], "group")
    owner = by_id(weak, "dataset")
    number = {("a", 0): 0, ("a", 1): 1, ("b", 0): 2, ("b", 1): 3}
    assert found == {i: number[owner[i], i % 2] for i in found}
    assert len(found) == 61
    # and the same in whatever order the datasets are
    assert by_id(selected(corpora[::-1], ["a", "b"], weak)["predictions"], "group") == found


@pytest.mark.parametrize("targets", [["b"], ["a", "b", "c"]])
def test_each_dataset_is_a_source_and_the_targets_are_tested_on(targets: list[str]) -> None:
    found = selected([corpus("a", A), corpus("b", B), corpus("c", C)], targets)
    owner = by_id(found["points"], "source")
    assert owner == {
        i: name for name, t in (("a", A), ("b", B), ("c", C)) for i in t["strong_train"]
    }
    assert set(found["paths"].facts["sources"]) == {"a", "b", "c"}
    assert set(found["paths"]["source"]) <= {"a", "b", "c"}
    tested = {i for name, t in (("a", A), ("b", B), ("c", C)) if name in targets for i in t["test"]}
    assert set(found["predictions"]["id"].tolist()) == tested
    assert found["points"].facts["n_reference"] == 90


def test_nothing_that_is_tested_or_trained_the_weak_model_is_in_a_source() -> None:
    corpora = [
        corpus("a", texts(1000, test=[7, 8], weak_train=[9], val=[10])),
        corpus("b", texts(2000, strong_train=[7, 9, 10], val=[8])),
    ]
    found = selected(corpora, ["a", "b"])
    points = set(found["points"]["id"].tolist())
    assert not points & {7, 8, 9, 10}
    assert {7, 8} <= set(found["predictions"]["id"].tolist())


def test_a_text_that_two_sources_hold_is_in_the_first() -> None:
    corpora = [corpus(n, texts(k, strong_train=[7])) for n, k in (("a", 1000), ("b", 2000))]
    assert by_id(selected(corpora, ["a"])["points"], "source")[7] == "a"


@pytest.mark.parametrize("unused", ["test", "weak_train"])
def test_a_text_is_in_the_source_whose_strong_train_holds_it(unused: str) -> None:
    # of a dataset that is no target only val and strong_train are used
    corpora = [
        corpus("a", texts(1000, **{unused: [7]})),
        corpus("b", texts(2000, strong_train=[7])),
    ]
    assert by_id(selected(corpora, ["b"])["points"], "source")[7] == "b"


def test_the_order_of_the_datasets_does_not_matter() -> None:
    corpora = [corpus("a", A), corpus("b", B), corpus("c", C)]
    weak = labels(corpora, ["a"])
    first, second = (selected(order, ["a"], weak) for order in (corpora, corpora[::-1]))
    assert rows_by_policy(first) == rows_by_policy(second)
    for name in first["points"].arrays:
        assert first["points"][name].tolist() == second["points"][name].tolist()


def test_another_source_leaves_the_points_of_the_others_in_their_order() -> None:
    two = [corpus("a", A), corpus("b", B)]
    found = [selected(corpora, ["a"]) for corpora in (two, [*two, corpus("c", C)])]
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
