"""What tables are made from: seeds and restarts side by side, divided test points, references."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import drawn, lacking, make_outcome

from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, check
from w2s.overlap.tables import comparison_rows, evaluate
from w2s.overlap.track import EvaluateSettings
from w2s.results.intervals import Bootstrap, estimate
from w2s.results.metrics import LABEL_SCORES, REFERENCES, REGIONS
from w2s.results.outcome import COLUMNS, outcome_of
from w2s.results.rows import with_references
from w2s.rng import stream

WHY = "found only targets equal to 1"
NAMES = {"dataset": "films", "weak": "small", "strong": "large"}


# --- how test points are divided ------------------------------------------------------------------


def divided(region, **changes):
    """Weights of the regions of some seeds, with one row of correctness."""
    units = len(region) * changes.get("restarts", 1)
    correct = np.zeros((units, 1, len(region[0])))
    return make_outcome(correct, ("floor",), region=region, **changes).groups()


def test_points_of_a_seed_are_divided_by_the_other_seeds_by_hand():
    found = divided([[0, 1, 2, 1], [0, 0, 2, 2], [1, 0, 2, 0]])
    assert list(found) == ["overall", *REGIONS]
    expected = {
        "overall": np.ones((3, 4)),
        "easy": [[0.5, 1, 0, 0.5], [0.5, 0.5, 0, 0.5], [1, 0.5, 0, 0]],
        "hard": [[0.5, 0, 0, 0], [0.5, 0.5, 0, 0.5], [0, 0.5, 0, 0.5]],
        "overlap": [[0, 0, 1, 0.5], [0, 0, 1, 0], [0, 0, 1, 0.5]],
    }
    for name, weight in expected.items():
        np.testing.assert_array_equal(found[name], weight)
        assert found[name].dtype == np.float32
    found = divided([[0, 1], [-1, -1], [1, 1]])  # a degenerate seed divides no points
    np.testing.assert_array_equal(found["easy"], [[0, 0], [0.5, 0], [1, 0]])
    np.testing.assert_array_equal(found["hard"], [[1, 1], [0.5, 1], [0, 1]])
    once, thrice = divided([[0, 1], [2, 0]]), divided([[0, 1], [2, 0]], restarts=3)
    for name, weight in once.items():
        np.testing.assert_array_equal(thrice[name], np.repeat(weight, 3, axis=0))
    np.testing.assert_array_equal(divided([[0, 2], [-1, -1]])["easy"], [[0, 0], [1, 0]])


def test_why_a_group_lacks_seeds():
    alone = make_outcome([[[1, 0]]], ("floor",), region=[[0, 2]])
    assert not any(alone.groups()[name].any() for name in REGIONS)
    assert alone.why_group(0, "easy") == (
        "found 1 seed with regions, expected 2 or more: test points are divided by the weak "
        "models of other seeds"
    )
    assert alone.why_group(1, "overall") == ""
    found = make_outcome(np.zeros((3, 1, 2)), ("floor",), region=[[0, 0]] * 3)
    assert found.why_group(0, "hard") == "seeds without hard test points"
    assert found.why_group(3, "easy") == ""
    told = replace(found, reason=["", "overlap: constant", ""])
    assert told.why_group(2, "hard") == "overlap: constant"
    assert told.why_group(3, "hard") == ""


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 3))
def test_weights_of_the_regions_add_up_and_are_of_other_seeds(seed, seeds, restarts):
    rng = np.random.default_rng(seed)
    region = rng.integers(0, 3, (seeds, 7))
    region[rng.random(seeds) < 0.3] = -1
    found = divided(region, restarts=restarts)
    known = region[:, 0] >= 0
    total = sum(found[name] for name in REGIONS)
    for unit in range(seeds * restarts):
        others = [s for s in range(seeds) if s != unit // restarts and known[s]]
        np.testing.assert_allclose(total[unit], bool(others), rtol=1e-6)
        for code, name in enumerate(REGIONS):
            share = np.mean([region[s] == code for s in others], axis=0) if others else 0
            np.testing.assert_allclose(found[name][unit], share, rtol=1e-6)
    # what a seed's own weak model says about its points changes no weight of its own
    own = int(rng.integers(seeds))
    other = region.copy()
    other[own] = (other[own] + (known[own])) % 3 if known[own] else -1
    changed = divided(other, restarts=restarts)
    mine = slice(own * restarts, (own + 1) * restarts)
    for name in REGIONS:
        np.testing.assert_array_equal(changed[name][mine], found[name][mine])


# --- regression to the mean -----------------------------------------------------------------------


def planted(*, family=0.0, imitation=0.0, seed=0):
    """Five seeds of floor and w2s of one accuracy, and a learning curve; no region matters.

    A model is right where its score is above 0: how easy the point is for all models, plus an error
    of its own. Hard points are the three tenths that the floor of the seed is least sure of, a coin
    divides the others.

    Args:
        family: Correlation of the errors of two weak models, and of two strong ones.
        imitation: Correlation of the errors of w2s and those of its floor.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    shape = (5, 3000)
    ease = 0.8 + rng.standard_normal(shape[1])
    shared = {name: rng.standard_normal(shape[1]) for name in ("weak", "strong")}

    def errors(name):
        own = rng.standard_normal(shape)
        return math.sqrt(family) * shared[name] + math.sqrt(1 - family) * own

    of_floor = errors("weak")
    of_w2s = imitation * of_floor + math.sqrt(1 - imitation**2) * errors("strong")
    floor = ease + 1.4 * of_floor
    curve = [ease + scale * errors("strong") for scale in (2.2, 1.6, 1.2, 0.8, 0.3)]
    scores = [floor, ease + 1.4 * of_w2s, curve[-1], *curve[:-1]]
    sure = np.abs(floor)
    hard = sure < np.quantile(sure, 0.3, axis=1, keepdims=True)
    region = np.where(hard, 1, np.where(rng.random(shape) < 0.5, 0, 2))
    made = make_outcome(
        np.stack([score > 0 for score in scores], axis=1),
        ("floor", "w2s", "ceiling", *["few_labels"] * 4),
        (np.nan, np.nan, np.nan, 0.0625, 0.125, 0.25, 0.5),
        region=region,
    )
    return with_references(made)


