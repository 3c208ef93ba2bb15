"""What a job would stop at is told before any job."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import tiny

from w2s.config import Config, parse
from w2s.dag import check
from w2s.errors import ConfigError

DEEP, LONG = 2, tiny.POSITIONS  # layers of a tiny model, and the longest text that it reads


def config(folder: Path, model: dict[str, Any], **sections: Any) -> Config:
    models = {"small": {"source": "local", "path": str(folder), **model}}
    return parse({
        "results": "r", "seeds": [0], "datasets": {"d": {"source": "file", "path": "d.csv"}},
        "models": models, "pairs": [{"weak": "small", "strong": "small"}], **sections,
    })  # fmt: skip


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"layers": [99]}, "layers: found 99, expected -3 to 2"),
        ({"layers": [0, -4]}, "layers: found -4, expected -3 to 2"),
        ({"layers": [2], "num_layers": 1}, "layers: found 2, expected -2 to 1"),
        ({"num_layers": 3}, "num_layers: found 3, expected at most 2"),
        ({"max_length": LONG + 1}, f"max_length: found {LONG + 1}, expected at most {LONG}, which "
                                   f"is all it can read"),
        ({"layers": [-3, 2], "num_layers": DEEP, "max_length": LONG}, ""),
        ({}, ""),  # the default length is more than most texts have
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_a_model_does_not_allow_are_one_line(
    family: str, model: dict[str, Any], expected: str, models: dict[str, Path]
) -> None:
    asked = config(models[family], model)
    if not expected:
        return check(asked)
    with pytest.raises(ConfigError) as caught:
        check(asked)
    assert str(caught.value) == f"models.small.{expected}"


@pytest.mark.parametrize("told", [None, "not JSON", "[]", json.dumps({"n_layer": "many"})])
def test_a_model_that_says_nothing_is_left_to_its_jobs(told: str | None, tmp_path: Path) -> None:
    if told is not None:
        (tmp_path / "config.json").write_text(told, encoding="utf-8")
    check(config(tmp_path, {"layers": [99], "max_length": 10**6}))


def test_models_of_packages_are_known_once_they_are_fetched(tmp_path: Path) -> None:
    package = {"name": "p", "version": "1", "sha256": "0" * 64}
    model = {"source": "package", "package": package, "layers": [9]}
    data = config(tmp_path, {}).model_dump(mode="json", exclude_unset=True)
    asked = parse({**data, "models": {"small": model}, "resources": str(tmp_path)})
    check(asked)
    tiny.write_model(tmp_path / "p-1", "bert")
    with pytest.raises(ConfigError, match=r"^models\.small\.layers: found 9"):
        check(asked)


def test_packages_that_lack_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(tmp_path, {"device_map": "auto"}, finetuning={})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        check(asked)
    peft, accelerate = str(caught.value).splitlines()
    assert peft.startswith("finetuning.recipe.method: found no package peft, expected it for lora")
    assert accelerate.startswith("models.small.device_map: found no package accelerate")
    check(asked, packages=False)
    check(config(tmp_path, {}, finetuning={"recipe": {"method": "full"}}))
    check(config(tmp_path, {}))


def test_results_in_the_place_of_a_file_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = config(tmp_path, {})
    check(asked)
    for folder in ("r", "r/inside"):
        Path("r").write_text("a table", encoding="utf-8")
        with pytest.raises(ConfigError, match=f"results: found the file {folder}, expected a fol"):
            check(asked.model_copy(update={"results": folder}))


@pytest.mark.parametrize(
    ("text", "sections", "expected"),
    [
        (None, {}, "arms.selectors_file: {mine}: found no file"),
        ("SELECTORS = {'rp': len}", {}, "arms.selectors_file: {mine}, SELECTORS: found 'rp'"),
        ("SELECTORS = {'sure': len}", {"finetuning": {"arms": [{"selector": "sure_"}]}},
         "finetuning.arms.0.selector: 'sure_' is not a selector of `arms`; did you mean 'sure'?"),
        ("SELECTORS = {'sure': len}", {"finetuning": {"arms": [{"selector": "sure"}]}}, ""),
    ],
)  # fmt: skip
def test_selectors_of_a_users_own_are_known_before_any_job(
    text: str | None, sections: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.py"
    if text is not None:
        mine.write_text(text, encoding="utf-8")
    found = config(tmp_path, {}, arms={"selectors_file": str(mine)}, **sections)
    if not expected:
        check(found, packages=False)
        return
    with pytest.raises(ConfigError) as raised:
        check(found, packages=False)
    assert expected.format(mine=mine) in str(raised.value)
    assert len(raised.value.lines) == 1


@pytest.mark.parametrize("name", ["a.csv", "b.npz"])
def test_files_of_scores_that_cannot_be_read_are_told_before_any_job(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("id,score", encoding="utf-8")
    path = str(tmp_path / name)
    with pytest.raises(ConfigError, match=r"arms.scores.own: found .*, expected a file \.parquet"):
        check(config(tmp_path, {}, arms={"scores": {"own": path}}), packages=False)
