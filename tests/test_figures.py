"""Figures: titles, lines, bands and thresholds of every panel, and panels without data."""

import io
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from w2s.overlap.figures import (
    contrasts_figure,
    controls_figure,
    curves_figure,
    mixing_figure,
    regions_figure,
)
from w2s.results import drawing
from w2s.results.drawing import COLORS, panels

TITLES = {"films": "Films", "news": "News"}
PROPORTIONS = (0.0, 0.5, 1.0)
CURVES = ("plain", "purity_matched", "label_balanced", "same_capacity")
MODELS = ("floor", "w2s", "ceiling", "reference", "reference_w2s")
REGIONS = ("easy", "hard", "overlap")
REASON = "overlap: constant confidences"


def columns(rows):
    """Rows as the columns of a table: numbers as float64, words as objects."""
    table = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        name: np.array(cells, dtype=object if isinstance(cells[0], str) else np.float64)
        for name, cells in table.items()
    }


def main_table():
    means = (("floor", 0.6), ("w2s", 0.7), ("ceiling", 0.8))
    parts = (("", 0.0), ("_lo", -0.02), ("_hi", 0.02))
    row = {f"{name}{part}": value + shift for name, value in means for part, shift in parts}
    return columns([{"dataset": dataset, **row} for dataset in TITLES])


def with_interval(row, value, below, above, gone):
    """A row of a table with its accuracy, NaN with a reason where it is gone."""
    value = np.nan if gone else value
    ends = {"lo": value - below, "hi": value + above}
    return {**row, "accuracy": value, **ends, "reason": REASON if gone else ""}


def mixing_table(missing=(), more=()):
    """The curves and `more` in scrambled order, `missing` (dataset, control) NaN with a reason."""
    rows = []
    for dataset in TITLES:
        points = [(control, p) for control in (*CURVES, *more) for p in (1.0, 0.0, 0.5)]
        lines = ("random", "true_labels", "reference", "reference_w2s", "same_capacity_w2s")
        for control, p in [*points, *((name, np.nan) for name in lines)]:
            value = 0.6 + 0.1 * (0.5 if np.isnan(p) else p)
            row = {"dataset": dataset, "control": control, "proportion": p}
            rows.append(with_interval(row, value, 0.03, 0.03, (dataset, control) in missing))
    return columns(rows)


def regions_table(missing=()):
    rows = []
    for dataset, (i, region), model in product(TITLES, enumerate(REGIONS), MODELS):
        gone = {(dataset, region), (dataset, model)} & set(missing)
        row = {"dataset": dataset, "model": model, "region": region}
        rows.append(with_interval(row, 0.9 - 0.1 * i, 0.05, 0.08, gone))
    return columns(rows)


def scores():
    names = ("confidence", "score", "tau_hard", "tau_overlap", "reason")
    rng = np.random.default_rng(0)
    confidence = rng.permutation(np.linspace(0, 1, 50))
    score = np.where(confidence < 0.3, np.nan, rng.random(50))
    values = {
        "films": (confidence, score, 0.3, 0.6, ""),
        "news": (np.ones(50), np.full(50, np.nan), None, None, REASON),
    }
    return {dataset: dict(zip(names, each, strict=True)) for dataset, each in values.items()}


def titles_of(figure):
    return [ax.get_title() for ax in figure.axes]


def lines(ax):
    """Label -> x and y of every labelled line of a panel."""
    found = [line for line in ax.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in found}


def panel(figure, line, column):
    """The panel at a place of the grid."""
    spans = [(ax, ax.get_subplotspec()) for ax in figure.axes]
    places = {(span.rowspan.start, span.colspan.start): ax for ax, span in spans}
    return places[line, column]


def words(ax):
    return [text.get_text() for text in ax.texts]


def legend(figure):
    """Words of the only legend."""
    (only,) = figure.legends
    return [text.get_text() for text in only.get_texts()]


def assert_drawable(figure, kinds=("svg", "png"), **options):
    for kind in kinds:
        image = io.BytesIO()
        figure.savefig(image, format=kind, **options)
        assert len(image.getvalue()) > 1000


def test_panels_come_in_rows_of_four():
    for count, shape in [(1, (1, 1)), (3, (1, 3)), (4, (1, 4)), (6, (2, 4))]:
        figure, axes = panels(count)
        assert len(axes) == len(figure.axes) == count
        assert axes[0].get_gridspec().get_geometry() == shape
        assert figure.get_figwidth() > 3 * shape[1]


