"""Figures of fine-tuning: a marker for every row, a curve for every training, what is absent."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from test_figures import assert_drawable, legend, titles_of, words
from test_steps import run_stage

from w2s.declare import KINDS
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, check
from w2s.finetuning.figures import accuracy_figure, learning_figure
from w2s.finetuning.track import LOSSES
from w2s.results import drawing
from w2s.results.outcome import table

TITLES = {"films": "Films", "news": "News, long"}
CONTROLS = ("floor", "ceiling", "xent", "logconf", "s2s_1", "s2s_2")
PAIR = ("small", "large")
REASON = "found only targets equal to 1"
EPOCHS = (0.0, 0.5, 1.0, 1.5)
COLORS = {name: drawing.COLORS[name] for name in ("floor", "ceiling")} | {
    name: shown.color for name, shown in LOSSES.items()
}


def finetuning(missing=(), *, pairs=(PAIR,), no_probe=(), titles=TITLES):
    """Rows with values of their own, some (dataset, control) NaN with a reason."""
    rows = []
    for (weak, strong), dataset in itertools.product(pairs, titles):
        for i, control in enumerate(CONTROLS):
            gone = (dataset, control) in missing
            value = np.nan if gone else 0.6 + 0.02 * i + 0.002 * len(rows)
            lone = gone or (dataset, control) in no_probe
            rows.append(
                dict.fromkeys(KINDS["finetuning_table"].arrays, 0.5)
                | {"dataset": dataset, "weak": weak, "strong": strong, "control": control}
                | {"accuracy": value, "accuracy_lo": value - 0.03, "accuracy_hi": value + 0.02}
                | {"probe_accuracy": np.nan if lone else value - 0.01, "n_seeds": 0 if gone else 2}
                | {"reason": f"{REASON}; probe floor: whatever" if gone else ""}
            )
    found = table("finetuning_table", rows)
    check(found, "made up")
    return found


def auroc(i: int, seed: int, epoch: float) -> float:
    """What `training` gives the i-th of its controls."""
    return 0.5 + i / 20 + seed / 100 + epoch / 10


def training(dataset, seed, controls, *, undefined=()):
    """Looks in an order of their own, with the AUROC that `auroc` says; none without controls."""
    rows = [
        (control, 10 * t, EPOCHS[t], 0.7, auroc(i, seed, EPOCHS[t]), t == 2)
        for i, control in enumerate(controls)
        for t in (2, 0, 3, 1)
    ]
    spec = KINDS["training"].arrays
    arrays = {
        name: np.array(cells, dtype=object if spec[name].dtype == "str" else spec[name].dtype)
        for name, cells in zip(spec, zip(*rows, strict=True) if rows else [()] * 6, strict=True)
    }
    arrays["val_auroc"][np.isin(arrays["control"], undefined)] = np.nan
    facts = {"dataset": dataset, "model": "a model", "seed": seed, "trainable": 10, "adapters": {}}
    found = Artifact("training", arrays, facts)
    check(found, "made up")
    return found


def trainings() -> list[Artifact]:
    """Weak and strong trainings of two seeds of every dataset."""
    jobs = itertools.product(TITLES, (0, 1), (CONTROLS[:1], CONTROLS[1:]))
    return [training(*job) for job in jobs]


def learning_of(found: list[Artifact]) -> Figure:
    looks = {d: [item.arrays for item in found if item.facts["dataset"] == d] for d in TITLES}
    return drawn(learning_figure(looks, TITLES, CONTROLS))


def accuracy_of(*options: Any, titles: Any = TITLES, **more: Any) -> list[Axes]:
    found = finetuning(*options, titles=titles, **more)
    return drawn(accuracy_figure(found.arrays, titles)).axes


def drawn(figure: Figure) -> Figure:
    """The figure, laid out; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    return figure


def markers(ax: Axes, *, hollow: bool) -> dict[int, tuple[float, str]]:
    """Height and colour of the markers by the place of their row."""
    found = {}
    for line in ax.lines:
        x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        if line.get_marker() != "o" or not len(x):
            continue
        if (to_hex(line.get_markerfacecolor()) == "#ffffff") == hollow:
            assert round(x[0]) not in found
            found[round(x[0])] = (float(y[0]), to_hex(line.get_color()).upper())
    return found


