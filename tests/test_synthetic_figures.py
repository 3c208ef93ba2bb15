"""Figures of the synthetic study: every sweep, axis and threshold, and cells without a value."""

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from w2s.results.drawing import COLORS, select
from w2s.synthetic.figures import (
    GROUPS,
    detection_figure,
    purity_figure,
    sweep_figure,
    thresholds_figure,
)
from w2s.synthetic.figures import MODELS as DRAWN
from w2s.synthetic.mixture import SWEEPS
from w2s.synthetic.study import MODELS
from w2s.synthetic.track import STUDIES

NAN = np.nan
VARIANTS = ("default", "dot", "tau_hard quantile 0.5")
AXES = {
    "saliency": (1.0, 1.5),
    "dimension": (5.0, 20.0, 80.0),
    "overlap_share": (0.05, 0.2),
    "label_noise": (0.0, 0.4),
    "variance": (0.5, 5.0),
}
TAU_HARD, TAU_OVERLAP = (0.2, 0.45, 0.7), (0.1, 0.9)
OTHERS = ("none", "easy", "hard")
POINTS = (5, 25, 95)


def columns(rows):
    """Rows as the columns of a table: numbers as float64, words as objects."""
    return {
        name: np.array(
            [row[name] for row in rows], dtype=object if isinstance(rows[0][name], str) else float
        )
        for name in rows[0]
    }


def shuffled(table):
    order = np.random.default_rng(0).permutation(len(next(iter(table.values()))))
    return {name: column[order] for name, column in table.items()}


def height(study, model, group, n):
    """A different accuracy for each line and point, rising with n."""
    place = list(SWEEPS).index(study) * 16 + GROUPS.index(group) * 4 + MODELS.index(model)
    return 0.5 + place / 1000 + n / 10_000


def sweeps_table():
    rows = []
    for study, settings in SWEEPS.items():
        for counts in settings:
            key = dict(zip(("n_easy", "n_hard", "n_overlap"), counts, strict=True))
            for mixture in ("moving", "fixed"):
                for model in MODELS:
                    for group in GROUPS:
                        value = height(study, model, group, key[STUDIES[study]])
                        value = value if mixture == "fixed" else 0.1
                        rows.append(
                            {"study": study, "mixture": mixture, **key, "model": model}
                            | {"group": group, "accuracy": value}
                            | {"lo": value - 0.02, "hi": value + 0.03}
                        )
    return columns(rows)


def cell(axis, setting, variant):
    """A value for each cell of the heat maps, below and above one half."""
    places = list(AXES).index(axis), AXES[axis].index(setting), VARIANTS.index(variant)
    return 0.05 + np.dot(places, (0.15, 0.05, 0.1))


def detection_table(missing=()):
    rows = []
    for axis, settings in AXES.items():
        for setting in settings:
            for variant in VARIANTS:
                for target in ("hard", "overlap"):
                    for metric in ("precision", "recall", "auroc"):
                        shown = (target, metric) == ("overlap", "auroc")
                        value = cell(axis, setting, variant) if shown else 0.99
                        gone = (axis, setting, variant) in missing
                        rows.append(
                            {"axis": axis, "setting": setting, "variant": variant}
                            | {"target": target, "metric": metric}
                            | {"value": NAN if gone else value}
                        )
    return columns(rows)


def thresholds_table(missing=()):
    rows = [
        {"tau_hard": hard, "tau_overlap": overlap, "target": target, "metric": metric}
        | {"value": NAN if (hard, overlap) in missing else grid_value(hard, overlap, t, m)}
        for hard in TAU_HARD
        for overlap in TAU_OVERLAP
        for t, target in enumerate(("hard", "overlap"))
        for m, metric in enumerate(("precision", "recall", "auroc"))
    ]
    return columns(rows)


def grid_value(hard, overlap, t, m):
    return hard / 2 + overlap / 5 + 0.2 * t + 0.1 * m