def test_mixing_figure_shows_each_curve_in_order_with_its_baselines():
    figure = mixing_figure(main_table(), mixing_table(), TITLES)
    assert titles_of(figure) == ["Films", "News"]
    for ax in figure.axes:
        assert ax.get_xlabel() == "share of overlap points"
        assert ax.get_ylabel() == "test accuracy"
        found = lines(ax)
        assert set(found) == {"plain", "floor", "w2s", "ceiling"}
        np.testing.assert_array_equal(found["plain"][0], PROPORTIONS)
        np.testing.assert_allclose(found["plain"][1], [0.6, 0.65, 0.7])
        assert [found[name][1][0] for name in ("floor", "w2s", "ceiling")] == [0.6, 0.7, 0.8]
        assert len(ax.collections) == 1  # the band of the curve
        heights = [patch.get_extents().height for patch in ax.patches]
        assert len(heights) == 3  # the bands of the baselines
        assert min(heights) > 0
        assert words(ax) == []
    assert sorted(legend(figure)) == ["ceiling", "floor", "plain", "w2s"]
    assert_drawable(figure)
    band = figure.axes[0].collections[0].get_paths()[0].get_extents().get_points()
    assert band[:, 1] == pytest.approx((0.57, 0.73))  # the intervals
    figure = mixing_figure(main_table(), mixing_table(), {"news": "Nachrichten"})
    assert titles_of(figure) == ["Nachrichten"]


def test_mixing_figure_shows_the_placebo_beside_the_curve():
    table = mixing_table(missing={("news", "placebo")}, more=("placebo",))
    table["accuracy"][table["control"] == "placebo"] -= 0.01
    films, news = mixing_figure(main_table(), table, TITLES).axes
    x, y = lines(films)["placebo"]
    np.testing.assert_array_equal(x, PROPORTIONS)
    np.testing.assert_allclose(y, [0.59, 0.64, 0.69])
    assert len(films.collections) == 2  # with its own band
    assert set(lines(films)) == {"plain", "placebo", "floor", "w2s", "ceiling"}
    assert set(lines(news)) == {"plain", "floor", "w2s", "ceiling"}
    assert words(news) == []


def test_mixing_figure_without_a_curve_says_why_and_keeps_the_baselines():
    figure = mixing_figure(main_table(), mixing_table({("news", "plain")}), TITLES)
    films, news = figure.axes
    assert words(films) == []
    assert words(news) == [REASON]
    assert set(lines(news)) == {"floor", "w2s", "ceiling"}
    assert_drawable(figure)
    table = mixing_table()
    others = {name: values[table["control"] != "plain"] for name, values in table.items()}
    figure = mixing_figure(main_table(), others, TITLES)
    assert [words(ax) for ax in figure.axes] == [["no data"], ["no data"]]
    main = main_table()
    for name in ("w2s", "w2s_lo", "w2s_hi"):
        main[name][:] = np.nan
    assert_drawable(mixing_figure(main, mixing_table(), TITLES))
    table["accuracy"][(table["control"] == "plain") & (table["proportion"] == 0.5)] = np.nan
    x, y = lines(mixing_figure(main_table(), table, TITLES).axes[0])["plain"]
    np.testing.assert_array_equal(x, [0, 1])
    np.testing.assert_allclose(y, [0.6, 0.7])


def test_controls_figure_shows_every_control():
    figure = controls_figure(mixing_table(), TITLES)
    assert titles_of(figure) == ["Films", "News"]
    for ax in figure.axes:
        found = lines(ax)
        assert set(found) == {*CURVES, "random", "true_labels"}
        for curve in CURVES:
            np.testing.assert_array_equal(found[curve][0], PROPORTIONS)
        assert found["random"][1][0] == pytest.approx(0.65)
        assert len(ax.collections) == 0  # no bands: there are too many curves
    assert len(legend(figure)) == 6
    assert_drawable(figure)