def bars(ax: Axes) -> dict[int, list[float]]:
    """Ends of the bar at the place of each row; its colour is that of the row's markers."""
    found = {}
    for line in (line for line in ax.lines if line.get_marker() == "_"):
        place = round(float(np.asarray(line.get_xdata())[0]))
        found[place] = list(np.asarray(line.get_ydata()))
        assert to_hex(line.get_color()).upper() == markers(ax, hollow=False)[place][1]
    return found


def bounds(ax: Axes) -> dict[str, float]:
    """Heights of the dashed lines by colour."""
    return {
        to_hex(line.get_color()).upper(): line.get_ydata()[0]
        for line in ax.lines
        if line.get_linestyle() == "--" and line.get_marker() == "None"
    }


def ticks(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_xticklabels()]


# --- accuracy -------------------------------------------------------------------------------------


def test_every_row_has_a_model_with_its_interval_and_a_probe_beside_it():
    rows = finetuning().frame
    shown = accuracy_of()
    assert [ax.get_title() for ax in shown] == list(TITLES.values())
    for ax, dataset in zip(shown, TITLES, strict=True):
        mine = rows[rows["dataset"] == dataset]
        assert ticks(ax) == list(CONTROLS)
        colors = [COLORS.get(c, "#000000").upper() for c in CONTROLS]
        models, probes = markers(ax, hollow=False), markers(ax, hollow=True)
        assert list(models) == list(probes) == list(range(len(CONTROLS)))
        assert list(models.values()) == list(zip(mine["accuracy"], colors, strict=True))
        assert list(probes.values()) == list(zip(mine["probe_accuracy"], colors, strict=True))
        ends = mine[["accuracy_lo", "accuracy_hi"]].to_numpy().tolist()
        assert list(bars(ax).values()) == ends
        floor, ceiling = mine["accuracy"].iloc[:2]
        assert bounds(ax) == {COLORS["floor"]: floor, COLORS["ceiling"]: ceiling}
        assert words(ax) == []
        assert ax.get_ylabel() == "test accuracy"
    ax = shown[0]
    x = [float(np.asarray(line.get_xdata())[0]) for line in ax.lines if line.get_marker() == "o"]
    places = np.array(x).reshape(-1, 2)  # (rows, model and probe)
    assert np.all(places[:, 0] < np.arange(len(CONTROLS)))
    assert np.all(places[:, 1] > np.arange(len(CONTROLS)))


def test_a_missing_row_keeps_its_place_and_says_so_as_a_missing_probe_or_dataset():
    films, news = accuracy_of({("news", "logconf"), ("news", "ceiling")})
    assert words(films) == []
    assert words(news) == ["no value", "no value"]
    assert [text.get_position()[0] for text in news.texts] == [1, 3]
    assert ticks(news) == list(CONTROLS)
    for hollow in (False, True):
        assert list(markers(news, hollow=hollow)) == [0, 2, 4, 5]
    assert list(bounds(news)) == [COLORS["floor"]]
    films, _ = accuracy_of(no_probe={("films", "xent")})
    assert words(films) == ["no probe"]
    assert 2 < films.texts[0].get_position()[0] < 3
    assert list(markers(films, hollow=False)) == list(range(6))
    assert 2 not in markers(films, hollow=True)
    films, news = accuracy_of({("news", control) for control in CONTROLS})
    assert words(films) == []
    assert words(news) == [REASON]  # the first reason is that of the row itself
    assert len(news.lines) == 0
    assert ticks(news) == list(CONTROLS)


def test_a_model_without_interval_is_drawn_without_bar_and_one_beside_its_mean_as_it_is():
    arrays = dict(finetuning().arrays)
    missing = {name: np.full(len(arrays[name]), np.nan) for name in ("accuracy_lo", "accuracy_hi")}
    for ax in drawn(accuracy_figure(arrays | missing, TITLES)).axes:
        assert np.isnan(list(bars(ax).values())).all()
        assert len(markers(ax, hollow=False)) == len(CONTROLS)
    arrays["accuracy_lo"] = arrays["accuracy"] + 0.01  # of few points, percentiles may do this
    assert bars(drawn(accuracy_figure(arrays, TITLES)).axes[0])[0] == pytest.approx([0.61, 0.62])