def differences(found, group):
    rows = comparison_rows(found, drawn(found, 200), 0.95)
    return {row["comparison"]: row for row in rows if row["group"] == group}


def assert_none(row):
    assert abs(row["difference"]) < 0.01
    assert row["lo"] < 0 < row["hi"]


def cut_by_its_own_weak_model(found, other, region):
    """w2s minus another row on a region by each seed's own floor."""
    difference = found.correct[:, found.row("w2s")] - found.correct[:, found.row(other)]
    mask = found.region == REGIONS.index(region)
    return float(estimate(difference[:, None], mask, drawn(found, 1)).mean[0])


def test_planted_models_are_equally_accurate():
    for found in (planted(), planted(family=0.5), planted(imitation=0.5)):
        assert_none(differences(found, "overall")["w2s - floor"])
        share = found.correct.mean(axis=(0, 2), dtype=float)
        assert share[found.row("reference")] == pytest.approx(share[found.row("floor")], abs=1e-6)


def test_floors_of_other_seeds_take_the_seeds_own_regression_to_the_mean_away():
    found = planted()
    assert cut_by_its_own_weak_model(found, "floor", "hard") > 0.07
    assert cut_by_its_own_weak_model(found, "floor", "easy") < -0.03
    for region in REGIONS:
        assert_none(differences(found, region)["w2s - floor"])