def test_controls_figure_draws_what_there_is_but_placebos_of_controls_and_learning_curves():
    more = ("placebo", "fixed_hard", "purity_matched_placebo", "few_labels")
    for ax in controls_figure(mixing_table(more=more), TITLES).axes:
        assert set(lines(ax)) == {*CURVES, "placebo", "fixed_hard", "random", "true_labels"}
    missing = {("news", "purity_matched"), ("news", "random")}
    films, news = controls_figure(mixing_table(missing), TITLES).axes
    assert set(lines(films)) - set(lines(news)) == {"purity_matched", "random"}
    controls = (*CURVES, "random", "true_labels", "reference", "reference_w2s")
    figure = controls_figure(mixing_table(set(product(TITLES, controls))), TITLES)
    for ax in figure.axes:
        assert lines(ax) == {}
        assert words(ax) == [f"plain: {REASON}"]
    assert_drawable(figure)


PAIRS = (("small", "large"), ("small", "huge"))
NAMES = ("plain: p=1 - p=0", "plain: overlap - placebo, p=1", "fixed_hard: p=1 - p=0")


def comparisons_table(pairs=PAIRS[:1], missing=()):
    """Differences of every dataset and pair, of which those of (dataset, comparison) are missing.

    The k-th is (k - 1) / 10, or .05 more for the second pair, and is sure if it is above 0.
    """
    rows = []
    names = ("w2s - floor", *NAMES, "plain p=1 - random")
    every = product(TITLES, enumerate(pairs), ("overall", "hard"), names)
    for dataset, (number, (weak, strong)), group, name in every:
        k = NAMES.index(name) if name in NAMES else 9
        value = (k - 1) / 10 + number / 20 + (group != "overall")
        value = np.nan if (dataset, name) in missing else value
        rows.append(
            {"dataset": dataset, "weak": weak, "strong": strong, "comparison": name,
             "group": group, "difference": value, "lo": value - 0.02, "hi": value + 0.03,
             "p": 0.001, "reason": REASON if np.isnan(value) else "",
             "p_holm": np.nan if np.isnan(value) else 0.04 if value > 0 else 0.05}
        )  # fmt: skip
    return columns(rows)


def dots(ax):
    """Places and heights of the filled and of all dots of a panel, for each pair."""
    drawn = [line for line in ax.lines if line.get_marker() == "o"]
    filled = [line for line in drawn if line.get_fillstyle() != "none"]
    every = [line for line in drawn if line.get_fillstyle() == "none"]
    return [
        tuple(dict(zip(line.get_ydata(), line.get_xdata(), strict=True)) for line in pair)
        for pair in zip(filled, every, strict=True)
    ]


def test_contrasts_figure_shows_every_contrast_on_all_points_once():
    figure = contrasts_figure(comparisons_table(), TITLES)
    assert titles_of(figure) == ["Films", "News"]
    for ax in figure.axes:
        ((sure, every),) = dots(ax)
        assert every == pytest.approx({0: -0.1, 1: 0, 2: 0.1})  # not those of the hard region
        assert sure == pytest.approx({2: 0.1})  # p_holm below .05; p is for all
        (bars,) = ax.containers[0].lines[2]
        ends = [segment[:, 0] for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, [[-0.12, -0.07], [-0.02, 0.03], [0.08, 0.13]], atol=1e-9)
        assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first one is on top
        assert ax.get_xlabel() == "difference of test accuracies"
    labels = [[tick.get_text() for tick in ax.get_yticklabels()] for ax in figure.axes]
    assert labels == [list(NAMES), [""] * 3]  # once a row of panels
    assert not figure.legends
    assert_drawable(figure)


def test_contrasts_figure_shows_pairs_side_by_side():
    figure = contrasts_figure(comparisons_table(PAIRS), TITLES)
    for ax in figure.axes:
        (_, first), (sure, second) = dots(ax)
        np.testing.assert_allclose(list(first.values()), [-0.1, 0, 0.1], atol=1e-9)
        np.testing.assert_allclose(list(second.values()), [-0.05, 0.05, 0.15])
        np.testing.assert_allclose(list(sure.values()), [0.05, 0.15])
        assert [round(y) for y in (*first, *second)] == [0, 1, 2] * 2
        assert not set(first) & set(second)
    assert legend(figure) == ["small, large", "small, huge"]
    assert_drawable(figure)


def test_contrasts_figure_leaves_missing_ones_out():
    missing = {("films", NAMES[0]), *(("news", name) for name in NAMES)}
    films, news = contrasts_figure(comparisons_table(missing=missing), TITLES).axes
    assert [list(every) for _, every in dots(films)] == [[1, 2]]
    assert [list(every) for _, every in dots(news)] == [[]]
    assert (words(films), words(news)) == ([], [REASON])
    assert_drawable(films.figure)
    table = comparisons_table()
    no_contrast = {k: v[table["comparison"] == "w2s - floor"] for k, v in table.items()}
    for table in (comparisons_table(missing=set(product(TITLES, NAMES))), no_contrast):
        figure = contrasts_figure(table, TITLES)
        assert [list(every) for ax in figure.axes for _, every in dots(ax)] == [[], []]
        assert_drawable(figure)


