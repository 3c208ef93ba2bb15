"""Stages of the synthetic study: the library's numbers, what they depend on, and a run of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from project import copy_project, foreign_files, planned, read_config, snakemake, write_config

from w2s.cli import main
from w2s.config import parse, parse_as
from w2s.errors import ConfigError
from w2s.files.artifacts import Artifact, load, save
from w2s.results.drawing import select
from w2s.synthetic.detection import (
    AXES,
    METRICS,
    TARGETS,
    TAU_HARD,
    TAU_OVERLAP,
    VARIANTS,
    Cell,
    detection_study,
    sensitivity,
    synthetic_detection,
)
from w2s.synthetic.expansion import expansion_study
from w2s.synthetic.figures import synthetic_figures
from w2s.synthetic.mixture import DESIGNS, SWEEPS
from w2s.synthetic.purity import ESTIMATES, N_OVERLAP, OTHERS, purity_control, synthetic_controls
from w2s.synthetic.study import Recipe, run_setting, synthetic
from w2s.synthetic.tables import PUBLISHED, synthetic_tables
from w2s.synthetic.track import (
    RecipeConfig,
    SyntheticControlsSettings,
    SyntheticDetectionSettings,
    SyntheticFiguresSettings,
    SyntheticSettings,
    SyntheticTablesSettings,
)

FEW = range(2)
TABLES = ("synthetic", "anchors", "detection", "thresholds", "purity", "expansion")
FIGURES = ("sweeps", "detection", "thresholds", "purity")
SOFT = {"c": 0.01, "w2s_c": 0.2, "w2s_on": ["easy", "overlap"], "soft": True}


def sweep(study: str = "easy", repetitions: int = 2, **changes: Any) -> Artifact:
    options = {"study": study, "repetitions": repetitions, **changes}
    return synthetic(settings=parse_as(SyntheticSettings, options))["accuracies"]


def detection(repetitions: int = 2, **changes: Any) -> dict[str, Artifact]:
    options = {"repetitions": repetitions, **changes}
    return synthetic_detection(settings=parse_as(SyntheticDetectionSettings, options))


def controls(repetitions: int = 2, **changes: Any) -> dict[str, Artifact]:
    options = {"repetitions": repetitions, **changes}
    return synthetic_controls(settings=parse_as(SyntheticControlsSettings, options))


@pytest.fixture(scope="module")
def rows() -> dict[str, Artifact]:
    """What the tables read beside the sweeps, two repetitions of everything: not to be changed."""
    return {**detection(), **controls()}


@pytest.fixture(scope="module")
def sweeps() -> dict[str, Artifact]:
    """Every sweep, two repetitions: not to be changed."""
    return {study: sweep(study) for study in SWEEPS}


def tables(sweeps: list[Artifact], rows: dict[str, Artifact], level: float = 0.95) -> Any:
    return synthetic_tables(sweeps, **rows, settings=SyntheticTablesSettings(level=level))


@pytest.mark.parametrize("study", list(SWEEPS))
def test_sweep_holds_what_the_library_gives(study: str, sweeps: dict[str, Artifact]) -> None:
    found = sweeps[study]
    assert [tuple(counts) for counts in found["counts"].tolist()] == list(SWEEPS[study])
    for i, counts in enumerate(SWEEPS[study]):
        one = run_setting(counts, design=DESIGNS[study], recipe=Recipe(), seed=0, repetitions=FEW)
        np.testing.assert_array_equal(found["accuracy"][i], one.region)
        np.testing.assert_array_equal(found["constant"][i], one.constant)
        np.testing.assert_array_equal(found["label_accuracy"][i], one.label_accuracy)
    assert found.facts == {
        **{"study": study, "seed": 0},
        "recipe": {"c": 1.0, "w2s_c": 0.01, "w2s_on": ["overlap"], "soft": False},
    }


def test_recipe_of_the_configuration_has_the_defaults_of_the_method() -> None:
    assert Recipe(**RecipeConfig().model_dump()) == Recipe()


def test_more_repetitions_leave_the_earlier_ones_as_they_are() -> None:
    few, many = sweep(repetitions=2), sweep(repetitions=4)
    assert many["accuracy"].shape[1] == 4
    for name in ("accuracy", "constant", "label_accuracy"):
        np.testing.assert_allclose(many[name][:, :2], few[name], atol=1e-12)
    assert not np.allclose(many["accuracy"][:, 2:], few["accuracy"])


def test_more_repetitions_of_detection_and_controls_leave_the_earlier_ones_as_they_are(
    rows: dict[str, Artifact],
) -> None:
    many = {**detection(3), **controls(3)}
    axis = {"detection": 2, "thresholds": 0, "purity": 1, "expansion": 1}
    for artifact, name in [
        ("detection", "metrics"),
        ("detection", "density"),
        ("thresholds", "metrics"),
        ("thresholds", "density"),
        ("purity", "overlap"),
        ("purity", "easy"),
        ("purity", "label_accuracy"),
        ("expansion", "estimate"),
    ]:
        whole = many[artifact][name]
        assert whole.shape[axis[artifact]] == 3
        first = np.take(whole, FEW, axis=axis[artifact])
        np.testing.assert_allclose(first, rows[artifact][name], atol=1e-12)


@pytest.mark.parametrize(
    "change", [{"c": 0.3}, {"w2s_c": 1.0}, {"w2s_on": ["easy", "overlap"]}, {"soft": True}, SOFT]
)
def test_recipe_reaches_the_training(change: dict[str, Any], sweeps: dict[str, Artifact]) -> None:
    found = sweep(recipe=change)
    recipe = Recipe(**{**change, "w2s_on": tuple(change.get("w2s_on", ("overlap",)))})
    for i in (0, -1):
        one = run_setting(
            SWEEPS["easy"][i], design=DESIGNS["easy"], recipe=recipe, seed=0, repetitions=FEW
        )
        np.testing.assert_array_equal(found["accuracy"][i], one.region)
    assert (found["accuracy"] != sweeps["easy"]["accuracy"]).any()
    assert found.facts["recipe"] == {**sweeps["easy"].facts["recipe"], **change}


def test_recipe_reaches_the_controls(rows: dict[str, Artifact]) -> None:
    found = controls(recipe=SOFT)
    recipe = Recipe(**{**SOFT, "w2s_on": tuple(SOFT["w2s_on"])})
    draws: dict[str, Any] = {"design": DESIGNS["overlap"], "seed": 0, "repetitions": FEW}
    one = purity_control((100, 100, 5), recipe=recipe, **draws)
    np.testing.assert_array_equal(found["purity"]["overlap"][0], one.overlap)
    np.testing.assert_array_equal(found["purity"]["easy"][0], one.easy)
    right = expansion_study((100, 100, 95), c=0.01, **draws).right
    np.testing.assert_array_equal(found["expansion"]["estimate"][-1, :, 0], right)
    for name, array in (("purity", "overlap"), ("expansion", "estimate")):
        assert found[name].facts["recipe"] == SOFT
        assert not np.allclose(found[name][array], rows[name][array], equal_nan=True)


def test_seed_reaches_every_draw(sweeps: dict[str, Artifact], rows: dict[str, Artifact]) -> None:
    other = {"easy": sweep(seed=7), **detection(seed=7), **controls(seed=7)}
    first = {**sweeps, **rows}
    for name, array in [
        ("easy", "accuracy"),
        ("detection", "metrics"),
        ("thresholds", "metrics"),
        ("purity", "overlap"),
        ("expansion", "estimate"),
    ]:
        assert other[name].facts["seed"] == 7
        assert not np.allclose(other[name][array], first[name][array], equal_nan=True)


def test_detection_holds_what_the_library_gives(rows: dict[str, Artifact]) -> None:
    found = rows["detection"]
    cells = found.facts["cells"]
    assert cells == [[axis, float(value)] for axis, values in AXES.items() for value in values]
    assert found.facts["variants"] == list(VARIANTS)
    assert found["metrics"].shape == (len(cells), len(VARIANTS), 2, len(TARGETS), len(METRICS))
    changes: list[dict[str, Any]] = [{axis: v} for axis, values in AXES.items() for v in values]
    for i in range(0, len(cells), 3):
        one = detection_study(replace(Cell(), **changes[i]), seed=0, repetitions=FEW)
        for v, name in enumerate(VARIANTS):
            np.testing.assert_array_equal(found["metrics"][i, v], one[name].metrics)
            np.testing.assert_array_equal(found["density"][i, v], one[name].density)
            assert found.facts["reasons"][i][v] == one[name].reasons


def test_the_base_cell_is_on_every_axis(rows: dict[str, Artifact]) -> None:
    base = Cell()
    at = [
        place
        for place, (axis, value) in enumerate(rows["detection"].facts["cells"])
        if value == getattr(base, axis)
    ]
    assert len(at) == len(AXES)
    for place in at[1:]:
        for name in ("metrics", "density"):
            one, other = (rows["detection"][name][i] for i in (at[0], place))
            np.testing.assert_array_equal(one, other)


def test_thresholds_hold_what_the_library_gives(rows: dict[str, Artifact]) -> None:
    found = rows["thresholds"]
    grid = sensitivity(Cell(), hard=TAU_HARD, overlap=TAU_OVERLAP, seed=0, repetitions=FEW)
    assert found["metrics"].shape == (2, len(TAU_HARD), len(TAU_OVERLAP), 2, 3)
    np.testing.assert_array_equal(found["metrics"], grid.metrics)
    np.testing.assert_array_equal(found["density"], grid.density)
    assert (tuple(found["tau_hard"]), tuple(found["tau_overlap"])) == (TAU_HARD, TAU_OVERLAP)


def test_controls_hold_what_the_library_gives(rows: dict[str, Artifact]) -> None:
    draws: dict[str, Any] = {"design": DESIGNS["overlap"], "seed": 0, "repetitions": FEW}
    purity, expansion = rows["purity"], rows["expansion"]
    names = [" + ".join(others) or "none" for others in OTHERS for _ in N_OVERLAP]
    assert purity.facts["others"] == names == ["none"] * 5 + ["easy"] * 5 + ["hard"] * 5
    assert purity["n_overlap"].tolist() == list(N_OVERLAP) * 3
    for i, others in ((0, ()), (7, ("easy",)), (14, ("hard",))):
        counts = (100, 100, int(purity["n_overlap"][i]))
        one = purity_control(counts, recipe=Recipe(), others=others, **draws)
        np.testing.assert_array_equal(purity["overlap"][i], one.overlap)
        np.testing.assert_array_equal(purity["easy"][i], one.easy)
        np.testing.assert_array_equal(purity["label_accuracy"][i], one.label_accuracy)
    assert expansion.facts["estimates"] == list(ESTIMATES)
    for i, n in enumerate(N_OVERLAP):
        found = expansion_study((100, 100, n), **draws)
        for k, name in enumerate(ESTIMATES):
            np.testing.assert_array_equal(expansion["estimate"][i, :, k], getattr(found, name))


def test_studies_are_in_the_order_of_the_sweeps_whatever_that_of_the_input(
    sweeps: dict[str, Artifact], rows: dict[str, Artifact]
) -> None:
    found = [tables(list(order), rows) for order in (sweeps.values(), [*sweeps.values()][::-1])]
    for table in found:
        assert list(dict.fromkeys(table["synthetic"]["study"])) == list(SWEEPS)
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table.frame, found[1][name].frame)
    part = tables([sweeps["hard"], sweeps["first"]], rows)["synthetic"]
    assert list(dict.fromkeys(part["study"])) == ["first", "hard"]


def test_tables_have_every_row(sweeps: dict[str, Artifact], rows: dict[str, Artifact]) -> None:
    found = {name: table.frame for name, table in tables(list(sweeps.values()), rows).items()}
    n_cells = sum(map(len, AXES.values()))
    assert {name: len(frame) for name, frame in found.items()} == {
        "synthetic": sum(map(len, SWEEPS.values())) * 2 * 3 * 4,
        "anchors": sum(map(len, PUBLISHED.values())),
        "detection_table": n_cells * len(VARIANTS) * 6,
        "thresholds_table": len(TAU_HARD) * len(TAU_OVERLAP) * 6,
        "purity_table": len(OTHERS) * len(N_OVERLAP),
        "expansion_table": len(N_OVERLAP) * len(ESTIMATES),
    }
    weak = found["synthetic"].query("study == 'first' and model == 'weak' and group == 'hard'")
    assert (weak["accuracy"] == 0.5).all()  # the weak model sees nothing of hard points
    assert (weak[["lo", "hi"]] == 0.5).all(axis=None)


def test_tables_hold_the_means_of_the_rows(
    sweeps: dict[str, Artifact], rows: dict[str, Artifact]
) -> None:
    found = tables(list(sweeps.values()), rows)
    table = found["synthetic"]
    for study, artifact in sweeps.items():
        mean = (artifact["accuracy"] @ [0.4, 0.4, 0.2]).mean(axis=1)  # settings, models
        for m, model in enumerate(("weak", "strong", "w2s")):
            wanted = {"study": study, "mixture": "fixed", "group": "overall", "model": model}
            at = select(table.arrays, **wanted)
            np.testing.assert_allclose(table["accuracy"][at], mean[:, m])
    table = found["detection_table"]
    metrics = rows["detection"]["metrics"]
    for place, (axis, value) in enumerate(rows["detection"].facts["cells"]):
        for v, variant in enumerate(VARIANTS):
            for t, target in enumerate(TARGETS):
                at = select(table.arrays, axis=axis, variant=variant, target=target)
                at = at[table["setting"][at] == value]
                assert table["metric"][at].tolist() == list(METRICS)
                known = np.ma.masked_invalid(metrics[place, v, :, t])
                np.testing.assert_allclose(table["value"][at], known.mean(axis=0).filled(np.nan))


def test_level_reaches_every_table(sweeps: dict[str, Artifact], rows: dict[str, Artifact]) -> None:
    wide, narrow = (tables([sweeps["overlap"]], rows, level) for level in (0.95, 0.6))
    for name in wide.keys() - {"anchors"}:
        widths = [(table[name]["hi"] - table[name]["lo"]).astype(float) for table in (wide, narrow)]
        known = np.nan_to_num(widths[0]) > 1e-9
        assert known.any()
        np.testing.assert_allclose(widths[0][known] / widths[1][known], 1.959964 / 0.841621, 1e-5)
    pd.testing.assert_frame_equal(wide["anchors"].frame, narrow["anchors"].frame)


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory,
    sweeps: dict[str, Artifact],
    rows: dict[str, Artifact],
) -> Callable[..., Path]:
    """The command that makes tables, on saved rows: gives the folder of the tables."""
    folder = tmp_path_factory.mktemp("synthetic")
    for name, artifact in {**sweeps, **rows}.items():
        save(artifact, folder / f"{name}.safetensors")

    def run(*studies: str) -> Path:
        out = tmp_path_factory.mktemp("tables")
        line = ["synthetic_tables", "--accuracies"]
        line += [str(folder / f"{study}.safetensors") for study in studies]
        for name in rows:
            line += [f"--{name}", str(folder / f"{name}.safetensors")]
        for name in TABLES:
            option = name if name in ("synthetic", "anchors") else f"{name}-table"
            line += [f"--{option}", str(out / f"{name}.parquet")]
        assert main(line) == 0
        return out

    return run


def test_table_files_have_the_promised_columns(written: Callable[..., Path]) -> None:
    folder = written("overlap", "easy")
    found = pd.read_csv(folder / "synthetic.csv", keep_default_na=False)
    assert (folder / "synthetic.csv").read_text().splitlines()[0] == (
        "study,mixture,n_easy,n_hard,n_overlap,model,group,accuracy,lo,hi,n_repetitions"
    )
    assert set(found["study"]) == {"overlap", "easy"}
    assert set(found["mixture"]) == {"moving", "fixed"}
    assert set(found["model"]) == {"weak", "strong", "w2s"}
    assert set(found["group"]) == {"overall", "easy", "hard", "overlap"}
    assert set(found["n_repetitions"]) == {2}
    for name in TABLES:
        stored = load(folder / f"{name}.parquet").frame
        assert list(pd.read_csv(folder / f"{name}.csv").columns) == list(stored.columns)
        assert (folder / f"{name}.md").read_text().count("\n") >= len(stored)


def test_tables_without_the_sweep_overlap_have_no_anchors(written: Callable[..., Path]) -> None:
    folder = written("hard")
    anchors = load(folder / "anchors.parquet").frame
    assert len(anchors) == 0
    assert list(anchors.columns)[:2] == ["mixture", "n_overlap"]
    assert (folder / "anchors.csv").read_text().startswith("mixture,n_overlap,model")
    assert len(load(folder / "synthetic.parquet").frame) == len(SWEEPS["hard"]) * 24


def test_figures_are_drawn_from_the_tables(
    sweeps: dict[str, Artifact], rows: dict[str, Artifact]
) -> None:
    found = tables([sweeps["hard"], sweeps["easy"]], rows)
    read = ("synthetic", "detection_table", "thresholds_table", "purity_table")
    figures = synthetic_figures(
        *(found[name] for name in read), settings=SyntheticFiguresSettings()
    )
    assert set(figures) == set(FIGURES)
    assert {name: len(figure.axes) for name, figure in figures.items()} == {
        **{"sweeps": 8, "detection": len(AXES)},
        **{"thresholds": 4, "purity": len(OTHERS)},
    }
    titles = [ax.get_title() for ax in figures["sweeps"].axes]
    assert [title.split("'")[1] for title in titles] == ["easy"] * 4 + ["hard"] * 4
    image = io.BytesIO()
    figures["thresholds"].savefig(image, format="png", dpi=40)
    assert image.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "lacking"),
    [
        ("synthetic", {"study": "easy", "repetitions": 1}),
        ("synthetic", {"study": "middle", "repetitions": 2}),
        ("synthetic", {"repetitions": 2}),
        ("synthetic", {"study": "easy", "repetitions": 2, "recipe": {"w2s_on": []}}),
        ("synthetic", {"study": "easy", "repetitions": 2, "recipe": {"c": 0}}),
        ("detection", {"repetitions": 1}),
        ("detection", {"repetitions": 2, "recipe": {}}),
        ("controls", {"repetitions": 2, "seed": -1}),
    ],
)
def test_wrong_settings_are_refused(call: str, lacking: dict[str, Any]) -> None:
    kinds = {
        "synthetic": SyntheticSettings,
        "detection": SyntheticDetectionSettings,
        "controls": SyntheticControlsSettings,
    }
    with pytest.raises(ConfigError):
        parse_as(kinds[call], lacking)


def lines_for(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(config)
    return str(caught.value).splitlines()


WHOLE: dict[str, Any] = {
    "results": "results",
    "seeds": [0],
    "datasets": {"films": {"source": "file", "path": "films.csv"}},
    "models": {name: {"source": "local", "path": name} for name in ("small", "large")},
    "pairs": [{"weak": "small", "strong": "large"}],
}


@pytest.mark.parametrize("study", [{}, {"repetitions": 3}, {"studies": ["hard"]}])
def test_a_synthetic_study_needs_nothing_else(study: dict[str, Any]) -> None:
    config = parse({"results": "results", "synthetic": study})
    assert config.synthetic is not None
    assert (config.seeds, config.datasets, config.models, config.pairs) == ((), {}, {}, ())
    assert parse({**WHOLE, "synthetic": study}).synthetic == config.synthetic
    assert parse(WHOLE).synthetic is None


def test_study_has_all_sweeps_by_default() -> None:
    config = parse({"results": "results", "synthetic": {}}).synthetic
    assert config is not None
    assert config.studies == tuple(SWEEPS)


@pytest.mark.parametrize("study", [{}, {"synthetic": None}])
def test_a_configuration_of_nothing_is_one_line(study: dict[str, Any]) -> None:
    (line,) = lines_for({"results": "results", **study})
    assert line.startswith("seeds: found none, expected at least 1 item, or ")


@pytest.mark.parametrize("lacking", ["seeds", "datasets", "models", "pairs"])
@pytest.mark.parametrize("study", [{}, {"synthetic": {}}])
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_an_experiment_without_one_of_its_parts_is_one_line(
    lacking: str, study: dict[str, Any], how: str
) -> None:
    """A synthetic study does not excuse an experiment that is half there."""
    config = {key: value for key, value in WHOLE.items() if key != lacking}
    if how == "empty":
        config[lacking] = type(WHOLE[lacking])()
    (line,) = lines_for({**config, **study})
    assert line.startswith(f"{lacking}: found none, expected at least 1 item")
    assert f"as there are {next(key for key in ('seeds', 'datasets') if key != lacking)}" in line


def test_pairs_alone_are_one_line() -> None:
    only = {"results": "results", "pairs": WHOLE["pairs"], "synthetic": {}}
    assert lines_for(only) == ["seeds: found none, expected at least 1 item, as there are pairs"]


def test_selection_needs_its_datasets_beside_a_synthetic_study() -> None:
    cut = {"experiments": {"one": {"sources": "partition", "dataset": "films"}}}
    (line,) = lines_for({"results": "results", "synthetic": {}, "selection": cut})
    assert line.startswith("selection.experiments.one")
    assert "'films' is not a dataset" in line


def test_a_dataset_cannot_have_the_name_of_the_folder() -> None:
    films = WHOLE["datasets"]["films"]
    (line,) = lines_for({**WHOLE, "datasets": {"synthetic": films}})
    assert line.startswith("datasets: 'synthetic' is the name of a results folder")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("studies", ["overlaps"], "found 'overlaps'; input should be 'first', 'overlap'"),
        ("studies", [], "at least 1 item"),
        ("studies", "overlap", "found 'overlap'"),
        ("study", ["overlap"], "did you mean 'studies'?"),
        ("repetitions", 1, "found 1; "),
        ("repetitions", "many", "found 'many'; "),
        ("detection_repetitions", 0, "found 0; "),
        ("control_repetitions", 1.5, "found 1.5; "),
        ("seed", -1, "found -1; "),
        ("recipe.c", 0, "found 0; "),
        ("recipe.w2s_c", float("inf"), "found inf; "),
        ("recipe.w2s_on", [], "at least 1 item"),
        ("recipe.w2s_on", ["middle"], "found 'middle'"),
        ("recipe.soft", "perhaps", "found 'perhaps'"),
        ("recipe.w2s", 1, "is not a setting"),
    ],
)
def test_mistake_in_the_study_is_one_line_that_names_the_setting(
    path: str, value: Any, expected: str
) -> None:
    for key in reversed(path.split(".")):
        value = {key: value}
    found = lines_for({"results": "results", "synthetic": value})
    assert len(found) == 1, found
    assert found[0].startswith(f"synthetic.{path}")
    assert expected in found[0]


@pytest.mark.parametrize(
    "study", [{"studies": ["easy", "easy"]}, {"recipe": {"w2s_on": ["easy", "easy"]}}]
)
def test_a_sweep_or_region_twice_is_refused(study: dict[str, Any]) -> None:
    (line,) = lines_for({"results": "results", "synthetic": study})
    assert "twice" in line


def test_a_sweep_twice_is_refused_as_a_seed_is(
    sweeps: dict[str, Artifact], rows: dict[str, Artifact]
) -> None:
    with pytest.raises(Exception, match="twice"):
        tables([sweeps["easy"], sweep(seed=7)], rows)


STUDY = {
    "studies": ["easy", "hard"],
    "repetitions": 3,
    "detection_repetitions": 2,
    "control_repetitions": 2,
}


def workflow(test: Any) -> Any:
    """Marks of the tests that run snakemake: one process runs them all."""
    return pytest.mark.slow(pytest.mark.xdist_group("synthetic")(test))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with nothing but a synthetic study that has run once."""
    folder: Path = tmp_path_factory.mktemp("study") / "finished"
    folder.mkdir()
    write_config(folder, {"results": "results", "synthetic": STUDY})
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project for a test to change."""
    copied: Path = copy_project(finished, tmp_path / "project")
    return copied


def planned_after(folder: Path, section: str, **changes: Any) -> dict[str, int]:
    """Jobs of a dry run after a change of the configuration."""
    config = read_config(folder)
    config.setdefault(section, {}).update(changes)
    write_config(folder, config)
    jobs: dict[str, int] = planned(folder)
    return jobs


AGGREGATES = {"synthetic_tables": 1, "synthetic_figures": 1}


@workflow
def test_workflow_of_the_study_alone_writes_tables_and_figures(finished: Path) -> None:
    results = finished / "results"
    found = {
        str(path.relative_to(results))
        for path in results.rglob("*")
        if path.is_file() and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
    }
    rows = ("easy", "hard", "detection", "thresholds", "purity", "expansion")
    assert found == {
        *(f"synthetic/{name}.safetensors" for name in rows),
        *(f"tables/{name}.{end}" for name in TABLES for end in ("parquet", "csv", "md")),
        *(f"figures/synthetic/{name}.{end}" for name in FIGURES for end in ("svg", "png")),
    }
    table = pd.read_csv(results / "tables" / "synthetic.csv")
    assert list(dict.fromkeys(table["study"])) == ["easy", "hard"]
    assert set(table["n_repetitions"]) == {3}
    assert set(pd.read_csv(results / "tables" / "expansion.csv")["n_repetitions"]) <= {0, 1, 2}
    for name in FIGURES:
        figure = results / "figures" / "synthetic" / name
        assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@workflow
def test_workflow_gives_what_the_library_gives(finished: Path) -> None:
    found = load(finished / "results" / "synthetic" / "hard.safetensors")
    expected = sweep("hard", 3)
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], atol=1e-12)
    assert found.facts == expected.facts


@workflow
def test_second_run_has_nothing_to_do(finished: Path) -> None:
    assert planned(finished) == {}
    assert foreign_files(finished) == []


@workflow
@pytest.mark.parametrize(
    ("section", "change", "jobs"),
    [
        ("synthetic", {"detection_repetitions": 3}, {"synthetic_detection": 1}),
        ("synthetic", {"control_repetitions": 3}, {"synthetic_controls": 1}),
        ("synthetic", {"repetitions": 4}, {"synthetic": 2}),
        ("synthetic", {"recipe": {"soft": True}}, {"synthetic": 2, "synthetic_controls": 1}),
        ("synthetic", {"studies": ["easy", "hard", "overlap"]}, {"synthetic": 1}),
        ("evaluation", {"level": 0.9}, {}),
    ],
)
def test_a_change_reruns_what_depends_on_it(
    section: str, change: dict[str, Any], jobs: dict[str, int], project: Path
) -> None:
    assert planned_after(project, section, **change) == {**jobs, **AGGREGATES}


@workflow
def test_a_change_of_what_the_study_does_not_read_reruns_nothing(project: Path) -> None:
    assert planned_after(project, "evaluation", bootstrap=300) == {}


@workflow
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "seeds: found none, expected at least 1 item, or "),
        ({"pairs": WHOLE["pairs"]}, "seeds: found none, expected at least 1 item, as there are"),
        ({"synthetic": {"studies": ["overlaps"]}}, "synthetic.studies.0: found 'overlaps'"),
    ],
)
def test_mistake_stops_the_workflow_with_one_line(
    config: dict[str, Any], said: str, tmp_path: Path
) -> None:
    write_config(tmp_path, {"results": "results", **config})
    done = snakemake(tmp_path, "--dry-run")
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert output.count(said) == 1, output
    assert "Traceback" not in output
