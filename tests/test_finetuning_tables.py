"""Tables of fine-tuning: by hand, partial seeds, pairing with the probes, and bad inputs."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SEEDS
from reference.bootstrap import draws as loop_draws
from test_steps import changed, renamed, run_stage

from w2s.declare import KINDS
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, check, digest, load
from w2s.overlap.tables import main_row
from w2s.results.intervals import Bootstrap, holm
from w2s.results.metrics import LABEL_SCORES
from w2s.results.outcome import outcome_of
from w2s.rng import stream

TUNED = ("floor", "ceiling", "xent", "logconf", "s2s_1")
PROBED = ("floor", "ceiling", "w2s", "plain")
IDS = (40, 10, 30, 20, 90, 70, 50, 60, 80, 100)
WHY = "found only targets equal to 1"
NAMES = {"dataset": "films", "weak": "small", "strong": "large"}
SHARES = {"n_pool": 200, "density": 0.25, "easy_share": 0.5, "hard_share": 0.25, "stability": 0.9}
# which of the first four test points of IDS each row gets right, by seed: fine-tuned, then probes
RIGHT = {
    0: ([[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]],
        [[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]]),
    1: ([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 1]],
        [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]),
}  # fmt: skip
REGION = (0, 0, 1, 2, *[-1] * 6)
Side = list[Artifact]


def evaluated(right, controls, seed, *, lacking=(), **facts):
    """What `evaluate` writes for one seed: AUROC is .5 + row / 10 + seed / 100."""
    told = {**NAMES, **facts, "seed": seed, "status": "ok", "reason": ""}
    reasons = [WHY if control in lacking else "" for control in controls]
    correct = np.array(right, dtype=np.float32)
    correct[[bool(why) for why in reasons]] = np.nan
    rows = [
        (control, np.nan, 0, 0, group, metric, value if not why else np.nan, 4, why)
        for i, (control, why) in enumerate(zip(controls, reasons, strict=True))
        for group, metric, value in (
            ("overall", "accuracy", 0.111),
            ("overall", "auroc", 0.5 + i / 10 + seed / 100),
            ("easy", "auroc", 0.222),
        )
    ]
    spec = KINDS["metrics"].arrays
    metrics = {
        name: np.array(column, dtype=object if spec[name].dtype == "str" else spec[name].dtype)
        for name, column in zip(spec, zip(*rows, strict=True), strict=True)
    }
    points = correct.shape[1]
    of_truth = [control in ("floor", "ceiling") for control in controls]
    arrays = {
        "id": np.array(IDS[:points]),
        "region": np.array(REGION[:points], dtype=np.int8),
        "group": np.arange(points),
        "correct": correct,
        "proportion": np.full(len(controls), np.nan),
        "restart": np.zeros(len(controls), dtype=np.int32),
        "n_train": np.arange(len(controls)) + 50.0 + seed,
        **{
            name: np.where(of_truth, best, other + seed / 5)
            for name, best, other in zip(LABEL_SCORES, (1, 0, 0), (0.7, 0.2, 0.1), strict=True)
        },
    }
    named = {"control": list(controls), "row_reason": reasons}
    found = Artifact("metrics", metrics, told | SHARES), Artifact("correct", arrays, told | named)
    for item in found:
        check(item, "made up")
    return found


def sides(seeds=(0, 1), *, right=None, lacking=None, **facts):
    """Inputs of the stage, some rows lacking: {(seed, side): controls}."""
    right, lacking = right or RIGHT, lacking or {}
    made: list[Side] = [[], [], [], []]
    for seed in seeds:
        for side, controls in enumerate((TUNED, PROBED)):
            gone = lacking.get((seed, side), ())
            pair = evaluated(right[seed][side], controls, seed, lacking=gone, **facts)
            made[2 * side].append(pair[0])
            made[2 * side + 1].append(pair[1])
    return made


def tables_of(*inputs: Side, draws: int = 200, level: float = 0.95) -> dict[str, Artifact]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation = {"bootstrap": draws, "level": level}
        found = run_stage("finetuning_tables", *inputs, evaluation=evaluation)
    for name, item in found.items():
        check(item, name)
    return found


def rows_of(*inputs: Side, **options: Any) -> dict[str, dict[str, Any]]:
    frame = tables_of(*inputs, **options)["finetuning"].frame
    assert frame["control"].is_unique
    return {row["control"]: row for row in frame.to_dict("records")}


def differences_of(*inputs: Side, **options: Any) -> dict[tuple[str, str], dict[str, Any]]:
    frame = tables_of(*inputs, **options)["comparisons"].frame
    rows = {(row["comparison"], row["group"]): row for row in frame.to_dict("records")}
    assert len(rows) == len(frame)
    return rows


def column(rows: dict[str, dict[str, Any]], *names: str) -> dict[str, Any]:
    return {control: tuple(row[name] for name in names) for control, row in rows.items()}


def turned(correct: Artifact, order: Any) -> Artifact:
    """The same test points in another order."""
    names = ("id", "region", "group", "correct")
    return changed(correct, **{name: correct[name][..., order] for name in names})


# --- rows -----------------------------------------------------------------------------------------


def test_rows_by_hand():
    found = rows_of(*sides())
    assert list(found) == list(TUNED)
    assert column(found, "accuracy", "probe_accuracy") == {
        "floor": (0.375, 0.25),
        "ceiling": (0.875, 0.625),
        "xent": (0.625, 0.375),  # beside the probe w2s, as all that follow
        "logconf": (0.75, 0.375),
        "s2s_1": (0.625, 0.375),
    }
    pgr = {control: found[control]["pgr"] for control in TUNED[2:]}
    assert pgr == pytest.approx({"xent": 0.5, "logconf": 0.75, "s2s_1": 0.5})
    for control in ("floor", "ceiling"):  # have no PGR and need no reason
        assert found[control]["reason"] == ""
        assert all(math.isnan(found[control][name]) for name in ("pgr", "pgr_lo", "pgr_hi"))
    for i, row in enumerate(found.values()):
        assert {name: row[name] for name in NAMES} == NAMES
        assert row["n_train"] == 50.5 + i
        assert row["auroc"] == pytest.approx(0.505 + i / 10)  # of seeds 0 and 1
        scores = [row[name] for name in LABEL_SCORES]
        assert scores == pytest.approx([1, 0, 0] if i < 2 else [0.8, 0.3, 0.2])
        assert row["n_seeds"] == 2


def test_intervals_are_quantiles_of_the_loop_and_pgr_is_that_of_the_main_table():
    rng = np.random.default_rng(0)
    share = np.array([0.2, 1, 0.6, 0.7, 0.8])[:, None]
    right = {s: (rng.random((5, 4)) < share, np.ones((4, 4))) for s in range(4)}
    inputs = sides((0, 1, 2, 3), right=right)
    found = rows_of(*inputs, level=0.7)
    drawn = Bootstrap.draw(4, 4, 200, stream(0, "bootstrap", *NAMES.values()))
    outcome = outcome_of(list(zip(inputs[0], inputs[1], strict=True)))
    everywhere = np.ones((4, 4), dtype=bool)
    for i, (control, row) in enumerate(found.items()):
        draws = loop_draws(outcome.correct[:, i], everywhere, drawn.seeds, drawn.examples)
        low, high = np.quantile(draws, [0.15, 0.85])
        assert (row["accuracy_lo"], row["accuracy_hi"]) == pytest.approx((low, high), abs=1e-6)
        if control in ("floor", "ceiling"):
            continue
        renamed = replace(outcome, control=["w2s" if c == control else c for c in TUNED])
        main = main_row(renamed, drawn, 0.7)
        for name in ("pgr", "pgr_lo", "pgr_hi"):
            assert row[name] == pytest.approx(main[name], nan_ok=True)
    assert [math.isfinite(row["pgr_lo"]) for row in found.values()] == [False] * 2 + [True] * 3


def test_a_row_is_the_mean_of_the_seeds_that_have_it_and_so_is_its_probe():
    found = rows_of(*sides(lacking={(0, 0): ("logconf",)}))
    row = found["logconf"]
    assert (row["accuracy"], row["probe_accuracy"], row["n_seeds"]) == (1, 0.5, 1)
    assert (row["n_train"], row["label_accuracy"]) == (54, pytest.approx(0.9))
    assert row["auroc"] == pytest.approx(0.81)
    assert row["pgr"] == 1  # (1 - .5) / (1 - .5) of seed 1
    assert row["reason"].startswith(WHY)
    assert column(found, "accuracy", "probe_accuracy")["xent"] == (0.625, 0.375)
    assert WHY not in found["xent"]["reason"]


def test_pgr_is_of_the_seeds_that_have_floor_and_ceiling_too():
    found = rows_of(*sides(lacking={(1, 0): ("ceiling",)}))
    assert found["ceiling"]["reason"] == WHY
    row = found["xent"]
    assert (row["accuracy"], row["n_seeds"]) == (0.625, 2)
    assert row["pgr"] == pytest.approx(0.5)  # (.5 - .25) / (.75 - .25) of seed 0
    assert math.isnan(row["pgr_lo"])  # a quarter of the draws lacks seed 0
    assert row["reason"] == (
        f"pgr: ceiling: {WHY}; pgr interval: undefined in too many bootstrap draws, as 1 of 2 "
        f"seeds have floor, ceiling and xent"
    )
    # and where no seed has all three there is none, and no gap
    row = rows_of(*sides(lacking={(0, 0): ("floor",), (1, 0): ("ceiling",)}))["xent"]
    assert row["accuracy"] == 0.625
    assert math.isnan(row["pgr"])
    assert row["reason"] == f"pgr: floor: {WHY}; pgr: ceiling: {WHY}"


def test_a_row_or_probe_that_fails_in_every_seed_is_nan_with_the_reason():
    found = rows_of(*sides(lacking={(s, 0): ("xent",) for s in (0, 1)}))
    row = found["xent"]
    names = [name for name, spec in KINDS["finetuning_table"].arrays.items() if spec.nan]
    assert all(math.isnan(row[name]) for name in names)
    assert (row["n_seeds"], row["reason"]) == (0, WHY)
    assert math.isfinite(found["logconf"]["pgr"])
    found = rows_of(*sides(lacking={(s, 1): ("w2s",) for s in (0, 1)}))
    for control, row in found.items():
        beside = control not in ("floor", "ceiling")
        assert math.isnan(row["probe_accuracy"]) == beside
        assert row["reason"].endswith(f"probe w2s: {WHY}") == beside
        assert math.isfinite(row["accuracy"])


def test_fault_a_ceiling_not_above_the_floor_has_no_pgr():
    for ceiling, gap in (([1, 0, 0, 0], "-0.250"), ([1, 1, 0, 0], "0.000")):
        right = {0: ([[0, 0, 1, 1], ceiling, *RIGHT[0][0][2:]], RIGHT[0][1])}
        found = rows_of(*sides((0,), right=right))
        for control in ("xent", "logconf", "s2s_1"):
            assert all(math.isnan(found[control][name]) for name in ("pgr", "pgr_lo", "pgr_hi"))
            assert found[control]["reason"] == f"pgr: ceiling - floor = {gap} is not above 0"
        assert found["ceiling"]["reason"] == ""
    # floor .1 and .2, ceiling .3 and 0: the means are equal, but not in floating point
    right = {}
    for seed, (floor, ceiling) in enumerate(((1, 3), (2, 0))):
        counts = (floor, ceiling, 5, 5, 5)
        right[seed] = ([np.arange(10) < count for count in counts], np.ones((4, 10)))
    row = rows_of(*sides(right=right))["xent"]
    assert math.isnan(row["pgr"])
    assert row["reason"] == "pgr: ceiling - floor = 0.000 is not above 0"
    # and a gap that most draws do not have leaves PGR without interval
    row = rows_of(*sides((0,)))["xent"]
    assert row["pgr"] == 0.5
    assert math.isnan(row["pgr_lo"])
    why = "pgr interval: ceiling - floor is not above 0 in too many bootstrap draws"
    assert row["reason"] == why


def test_undefined_auroc_of_test_points_of_one_class_is_told():
    inputs = sides()
    metrics = inputs[0][1]
    lost = (metrics["metric"] == "auroc") & (metrics["control"] == "floor")
    inputs[0][1] = changed(metrics, value=np.where(lost, np.nan, metrics["value"]))
    found = rows_of(*inputs)
    assert found["floor"]["auroc"] == 0.5  # of seed 0
    assert found["floor"]["reason"] == "auroc: undefined in 1 of 2 seeds, see the metrics"
    assert found["ceiling"]["auroc"] == pytest.approx(0.605)
    inputs[0] = [item.where(item["metric"] == "accuracy") for item in inputs[0]]
    for row in rows_of(*inputs).values():
        assert math.isnan(row["auroc"])
        assert "auroc: undefined in 2 of 2 seeds, see the metrics" in row["reason"]


# --- comparisons ----------------------------------------------------------------------------------


def test_comparisons_by_hand():
    found = differences_of(*sides())
    expected = {
        "xent - floor": 0.25,
        "logconf - floor": 0.375,
        "s2s_1 - floor": 0.25,
        "ceiling - xent": 0.25,
        "logconf - xent": 0.125,
        "s2s_1 - xent": 0,
        "floor - probe floor": 0.125,
        "xent - probe w2s": 0.25,
        "logconf - probe w2s": 0.375,
        "ceiling - probe ceiling": 0.25,
    }
    assert list(dict.fromkeys(name for name, _ in found)) == list(expected)
    assert {name: found[name, "overall"]["difference"] for name in expected} == expected
    # points 0 and 1 are easy, 2 is hard, 3 is an overlap point
    groups = {g: found["xent - probe w2s", g]["difference"] for g in ("easy", "hard", "overlap")}
    assert groups == {"easy": 0.5, "hard": 0, "overlap": 0}
    assert found["ceiling - probe ceiling", "hard"]["difference"] == 0.5
    for row in found.values():  # of 4 points in all, so that some regions have no interval
        assert row["reason"].startswith("no interval: ") == np.isnan(row["lo"])
        assert row["reason"].endswith("of 2 seeds: expected 3 or more for p")
    assert {row["n_seeds"] for row in found.values()} == {2}


def test_without_xent_there_is_nothing_to_compare_other_losses_with():
    names = {name for name, _ in differences_of(*of_another_name(sides(), "xent", "kl"))}
    assert names == {
        *("kl - floor", "logconf - floor", "s2s_1 - floor", "floor - probe floor"),
        *("kl - probe w2s", "logconf - probe w2s", "ceiling - probe ceiling"),
    }


def of_another_name(inputs: list[Side], old: str, new: str) -> list[Side]:
    """A row of the fine-tuned models by another name."""
    metrics, correct = inputs[:2]
    for side in (metrics, correct):
        for i, item in enumerate(side):
            if side is correct:
                names = [new if name == old else name for name in item.facts["control"]]
                side[i] = renamed(item, control=names)
            else:
                names = np.where(item["control"] == old, new, item["control"])
                side[i] = changed(item, control=names.astype(object))
    return inputs


def wide_sides(region: Any) -> list[Side]:
    """Three seeds of 400 points, in another order in every artifact.

    The probe w2s is xent but for a point, the other probes are the fine-tuned models.
    """
    rng = np.random.default_rng(0)
    inputs: list[Side] = [[], [], [], []]
    for seed in range(3):
        own = (rng.random((5, 400)) < 0.7).astype(np.float32)
        other = own[[0, 1, 2, 0]].copy()
        other[2, 0] = 1 - other[2, 0]
        for side, (right, controls) in enumerate(((own, TUNED), (other, PROBED))):
            metrics, correct = evaluated(right[:, :4], controls, seed)
            wide = {name: np.arange(400) for name in ("id", "group")}
            wide |= {"region": np.array(region, np.int8), "correct": right}
            order = rng.permutation(400)
            inputs[2 * side].append(metrics)
            inputs[2 * side + 1].append(turned(changed(correct, **wide), order))
    return inputs


def test_differences_are_paired_point_by_point_and_seed_by_seed():
    # far sharper than two intervals
    inputs = wide_sides(np.zeros(400))
    found, rows = differences_of(*inputs), rows_of(*inputs)
    same = found["floor - probe floor", "overall"]
    assert (same["lo"], same["difference"], same["hi"]) == (0, 0, 0)
    row = found["xent - probe w2s", "overall"]
    assert row["hi"] - row["lo"] < 0.03
    assert rows["xent"]["accuracy_hi"] - rows["xent"]["accuracy_lo"] > 0.05
    assert rows["floor"]["probe_accuracy"] == rows["floor"]["accuracy"]


def test_a_side_that_a_seed_lacks_takes_the_seed_out_with_the_reason():
    found = differences_of(*sides(lacking={(0, 1): ("w2s",)}))
    row = found["xent - probe w2s", "overall"]
    few = "expected 3 or more for p"
    assert (row["difference"], row["n_seeds"]) == (0.25, 1)
    assert row["reason"] == f"{WHY}; of 1 seed: {few}"
    assert found["xent - floor", "overall"]["n_seeds"] == 2
    assert found["floor - probe floor", "overall"]["reason"] == f"of 2 seeds: {few}"


def test_p_values_are_corrected_within_all_points_and_within_regions():
    frame = tables_of(*wide_sides(np.arange(400) % 3))["comparisons"].frame
    overall = frame["group"] == "overall"
    for family in (overall, ~overall):
        expected = holm(frame["p"][family].to_numpy())
        np.testing.assert_array_equal(frame["p_holm"][family], expected)
        assert np.isfinite(expected).all()


def test_regions_are_those_of_the_other_seeds():
    inputs = sides()
    for side in (1, 3):  # of fine-tuned models and of probes; the latter are not read
        region = inputs[side][1]["region"].copy()
        region[:4] = (1, 0, 0, 2)
        inputs[side][1] = changed(inputs[side][1], region=region)
    found = differences_of(*inputs)
    # xent - floor is right on point 1 in seed 0 and on point 2 in seed 1
    row = found["xent - floor", "easy"]
    assert row["difference"] == pytest.approx((1 / 2 + 0) / 2)  # by 1, 2 and by 0, 1
    assert found["xent - floor", "hard"]["difference"] == pytest.approx((0 + 1) / 2)  # by 0, by 2
    for (_, group), row in differences_of(*sides((0,))).items():  # of one seed: none on regions
        assert math.isnan(row["difference"]) == (group != "overall")
        told = row["reason"].startswith("found 1 seed with regions, expected 2 or more")
        assert told == (group != "overall")


def test_groups_of_test_points_are_drawn_together():
    right = {s: tuple(np.repeat(rows, 2, axis=1) for rows in RIGHT[s]) for s in RIGHT}
    inputs = sides(right=right)
    for side in (1, 3):
        for i, item in enumerate(inputs[side]):
            region = np.repeat(np.array(REGION[:4], np.int8), 2)
            inputs[side][i] = changed(item, group=np.repeat(np.arange(4), 2), region=region)
    once, twice = tables_of(*sides()), tables_of(*inputs)
    for name, item in once.items():
        for column_name, values in item.arrays.items():
            if values.dtype == object:
                np.testing.assert_array_equal(twice[name][column_name], values)
            else:
                np.testing.assert_allclose(twice[name][column_name], values, atol=1e-9)


# --- matching -------------------------------------------------------------------------------------


def test_fault_test_points_and_probes_in_another_order_give_the_same_tables():
    """The original takes positions of a subset for positions of the whole set."""
    inputs, others = sides(), sides((0, 1, 2), right={2: RIGHT[0], **RIGHT}, dataset="news")
    before = tables_of(*inputs)
    # probes of another dataset and seed are not used
    more = [[*others[k], *inputs[k][::-1]] for k in (2, 3)]
    by_job = tables_of(*inputs[:2], *more)
    inputs[1][1] = turned(inputs[1][1], [2, 0, 3, 1])
    inputs[3] = [turned(inputs[3][0], [3, 2, 1, 0]), turned(inputs[3][1], [1, 3, 0, 2])]
    by_id = tables_of(*inputs)
    for name, item in before.items():
        assert digest(by_id[name]) == digest(by_job[name]) == digest(item), name


def test_jobs_stand_one_after_another_and_move_no_number():
    one, two = sides(), sides(strong="huge")
    alone = tables_of(*one)
    both = tables_of(*([*b, *a] for a, b in zip(one, two, strict=True)))
    assert list(dict.fromkeys(both["finetuning"]["strong"])) == ["huge", "large"]
    for name, table in both.items():
        mine = table.where(table["strong"] == "large")
        for column_name, values in alone[name].arrays.items():
            if column_name == "p_holm":  # corrected for all rows of the table
                assert not (mine[column_name] < values).any()
                continue
            np.testing.assert_array_equal(mine[column_name], values)


# --- with what the other stages write -------------------------------------------------------------


def test_tables_follow_from_the_metrics_of_both_trainings(chain):
    table = load(chain / "table-tuned-finetuning.parquet").frame.set_index("control")
    assert list(table.index[:2]) == ["floor", "ceiling"]
    means = {}
    for side, name in (("tuned", "tuned-metrics"), ("probe", "metrics")):
        frame = pd.concat([load(chain / f"{name}-{seed}.parquet").frame for seed in SEEDS])
        frame = frame[(frame["group"] == "overall") & frame["proportion"].isna()]
        means[side] = frame.groupby(["metric", "control"])["value"].mean()  # over seeds
    for control, row in table.iterrows():
        for metric in ("accuracy", "auroc"):
            expected = means["tuned"][metric, control]
            assert row[metric] == pytest.approx(expected, abs=1e-6, nan_ok=True)
        beside = control if control in ("floor", "ceiling") else "w2s"
        if row["n_seeds"] == len(SEEDS):
            assert row["probe_accuracy"] == pytest.approx(means["probe"]["accuracy", beside])
        else:
            assert row["reason"] != ""


# --- bad inputs -----------------------------------------------------------------------------------


def test_inputs_that_do_not_fit_are_refused(subtests):
    metrics, correct, *probes = sides()
    films = "films, small--large"
    none = f"finetuning_tables: found no probes of {films}, seed"
    both = "expected their metrics and correct"
    ids = changed(probes[1][0], id=np.array([1, 2, 3, 4]))
    fewer = [[turned(item, [0, 1, 2]) for item in side] for side in (correct, probes[1])]
    points = "{} test points of fine-tuned models and {} of probes"
    for inputs, message in (
        ((metrics, correct, [], []), f"{none} 0, {both}"),
        ((metrics, correct, probes[0][:1], probes[1][:1]), f"{none} 1, {both}"),
        ((metrics, correct, *sides(weak="tiny")[2:]), f"{none} 0, {both}"),
        ((metrics, correct[:1], *probes), "found 2 and 1 files of correct and metrics"),
        ((metrics, correct, probes[0], probes[1][::-1]), "of different jobs"),
        ((metrics[:1] * 2, correct[:1] * 2, *probes), "seed 0 of a job twice"),
        ((*probes, *probes), f"finetuning_tables: found the row w2s in {films}, expected "
         "fine-tuned models; are these probes?"),
        ((metrics, correct, metrics, correct), f"finetuning_tables: found probes of {films} "
         "without w2s, expected floor, w2s, ceiling"),
        (of_another_name(sides(), "logconf", "xent"),
         f"tables: found the row xent of {films} twice, expected each row once"),
        (of_another_name(sides(), "ceiling", "kl"),
         f"fine-tuned models of {films} without ceiling"),
        ((metrics, correct, probes[0], [ids, probes[1][1]]),
         "found no row for 4 of 4 example ids"),
        ((metrics, correct, probes[0], fewer[1]), points.format(4, 3)),
        ((metrics, fewer[0], *probes), points.format(3, 4)),
    ):  # fmt: skip
        with subtests.test(message=message):
            with pytest.raises(ArtifactError) as caught:
                tables_of(*inputs)
            told = str(caught.value)
            whole = message.startswith(("finetuning_tables: ", "tables: "))
            assert told == message if whole else message in told
            assert "\n" not in told