def purity_table():
    rows = [
        {"others": name, "n_overlap": n, "with_overlap": 0.5 + n / 500 + i / 10}
        | {"with_easy": 0.5 + i / 100, "lo": 0.01, "hi": 0.03}
        for i, name in enumerate(OTHERS)
        for n in POINTS
    ]
    return columns(rows)


def lines(ax):
    """Label -> x and y of every labelled line of a panel."""
    found = [line for line in ax.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in found}


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def grid(ax):
    """Values of a heat map, NaN where there is none."""
    (image,) = ax.images
    return np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), NAN)


def written(ax):
    """Numbers written into a heat map, by column and line."""
    return {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}


def colors(figure, ax, places):
    """What is seen at places (column, line) of a heat map, off the middle, as RGB."""
    figure.set_layout_engine("none")
    figure.set_dpi(50)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    away = np.array([0.4, 0.4])  # no number is written there
    found = ax.transData.transform(np.array(places) + away).round().astype(int)
    return [tuple(int(c) for c in pixels[-1 - y, x, :3]) for x, y in found]


def assert_drawable(figure, kinds=("png",)):
    figure.set_layout_engine("none")  # it takes most of the time
    for kind in kinds:
        image = io.BytesIO()
        figure.savefig(image, format=kind, dpi=40)
        assert len(image.getvalue()) > 1000


def outside(figure):
    """Titles that are wider than the figure leaves room for."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width = canvas.get_width_height()[0]
    boxes = {
        ax.get_title(): ax.title.get_window_extent(canvas.get_renderer()) for ax in figure.axes
    }
    return [title for title, box in boxes.items() if box.x0 < 0 or box.x1 > width]


def overlapping(figure):
    """Titles that run into the one to the right of them."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [
        (ax.get_title(), ax.title.get_window_extent(canvas.get_renderer())) for ax in figure.axes
    ]
    return [one for (one, a), (_, b) in pairwise(boxes) if a.overlaps(b)]


def test_sweep_figure_draws_every_sweep_on_every_group():
    figure = sweep_figure(sweeps_table(), list(SWEEPS))
    assert len(figure.axes) == 16
    for i, study in enumerate(SWEEPS):
        row = figure.axes[4 * i : 4 * i + 4]
        for group, ax in zip(("overall", "hard", "overlap", "easy"), row, strict=True):
            assert ax.get_title() == f"sweep '{study}', {group} test points"
            assert ax.get_ylabel() == "accuracy"
            swept = {"easy": "easy", "hard": "hard"}.get(study, "overlap")
            assert ax.get_xlabel() == f"{swept} points in training"
            x = sorted(counts[("easy", "hard", "overlap").index(swept)] for counts in SWEEPS[study])
            found = lines(ax)
            assert list(found) == list(MODELS)
            for model in MODELS:
                np.testing.assert_array_equal(found[model][0], x)
                expected = [height(study, model, group, n) for n in x]
                np.testing.assert_allclose(found[model][1], expected)
    assert legend(figure) == ["weak", "strong", "w2s"]


def test_sweep_figure_takes_rows_in_any_order():
    drawn = [
        sweep_figure(table, ["first", "hard"])
        for table in (sweeps_table(), shuffled(sweeps_table()))
    ]
    for one, other in zip(*(figure.axes for figure in drawn), strict=True):
        assert lines(one).keys() == lines(other).keys()
        for label, (x, y) in lines(one).items():
            np.testing.assert_array_equal(lines(other)[label][0], x)
            np.testing.assert_array_equal(lines(other)[label][1], y)


def test_sweep_figure_bands_are_the_intervals_in_the_colors_of_the_lines():
    ax = sweep_figure(sweeps_table(), ["overlap"]).axes[0]
    assert len(ax.collections) == 3
    for band, model in zip(ax.collections, MODELS, strict=True):
        (low, high) = band.get_paths()[0].get_extents().get_points()[:, 1]
        assert low == pytest.approx(height("overlap", model, "overall", 5) - 0.02)
        assert high == pytest.approx(height("overlap", model, "overall", 95) + 0.03)
        assert to_hex(band.get_facecolor()[0]) == COLORS[DRAWN[model]].lower()
    found = {line.get_label(): to_hex(line.get_color()) for line in ax.lines}
    assert found == {model: COLORS[DRAWN[model]].lower() for model in MODELS}


