"""Stage `arms`: the scores of a pool's points, and students of what each selector keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from w2s.arms.own import own_scores, own_selectors
from w2s.arms.plans import Plan, Set, arm_plans, whole_pool
from w2s.arms.pool import Pool
from w2s.arms.selectors import METHODS
from w2s.arms.track import SELECTORS, ArmsConfig, ArmsSettings
from w2s.checks import Array, rows_of
from w2s.errors import DegenerateError, W2SError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, layer_of, parts_of, same_job
from w2s.overlap.weak_labels import fitter
from w2s.probes.columns import Fit
from w2s.progress import bar
from w2s.results.metrics import correct_rows
from w2s.results.outcome import table
from w2s.rng import stream


def arms(
    examples: Artifact,
    split: Artifact,
    tokens: Artifact,
    weak_labels: Artifact,
    regions: Artifact,
    weak_activations: Artifact,
    strong_activations: Artifact,
    *,
    settings: ArmsSettings,
) -> dict[str, Artifact]:
    """Scores by every selector, arms and controls; all trainings on a matrix are one problem.

    Points whose weak label is exactly 1/2 have no label to learn and are in no arm. Students learn
    weak labels as probabilities, as w2s does; perceptrons learn the more likely class.
    """
    same_job(
        weak_labels=weak_labels, regions=regions, split=split, examples=examples, tokens=tokens,
        weak_activations=weak_activations, strong_activations=strong_activations,
    )  # fmt: skip
    facts = {key: weak_labels.facts[key] for key in ("dataset", "seed")}
    facts |= {"weak": settings.weak, "strong": settings.strong}
    decided = (weak_labels["part"] == "strong_train") & (weak_labels["weak_proba"] != 0.5)
    mine, test = weak_labels.where(decided), weak_labels.where(weak_labels["part"] == "test")
    seen = examples.where(parts_of(examples, split) == "weak_train")
    ids = mine["id"], test["id"], seen["id"]
    weak = _vectors(weak_activations, settings.weak_layer, ids)
    strong = _vectors(strong_activations, settings.strong_layer, ids[:2])
    place = rows_of(mine["id"], regions["id"], what="regions")
    group = examples["group"][rows_of(mine["id"], examples["id"], what="examples")]
    pool = Pool(
        id=mine["id"],
        n_tokens=np.diff(tokens["start"])[rows_of(mine["id"], tokens["id"], what="tokens")],
        weak_proba=mine["weak_proba"].astype(np.float64),
        weak=weak[0],
        strong=strong[0],
        region=regions["region"][place],
        overlap_score=regions["score"][place],
        group=group_codes(group),
        trained_weak=weak[2],
        trained_label=seen["label"],
        label=None,
        streams=lambda name: stream(facts["seed"], "arms", facts["dataset"], name),
    )
    why = weak_labels.facts["reason"] or ("" if len(mine["id"]) else "found no weak labels")
    scores, reasons = scored(pool, mine["label"], settings.arms, why)
    plans = [
        *whole_pool(pool, mine["label"], test["weak_proba"], settings.arms, why),
        *arm_plans(pool, mine["label"], scores, reasons, settings.arms, why),
    ]
    runs, right = _students(plans, pool, mine["label"], (weak[:2], strong[:2]), test, settings)
    group = examples["group"][rows_of(test["id"], examples["id"], what="examples")]
    points = {name: mine[name] for name in ("id", "label", "weak_proba")}
    points |= {f"score_{name}": score for name, score in scores.items()}
    correct = {"id": test["id"], "group": group_codes(group), "correct": right}
    return {
        "scores": Artifact("selector_scores", points, facts | {"reasons": reasons}),
        "runs": Artifact("arm_runs", table("arm_runs", runs).arrays, facts),
        "correct": Artifact("arm_correct", correct, facts),
    }


def _vectors(activations: Artifact, layer: int, ids: Sequence[Array]) -> list[Array]:
    """Activations of these points, (n, d) each."""
    x = layer_of(activations, layer)
    return [x[rows_of(mine, activations["id"], what="activations")] for mine in ids]


def _students(
    plans: Sequence[Plan],
    pool: Pool,
    label: Array,
    matrices: Sequence[Sequence[Array]],
    test: Artifact,
    settings: ArmsSettings,
) -> tuple[list[dict[str, object]], Array]:
    """Rows of all students, one after another, and what they get right, float32 (rows, n_test)."""
    rows, correct = [], []
    students = settings.arms.students
    with bar(f"students {test.facts['dataset']}", len(students), "students") as advance:
        for student in students:
            fit = student_of(student, settings, pool)
            right, told = trained(plans, fit, *matrices, label=test["label"])
            pairs = zip(plans, told, strict=True)
            rows += [described(plan, student, reason, label) for plan, reason in pairs]
            correct.append(right)
            advance(1)
    return rows, np.concatenate(correct)


def scored(
    pool: Pool, label: Array, arms: ArmsConfig, why: str = ""
) -> tuple[dict[str, Array], dict[str, str]]:
    """Scores of the points by each selector, float64 (n,), and why one has none (NaN then).

    Only oracles are given the true labels. `why` there are no weak labels, "" if there are.

    Raises:
        W2SError: of a selector of the user's own: another shape, or values that are not finite.
    """
    own = own_selectors(arms.selectors_file, arms.scores) if arms.selectors_file else {}
    methods: dict[str, Callable[[Pool], Array]] = {name: METHODS[name] for name in arms.selectors}
    if why:
        names = [*methods, *own, *arms.scores]
        return {name: np.full(len(label), np.nan) for name in names}, dict.fromkeys(names, why)
    scores, reasons = {}, {}
    with bar("selectors", len(methods) + len(own) + len(arms.scores), "selectors") as advance:
        for name, method in methods.items():
            given = replace(pool, label=label) if SELECTORS[name].oracle else pool
            try:
                scores[name] = np.asarray(method(given), dtype=np.float64)
            except W2SError as error:  # undefined here, as overlap without regions
                scores[name], reasons[name] = np.full(len(label), np.nan), str(error)
            advance(1)
        for name, mine in own.items():
            try:
                scores[name] = mine(pool, label)
            except DegenerateError as error:
                scores[name], reasons[name] = np.full(len(label), np.nan), str(error)
            advance(1)
        for name, path in arms.scores.items():
            scores[name] = own_scores(Path(path), pool.id)
            advance(1)
    return scores, reasons


def student_of(student: str, settings: ArmsSettings, pool: Pool) -> Fit:
    """How students are fitted."""
    if student == "perceptron":
        from w2s.probes.mlp import fit_mlps

        seed = int(pool.streams("perceptron").integers(2**31))
        return lambda x, targets, weights: fit_mlps(x, targets, weights, seed=seed)
    probe = settings.probe.model_copy(update={"kind": student})
    return fitter(probe, pool.streams("folds of students"))


def trained(
    plans: Sequence[Plan], fit: Fit, weak: Sequence[Array], strong: Sequence[Array], *, label: Array
) -> tuple[Array, list[str]]:
    """Which test points the trainings of each plan get right, and why one has none.

    Trainings that are the same, as random points that several arms are compared with, are made
    once.

    Args:
        plans: The rows.
        fit: Of students.
        weak: Weak vectors of the pool (n, d) and of the test points (n_test, d).
        strong: The strong ones.
        label: True labels of the test points.

    Returns:
        Share of repeats that are right, float32 (rows, n_test), NaN where one failed; the reasons.
    """
    correct = np.full((len(plans), len(label)), np.nan, dtype=np.float32)
    told = [plan.reason for plan in plans]
    for on_weak, sides in ((True, weak), (False, strong)):
        place: dict[bytes, int] = {}
        sets: list[Set] = []
        members: dict[int, list[int]] = {}  # of each plan, by its number
        for i, plan in enumerate(plans):
            if plan.reason or plan.on_weak != on_weak:
                continue
            if plan.known is not None:
                correct[i] = correct_rows(plan.known, label)
                continue
            for rows, target in plan.sets:
                known = hashlib.blake2b(rows.tobytes() + target[rows].tobytes()).digest()
                if known not in place:
                    place[known] = len(sets)
                    sets.append((rows, target))
                members.setdefault(i, []).append(place[known])
        if not sets:
            continue
        right, reason = _fitted(sets, fit, sides, label)
        for i, mine in members.items():
            correct[i] = right[mine].mean(axis=0)
            told[i] = next((reason[j] for j in mine if reason[j]), "")
    return correct, told


def _fitted(
    sets: Sequence[Set], fit: Fit, sides: Sequence[Array], label: Array
) -> tuple[Array, Sequence[str]]:
    """Of each training, the test points it gets right, float32 (trainings, n_test)."""
    x, x_test = sides
    weights = np.zeros((len(x), len(sets)))
    for column, (rows, _) in enumerate(sets):
        weights[rows, column] = 1
    probes = fit(x, np.stack([target for _, target in sets], axis=1), weights)
    return correct_rows(probes.predict_proba(x_test).T, label), probes.reason


def described(plan: Plan, student: str, reason: str, label: Array) -> dict[str, object]:
    """The columns of a row of `arm_runs`."""
    quality = [_quality(target[rows], label[rows]) for rows, target in plan.sets]
    n, right, positive = np.mean(quality, axis=0) if quality else (np.nan,) * 3
    return {
        "student": student, "selector": plan.selector, "band": plan.band, "budget": plan.budget,
        "control": plan.control, "purity": plan.purity, "repeats": len(plan.sets), "n": n,
        "label_accuracy": right, "class_balance": positive, "reason": reason,
    }  # fmt: skip


def _quality(target: Array, label: Array) -> tuple[int, float, float]:
    """Number of labels trained on, and shares of right and of positive ones."""
    positive = target > 0.5
    return len(target), float(np.mean(positive == (label == 1))), float(positive.mean())
