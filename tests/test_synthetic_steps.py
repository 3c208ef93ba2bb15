"""Stages of the synthetic study: the library's numbers, what they depend on, and a run of them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from project import copy_project, foreign_files, planned, read_config, snakemake, write_config
from test_steps import run_stage

from w2s.cli import main
from w2s.config import parse
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
)
from w2s.synthetic.expansion import expansion_study
from w2s.synthetic.mixture import DESIGNS, SWEEPS
from w2s.synthetic.purity import ESTIMATES, N_OVERLAP, OTHERS, purity_control
from w2s.synthetic.study import run_setting
from w2s.synthetic.tables import PUBLISHED, synthetic_tables
from w2s.synthetic.track import RecipeConfig, SyntheticTablesSettings

FEW = range(2)
TABLES = ("synthetic", "anchors", "detection", "thresholds", "purity", "expansion")
FIGURES = ("sweeps", "detection", "thresholds", "purity")
SOFT = {"c": 0.01, "w2s_c": 0.2, "w2s_on": ["easy", "overlap"], "soft": True}


def sweep(study: str = "easy", repetitions: int = 2, **changes: Any) -> Artifact:
    return run_stage("synthetic", study=study, repetitions=repetitions, **changes)["accuracies"]


def detection(repetitions: int = 2, **changes: Any) -> dict[str, Artifact]:
    return run_stage("synthetic_detection", repetitions=repetitions, **changes)


def controls(repetitions: int = 2, **changes: Any) -> dict[str, Artifact]:
    return run_stage("synthetic_controls", repetitions=repetitions, **changes)


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


def assert_as_in(found: Artifact, expected: Any, names: tuple[str, ...], place: Any = ()) -> None:
    """Arrays of an artifact, at a place, are those of what the library gives."""
    for name in names:
        np.testing.assert_array_equal(found[name][place], getattr(expected, name))


def test_sweep_holds_what_the_library_gives(subtests, sweeps):
    for study, found in sweeps.items():
        with subtests.test(study=study):
            assert [tuple(counts) for counts in found["counts"].tolist()] == list(SWEEPS[study])
            options = {"design": DESIGNS[study], "recipe": RecipeConfig(), "seed": 0}
            for i, counts in enumerate(SWEEPS[study]):
                one = run_setting(counts, **options, repetitions=FEW)
                np.testing.assert_array_equal(found["accuracy"][i], one.region)
                assert_as_in(found, one, ("constant", "label_accuracy"), i)
            assert found.facts == {
                **{"study": study, "seed": 0},
                "recipe": {"c": 1.0, "w2s_c": 0.01, "w2s_on": ["overlap"], "soft": False},
            }


def test_more_repetitions_leave_the_earlier_ones_as_they_are(rows):
    many = {"easy": sweep(repetitions=4), **detection(3), **controls(3)}
    few = {"easy": sweep(repetitions=2), **rows}
    for artifact, axis, names in (
        ("easy", 1, ("accuracy", "constant", "label_accuracy")),
        ("detection", 2, ("metrics", "density")),
        ("thresholds", 0, ("metrics", "density")),
        ("purity", 1, ("overlap", "easy", "label_accuracy")),
        ("expansion", 1, ("estimate",)),
    ):
        for name in names:
            whole = many[artifact][name]
            assert whole.shape[axis] == (4 if artifact == "easy" else 3)
            first = np.take(whole, FEW, axis=axis)
            np.testing.assert_allclose(first, few[artifact][name], atol=1e-12)
    assert not np.allclose(many["easy"]["accuracy"][:, 2:], few["easy"]["accuracy"])


def test_recipe_reaches_the_training(subtests, sweeps):
    both = ["easy", "overlap"]
    for change in ({"c": 0.3}, {"w2s_c": 1.0}, {"w2s_on": both}, {"soft": True}, SOFT):
        with subtests.test(**change):
            found = sweep(recipe=change)
            recipe = RecipeConfig(**change)
            options = {"design": DESIGNS["easy"], "recipe": recipe, "seed": 0}
            for i in (0, -1):
                one = run_setting(SWEEPS["easy"][i], **options, repetitions=FEW)
                np.testing.assert_array_equal(found["accuracy"][i], one.region)
            assert (found["accuracy"] != sweeps["easy"]["accuracy"]).any()
            assert found.facts["recipe"] == {**sweeps["easy"].facts["recipe"], **change}


def test_recipe_reaches_the_controls(rows):
    found = controls(recipe=SOFT)
    recipe = RecipeConfig(**SOFT)
    draws: dict[str, Any] = {"design": DESIGNS["overlap"], "seed": 0, "repetitions": FEW}
    one = purity_control((100, 100, 5), recipe=recipe, **draws)
    assert_as_in(found["purity"], one, ("overlap", "easy"), 0)
    right = expansion_study((100, 100, 95), c=0.01, **draws).right
    np.testing.assert_array_equal(found["expansion"]["estimate"][-1, :, 0], right)
    for name, array in (("purity", "overlap"), ("expansion", "estimate")):
        assert found[name].facts["recipe"] == SOFT
        assert not np.allclose(found[name][array], rows[name][array], equal_nan=True)


def test_seed_reaches_every_draw(sweeps, rows):
    other = {"easy": sweep(seed=7), **detection(seed=7), **controls(seed=7)}
    first = {**sweeps, **rows}
    arrays = {"easy": "accuracy", "detection": "metrics", "thresholds": "metrics",
              "purity": "overlap", "expansion": "estimate"}  # fmt: skip
    for name, array in arrays.items():
        assert other[name].facts["seed"] == 7
        assert not np.allclose(other[name][array], first[name][array], equal_nan=True)


def test_detection_and_thresholds_hold_what_the_library_gives(rows):
    found = rows["detection"]
    cells = found.facts["cells"]
    assert cells == [[axis, float(value)] for axis, values in AXES.items() for value in values]
    assert found.facts["variants"] == list(VARIANTS)
    assert found["metrics"].shape == (len(cells), len(VARIANTS), 2, len(TARGETS), len(METRICS))
    changes: list[dict[str, Any]] = [{axis: v} for axis, values in AXES.items() for v in values]
    for i in range(0, len(cells), 3):
        one = detection_study(replace(Cell(), **changes[i]), seed=0, repetitions=FEW)
        for v, name in enumerate(VARIANTS):
            assert_as_in(found, one[name], ("metrics", "density"), (i, v))
            assert found.facts["reasons"][i][v] == one[name].reasons

    # the base cell is on every axis
    at = [i for i, (axis, value) in enumerate(cells) if value == getattr(Cell(), axis)]
    assert len(at) == len(AXES)
    for name in ("metrics", "density"):
        for place in at[1:]:
            np.testing.assert_array_equal(found[name][at[0]], found[name][place])

    found = rows["thresholds"]
    grid = sensitivity(Cell(), hard=TAU_HARD, overlap=TAU_OVERLAP, seed=0, repetitions=FEW)
    assert found["metrics"].shape == (2, len(TAU_HARD), len(TAU_OVERLAP), 2, 3)
    for name in ("metrics", "density"):
        np.testing.assert_array_equal(found[name], grid[name])
    assert (tuple(found["tau_hard"]), tuple(found["tau_overlap"])) == (TAU_HARD, TAU_OVERLAP)


def test_controls_hold_what_the_library_gives(rows):
    draws: dict[str, Any] = {"design": DESIGNS["overlap"], "seed": 0, "repetitions": FEW}
    purity, expansion = rows["purity"], rows["expansion"]
    names = [" + ".join(others) or "none" for others in OTHERS for _ in N_OVERLAP]
    assert purity.facts["others"] == names == ["none"] * 5 + ["easy"] * 5 + ["hard"] * 5
    assert purity["n_overlap"].tolist() == list(N_OVERLAP) * 3
    for i, others in ((0, ()), (7, ("easy",)), (14, ("hard",))):
        counts = (100, 100, int(purity["n_overlap"][i]))
        one = purity_control(counts, recipe=RecipeConfig(), others=others, **draws)
        assert_as_in(purity, one, ("overlap", "easy", "label_accuracy"), i)
    assert expansion.facts["estimates"] == list(ESTIMATES)
    for i, n in enumerate(N_OVERLAP):
        found = expansion_study((100, 100, n), **draws)
        for k, name in enumerate(ESTIMATES):
            np.testing.assert_array_equal(expansion["estimate"][i, :, k], getattr(found, name))


def test_studies_are_in_the_order_of_the_sweeps_whatever_that_of_the_input(sweeps, rows):
    found = [tables(list(order), rows) for order in (sweeps.values(), [*sweeps.values()][::-1])]
    for table in found:
        assert list(dict.fromkeys(table["synthetic"]["study"])) == list(SWEEPS)
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table.frame, found[1][name].frame)
    part = tables([sweeps["hard"], sweeps["first"]], rows)["synthetic"]
    assert list(dict.fromkeys(part["study"])) == ["first", "hard"]


def test_tables_hold_every_row_and_the_means_of_the_rows(sweeps, rows):
    found = tables(list(sweeps.values()), rows)
    n_cells = sum(map(len, AXES.values()))
    assert {name: len(table) for name, table in found.items()} == {
        "synthetic": sum(map(len, SWEEPS.values())) * 2 * 3 * 4,
        "anchors": sum(map(len, PUBLISHED.values())),
        "detection_table": n_cells * len(VARIANTS) * 6,
        "thresholds_table": len(TAU_HARD) * len(TAU_OVERLAP) * 6,
        "purity_table": len(OTHERS) * len(N_OVERLAP),
        "expansion_table": len(N_OVERLAP) * len(ESTIMATES),
    }
    weak = found["synthetic"].frame.query(
        "study == 'first' and model == 'weak' and group == 'hard'"
    )
    assert (weak["accuracy"] == 0.5).all()  # the weak model sees nothing of hard points
    assert (weak[["lo", "hi"]] == 0.5).all(axis=None)
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


def test_level_reaches_every_table(sweeps, rows):
    wide, narrow = (tables([sweeps["overlap"]], rows, level) for level in (0.95, 0.6))
    for name in wide.keys() - {"anchors"}:
        widths = [(table[name]["hi"] - table[name]["lo"]).astype(float) for table in (wide, narrow)]
        known = np.nan_to_num(widths[0]) > 1e-9
        assert known.any()
        np.testing.assert_allclose(widths[0][known] / widths[1][known], 1.959964 / 0.841621, 1e-5)
    pd.testing.assert_frame_equal(wide["anchors"].frame, narrow["anchors"].frame)


@pytest.fixture(scope="module")
def written(tmp_path_factory, sweeps, rows):
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


def test_table_files_have_the_promised_columns(written):
    folder = written("overlap", "easy")
    found = pd.read_csv(folder / "synthetic.csv", keep_default_na=False)
    assert (folder / "synthetic.csv").read_text().splitlines()[0] == (
        "study,mixture,n_easy,n_hard,n_overlap,model,group,accuracy,lo,hi,n_repetitions"
    )
    for name, values in (
        ("study", {"overlap", "easy"}),
        ("mixture", {"moving", "fixed"}),
        ("model", {"weak", "strong", "w2s"}),
        ("group", {"overall", "easy", "hard", "overlap"}),
        ("n_repetitions", {2}),
    ):
        assert set(found[name]) == values
    for name in TABLES:
        stored = load(folder / f"{name}.parquet").frame
        assert list(pd.read_csv(folder / f"{name}.csv").columns) == list(stored.columns)
        assert (folder / f"{name}.md").read_text().count("\n") >= len(stored)


def test_tables_without_the_sweep_overlap_have_no_anchors(written):
    folder = written("hard")
    anchors = load(folder / "anchors.parquet").frame
    assert len(anchors) == 0
    assert list(anchors.columns)[:2] == ["mixture", "n_overlap"]
    assert (folder / "anchors.csv").read_text().startswith("mixture,n_overlap,model")
    assert len(load(folder / "synthetic.parquet").frame) == len(SWEEPS["hard"]) * 24


def test_figures_are_drawn_from_the_tables(sweeps, rows):
    found = tables([sweeps["hard"], sweeps["easy"]], rows)
    read = ("synthetic", "detection_table", "thresholds_table", "purity_table")
    figures = run_stage("synthetic_figures", *(found[name] for name in read))
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


def test_wrong_settings_are_refused(subtests):
    easy = {"study": "easy", "repetitions": 2}
    for stage, lacking in (
        ("synthetic", {"study": "easy", "repetitions": 1}),
        ("synthetic", {"study": "middle", "repetitions": 2}),
        ("synthetic", {"repetitions": 2}),
        ("synthetic", {**easy, "recipe": {"w2s_on": []}}),
        ("synthetic", {**easy, "recipe": {"c": 0}}),
        ("synthetic_detection", {"repetitions": 1}),
        ("synthetic_detection", {"repetitions": 2, "recipe": {}}),
        ("synthetic_controls", {"repetitions": 2, "seed": -1}),
    ):
        with subtests.test(lacking=lacking), pytest.raises(ConfigError):
            run_stage(stage, **lacking)


def lines_for(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse({"results": "results", **config})
    return str(caught.value).splitlines()


WHOLE: dict[str, Any] = {
    "results": "results",
    "seeds": [0],
    "datasets": {"films": {"source": "file", "path": "films.csv"}},
    "models": {name: {"source": "local", "path": name} for name in ("small", "large")},
    "pairs": [{"weak": "small", "strong": "large"}],
}


def test_a_synthetic_study_needs_nothing_else_and_has_all_sweeps_by_default():
    for study in ({}, {"repetitions": 3}, {"studies": ["hard"]}):
        config = parse({"results": "results", "synthetic": study})
        assert config.synthetic.studies == (("hard",) if "studies" in study else tuple(SWEEPS))
        assert (config.seeds, config.datasets, config.models, config.pairs) == ((), {}, {}, ())
        assert parse({**WHOLE, "synthetic": study}).synthetic == config.synthetic
    assert parse(WHOLE).synthetic is None


def test_an_experiment_without_one_of_its_parts_is_one_line(subtests):
    """A synthetic study does not excuse an experiment that is half there."""
    one = {"sources": "partition", "dataset": "films"}
    cut = {"experiments": {"one": one}}
    on_models = "as an experiment on models needs seeds, datasets, models and pairs"
    found_none = "found none, expected at least 1 item"
    cases = [
        ({}, f"seeds: {found_none}, {on_models}; `synthetic` alone needs none of them"),
        ({"synthetic": None}, f"seeds: {found_none}, {on_models}; `synthetic` alone needs none"),
        ({"pairs": WHOLE["pairs"], "synthetic": {}}, f"seeds: {found_none}, {on_models}"),
        ({"synthetic": {}, "selection": cut},
         f"seeds: {found_none}, as `selection` needs seeds, datasets, models and pairs"),
        ({**WHOLE, "selection": cut | {"experiments": {"one": {**one, "dataset": "film"}}}},
         "selection.experiments.one.dataset: 'film' is not a dataset"),
        ({**WHOLE, "datasets": {"synthetic": WHOLE["datasets"]["films"]}},
         "datasets: 'synthetic' is the name of a results folder"),
    ]  # fmt: skip
    for lacking in ("seeds", "datasets", "models", "pairs"):
        for study in ({}, {"synthetic": {}}):
            missing = {key: value for key, value in WHOLE.items() if key != lacking} | study
            empty = {**missing, lacking: type(WHOLE[lacking])()}
            start = f"{lacking}: {found_none}, {on_models}"
            cases += [(missing, start), (empty, start)]
    for config, start in cases:
        with subtests.test(config=config):
            (line,) = lines_for(config)
            assert line.startswith(start)


def test_mistake_in_the_study_is_one_line_that_names_the_setting(subtests):
    for path, value, expected in (
        ("studies", ["overlaps"], "found 'overlaps'; input should be 'first', 'overlap'"),
        ("studies", [], "at least 1 item"),
        ("studies", "overlap", "found 'overlap'"),
        ("studies", ["easy", "easy"], "twice"),
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
        ("recipe.w2s_on", ["easy", "easy"], "twice"),
        ("recipe.soft", "perhaps", "found 'perhaps'"),
        ("recipe.w2s", 1, "is not a setting"),
    ):
        with subtests.test(path=path, value=value):
            for key in reversed(path.split(".")):
                value = {key: value}
            (line,) = lines_for({"synthetic": value})
            assert line.startswith(f"synthetic.{path}")
            assert expected in line


def test_a_sweep_twice_is_refused_as_a_seed_is(sweeps, rows):
    with pytest.raises(Exception, match="twice"):
        tables([sweeps["easy"], sweep(seed=7)], rows)


STUDY = {"studies": ["easy", "hard"], "repetitions": 3, "detection_repetitions": 2,
         "control_repetitions": 2}  # fmt: skip


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


@workflow
def test_workflow_of_the_study_alone_writes_tables_and_figures_once(finished):
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
    found = load(finished / "results" / "synthetic" / "hard.safetensors")
    expected = sweep("hard", 3)
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], atol=1e-12)
    assert found.facts == expected.facts
    assert planned(finished) == {}
    assert foreign_files(finished) == []


@workflow
def test_a_change_reruns_what_depends_on_it(subtests, finished, tmp_path):
    tables_too = {"synthetic_tables": 1, "synthetic_figures": 1}
    for number, (section, change, jobs) in enumerate((
        ("synthetic", {"detection_repetitions": 3}, {"synthetic_detection": 1, **tables_too}),
        ("synthetic", {"control_repetitions": 3}, {"synthetic_controls": 1, **tables_too}),
        ("synthetic", {"repetitions": 4}, {"synthetic": 2, **tables_too}),
        ("synthetic", {"recipe": {"soft": True}},
         {"synthetic": 2, "synthetic_controls": 1, **tables_too}),
        ("synthetic", {"studies": ["easy", "hard", "overlap"]}, {"synthetic": 1, **tables_too}),
        ("evaluation", {"level": 0.9}, tables_too),
        ("evaluation", {"bootstrap": 300}, {}),  # the study does not read it
    )):  # fmt: skip
        with subtests.test(**change):
            folder = copy_project(finished, tmp_path / str(number))
            config = read_config(folder)
            config.setdefault(section, {}).update(change)
            write_config(folder, config)
            assert planned(folder) == jobs


@workflow
def test_mistake_stops_the_workflow_with_one_line(subtests, tmp_path):
    for config, said in (
        ({}, "seeds: found none, expected at least 1 item, as an"),
        ({"pairs": WHOLE["pairs"]}, "seeds: found none, expected at least 1 item, as an"),
        ({"synthetic": {"studies": ["overlaps"]}}, "synthetic.studies.0: found 'overlaps'"),
    ):
        with subtests.test(said=said):
            write_config(tmp_path, {"results": "results", **config})
            done = snakemake(tmp_path, "--dry-run")
            assert done.returncode != 0
            output = done.stdout + done.stderr
            assert output.count(said) == 1, output
            assert "Traceback" not in output