def test_what_all_floors_share_stays_in_w2s_minus_floor_but_not_minus_reference():
    found = planted(family=0.5)
    artefact = cut_by_its_own_weak_model(found, "floor", "hard")
    hard = differences(found, "hard")["w2s - floor"]
    assert 0.35 < hard["difference"] / artefact < 0.65
    assert hard["lo"] > 0
    for region in REGIONS:
        assert_none(differences(found, region)["w2s - reference"])


def test_a_student_that_imitates_its_floor_loses_nothing_where_other_floors_divide():
    found = planted(imitation=0.5)
    assert cut_by_its_own_weak_model(found, "reference", "hard") < -0.03
    assert_none(differences(found, "hard")["w2s - reference"])


# --- references -----------------------------------------------------------------------------------

CURVED = ("floor", "w2s", "ceiling", "few_labels", "few_labels", "few_labels", "plain")
SHARES = (np.nan, np.nan, np.nan, 0.5, 0.125, 0.25, 0.0)  # the curve in an order of its own


def rows_right(*counts, n=8):
    """Rows (rows, n) that get as many of the first points right."""
    return (np.arange(n) < np.array(counts)[:, None]).astype(float)


HAND = (5, 6, 7, 6, 2, 4, 3)
HALFWAY = [1, 1, 1, 1, 0.5, 0.5, 0, 0]  # the reference of HAND: half of the way from 4 to 6


def curved(*counts, seeds=2, **changes):
    """Every seed the same: points that floor, w2s, ceiling, then the curve gets right, of 8."""
    right = np.stack([rows_right(*counts)] * seeds)
    size = np.array([100, 80, 80, 40, 10, 20, 30.0])
    columns = {name: np.tile(size / 1000, (seeds, 1)) for name in LABEL_SCORES}
    columns["n_train"] = np.tile(size, (seeds, 1))
    return make_outcome(right, CURVED, SHARES, columns=columns, **changes)


def reference(found, name="reference"):
    """Correctness (units, n) and training points of a reference, and why units lack it."""
    i = found.row(name)
    size = found.columns["n_train"][:, i]
    return found.correct[:, i], size, {why[i] for why in found.row_reason}


def assert_lacking(found, why, name="reference"):
    right, size, told = reference(found, name)
    assert np.isnan(right).all()
    assert np.isnan(size).all()
    assert told == {why}


def test_references_by_hand():
    # the curve: 2, 4 and 6 of 8 with 10, 20 and 40 labels, then the ceiling: 7 with 80
    before = curved(*HAND)
    found = with_references(before)
    assert found.control == [*CURVED, "reference", "reference_w2s"]
    np.testing.assert_array_equal(found.proportion[-2:], [np.nan, np.nan])
    right, size, why = reference(found)
    np.testing.assert_array_equal(right, [HALFWAY] * 2)
    assert (size.tolist(), why) == ([30, 30], {""})
    right, size, why = reference(found, "reference_w2s")  # 6: all of the way
    np.testing.assert_array_equal(right, [rows_right(6)[0]] * 2)
    assert (size.tolist(), why) == ([40, 40], {""})
    for name in LABEL_SCORES:
        np.testing.assert_allclose(found.columns[name][:, -2:], [[0.03, 0.04]] * 2)
    np.testing.assert_array_equal(found.correct[:, :7], before.correct)  # nothing else changes
    np.testing.assert_array_equal(found.region, before.region)
    np.testing.assert_array_equal(found.group, before.group)


@pytest.mark.parametrize(
    ("counts", "expected", "labels"),
    [  # the ceiling is the end of the curve
        ((7, 6, 8, 6, 2, 4, 3), [1, 1, 1, 1, 1, 1, 0.5, 0.5], 60),
        # where noise makes several crossings the first counts: 2, 5, 3 and 7
        ((4, 6, 7, 3, 2, 5, 3), [1, 1, 2 / 3, 2 / 3, 2 / 3, 0, 0, 0], 50 / 3),
        # equal neighbours give the one with fewer labels
        ((4, 4, 7, 4, 4, 4, 3), [1, 1, 1, 1, 0, 0, 0, 0], 10),
    ],
)
def test_references_of_other_curves_by_hand(counts, expected, labels):
    right, size, _ = reference(with_references(curved(*counts)))
    np.testing.assert_array_equal(right[0], np.float32(expected))
    np.testing.assert_allclose(size, [labels] * 2)