def test_sweep_figure_draws_the_sweeps_it_is_given():
    figure = sweep_figure(sweeps_table(), ["hard"])
    assert titles(figure) == [f"sweep 'hard', {group} test points" for group in GROUPS]


def test_sweep_figure_with_unknown_accuracies():
    table = sweeps_table()
    for name in ("accuracy", "lo", "hi"):
        table[name][table["model"] == "w2s"] = NAN
    figure = sweep_figure(table, ["easy"])
    assert legend(figure) == ["weak", "strong", "w2s"]
    assert_drawable(figure)


@pytest.mark.parametrize("order", [dict, shuffled])
def test_detection_figure_draws_every_axis_with_every_option(order):
    table = order(detection_table())
    figure = detection_figure(table)
    assert sorted(ax.get_xlabel() for ax in figure.axes) == sorted(
        a.replace("_", " ") for a in AXES
    )
    told = figure.get_suptitle()
    assert told == "AUROC of overlap points among those not found to be hard"
    names = ticks(figure.axes[0].yaxis)
    assert sorted(names) == sorted(VARIANTS)
    for place, ax in enumerate(figure.axes):
        axis = ax.get_xlabel().replace(" ", "_")
        settings = [float(label) for label in ticks(ax.xaxis)]
        assert sorted(settings) == sorted(AXES[axis])
        expected = [[cell(axis, setting, variant) for setting in settings] for variant in names]
        np.testing.assert_allclose(grid(ax), expected)
        assert written(ax) == {
            (j, i): f"{value:.2f}" for (i, j), value in np.ndenumerate(np.array(expected))
        }
        assert ticks(ax.yaxis) == (names if place % 4 == 0 else [""] * len(names))
    assert_drawable(figure)


def test_detection_figure_keeps_the_order_of_the_table():
    figure = detection_figure(detection_table())
    assert [ax.get_xlabel() for ax in figure.axes] == [name.replace("_", " ") for name in AXES]
    assert ticks(figure.axes[0].yaxis) == list(VARIANTS)
    assert ticks(figure.axes[1].xaxis) == ["5", "20", "80"]


def test_detection_figure_shows_another_metric():
    figure = detection_figure(detection_table(), metric="recall")
    assert figure.get_suptitle().startswith("RECALL of overlap points")
    assert all((grid(ax) == 0.99).all() for ax in figure.axes)


def test_degenerate_cells_are_left_white():
    missing = {("dimension", 20.0, "dot"), ("dimension", 80.0, "default")}
    figure = detection_figure(detection_table(missing))
    ax = figure.axes[1]
    empty = [(1, 1), (2, 0)]  # column and line
    known = [place for place in np.ndindex(3, 3) if place not in empty]
    assert np.isnan(grid(ax)).sum() == len(empty)
    assert set(written(ax)) == set(known)
    assert set(colors(figure, ax, empty)) == {(255, 255, 255)}
    assert (255, 255, 255) not in colors(figure, ax, known)
    assert not np.isnan(grid(figure.axes[0])).any()
    assert_drawable(figure)


def without(table, row):
    return {name: np.delete(column, row) for name, column in table.items()}


def test_cells_without_a_row_have_no_value():
    table = detection_table()
    (row,) = (
        i
        for i in select(table, axis="dimension", variant="dot", target="overlap", metric="auroc")
        if table["setting"][i] == 20
    )
    found = grid(detection_figure(without(table, row)).axes[1])
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 1]]
    found = thresholds_figure(without(thresholds_table(), 0)).axes[0]  # precision of hard points
    assert np.argwhere(np.isnan(grid(found))).tolist() == [[0, 0]]


def test_heat_maps_of_a_figure_share_their_scale():
    for figure in (detection_figure(detection_table()), thresholds_figure(thresholds_table())):
        assert {ax.images[0].get_clim() for ax in figure.axes} == {(0, 1)}


