"""Figures of the synthetic study: every sweep, axis and threshold, and cells without a value."""

import io
from itertools import pairwise, product

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from test_figures import assert_drawable, columns, legend, lines, titles_of

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
TARGETS, METRICS = ("hard", "overlap"), ("precision", "recall", "auroc")
OTHERS = ("none", "easy", "hard")
POINTS = (5, 25, 95)


def shuffled(table):
    order = np.random.default_rng(0).permutation(len(next(iter(table.values()))))
    return {name: column[order] for name, column in table.items()}


def height(study, model, group, n):
    """A different accuracy for each line and point, rising with n."""
    place = list(SWEEPS).index(study) * 16 + GROUPS.index(group) * 4 + MODELS.index(model)
    return 0.5 + place / 1000 + n / 10_000


def sweeps_table():
    rows = []
    settings = [(study, counts) for study in SWEEPS for counts in SWEEPS[study]]
    every = product(settings, ("moving", "fixed"), MODELS, GROUPS)
    for (study, counts), mixture, model, group in every:
        key = dict(zip(("n_easy", "n_hard", "n_overlap"), counts, strict=True))
        value = height(study, model, group, key[STUDIES[study]]) if mixture == "fixed" else 0.1
        rows.append(
            {"study": study, "mixture": mixture, **key, "model": model, "group": group}
            | {"accuracy": value, "lo": value - 0.02, "hi": value + 0.03}
        )
    return columns(rows)


def cell(axis, setting, variant):
    """A value for each cell of the heat maps, below and above one half."""
    places = list(AXES).index(axis), AXES[axis].index(setting), VARIANTS.index(variant)
    return 0.05 + np.dot(places, (0.15, 0.05, 0.1))


def detection_table(missing=()):
    rows = []
    places = [(axis, setting) for axis in AXES for setting in AXES[axis]]
    for (axis, setting), variant, target, metric in product(places, VARIANTS, TARGETS, METRICS):
        shown = (target, metric) == ("overlap", "auroc")
        value = cell(axis, setting, variant) if shown else 0.99
        value = NAN if (axis, setting, variant) in missing else value
        rows.append(
            {"axis": axis, "setting": setting, "variant": variant}
            | {"target": target, "metric": metric, "value": value}
        )
    return columns(rows)