def test_references_that_there_are_not_say_why():
    for floor in (1, 8):  # an accuracy outside of the curve
        found = with_references(curved(floor, 5, 7, 6, 2, 4, 3))
        why = (
            f"reference: floor has accuracy {floor / 8:.3f}, outside of 0.250 to 0.875, from "
            f"few_labels to the ceiling"
        )
        assert_lacking(found, why)
        assert reference(found, "reference_w2s")[2] == {""}
    plain = with_references(make_outcome(np.stack([rows_right(4, 5, 7)] * 2), CURVED))
    found = with_references(lacking(curved(*HAND), 1, ("few_labels",), WHY))
    for name in REFERENCES:
        assert_lacking(plain, "`mixing.controls` has no few_labels", name)
        assert_lacking(found, WHY, name)  # a seed lacks the curve everywhere
    found = with_references(lacking(lacking(curved(*HAND), 0, ("floor",), WHY), 1, ("floor",), WHY))
    assert_lacking(found, WHY)
    assert reference(found, "reference_w2s")[2] == {""}


def test_a_point_of_the_curve_that_a_seed_lacks_is_not_used():
    found = curved(*HAND)
    correct = found.correct.copy()
    correct[1, 5] = np.nan  # the 4 of 8, of 20 labels
    reasons = [list(of_seed) for of_seed in found.row_reason]
    reasons[1][5] = "0.25 of the pool are 1 points, expected 2 or more"
    found = with_references(replace(found, correct=correct, row_reason=reasons))
    right, size, why = reference(found)
    np.testing.assert_allclose(right, [[1, 1, 0.75, 0.75, 0.75, 0.75, 0, 0]] * 2)
    assert size.tolist() == [32.5, 32.5]  # three quarters of the way from 10 to 40
    assert why == {""}


def test_a_seed_without_floor_or_ceiling_has_no_reference_and_the_others_go_on():
    for control in ("floor", "ceiling"):
        found = with_references(lacking(curved(*HAND, seeds=3), 1, (control,), WHY))
        i = found.row("reference")
        np.testing.assert_array_equal(found.correct[[0, 2], i], [HALFWAY] * 2)
        assert np.isnan(found.correct[1, i]).all()
        assert [why[i] for why in found.row_reason] == ["", WHY, ""]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 2))
def test_a_reference_is_as_accurate_as_its_model_and_between_its_neighbours(seed, seeds, restarts):
    rng = np.random.default_rng(seed)
    share = np.array([0.6, 0.65, 0.9, 0.7, 0.5, 0.6, 0.6])
    right = rng.random((seeds * restarts, 7, 40)) < share[:, None]
    found = make_outcome(
        right, CURVED, SHARES, region=np.zeros((seeds, 40)), restarts=restarts,
        columns={name: rng.random((seeds * restarts, 7)) for name in COLUMNS},
    )  # fmt: skip
    if rng.random() < 0.5:
        found = lacking(found, 0, ("floor", "w2s"), WHY)
    made = with_references(found)
    curve = [4, 5, 3, 2]  # by share, the ceiling at the end
    for name, target in REFERENCES.items():
        mine, theirs = made.row(name), made.row(target)
        known = np.isfinite(made.correct[:, mine, 0])
        if not known.any():
            assert all(why[mine] for why in made.row_reason)
            continue
        np.testing.assert_array_equal(known, np.isfinite(made.correct[:, theirs, 0]))
        assert made.correct[known, mine].mean() == pytest.approx(
            made.correct[known, theirs].mean(), abs=1e-6
        )
        between = []
        for below, above in pairwise(curve):
            for values in (made.correct[known], made.columns["n_train"][known]):
                low, high = np.sort(values[:, [below, above]], axis=1).swapaxes(0, 1)
                inside = (low - 1e-6 <= values[:, mine]) & (values[:, mine] <= high + 1e-6)
                between.append(inside.all())
        assert any(a and b for a, b in zip(between[::2], between[1::2], strict=True))