def test_pairs_have_rows_of_panels_of_their_own_and_say_where_a_dataset_is_lacking():
    pairs = (PAIR, ("small", "huge"))
    shown = accuracy_of(pairs=pairs)
    every = itertools.product(("large", "huge"), TITLES.values())
    titles = [f"{title}\nsmall → {strong}" for strong, title in every]
    assert [ax.get_title() for ax in shown] == titles
    boxes = [ax.get_position() for ax in shown]
    assert boxes[0].y0 > boxes[2].y1
    assert boxes[0].x1 < boxes[1].x0
    found = finetuning(pairs=pairs)
    firsts = [markers(ax, hollow=False)[0][0] for ax in shown]
    assert firsts == found["accuracy"][found["control"] == "floor"].tolist()
    found = found.where((found["strong"] != "huge") | (found["dataset"] == "films"))
    shown = drawn(accuracy_figure(found.arrays, TITLES)).axes
    assert [words(ax) for ax in shown] == [[], [], [], ["no data"]]


def test_the_legend_tells_models_from_probes_once_and_panels_are_those_of_the_titles():
    both, one = (
        drawn(accuracy_figure(finetuning().arrays, titles))
        for titles in (TITLES, {"news": "Nachrichten"})
    )
    assert legend(both) == ["fine-tuned", "probe", "floor", "ceiling"]
    assert titles_of(one) == ["Nachrichten"]


# --- training -------------------------------------------------------------------------------------


def points_of(line: Line2D) -> tuple[list[float], list[float]]:
    return list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata()))


def curves(ax: Axes) -> list[tuple[str, str, list[float], list[float]]]:
    """Colour, style, x and y of every curve."""
    drawn_ = [line for line in ax.lines if line.get_linestyle() != "None"]
    return [
        (to_hex(line.get_color()).upper(), str(line.get_linestyle()), *points_of(line))
        for line in drawn_
    ]


def dots(ax: Axes) -> list[tuple[list[float], list[float]]]:
    return [points_of(line) for line in ax.lines if line.get_marker() == "o"]


def test_every_training_has_a_curve_in_order_with_a_dot_at_the_kept_look():
    figure = learning_of(trainings())
    assert titles_of(figure) == list(TITLES.values())
    wanted = [(0, seed, "floor") for seed in (0, 1)]
    wanted += [(i, seed, c) for seed in (0, 1) for i, c in enumerate(CONTROLS[1:])]
    dashes = {"s2s_2": "--"}
    for ax in figure.axes:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "AUROC on val")
        expected = [
            (COLORS.get(c, "#000000").upper(), dashes.get(c, "-"), list(EPOCHS),
             pytest.approx([auroc(i, seed, epoch) for epoch in EPOCHS]))
            for i, seed, c in wanted
        ]  # fmt: skip
        found = curves(ax)
        assert len(found) == len(expected)
        assert all(curve in found for curve in expected)
        kept = [([1.0], pytest.approx([auroc(i, seed, 1.0)])) for i, seed, _ in wanted]
        assert len(dots(ax)) == len(kept)
        assert all(dot in dots(ax) for dot in kept)
        assert words(ax) == []


def test_the_legend_names_every_training_once_and_rounds_differ_in_their_dashes():
    figure = learning_of(trainings()[::-1])
    assert legend(figure) == [*CONTROLS, "kept"]
    rounds = ("s2s_1", "s2s_2", "s2s_3", "s2s_4")
    found = {"films": [training("films", 0, rounds).arrays]}
    ax = drawn(learning_figure(found, {"films": "Films"}, rounds)).axes[0]
    assert {color for color, *_ in curves(ax)} == {"#000000"}
    assert len({style for _, style, *_ in curves(ax)}) == 4