def thresholds_table(missing=()):
    every = product(TAU_HARD, TAU_OVERLAP, enumerate(TARGETS), enumerate(METRICS))
    rows = [
        {"tau_hard": hard, "tau_overlap": overlap, "target": target, "metric": metric}
        | {"value": NAN if (hard, overlap) in missing else grid_value(hard, overlap, t, m)}
        for hard, overlap, (t, target), (m, metric) in every
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


def assert_drawn(figure, kinds=("png",)):
    figure.set_layout_engine("none")  # it takes most of the time
    assert_drawable(figure, kinds, dpi=40)


def title_boxes(figure):
    """Titles and their extents, and the width of the figure, all in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [(ax.get_title(), ax.title.get_window_extent(renderer)) for ax in figure.axes]
    return boxes, canvas.get_width_height()[0]


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


def test_sweep_figure_draws_the_sweeps_it_is_given_from_rows_in_any_order():
    tables = (sweeps_table(), shuffled(sweeps_table()))
    drawn = [sweep_figure(table, ["first", "hard"]) for table in tables]
    for one, other in zip(*(figure.axes for figure in drawn), strict=True):
        assert lines(one).keys() == lines(other).keys()
        for label, (x, y) in lines(one).items():
            np.testing.assert_array_equal(lines(other)[label][0], x)
            np.testing.assert_array_equal(lines(other)[label][1], y)
    figure = sweep_figure(sweeps_table(), ["hard"])
    assert titles_of(figure) == [f"sweep 'hard', {group} test points" for group in GROUPS]


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


def test_sweep_figure_with_unknown_accuracies():
    table = sweeps_table()
    for name in ("accuracy", "lo", "hi"):
        table[name][table["model"] == "w2s"] = NAN
    figure = sweep_figure(table, ["easy"])
    assert legend(figure) == ["weak", "strong", "w2s"]
    assert_drawn(figure)


@pytest.mark.parametrize("order", [dict, shuffled])
def test_detection_figure_draws_every_axis_with_every_option(order):
    table = order(detection_table())
    figure = detection_figure(table)
    labels = sorted(name.replace("_", " ") for name in AXES)
    assert sorted(ax.get_xlabel() for ax in figure.axes) == labels
    told = "AUROC of overlap points among those not found to be hard"
    assert figure.get_suptitle() == told
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
    assert_drawn(figure)


def test_detection_figure_keeps_the_order_of_the_table():
    figure = detection_figure(detection_table())
    assert [ax.get_xlabel() for ax in figure.axes] == [name.replace("_", " ") for name in AXES]
    assert ticks(figure.axes[0].yaxis) == list(VARIANTS)
    assert ticks(figure.axes[1].xaxis) == ["5", "20", "80"]


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
    assert_drawn(figure)
    figure = thresholds_figure(thresholds_table({(0.2, 0.9)}))
    for ax in figure.axes:
        assert np.isnan(grid(ax)).sum() == 1
        assert (1, 0) not in written(ax)
        assert colors(figure, ax, [(1, 0)]) == [(255, 255, 255)]


def test_cells_without_a_row_have_no_value():
    def without(table, row):
        return {name: np.delete(column, row) for name, column in table.items()}

    table = detection_table()
    rows = select(table, axis="dimension", variant="dot", target="overlap", metric="auroc")
    (row,) = rows[table["setting"][rows] == 20]
    found = grid(detection_figure(without(table, row)).axes[1])
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 1]]
    found = thresholds_figure(without(thresholds_table(), 0)).axes[0]  # precision of hard points
    assert np.argwhere(np.isnan(grid(found))).tolist() == [[0, 0]]


def test_heat_maps_of_a_figure_share_their_scale_and_numbers_stand_out():
    figures = (detection_figure(detection_table()), thresholds_figure(thresholds_table()))
    for figure in figures:
        assert {ax.images[0].get_clim() for ax in figure.axes} == {(0, 1)}
    for ax in figures[0].axes:
        for text in ax.texts:
            dark = float(text.get_text()) < 0.6
            assert text.get_color() == ("white" if dark else "black")


@pytest.mark.parametrize("order", [dict, shuffled])
def test_thresholds_figure_draws_every_pair_of_thresholds(order):
    figure = thresholds_figure(order(thresholds_table()))
    named = [(t, m) for t in ("hard", "overlap") for m in ("precision", "recall")]
    assert titles_of(figure) == [f"{metric} of {target} points" for target, metric in named]
    for ax, (t, m) in zip(figure.axes, np.ndindex(2, 2), strict=True):
        pairs = np.array(list(product(TAU_HARD, TAU_OVERLAP))).reshape(3, 2, 2)
        expected = grid_value(pairs[..., 0], pairs[..., 1], t, m)
        np.testing.assert_allclose(grid(ax), expected)
        assert ticks(ax.xaxis) == ["0.1", "0.9"]
        assert ticks(ax.yaxis) == ["0.2", "0.45", "0.7"]
        assert ax.get_xlabel() == "tau_overlap (quantile)"
        assert ax.get_ylabel() == "tau_hard (quantile)"
    assert_drawn(figure, ("svg", "png"))


def test_purity_figure_draws_both_trainings_for_every_set_of_others():
    figure = purity_figure(purity_table())
    besides = ("nothing", "100 easy points", "100 hard points")
    assert titles_of(figure) == [f"{name} besides" for name in besides]
    for i, ax in enumerate(figure.axes):
        found = lines(ax)
        assert list(found) == ["overlap points", "easy points instead"]
        for x, _ in found.values():
            np.testing.assert_array_equal(x, POINTS)
        expected = [0.5 + n / 500 + i / 10 for n in POINTS]
        np.testing.assert_allclose(found["overlap points"][1], expected)
        np.testing.assert_allclose(found["easy points instead"][1], [0.5 + i / 100] * 3)
        (band,) = ax.collections  # the interval of the difference, above the second line
        heights = sorted(set(np.round(band.get_paths()[0].vertices[:, 1], 6)))
        np.testing.assert_allclose(heights, [0.51 + i / 100, 0.53 + i / 100])
        assert ax.get_ylim() == figure.axes[0].get_ylim()
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("points", "w2s, accuracy on hard points")
    assert legend(figure) == ["overlap points", "easy points instead"]
    assert_drawn(figure)


def test_purity_figure_without_a_match_leaves_the_point_out():
    table = purity_table()
    for name in ("with_overlap", "with_easy"):
        table[name][0] = NAN
    found = lines(purity_figure(table).axes[0])
    assert [int(np.isfinite(y).sum()) for _, y in found.values()] == [2, 2]


def test_titles_are_inside_of_the_purity_figure_and_do_not_run_into_each_other(subtests):
    for name, figure in (
        ("sweeps", sweep_figure(sweeps_table(), ["overlap"])),
        ("detection", detection_figure(detection_table())),
        ("thresholds", thresholds_figure(thresholds_table())),
        ("purity", purity_figure(purity_table())),
    ):
        boxes, width = title_boxes(figure)
        with subtests.test(figure=name):
            assert not [one for (one, a), (_, b) in pairwise(boxes) if a.overlaps(b)]
            if name == "purity":
                assert not [one for one, box in boxes if box.x0 < 0 or box.x1 > width]


def test_figures_are_not_kept_open_and_the_same_twice():
    images = []
    for _ in range(2):
        image = io.BytesIO()
        thresholds_figure(thresholds_table()).savefig(image, format="png", dpi=40)
        images.append(image.getvalue())
    assert images[0] == images[1]
    assert pyplot.get_fignums() == []