# --- draws ----------------------------------------------------------------------------------------


def test_groups_and_restarts_are_drawn_as_such():
    def rng():
        return stream(0, "bootstrap", *NAMES.values())

    found = make_outcome(np.zeros((3, 1, 20)), ("floor",))
    expected = Bootstrap.draw(3, 20, 50, rng())
    np.testing.assert_array_equal(found.bootstrap(50).examples, expected.examples)
    for made in (found, replace(found, group=np.arange(20)[::-1] * 7)):
        np.testing.assert_array_equal(made.bootstrap(50).seeds, expected.seeds)
        assert made.n_groups == 20
    group = np.repeat(np.arange(5), 4)
    found = make_outcome(np.zeros((6, 1, 20)), ("floor",), restarts=2, group=group)
    assert found.n_groups == 5
    made = found.bootstrap(50)
    expected = Bootstrap.draw(3, 20, 50, rng(), restarts=2, groups=group)
    np.testing.assert_array_equal(made.examples, expected.examples)
    np.testing.assert_array_equal(made.seeds, expected.seeds)
    assert made.seeds.shape == (50, 6)
    assert (made.examples[:, ::4] == made.examples[:, 3::4]).all()


# --- from the artifacts of the seeds --------------------------------------------------------------

CURVES = (("w2s", np.nan), ("ceiling", np.nan), ("plain", 0.5), ("plain", 1.0))
# control, proportion, restart
ROWS = (("floor", np.nan, 0), *((*curve, restart) for curve in CURVES for restart in (0, 1)))
IDS = (40, 10, 30, 20)


def evaluated(seed, *, rows=ROWS, order=None, lost=()):
    """What `evaluate` writes, as far as tables read it; a row's numbers tell seed and restart."""
    number = np.array([ROWS.index(row) for row in rows], dtype=float)
    reasons = [WHY if i in lost else "" for i in range(len(rows))]
    told = {**NAMES, "seed": seed, "status": "ok", "reason": ""}
    shares = {"n_pool": 200, "density": 0.25, "easy_share": 0.5, "hard_share": 0.25}
    shares["stability"] = 0.875
    order = list(range(4)) if order is None else order
    correct = ((number[:, None] + 1) * np.arange(1, 5) + seed) / 50
    correct[list(lost)] = np.nan
    arrays = {
        "id": np.array(IDS)[order],
        "region": np.array([0, 1, 2, 0], dtype=np.int8)[order],
        "group": np.array([0, 1, 1, 2])[order],
        "correct": correct.astype(np.float32)[:, order],
        "proportion": np.array([p for _, p, _ in rows]),
        "restart": np.array([restart for *_, restart in rows], dtype=np.int32),
        **{name: number / 10 + seed + k for k, name in enumerate(COLUMNS)},
    }
    named = {"control": [control for control, *_ in rows], "row_reason": reasons}
    correct = Artifact("correct", arrays, told | named)
    check(correct, "made up")
    return Artifact("metrics", {}, told | shares), correct