def test_the_title_of_a_tall_figure_stands_above_its_panels(tmp_path):
    figure, axes = panels(16, height=2.4, columns=2)
    for ax in axes:
        ax.set_title("a panel")
    figure.suptitle("all of them")
    figure.savefig(tmp_path / "tall.png")  # draws twice: the second time without a layout
    top = max(ax.title.get_window_extent().y1 for ax in axes)
    assert figure._suptitle.get_window_extent().y0 > top


def test_figures_of_one_dataset_hold_all_their_words():
    titles = {"films": "Reviews of films that people saw in 2014 or in the year after it"}
    table = mixing_table()
    mine = {name: values[table["dataset"] == "films"] for name, values in table.items()}
    contrasts = comparisons_table(PAIRS)
    contrasts = {k: v[contrasts["dataset"] == "films"] for k, v in contrasts.items()}
    for figure in (controls_figure(mine, titles), contrasts_figure(contrasts, titles)):
        figure.suptitle("A model of a long name, first layer → another one, all 24 layers of it")
        assert_drawable(figure)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        (ax,) = figure.axes
        shown = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_yticklabels()]
        shown += [*figure.legends[0].get_texts(), figure._suptitle]
        for text in filter(Text.get_text, shown):
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0, text.get_text()
            assert box.x1 <= figure.bbox.x1, text.get_text()
        assert ax.get_window_extent(renderer).height > 80