def test_numbers_stand_out_from_their_cells():
    figure = detection_figure(detection_table())
    for ax in figure.axes:
        for text in ax.texts:
            dark = float(text.get_text()) < 0.6
            assert text.get_color() == ("white" if dark else "black")


@pytest.mark.parametrize("order", [dict, shuffled])
def test_thresholds_figure_draws_every_pair_of_thresholds(order):
    figure = thresholds_figure(order(thresholds_table()))
    named = [(t, m) for t in ("hard", "overlap") for m in ("precision", "recall")]
    assert titles(figure) == [f"{metric} of {target} points" for target, metric in named]
    for ax, (t, m) in zip(figure.axes, np.ndindex(2, 2), strict=True):
        expected = [
            [grid_value(hard, overlap, t, m) for overlap in TAU_OVERLAP] for hard in TAU_HARD
        ]
        np.testing.assert_allclose(grid(ax), expected)
        assert ticks(ax.xaxis) == ["0.1", "0.9"]
        assert ticks(ax.yaxis) == ["0.2", "0.45", "0.7"]
        assert ax.get_xlabel() == "tau_overlap (quantile)"
        assert ax.get_ylabel() == "tau_hard (quantile)"
    assert_drawable(figure, kinds=("svg", "png"))


def test_thresholds_figure_leaves_undefined_pairs_white():
    figure = thresholds_figure(thresholds_table({(0.2, 0.9)}))
    for ax in figure.axes:
        assert np.isnan(grid(ax)).sum() == 1
        assert (1, 0) not in written(ax)
        assert colors(figure, ax, [(1, 0)]) == [(255, 255, 255)]


def test_purity_figure_draws_both_trainings_for_every_set_of_others():
    figure = purity_figure(purity_table())
    assert titles(figure) == [
        "nothing besides",
        "100 easy points besides",
        "100 hard points besides",
    ]
    for i, ax in enumerate(figure.axes):
        found = lines(ax)
        assert list(found) == ["overlap points", "easy points instead"]
        for x, _ in found.values():
            np.testing.assert_array_equal(x, POINTS)
        np.testing.assert_allclose(
            found["overlap points"][1], [0.5 + n / 500 + i / 10 for n in POINTS]
        )
        np.testing.assert_allclose(found["easy points instead"][1], [0.5 + i / 100] * 3)
        (band,) = ax.collections  # the interval of the difference, above the second line
        heights = band.get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose(
            sorted(set(np.round(heights, 6))), [0.51 + i / 100, 0.53 + i / 100]
        )
        assert ax.get_ylim() == figure.axes[0].get_ylim()
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("points", "w2s, accuracy on hard points")
    assert legend(figure) == ["overlap points", "easy points instead"]
    assert_drawable(figure)


def test_purity_figure_without_a_match_leaves_the_point_out():
    table = purity_table()
    for name in ("with_overlap", "with_easy"):
        table[name][0] = NAN
    found = lines(purity_figure(table).axes[0])
    assert [int(np.isfinite(y).sum()) for _, y in found.values()] == [2, 2]


def test_titles_of_the_purity_figure_are_inside_of_it():
    assert outside(purity_figure(purity_table())) == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: sweep_figure(sweeps_table(), ["overlap"]),
        lambda: detection_figure(detection_table()),
        lambda: thresholds_figure(thresholds_table()),
        lambda: purity_figure(purity_table()),
    ],
    ids=["sweeps", "detection", "thresholds", "purity"],
)
def test_titles_do_not_run_into_each_other(draw):
    assert overlapping(draw()) == []


def test_figures_are_not_kept_open_and_the_same_twice():
    images = []
    for _ in range(2):
        image = io.BytesIO()
        thresholds_figure(thresholds_table()).savefig(image, format="png", dpi=40)
        images.append(image.getvalue())
    assert images[0] == images[1]
    assert pyplot.get_fignums() == []