def test_restarts_become_units_and_a_row_without_them_is_the_same_in_all():
    found = outcome_of([evaluated(0), evaluated(1, lost=(2,))])
    assert found.restarts == 2
    assert found.control == ["floor", "w2s", "ceiling", "plain", "plain"]
    np.testing.assert_array_equal(found.proportion, [np.nan, np.nan, np.nan, 0.5, 1])
    assert found.correct.shape == (4, 5, 4)
    place = [[0, 1, 3, 5, 7], [0, 2, 4, 6, 8]]  # of each row in ROWS, by restart
    for unit in range(4):
        seed, restart = divmod(unit, 2)
        written = evaluated(seed, lost=(2,) if seed else ())[1]
        np.testing.assert_array_equal(found.correct[unit], written["correct"][place[restart]])
        for name in COLUMNS:
            np.testing.assert_array_equal(found.columns[name][unit], written[name][place[restart]])
    assert [why[1] for why in found.row_reason] == ["", "", "", WHY]
    assert found.region.shape == (2, 4)
    assert len(found.reason) == 2
    np.testing.assert_array_equal(found.group, [0, 1, 1, 2])
    assert found.n_groups == 3
    np.testing.assert_array_equal(found.shares, [[0.5, 0.25, 0.25, 0.875]] * 2)


def test_tables_count_seeds_not_units():
    seeds = [evaluated(0), evaluated(1), evaluated(2, lost=(1, 2))]
    rows = comparison_rows(outcome_of(seeds), drawn(outcome_of(seeds), 50), 0.95)
    overall = {row["comparison"]: row["n_seeds"] for row in rows if row["group"] == "overall"}
    assert overall["w2s - floor"] == 2
    assert overall["ceiling - floor"] == overall["plain: p=1 - p=0.5"] == 3


def test_points_of_another_order_and_rows_of_another_order_give_the_same_outcome():
    straight = outcome_of([evaluated(0), evaluated(1)])
    turned = outcome_of([evaluated(0), evaluated(1, order=[2, 0, 3, 1])])
    np.testing.assert_array_equal(turned.correct, straight.correct)
    np.testing.assert_array_equal(turned.region, straight.region)
    rows = [ROWS[i] for i in (8, 0, 2, 1, 4, 5, 3, 6, 7)]  # restarts in any order
    other = outcome_of([evaluated(0, rows=rows), evaluated(1, rows=rows)])
    assert other.control == ["plain", "floor", "w2s", "ceiling", "plain"]
    back = [1, 2, 3, 4, 0]
    np.testing.assert_array_equal(other.correct[:, back], straight.correct)
    np.testing.assert_array_equal(other.proportion[back], straight.proportion)


def test_seeds_with_other_rows_and_a_row_twice_are_refused():
    for rows in (ROWS[:-1], ROWS[1:], ROWS[::-1]):
        with pytest.raises(ArtifactError, match="found seeds with different rows"):
            outcome_of([evaluated(0), evaluated(1, rows=rows)])
    for rows in ((*ROWS, ("plain", 0.5, 1)), (*ROWS, ("w2s", np.nan, 0))):
        with pytest.raises(ArtifactError, match=r"found the row .* of films, small--large twice"):
            outcome_of([evaluated(0, rows=rows)])


# --- from predictions -----------------------------------------------------------------------------


def run_columns(rows):
    """Columns of runs: control, proportion, repeat, restart; label scores tell the row."""
    control, proportion, repeat, restart = zip(*rows, strict=True)
    n = len(rows)
    return {
        "run": np.arange(n, dtype=np.int32),
        "control": np.array(control, dtype=object),
        "proportion": np.array(proportion, dtype=float),
        "repeat": np.array(repeat, dtype=np.int32),
        "restart": np.array(restart, dtype=np.int32),
        "n_train": np.arange(n, dtype=np.int32) + 10,
        **{name: (np.arange(n) + k) / 10 for k, name in enumerate(LABEL_SCORES)},
        "gap": np.zeros(n),
        "l2": np.zeros(n),
        "reason": np.array([""] * n, dtype=object),
    }