def test_curves_figure_shows_sorted_values_split_at_the_thresholds():
    figure = curves_figure(scores(), TITLES)
    titles = [panel(figure, *place).get_title() for place in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert titles == ["Films", "News", "", ""]
    top, bottom = panel(figure, 0, 0), panel(figure, 1, 0)
    for ax, names, tau, n in (
        (top, ("hard", "not hard"), 0.3, 50),
        (bottom, ("easy", "overlap"), 0.6, np.isfinite(scores()["films"]["score"]).sum()),
    ):
        found = lines(ax)
        assert tuple(found) == names
        (x_below, below), (x_above, above) = found.values()
        assert max(below) < tau <= min(above)
        assert list(x_below) + list(x_above) == list(range(n))
        assert np.all(np.diff(np.concatenate([below, above])) >= 0)
        assert words(ax) == [f"{tau:.3f}"]
        assert [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"] == [tau]
    assert top.get_ylabel() == "confidence"
    assert bottom.get_ylabel() == "overlap score"
    assert sorted(legend(figure)) == ["easy", "hard", "not hard", "overlap"]
    assert_drawable(figure)


def test_curves_figure_of_undefined_regions_says_why_and_thresholds_are_above():
    figure = curves_figure(scores(), TITLES)
    for ax in (panel(figure, 0, 1), panel(figure, 1, 1)):
        assert words(ax) == [REASON]
        assert len(ax.lines) == 0
    data = {**scores()["films"], "confidence": np.repeat([0.0, 0.3, 1.0], 4)}
    found = lines(curves_figure({"films": data}, {"films": "Films"}).axes[0])
    assert [len(y) for _, y in found.values()] == [4, 8]


def test_regions_figure_shows_each_model_and_reference_on_each_region():
    figure = regions_figure(regions_table(), TITLES)
    assert titles_of(figure) == ["Films", "News"]
    for ax in figure.axes:
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["easy", "hard", "overlap"]
        assert len(ax.containers) == len(MODELS)
        places = []
        for container, model in zip(ax.containers, MODELS, strict=True):
            points, _, (bars,) = container.lines
            assert container.get_label() == model
            assert to_hex(points.get_color()) == COLORS[model].lower()
            assert points.get_marker() == ("D" if model.startswith("reference") else "o")
            np.testing.assert_allclose(points.get_ydata(), [0.9, 0.8, 0.7])
            np.testing.assert_allclose(np.round(points.get_xdata()), [0, 1, 2])
            ends = [segment[:, 1] for segment in bars.get_segments()]
            np.testing.assert_allclose(ends, [[0.85, 0.98], [0.75, 0.88], [0.65, 0.78]])
            places.append(tuple(points.get_xdata()))
        assert len(set(places)) == len(MODELS)  # side by side
    assert legend(figure) == list(MODELS)
    assert_drawable(figure)


def test_regions_figure_without_some_regions_or_references_and_undefined_ones():
    figure = regions_figure(regions_table({("films", "easy")}), TITLES)
    points = figure.axes[0].containers[1].lines[0]
    np.testing.assert_allclose(np.round(points.get_xdata()), [1, 2])
    np.testing.assert_allclose(points.get_ydata(), [0.8, 0.7])
    assert words(figure.axes[0]) == []
    missing = {("films", name) for name in ("reference", "reference_w2s")}
    figure = regions_figure(regions_table(missing), TITLES)
    shown = [len(container.lines[0].get_xdata()) for container in figure.axes[0].containers]
    assert shown == [3, 3, 3, 0, 0]
    assert words(figure.axes[0]) == []
    assert_drawable(figure)
    missing = {("news", region) for region in REGIONS}
    figure = regions_figure(regions_table(missing), TITLES)
    assert [words(ax) for ax in figure.axes] == [[], [REASON]]
    assert_drawable(figure)


def test_figures_have_a_panel_per_dataset_whatever_their_number():
    titles = {f"d{i}": f"Dataset {i}" for i in range(5)}
    data = {name: scores()["films"] for name in titles}
    figure = curves_figure(data, titles)
    assert len(figure.axes) == 10
    assert panel(figure, 0, 3).get_title() == "Dataset 3"
    assert panel(figure, 2, 0).get_title() == "Dataset 4"
    assert panel(figure, 3, 0).get_ylabel() == "overlap score"
    main, mixing = main_table(), mixing_table()
    copies = [
        {name: np.concatenate([table[name][table["dataset"] == "films"]] * 5) for name in table}
        for table in (main, mixing)
    ]
    for table in copies:
        table["dataset"] = np.repeat(list(titles), len(table["dataset"]) // 5).astype(object)
    figure = mixing_figure(*copies, titles)
    assert titles_of(figure) == list(titles.values())


def test_the_same_table_gives_the_same_picture_and_figures_are_not_kept_open():
    images = []
    for _ in range(2):
        image = io.BytesIO()
        regions_figure(regions_table(), TITLES).savefig(image, format="png")
        images.append(image.getvalue())
    assert images[0] == images[1]
    mixing_figure(main_table(), mixing_table(), TITLES)
    assert pyplot.get_fignums() == []


def test_titles_are_text_whatever_signs_they_hold(subtests):
    table = mixing_table({("news", "plain")})
    for title in (
        *("Price in A$ {x$ b", "US$ and A$", r"\frac{1 $\beta$ {", "a_b^c $x_{1}$"),
        *("$$", "bell \x07 $"),
    ):
        reason = np.where(table["reason"] == "", "", title).astype(object)
        figure = mixing_figure(
            main_table(), table | {"reason": reason}, dict.fromkeys(TITLES, title)
        )
        figure.suptitle(title)
        figure.axes[0].set(xlabel=title, yscale="log")
        figure.axes[0].plot([0, 1], [0.5, 0.7], label=title)
        figure.legends[0].remove()
        drawing.legend(figure, figure.axes)
        image = io.BytesIO()
        with pyplot.rc_context({"svg.fonttype": "none"}):
            figure.savefig(image, format="svg")
        shown = "".join(ElementTree.fromstring(image.getvalue()).itertext())
        with subtests.test(title=title):
            # of both panels and the figure, at an axis, in a legend, of an empty panel
            assert shown.count(title.replace("\x07", "�")) == 6
            assert "mathdefault" not in shown  # powers of ten are still set as such
            assert_drawable(figure)


def test_figures_without_such_signs_have_the_bytes_of_matplotlibs(monkeypatch):
    def drawn():
        image = io.BytesIO()
        with pyplot.rc_context({"svg.hashsalt": "w2s", "svg.fonttype": "none"}):
            figure = mixing_figure(main_table(), mixing_table({("news", "plain")}), TITLES)
            figure.axes[0].set_yscale("log")
            figure.savefig(image, format="svg", metadata={"Date": None})
        return image.getvalue()

    plain = drawn()
    monkeypatch.delattr(drawing.PlainFigure, "draw")
    assert drawn() == plain
