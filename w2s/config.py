"""The configuration: every setting with its type, default, range and meaning.

`parse` turns the YAML of the user into a `Config` or raises one clear line per mistake. The
reference in `config/README.md` and the JSON schema are generated from these classes.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from w2s.arms.track import ArmsConfig
from w2s.data.track import Dataset, holds_features
from w2s.declare import InputPath, Name, OutputFolder, Strict, nearest_of
from w2s.errors import ConfigError, visible
from w2s.finetuning.track import FinetuningConfig
from w2s.gain.track import GainConfig
from w2s.label_noise.track import LabelNoiseConfig
from w2s.models.track import ExtractionConfig, Model, RuntimeConfig
from w2s.overlap.track import MixingConfig, OverlapConfig, Pair, ProbeConfig
from w2s.results.track import EvaluationConfig
from w2s.selection.track import SelectionConfig
from w2s.synthetic.track import SyntheticConfig
from w2s.weak_supervision.track import NAMES, WeakSupervisionConfig

# folders beside the datasets'
RESERVED = frozenset({"tables", "figures", "logs", "benchmarks", "selection", "synthetic", "gain"})


class Config(Strict):
    """The whole configuration of an experiment."""

    results: OutputFolder = Field(
        description="Folder for everything the experiment writes; ~ is your home folder."
    )
    resources: OutputFolder = Field(
        "resources", description="Folder for downloads, shared by experiments."
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (), description="Each seed draws new halves of the pool and new mixes."
    )
    datasets: dict[Name, Dataset] = Field({}, description="The datasets, by name.")
    models: dict[Name, Model] = Field({}, description="The models, by name.")
    pairs: tuple[Pair, ...] = Field((), description="Which weak model supervises which strong one.")
    extraction: ExtractionConfig = Field(ExtractionConfig(), description="Large extractions.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes.")
    overlap: OverlapConfig = Field(OverlapConfig(), description="Overlap detection.")
    mixing: MixingConfig = Field(MixingConfig(), description="The mixing experiment.")
    arms: ArmsConfig | None = Field(
        None, description="Selection arms: which weak labels to learn from; none if not given."
    )
    selection: SelectionConfig = Field(SelectionConfig(), description="Source selection.")
    synthetic: SyntheticConfig | None = Field(
        None, description="The synthetic study; none if not given."
    )
    weak_supervision: WeakSupervisionConfig | None = Field(
        None, description="Weak supervision with labeling functions; none if not given."
    )
    finetuning: FinetuningConfig | None = Field(
        None, description="Fine-tuned models in the place of probes; none if not given."
    )
    label_noise: LabelNoiseConfig | None = Field(
        None, description="Planted label noise; none if not given."
    )
    gain: GainConfig | None = Field(
        None, description="Predictors of the gain, and transfer; none if not given."
    )
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Tables and intervals.")
    runtime: RuntimeConfig = Field(RuntimeConfig(), description="Device and batches.")
    custom_tracks: tuple[InputPath, ...] = Field(
        (), description="Python files with stages of your own (see CONTRIBUTING.md)."
    )
    custom_rules: tuple[InputPath, ...] = Field(
        (), description="Pages of rules of your own, read after all others (see CONTRIBUTING.md)."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in RESERVED & set(self.datasets):
            raise ValueError(f"datasets: '{name}' is the name of a results folder; choose another")
        for name in NAMES & set(self.models):
            raise ValueError(f"models: '{name}' is a word of weak supervision; choose another")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: found a seed twice in {list(self.seeds)}, expected once")
        self._check_that_nothing_lacks()
        names = [pair.name for pair in self.pairs]
        if len(set(names)) != len(names):
            raise ValueError(f"pairs: found a pair twice in {names}, expected once")
        mistakes = [
            mistake
            for index, pair in enumerate(self.pairs)
            for role in ("weak", "strong")
            for mistake in self._mistakes(f"pairs.{index}", role, pair)
        ]
        mistakes += [
            f"{where}: '{dataset}' is not a dataset; {nearest_of(dataset, self.datasets)}"
            for where, used in self._datasets_of_tracks()
            for dataset in used
            if dataset not in self.datasets
        ]
        mistakes += [*self._feature_mistakes(), *self._arm_mistakes()]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _check_that_nothing_lacks(self) -> None:
        parts = ("seeds", "datasets", "models", "pairs")
        tracks = {
            "arms": self.arms,
            "finetuning": self.finetuning,
            "label_noise": self.label_noise,
            "gain": self.gain,
            "selection": self.selection.experiments,
            "weak_supervision": self.weak_supervision,
        }
        alone = next((name for name, given in tracks.items() if given and not self.pairs), "")
        needed = parts[:2] if alone == "weak_supervision" else parts
        lacking = [name for name in needed if not getattr(self, name)]
        asked = alone or self.synthetic is None or any(getattr(self, name) for name in parts)
        if lacking and asked:
            what = f"`{alone}`" if alone else "an experiment on models"
            hint = "" if self.synthetic else "; `synthetic` alone needs none of them"
            raise ValueError(
                f"{lacking[0]}: found none, expected at least 1 item, as {what} needs "
                f"{', '.join(needed[:-1])} and {needed[-1]}{hint}"
            )

    def _datasets_of_tracks(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name, experiment in self.selection.experiments.items():
            field = "dataset" if experiment.sources == "partition" else "datasets"
            yield f"selection.experiments.{name}.{field}", experiment.datasets
        if self.arms:
            yield "arms.datasets", self.arms.datasets
        if self.weak_supervision:
            yield "weak_supervision.datasets", self.weak_supervision.datasets
        if self.label_noise:
            yield "label_noise.datasets", self.label_noise.datasets
        if self.finetuning and self.finetuning.datasets:
            yield "finetuning.datasets", self.finetuning.datasets
        if self.gain:
            yield "gain.datasets", self.gain.datasets

    def _feature_mistakes(self) -> Iterator[str]:
        own = {name for name, data in self.datasets.items() if holds_features(data)}
        if own and self.pairs:
            yield f"datasets.{min(own)}: found features, expected texts for the pairs of models"
        chosen = self.weak_supervision
        if chosen is None or own >= set(chosen.datasets) & set(self.datasets):
            return
        model = self.models.get(chosen.features or "")
        if chosen.features is None:
            yield "weak_supervision.features: found nothing, expected a model, to read texts"
        elif model is None:
            hint = nearest_of(chosen.features, self.models)
            yield f"weak_supervision.features: '{chosen.features}' is not a model; {hint}"
        elif chosen.layer not in (None, *model.layers):
            yield (
                f"weak_supervision.layer: found {chosen.layer}, expected one of the layers "
                f"{list(model.layers)} cached for '{chosen.features}'"
            )

    def _arm_mistakes(self) -> Iterator[str]:
        tuned, chosen = self.finetuning, self.arms
        for number, arm in enumerate(tuned.arms if tuned else ()):
            where = f"finetuning.arms.{number}.selector"
            known = (*chosen.selectors, *chosen.scores) if chosen else ()
            # names of a file of the user's own are known when that has run: `dag.check`
            if arm.selector not in known and not (chosen and chosen.selectors_file):
                hint = nearest_of(arm.selector, known)
                yield f"{where}: '{arm.selector}' is not a selector of `arms`; {hint}"
        if tuned and tuned.arms and chosen and chosen.datasets:
            for name in tuned.datasets or self.datasets:
                if name not in chosen.datasets:
                    yield f"finetuning.arms: found '{name}', which `arms.datasets` lacks"

    def _mistakes(self, where: str, role: str, pair: Pair) -> Iterator[str]:
        name = getattr(pair, role)
        if name not in self.models:
            yield f"{where}.{role}: '{name}' is not a model; {nearest_of(name, self.models)}"
            return
        layer = getattr(pair, f"{role}_layer")
        layers = self.models[name].layers
        if layer is not None and layer not in layers:
            yield (
                f"{where}.{role}_layer: found {layer}, expected one of the layers {list(layers)} "
                f"cached for '{name}'"
            )


S = TypeVar("S", bound=BaseModel)
WORDS = {  # what pydantic expects, in words of YAML
    "string_type": "input should be a valid string (in quotes, where YAML reads a word as something"
    " else, such as no or 1)",
    "tuple_type": "expected a list in brackets",
    "list_type": "expected a list in brackets",
    "dict_type": "expected lines of `key: value`",
    "model_type": "expected lines of `key: value`",
    "model_attributes_type": "expected lines of `key: value`",
}


def parse(data: Mapping[str, Any]) -> Config:
    """Check a configuration.

    Args:
        data: The YAML file as nested mappings, all values as Snakemake or PyYAML read them.

    Raises:
        ConfigError: one line for each mistake, with the path of the setting.
    """
    return parse_as(Config, data)


def parse_as(model: type[S], data: Any) -> S:
    """Check `data` against any settings class; see `parse`."""
    try:
        parsed = model.model_validate(data)
    except ValidationError as error:
        items = [(_where(item, data), item) for item in error.errors()]
        found: dict[str, list[str]] = {}  # one line a setting, its alternatives joined by "or"
        for where, item in items:
            if not any(other.startswith(f"{where}.") for other, _ in items):  # else told there
                for head, expected in _describe(item, data):
                    found.setdefault(head, []).append(expected)
        lines = [head + " or ".join(dict.fromkeys(all_)) for head, all_ in found.items()]
        raise ConfigError("\n".join(lines)) from None
    if wrong := list(_no_unicode(parsed.model_dump())):
        expected = "expected signs of Unicode, not halves of them"
        raise ConfigError(
            "\n".join(f"{where}: found {text!r}, {expected}" for where, text in wrong)
        )
    return parsed


def _no_unicode(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Texts that no file can hold (surrogates, as escapes of JSON and YAML make them)."""
    if isinstance(value, str) and not value.isascii():
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            yield where, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _no_unicode(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _no_unicode(item, f"{where}.{index}".lstrip("."))


def _where(error: Any, data: Any) -> str:
    """The setting an error is about; a mistake inside it is more telling than one of its type."""
    path = ".".join(_path(error["loc"], data, missing=error["type"] == "missing"))
    return f"{path}.*" if path and error["type"] == "value_error" else path or "settings"


def _describe(error: Any, data: Any) -> Iterator[tuple[str, str]]:
    """A pydantic error as lines of "path: found ...; " and what was expected."""
    path = ".".join(_path(error["loc"], data, missing=error["type"] == "missing"))
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        yield f"{path}: found nothing, ", "expected a value"
    elif error["type"] == "value_error":
        for line in message.split("\n"):
            yield (f"{path}.{line}" if path else line), ""
    else:
        where = path or "settings"
        expected = WORDS.get(error["type"], f"{message[0].lower()}{message[1:]}")
        yield f"{where}: found {reprlib.repr(error['input'])}; ", expected


def _path(loc: Iterable[Any], data: Any, *, missing: bool) -> Iterator[str]:
    """The parts of a location that are keys of the data; the others name members of unions."""
    parts, tagged = list(loc), None
    for index, part in enumerate(parts):
        tags = (data.get("source"), data.get("sources")) if isinstance(data, Mapping) else ()
        if data is not tagged and part in tags:  # `package` is also the name of a setting
            tagged = data
            continue
        if isinstance(data, Mapping):  # pydantic calls a key False 0
            part = next((key for key in data if key == part), part)
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            if missing and index == len(parts) - 1:
                yield visible(str(part))
        else:
            yield visible(str(part))