def test_a_training_without_values_in_a_dataset_is_named_there():
    found = trainings()
    found[-1] = training("news", 1, CONTROLS[1:], undefined=("xent", "s2s_2"))
    films, news = learning_of(found).axes
    assert words(news) == []  # the other seed has them
    found[-3] = training("news", 0, CONTROLS[1:-1], undefined=("xent",))
    films, news = learning_of(found).axes
    assert words(films) == []
    assert words(news) == ["no values: xent, s2s_2"]
    assert len(curves(news)) == len(curves(films)) - 4
    found = [*trainings()[:4], training("news", 0, CONTROLS, undefined=CONTROLS)]
    films, news = learning_of(found).axes
    assert words(films) == []
    assert words(news) == ["no AUROC on val"]
    assert len(news.lines) == 0
    found = [item for item in trainings() if item["control"][0] == "floor"]
    found += [training(dataset, 0, ()) for dataset in TITLES]  # what a failed one leaves: no looks
    figure = learning_of(found)
    for ax in figure.axes:
        assert len(curves(ax)) == 2
        assert words(ax)[0].replace("\n", " ") == f"no values: {', '.join(CONTROLS[1:])}"
    assert legend(figure) == [*CONTROLS, "kept"]


# --- the stage ------------------------------------------------------------------------------------


def staged(found: list[Artifact], rows: Any = TITLES, **titles: str) -> dict[str, Figure]:
    told = list(titles.items())
    return run_stage("finetuning_figures", finetuning(titles=rows), found, titles=told)


def test_the_stage_draws_both_figures_from_table_and_trainings():
    figures = staged(trainings(), news="Papers", films="Motion pictures")
    assert list(figures) == ["accuracy", "learning"]
    for figure in figures.values():
        assert titles_of(figure) == ["Papers", "Motion pictures"]
        assert_drawable(figure)
    assert len(curves(figures["learning"].axes[0])) == 2 * len(CONTROLS)
    assert pyplot.get_fignums() == []
    # other datasets are not drawn, and those of the titles need rows and trainings
    figures = staged(trainings(), films="Films")
    assert [len(figure.axes) for figure in figures.values()] == [1, 1]
    for rows, trained, expected in (
        ({"news": ""}, TITLES, "found 0 rows and 4 trainings of films"),
        (TITLES, {"news": ""}, "found 6 rows and 0 trainings of films"),
    ):
        found = [item for item in trainings() if item.facts["dataset"] in trained]
        with pytest.raises(ArtifactError) as caught:
            staged(found, rows, films="Films")
        assert str(caught.value) == f"finetuning_figures: {expected}, expected some of both"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_label_is_cut_off_or_covers_another(count):
    titles = {f"d{i}": f"A dataset {i}" for i in range(count)}
    controls = (*COLORS, "s2s_1", "s2s_2", "s2s_3")
    rows = finetuning(titles=titles)
    each = np.array([*range(6), *np.resize([2, 3, 4, 5], len(controls) - 6)])
    many = rows.where(np.concatenate([each + 6 * i for i in range(count)]))
    many.arrays["control"][:] = np.tile(np.array(controls, dtype=object), count)  # type: ignore[index]
    found = {d: [training(d, 0, controls).arrays] for d in titles}
    for figure in (accuracy_figure(many.arrays, titles), learning_figure(found, titles, controls)):
        drawn(figure)
        told = [*figure.legends, *(ax.title for ax in figure.axes)]
        told += [label for ax in figure.axes for label in (ax.xaxis.label, ax.yaxis.label)]
        boxes = [item.get_window_extent() for item in told]
        assert all(inside(box, figure) for box in boxes)
        shown = [box for box in boxes if box.width]  # an empty label has none
        assert not any(a.overlaps(b) for a, b in itertools.combinations(shown, 2))


def inside(box: Any, figure: Figure) -> bool:
    corners = box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1
    return min(corners) >= 0 or not box.width


def test_long_names_of_models_fit_above_their_panels():
    pairs = (("qwen-0.5b-layer-12", "llama-3-8b-instruct"), PAIR)
    figure = drawn(accuracy_figure(finetuning(pairs=pairs).arrays, TITLES))
    boxes = [ax.title.get_window_extent() for ax in figure.axes]
    assert all(inside(box, figure) for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