def scored(**changes):
    """`evaluate` on four test points, two of one group; changes of the runs' columns."""
    rows = [("w2s", np.nan, 0, 0), ("w2s", np.nan, 0, 1)]
    rows += [("plain", 1.0, repeat, restart) for restart in (0, 1) for repeat in (0, 1)]
    runs = run_columns(rows) | changes
    facts = {**NAMES, "seed": 0, "status": "ok", "reason": ""}
    ids = np.array(IDS)
    examples = {
        "id": ids[::-1],
        "label": np.array([0, 1, 0, 1], dtype=np.int8),  # 1, 0, 1, 0 in the order of IDS
        "group": np.array(["b", "film", "a", "film"], dtype=object),  # film, a, film, b
        "part": np.array(["test"] * 4, dtype=object),
    }
    weak = {"id": ids, "weak_proba": np.array([0.9, 0.5, 0.4, 0.1], dtype=np.float32)}
    regions = {
        "id": ids,
        "part": np.array(["test", "strong_train", "test", "test"], dtype=object),
        "region": np.array(["easy", "hard", "overlap", "hard"], dtype=object),
    }
    proba = np.array([[0.9, 0.1, 0.9, 0.1], [0.5, 0.5, 0.1, 0.5], *[[0.9, 0.1, 0.1, 0.9]] * 2,
                      [0.9] * 4, [0.9, 0.5, 0.1, 0.1]], dtype=np.float32)  # fmt: skip
    found = evaluate(
        Artifact("examples", examples, {"dataset": "films"}),
        Artifact("weak_labels", weak, {"dataset": "films", "n_train": 60, "reason": ""}),
        Artifact(
            "regions",
            regions,
            {"dataset": "films", "stability": 0.9, "status": "ok", "reason": ""},
        ),
        Artifact("runs", runs, facts),
        Artifact("predictions", {"id": ids, "run": runs["run"], "proba": proba}, NAMES),
        settings=EvaluateSettings(),
    )
    for name, item in found.items():
        check(item, name)
    return found


def test_repeats_are_averaged_and_restarts_are_not():
    correct = scored()["correct"]
    assert correct["group"].tolist() == [2, 0, 2, 1]  # numbers in the order of their names
    assert correct.facts["control"] == ["floor", "w2s", "w2s", "plain", "plain"]
    assert correct["restart"].tolist() == [0, 0, 1, 0, 1]
    np.testing.assert_array_equal(correct["proportion"], [np.nan] * 3 + [1, 1])
    np.testing.assert_array_equal(
        correct["correct"],
        # a prediction of exactly 1/2 is half right
        [[1, 0.5, 0, 1], [1, 1, 1, 1], [0.5, 0.5, 0, 0.5], [1, 1, 0, 0], [1, 0.25, 0.5, 0.5]],
    )
    assert correct["n_train"].tolist() == [60, 10, 11, 12.5, 14.5]
    np.testing.assert_allclose(correct["label_accuracy"], [1, 0, 0.1, 0.25, 0.45])
    np.testing.assert_allclose(correct["label_brier"], [0, 0.1, 0.2, 0.35, 0.55])
    np.testing.assert_allclose(correct["label_calibration"], [0, 0.2, 0.3, 0.45, 0.65])
    reason = np.array(["", "", "", WHY, "", ""], dtype=object)  # the row of its restart only
    assert scored(reason=reason)["correct"].facts["row_reason"] == ["", "", "", WHY, ""]


def test_metrics_tell_repeats_and_restarts_apart():
    frame = scored()["metrics"].frame
    keys = ["control", "repeat", "restart", "group", "metric"]
    assert not frame.duplicated(keys).any()
    accuracy = frame[frame["metric"] == "accuracy"].set_index(keys)["value"]
    assert accuracy["floor", 0, 0, "overall", "accuracy"] == 0.625
    assert accuracy["w2s", 0, 1, "overall", "accuracy"] == 0.375
    assert accuracy["plain", 1, 1, "overall", "accuracy"] == 0.625
    # regions are the seed's own here
    assert accuracy["w2s", 0, 1, "hard", "accuracy"] == 0.5
    assert accuracy["plain", 0, 0, "overlap", "accuracy"] == 0
