"""Tables and figures of weak supervision: by hand, published numbers, and what is undefined."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SEEDS, Chain
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from outcomes import drawn, lacking, make_outcome
from reference.bootstrap import draws as loop_draws
from test_figures import words
from test_steps import changed, files, of, renamed, run_stage, shuffled

from w2s.declare import KINDS
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, digest, load
from w2s.results.metrics import LABEL_SCORES
from w2s.results.outcome import Outcome
from w2s.weak_supervision.figures import lf_figure, mixes_figure
from w2s.weak_supervision.tables import (
    PUBLISHED,
    lf_rows,
    published_rows,
    restart_sd,
    weak_supervision_rows,
)
from w2s.weak_supervision.track import LABEL_MODELS

LEVEL = 0.95
CONTROLS = ("floor", "ceiling", "w2s", "plain", "plain", "plain", "purity_matched", "random",
            "true_labels")  # fmt: skip
PROPORTIONS = (np.nan, np.nan, np.nan, 0.0, 0.5, 1.0, 0.5, np.nan, np.nan)
MODELS = ["label_model", "w2s", "ceiling"]  # first come the rows that every dataset has
BEGINNING = {
    "lf_analysis": ["dataset", "lf", "coverage", "lf_overlaps", "conflicts", "accuracy", "reason"],
    "weak_supervision": ["dataset", "label_model", "strong", "control", "proportion", "accuracy",
                         "lo", "hi", "restart_sd", "label_accuracy", "label_brier",
                         "label_calibration", "n_seeds"],
}  # fmt: skip


def outcome(correct: Any, **changes: Any) -> Outcome:
    """The outcome of correctness (units, rows, n) for the rows above."""
    names = {"weak": "snorkel", "strong": "mlp"}
    return make_outcome(correct, CONTROLS, PROPORTIONS, **(names | changes))


def by_hand() -> Outcome:
    """Two seeds, four test points; `evaluate` says 1 for the label accuracy of every floor."""
    right = [
        [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0], *np.eye(6, 4)],
        [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0], *np.ones((6, 4))],
    ]
    purity = np.array(
        [[1, 1, 0.5, 0.25, 0.5, 0.75, 0.5, 0.5, 1], [1, 1, 0.75, 0.25, 0.5, 1, 0.75, 0.75, 1]]
    )
    size = [[60, 50, 50, 8, 8, 8, 6, 8, 8], [60, 48, 48, 6, 6, 6, 4, 6, 6]]
    columns = {
        "n_train": np.array(size, dtype=float),
        "label_accuracy": purity,
        "label_brier": (1 - purity) / 2,
        "label_calibration": (1 - purity) / 4,
    }
    return outcome(right, columns=columns)


def random_outcome(seed: int = 0, *, seeds: int = 3, n: int = 25, restarts: int = 1) -> Outcome:
    rng = np.random.default_rng(seed)
    shape = (seeds * restarts, len(CONTROLS))
    size = {"n_train": rng.integers(10, 90, shape).astype(float)}
    return outcome(
        rng.integers(0, 3, (*shape, n)) / 2,
        columns=size | {name: rng.random(shape) for name in LABEL_SCORES},
        restarts=restarts,
    )


def rows_of(found: Outcome, **options: Any) -> dict[tuple[str, float | None], dict[str, Any]]:
    """Rows by control and proportion, None where it has none."""
    rows = weak_supervision_rows(found, drawn(found, 300, **options), LEVEL)
    keyed = {
        (row["control"], None if math.isnan(row["proportion"]) else row["proportion"]): row
        for row in rows
    }
    assert len(keyed) == len(rows)
    return keyed


# --- labeling functions ---------------------------------------------------------------------------


def test_lf_rows_by_hand():
    votes = [  # of a, b, c and d
        [1, 1, -1, -1], [1, 0, -1, -1], [0, -1, -1, -1], [-1, 1, 1, -1], [1, 1, 0, -1],
    ]  # fmt: skip
    rows = lf_rows("films", list("abcd"), np.array(votes, np.int8), np.array([1, 1, 1, 0, 1]))
    expected = {  # coverage, overlaps, conflicts, accuracy
        ("films", "a"): (0.8, 0.6, 0.4, 0.75),
        ("films", "b"): (0.8, 0.8, 0.4, 0.5),
        ("films", "c"): (0.4, 0.4, 0.2, 0.0),
        ("films", "d"): (0.0, 0.0, 0.0, math.nan),
    }
    assert [tuple(row) for row in rows] == [tuple(BEGINNING["lf_analysis"])] * 4
    for row, (names, values) in zip(rows, expected.items(), strict=True):
        assert tuple(row.values())[:2] == names
        np.testing.assert_allclose(tuple(row.values())[2:-1], values)
    assert [row["reason"] for row in rows] == ["", "", "", "it never votes"]


# --- label models and students --------------------------------------------------------------------


def test_weak_supervision_rows_by_hand():
    found = rows_of(by_hand())
    assert [control for control, _ in found] == [*MODELS, *CONTROLS[3:]]
    expected = {
        # accuracy on test, accuracy of labels, training points
        ("label_model", None): (0.375, 0.625, 60),  # its labels on strong_train: those of w2s
        ("w2s", None): (0.625, 0.625, 49),
        ("ceiling", None): (0.875, 1, 49),
        ("plain", 0.0): (0.625, 0.25, 7),
        ("plain", 0.5): (0.625, 0.5, 7),
        ("plain", 1.0): (0.625, 0.875, 7),
        ("purity_matched", 0.5): (0.625, 0.625, 5),
        ("random", None): (0.5, 0.625, 7),
        ("true_labels", None): (0.5, 1, 7),
    }
    shown = {
        key: tuple(row[name] for name in ("accuracy", "label_accuracy", "n_train"))
        for key, row in found.items()
    }
    assert shown == expected
    for row in found.values():
        for k, name in enumerate(LABEL_SCORES[1:], start=1):
            assert row[name] == pytest.approx((1 - row["label_accuracy"]) / 2**k)
        assert math.isnan(row["restart_sd"])
        assert set(row) == set(KINDS["weak_supervision_table"].arrays)
        assert (row["dataset"], row["label_model"], row["strong"]) == ("films", "snorkel", "mlp")
        assert (row["n_seeds"], row["reason"]) == (2, "")


@pytest.mark.parametrize(("seed", "restarts"), [(0, 1), (1, 1), (2, 1), (3, 2)])
def test_values_and_intervals_are_those_of_the_correctness(seed, restarts):
    found = random_outcome(seed, restarts=restarts)
    bootstrap = drawn(found, 300)
    shown = weak_supervision_rows(found, bootstrap, LEVEL)
    everywhere = np.ones((3 * restarts, 25), dtype=bool)
    positions = [0, 2, 1, *range(3, len(CONTROLS))]
    for row, i in zip(shown, positions, strict=True):
        right = found.correct[:, i].astype(float)
        assert row["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
        draws = loop_draws(right, everywhere, bootstrap.seeds, bootstrap.examples)
        low, high = np.quantile(draws, [0.025, 0.975])
        assert (row["lo"], row["hi"]) == pytest.approx((low, high), abs=1e-6)
        for name in LABEL_SCORES:  # the label model has those of w2s
            expected = found.columns[name][:, 2 if i == 0 else i].mean()
            assert row[name] == pytest.approx(expected)
        assert row["n_train"] == pytest.approx(found.columns["n_train"][:, i].mean())
        assert row["n_seeds"] == 3


def test_restart_sd_by_hand_and_of_seeds_that_have_the_row():
    # accuracies of w2s over the restarts: 0, .5 and 1, then .25 twice and 1; of the others one
    share = [[0, 0.5, 1], [0.25, 0.25, 1]]
    right = np.full((6, 3, 4), 0.5)
    right[:, 2] = np.arange(4)[None] < 4 * np.array(share).reshape(6, 1)
    found = outcome(right, restarts=3)
    expected = (0.5 + np.sqrt((2 * 0.25**2 + 0.5**2) / 2)) / 2
    # the label model is the same in every restart: it has none
    assert restart_sd(found) == pytest.approx([math.nan, 0, expected], nan_ok=True)
    rows = rows_of(found)
    assert rows["w2s", None]["restart_sd"] == pytest.approx(expected)
    assert math.isnan(rows["label_model", None]["restart_sd"])
    assert {row["n_seeds"] for row in rows.values()} == {2}
    found = random_outcome(0, restarts=3)
    full = restart_sd(found)
    share = found.correct.astype(float).mean(axis=2).reshape(3, 3, -1)
    assert full[1:] == pytest.approx(share.std(axis=1, ddof=1).mean(axis=0)[1:])
    assert math.isnan(full[0])
    for unit in (3, 4, 5):
        found = lacking(found, unit, ("w2s",), "only one class")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        some = restart_sd(found)
        assert some[2] == pytest.approx(share[[0, 2], :, 2].std(axis=1, ddof=1).mean())
        assert some[1] == full[1]
        for unit in range(9):
            found = lacking(found, unit, ("w2s",), "only one class")
        assert math.isnan(restart_sd(found)[2])
    assert all(map(math.isnan, restart_sd(by_hand())))


STUDENTS = ("w2s", "plain", "purity_matched", "random")


def test_students_without_a_seed_are_those_of_the_other_with_the_reason():
    found = rows_of(lacking(by_hand(), 0, STUDENTS, "only one class"))
    places = {
        (control, None if math.isnan(p) else p): i
        for i, (control, p) in enumerate(zip(CONTROLS, PROPORTIONS, strict=True))
    }
    for key, row in found.items():
        missing = key[0] in STUDENTS
        assert row["reason"] == ("only one class" if missing else "")
        assert row["n_seeds"] == (1 if missing else 2)
        if missing:
            assert row["accuracy"] == by_hand().correct[1, places[key]].mean()
    # the label model has labels whether or not a student learns from them
    assert found["label_model", None]["label_accuracy"] == 0.625
    assert found["plain", 1.0]["label_accuracy"] == 1
    assert found["plain", 1.0]["n_train"] == 6
    row = found["w2s", None]
    assert (row["accuracy"], row["label_accuracy"], row["n_train"]) == (0.75, 0.75, 48)


def test_students_that_fail_in_every_seed_are_nan_with_the_reason():
    found = by_hand()
    for seed in (0, 1):
        found = lacking(found, seed, STUDENTS, "only one class")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = rows_of(found)
    for (control, _), row in shown.items():
        undefined = control in STUDENTS
        for name in ("accuracy", "lo", "hi"):
            assert math.isnan(row[name]) == undefined
        assert row["reason"] == ("only one class" if undefined else "")
        assert row["n_seeds"] == (0 if undefined else 2)
    assert shown["label_model", None]["label_accuracy"] == 0.625


# --- published numbers ----------------------------------------------------------------------------

METHOD = """
| basketball | .637 | .692 | .953 | .617 | .543 | .279 |
| cdr | .658 | .605 | .684 | .564 | .594 | .613 |
| census | .610 | .615 | .833 | .602 | .609 | .616 |
| commercial | .879 | .893 | .952 | .665 | .842 | .941 |
| imdb | .710 | .746 | .769 | .607 | .703 | .724 |
| mushroom | .864 | .865 | .990 | .630 | .865 | .598 |
| sms | .649 | .704 | .973 | .522 | .743 | .916 |
| spambase | .769 | .776 | .929 | .682 | .774 | .867 |
| tennis | .842 | .810 | .878 | .495 | .792 | .821 |
| yelp | .697 | .686 | .797 | .564 | .680 | .705 |
| youtube | .729 | .834 | .871 | .611 | .808 | .832 |
"""


def test_published_numbers_are_those_of_the_page_and_each_has_its_row():
    expected = {}
    for line in METHOD.split("\n")[1:-1]:
        name, *numbers = (cell.strip() for cell in line.strip("|").split("|"))
        expected[name] = tuple(map(float, numbers))
    assert expected == PUBLISHED
    for dataset, numbers in expected.items():
        shown = published(dataset)
        quantities = ("label_model", "pseudo", "true", "mix_0", "mix_0.5", "mix_1")
        assert tuple(shown[quantity]["published"] for quantity in quantities) == numbers


def published(dataset: str = "census", *, found: Outcome | None = None) -> dict[str, Any]:
    found = replace(found or by_hand(), dataset=dataset)
    rows = published_rows(weak_supervision_rows(found, drawn(found, 300), LEVEL))
    keyed = {row["quantity"]: row for row in rows}
    assert len(keyed) == len(rows)
    return keyed


def test_published_numbers_stand_beside_the_rows_they_are_of():
    # shares of many repeats: no two rows are equal, so that none can be taken for another
    found = outcome(np.random.default_rng(0).random((3, len(CONTROLS), 25)))
    shown, all_rows = published(found=found), rows_of(found)
    values = [row["accuracy"] for row in all_rows.values()]
    assert len(set(values)) == len(values)
    expected = {
        "pseudo": (0.615, ("w2s", None)),
        "mix_0": (0.602, ("plain", 0.0)),
        "mix_0.5": (0.609, ("plain", 0.5)),
        "mix_1": (0.616, ("plain", 1.0)),
    }
    for quantity, (number, key) in expected.items():
        row = shown[quantity]
        assert row["published"] == number
        for name, of_ours in (("ours", "accuracy"), ("lo", "lo"), ("hi", "hi")):
            assert row[name] == all_rows[key][of_ours]
    assert set(shown) == {*expected, "label_model", "true"}
    assert shown["true"]["published"] == 0.833


def test_published_label_model_true_labels_and_what_has_no_row():
    row = published()["label_model"]
    assert row["published"] == 0.610
    assert row["ours"] == 0.625  # of its labels on strong_train; 0.375 on test
    assert math.isnan(row["lo"])
    assert math.isnan(row["hi"])
    names = tuple(row[name] for name in ("dataset", "label_model", "strong", "n_seeds"))
    assert names == ("census", "snorkel", "mlp", 2)
    # the published true labels are as many as the pseudo labels
    ours = rows_of(by_hand())
    assert ours["true_labels", None]["accuracy"] != ours["ceiling", None]["accuracy"]
    assert published()["true"]["ours"] == ours["ceiling", None]["accuracy"]
    # datasets and shares that were not published
    assert published("films") == {}
    fewer = by_hand()
    shares = np.array(fewer.proportion)
    shares[4] = 0.4
    shown = published(found=replace(fewer, proportion=shares))
    assert set(shown) == {"label_model", "pseudo", "true", "mix_0", "mix_1"}


# --- the steps ------------------------------------------------------------------------------------


def inputs_of(chain: Chain) -> list[list[Artifact]]:
    return [
        files(chain, "examples.parquet"),
        files(chain, "label_matrix.safetensors"),
        files(chain, *(f"lf-metrics-{seed}.parquet" for seed in SEEDS)),
        files(chain, *(f"lf-correct-{seed}.safetensors" for seed in SEEDS)),
    ]


def tables_of(*inputs: list[Artifact]) -> dict[str, Artifact]:
    return run_stage("weak_supervision_tables", *inputs, evaluation={"bootstrap": 200})


def all_renamed(items: list[Artifact], **facts: str) -> list[Artifact]:
    return [renamed(item, **facts) for item in items]


def test_lf_table_follows_from_the_label_matrix(chain):
    for name, columns in BEGINNING.items():
        table = pd.read_csv(chain / f"table-lf-{name}.csv")
        assert list(table.columns[: len(columns)]) == columns
    texts, matrix, *_ = inputs_of(chain)
    votes, label = matrix[0]["votes"], of(texts[0], "label", matrix[0]["id"])
    table = load(chain / "table-lf-lf_analysis.parquet").frame
    assert list(table["lf"]) == ["afinn", "negation", "intensity", "vader"]
    assert set(table["dataset"]) == {"films"}
    for j, row in enumerate(table.itertuples()):
        mine, others = votes[:, j] >= 0, np.delete(votes, j, axis=1)
        beside = mine & (others >= 0).any(axis=1)
        against = mine & ((others >= 0) & (others != votes[:, [j]])).any(axis=1)
        shares = [mine.mean(), beside.mean(), against.mean()]
        assert [row.coverage, row.lf_overlaps, row.conflicts] == pytest.approx(shares)
        right = (votes[:, j] == label)[mine]
        accuracy = right.mean() if mine.any() else math.nan
        assert row.accuracy == pytest.approx(accuracy, nan_ok=True)


def test_fault_rows_of_another_order_give_the_same_tables(chain):
    """The original takes positions of a subset for positions of the whole set."""
    texts, matrix, metrics, correct = inputs_of(chain)
    before = tables_of(texts, matrix, metrics, correct)
    order = np.random.default_rng(0).permutation(len(correct[1]["id"]))
    names = ("id", "region", "group", "correct")
    other = changed(correct[1], **{name: correct[1][name][..., order] for name in names})
    after = tables_of([shuffled(texts[0])], [shuffled(matrix[0], 1)], metrics, [correct[0], other])
    for name, artifact in before.items():
        assert digest(after[name]) == digest(artifact), name


def test_a_job_moves_no_number_of_another(chain):
    texts, matrix, metrics, correct = inputs_of(chain)
    before = tables_of(texts, matrix, metrics, correct)["weak_supervision"]
    more = [all_renamed(side, weak="snorkel", strong="probe") for side in (metrics, correct)]
    after = tables_of(texts, matrix, more[0] + metrics, more[1] + correct)["weak_supervision"]
    n = len(before)
    assert after["label_model"].tolist() == ["snorkel"] * n + ["majority_vote"] * n
    mine = after.where(after["label_model"] == "majority_vote")
    for column, values in before.arrays.items():
        np.testing.assert_array_equal(mine[column], values)


def test_published_table_is_of_published_datasets(chain):
    assert len(load(chain / "table-lf-published.parquet")) == 0
    sides = [all_renamed(side, dataset="census") for side in inputs_of(chain)]
    found = tables_of(*sides)
    shown = found["published"].frame.set_index("quantity")
    assert list(shown["published"]) == [0.610, 0.615, 0.833, 0.602, 0.609, 0.616]
    rows = found["weak_supervision"].frame
    model = rows[rows["control"] == "label_model"].iloc[0]
    assert shown.loc["label_model", "ours"] == model["label_accuracy"]
    half = rows[(rows["control"] == "plain") & (rows["proportion"] == 0.5)].iloc[0]
    assert shown.loc["mix_0.5", "ours"] == half["accuracy"]


def test_comparisons_are_those_of_the_students(chain):
    table = load(chain / "table-lf-comparisons.parquet").frame
    overall = table[table["group"] == "overall"].set_index("comparison")
    rows = load(chain / "table-lf-weak_supervision.parquet").frame.set_index("control")
    gain = rows.loc["w2s", "accuracy"] - rows.loc["label_model", "accuracy"]
    assert set(table["group"]) == {"overall", "easy", "hard", "overlap"}
    assert overall.loc["w2s - floor", "difference"] == pytest.approx(gain, abs=1e-6)
    for control in ("plain", "purity_matched"):
        curve = rows.loc[[control]].set_index("proportion")["accuracy"]
        slope = overall.loc[f"{control}: p=1 - p=0", "difference"]
        assert slope == pytest.approx(curve[1.0] - curve[0.0], abs=1e-6, nan_ok=True)


def test_inputs_that_do_not_fit_are_refused(chain):
    texts, matrix, metrics, correct = inputs_of(chain)
    for inputs, message in (
        ((texts * 2, matrix, metrics, correct), "found 2 examples and 1 label matrices"),
        ((texts, all_renamed(matrix, dataset="x"), metrics, correct),
         "label_matrix: found dataset x, expected films"),
        ((texts, matrix, metrics, correct[::-1]), "metrics and correct of different jobs"),
        ((texts, matrix, metrics[:1] * 2, correct[:1] * 2), "seed 0 of a job twice"),
    ):  # fmt: skip
        with pytest.raises(ArtifactError, match=message):
            tables_of(*inputs)


# --- figures --------------------------------------------------------------------------------------

TITLES = {"films": "Films", "tweets": "Tweets, short"}
SHARES = (0.0, 0.5, 1.0)


def lf_table(**changes: Any) -> dict[str, Any]:
    return {
        "dataset": np.array(["films", "films", "films", "tweets"], dtype=object),
        "lf": np.array(["a", "b", "never", "a"], dtype=object),
        "coverage": np.array([0.2, 0.8, 0.0, 0.5]),
        "accuracy": np.array([0.7, 0.6, math.nan, 0.9]),
    } | changes


def mixes_table(models: list[str] | None = None, students: Any = ("mlp", "probe")) -> Any:
    """Rows in an order of their own: plain and purity-matched curves of everything."""
    controls = ("plain", "purity_matched", "label_balanced")
    every = itertools.product(TITLES, students, models or list(LABEL_MODELS), controls)
    rows = []
    for number, (dataset, strong, model, control) in enumerate(every):
        for p in SHARES[::-1]:
            value = 0.4 + 0.01 * number + 0.05 * p
            rows.append((dataset, model, strong, control, p, value, value - 0.02, value + 0.02))
    names = ("dataset", "label_model", "strong", "control", "proportion", "accuracy", "lo", "hi")
    columns = zip(*rows, strict=True)
    return {
        name: np.array(column, dtype=object if name in names[:4] else float)
        for name, column in zip(names, columns, strict=True)
    }


def shown_of(*options: Any, **where: str) -> dict[str, Axes]:
    """Panels of the mixes of that table, without values where its columns are so."""
    table = mixes_table(*options)
    if where:
        mask = np.logical_and.reduce([table[name] == value for name, value in where.items()])
        table |= {name: np.where(mask, np.nan, table[name]) for name in ("accuracy", "lo", "hi")}
    return panels_of(mixes_figure(table, TITLES))


def panels_of(figure: Figure) -> dict[str, Axes]:
    figure.draw_without_rendering()
    return {ax.get_title(): ax for ax in figure.axes}


def test_lf_figure_has_a_point_with_its_name_for_every_lf_that_votes():
    shown = panels_of(lf_figure(lf_table(), TITLES))
    assert list(shown) == ["Films", "Tweets, short"]
    assert words(shown["Films"]) == ["a", "b"]
    assert words(shown["Tweets, short"]) == ["a"]
    points = shown["Films"].lines[1]
    np.testing.assert_array_equal(points.get_xdata(), [0.2, 0.8, 0])
    np.testing.assert_array_equal(points.get_ydata(), [0.7, 0.6, math.nan])
    assert shown["Films"].get_xlabel() == "coverage"
    silent = lf_table(accuracy=np.array([0.7, 0.6, math.nan, math.nan]),
                      coverage=np.array([0.2, 0.8, 0.0, 0.0]))  # fmt: skip
    shown = panels_of(lf_figure(silent, TITLES))
    assert words(shown["Tweets, short"])


def curves_of(ax: Axes) -> dict[str, list[float]]:
    return {str(line.get_label()): list(np.asarray(line.get_ydata())) for line in ax.lines}


def test_mixes_figure_has_a_panel_for_every_student_and_dataset():
    table = mixes_table()
    shown = panels_of(mixes_figure(table, TITLES))
    titles = [f"{title}, {strong}" for strong in ("mlp", "probe") for title in TITLES.values()]
    assert list(shown) == titles
    frame = pd.DataFrame(table).sort_values("proportion")
    frame = frame[frame["control"] != "label_balanced"]
    drawn_ = {title: curves_of(ax) for title, ax in shown.items()}
    assert {len(curves) for curves in drawn_.values()} == {2 * len(LABEL_MODELS)}
    by_curve = frame.groupby(["dataset", "strong", "label_model", "control"])["accuracy"]
    for (dataset, strong, model, control), accuracy in by_curve:
        label = f"{model}, {control.replace('_', ' ')}"
        curve = drawn_[f"{TITLES[dataset]}, {strong}"][label]
        assert curve == accuracy.tolist()
        assert all(low < high for low, high in itertools.pairwise(curve))


def test_mixes_figure_shows_placebos_dotted_and_label_models_as_lines():
    table = mixes_table(["snorkel"], ("probe",))
    table["control"][table["control"] == "label_balanced"] = "placebo"
    here = (table["control"] == "purity_matched") & (table["proportion"] == SHARES[0])
    table["control"][here] = "label_model"
    for dataset, title in TITLES.items():
        ax = panels_of(mixes_figure(table, TITLES))[f"{title}, probe"]
        lines = {str(line.get_label()): line for line in ax.lines}
        assert lines["snorkel, placebo"].get_linestyle() == ":"
        mine = (table["dataset"] == dataset) & (table["control"] == "placebo")
        assert sorted(lines["snorkel, placebo"].get_ydata()) == sorted(table["accuracy"][mine])
        itself = lines["snorkel itself"]
        assert itself.get_linestyle() == "-."
        (value,) = table["accuracy"][here & (table["dataset"] == dataset)]
        assert set(itself.get_ydata()) == {value}


def test_students_of_a_dataset_are_below_one_another_and_the_legend_names_all_once():
    figure = mixes_figure(mixes_table(), TITLES)
    figure.draw_without_rendering()
    boxes = [ax.get_position() for ax in figure.axes]
    assert boxes[0].x0 == pytest.approx(boxes[2].x0, abs=0.02)
    assert boxes[0].y0 > boxes[2].y1
    assert boxes[0].x1 < boxes[1].x0
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert sorted(told) == sorted(
        f"{m}, {c}" for m in LABEL_MODELS for c in ("plain", "purity matched")
    )


def test_what_is_degenerate_says_so_in_its_panels():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = shown_of(dataset="tweets")
    for strong in ("mlp", "probe"):
        silent = shown[f"Tweets, short, {strong}"]
        (told,) = words(silent)
        assert told.startswith("no mixes of majority_vote")
        assert not silent.lines
        assert words(shown[f"Films, {strong}"]) == []
        assert len(shown[f"Films, {strong}"].lines) == 2 * len(LABEL_MODELS)
    student = shown_of(strong="mlp")
    assert [bool(words(ax)) for ax in student.values()] == [True, True, False, False]
    model = shown_of(label_model="snorkel")  # beside the others
    assert any("snorkel" in told for ax in model.values() for told in words(ax))
    table = mixes_table()
    table |= {name: np.full(len(table["lo"]), np.nan) for name in ("accuracy", "lo", "hi")}
    everything = panels_of(mixes_figure(table, TITLES))
    assert all(words(ax) for ax in everything.values())


def test_one_label_model_and_student_make_one_row_of_panels():
    shown = shown_of(["dawid_skene"], ("probe",))
    assert list(shown) == ["Films, probe", "Tweets, short, probe"]
    assert {len(ax.lines) for ax in shown.values()} == {2}


def test_the_stage_draws_from_the_tables(chain):
    names = (*BEGINNING, "comparisons")
    tables = files(chain, *(f"table-lf-{name}.parquet" for name in names))
    titles = [["films", "Motion pictures"]]
    figures = run_stage("weak_supervision_figures", *tables, titles=titles)
    assert set(figures) == {"lfs", "mixes", "contrasts"}
    for name in ("lfs", "contrasts"):
        assert list(panels_of(figures[name])) == ["Motion pictures"]
    (ax,) = panels_of(figures["mixes"]).values()
    assert ax.get_title() == "Motion pictures, mlp"
    frame = tables[1].frame
    for control in ("plain", "placebo"):
        rows = frame[frame["control"] == control].sort_values("proportion")
        rows = rows[rows["accuracy"].notna()]
        assert curves_of(ax).get(f"majority_vote, {control}", []) == rows["accuracy"].tolist()
    frame = tables[2].frame
    shown = frame[frame["comparison"].str.contains(": ") & (frame["group"] == "overall")]
    (ax,) = panels_of(figures["contrasts"]).values()
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == shown["comparison"].tolist()
    assert "plain: overlap - placebo, p=1" in labels
