"""What each stage is told: the part of the configuration that its output depends on.

A stage's settings are written into its artifact and into Snakemake's `params`, so an edit of the
configuration reruns exactly the stages whose settings it changes. Settings that cannot change
numbers (device, batches) are not here: see `config.RuntimeConfig`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s.config_finetuning import AuxiliaryConfig, FinetuningRecipe, LossName
from w2s.config_selection import Experiment, PathsConfig
from w2s.config_sources import TRUST, Files, HubDataset, PackageFile, Strict
from w2s.config_spine import EvaluationConfig, MixingConfig, OverlapConfig, ProbeConfig
from w2s.config_synthetic import RecipeConfig, Study
from w2s.config_weak_supervision import LF, LabelModelName, Student


class FetchSettings(Strict):
    """Which file to download."""

    package: PackageFile = Field(description="The pinned file.")


class ExamplesSettings(Strict):
    """Where a dataset comes from and how it is divided."""

    dataset: str = Field(description="Name of the dataset; also names its random streams.")
    data: Files = Field(
        description="The dataset's settings without its title.", discriminator="source"
    )


class FetchTaskSettings(Strict):
    """Which rows of the hub a task needs; all but the last two come from the table of tasks."""

    task: str = Field(description="Key of the task; also names the random stream of the sample.")
    hub: str = Field(description="Repository.")
    config: str | None = Field(None, description="Its configuration.")
    data_dir: str | None = Field(None, description="Its folder.")
    revision: str = Field("main", description="Branch, tag or commit.")
    columns: tuple[str, ...] = Field(description="Columns that the task reads.")
    train: tuple[str, ...] = Field(("train",), description="Splits of pool and val.")
    test: tuple[str, ...] = Field(("test",), description="Splits of the test part.")
    held_out: int = Field(0, description="Rows of `train` held out for the test part.", ge=0)
    local: str | None = Field(None, description="A local copy, read in the place of the hub.")
    max_rows: int = Field(50_000, description="Most rows of each side.", ge=2)


class TaskExamplesSettings(Strict):
    """How the rows of a task become examples."""

    dataset: str = Field(description="Name of the dataset; also names its random streams.")
    data: HubDataset = Field(description="The dataset's settings without its title.")
    tasks_file_sha256: str = Field("", description="Hash of the user's own file of tasks.")


class SplitSettings(Strict):
    """Which halves to draw."""

    dataset: str = Field(description="Name of the dataset.")
    seed: int = Field(description="Seed of the draw.", ge=0)


class TokenizeSettings(Strict):
    """How texts become tokens."""

    max_length: int = Field(512, description="Longest text in tokens.", ge=1)
    truncation: Literal["right", "left"] = Field("right", description="Side that is cut.")
    trust_remote_code: bool = Field(False, description=TRUST)


class ShardsSettings(Strict):
    """Which activations to take."""

    num_layers: int | None = Field(None, description="Keep only this many first layers.")
    layers: tuple[int, ...] = Field((-1,), description="Hidden layers to cache.")
    pooling: Literal["last", "mean", "first"] = Field("last", description="Token pooling.")
    trust_remote_code: bool = Field(False, description=TRUST)
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the forward pass."
    )
    storage: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the vectors on disk."
    )


class ActivationsSettings(ShardsSettings):
    """Which activations to take."""

    shard: str = Field(
        "1-of-1",
        description="Which part of the texts: neighbours, with a like share of the tokens.",
        pattern=r"^[1-9][0-9]*-of-[1-9][0-9]*$",
    )


class GatherActivationsSettings(ShardsSettings):
    """What the shards must be, as they do not stay."""

    code: str = Field("", description="Digest of their code; any shards will do where it is empty.")


class WeakLabelsSettings(Strict):
    """How the weak probe is fitted."""

    layer: int = Field(-1, description="Layer the weak probe reads.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probe.")


class CorporaLabelsSettings(WeakLabelsSettings):
    """How one weak probe is fitted for several datasets."""

    experiment: str = Field(description="Name of the experiment.")
    targets: tuple[str, ...] = Field(description="Datasets whose weak_train it is fitted on.")


class OverlapSettings(Strict):
    """How regions are detected."""

    layer: int = Field(-1, description="Layer of the strong activations.")
    overlap: OverlapConfig = Field(OverlapConfig(), description="The detector.")


class StrongSettings(Strict):
    """Which probes to train."""

    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    weak_layer: int = Field(-1, description="Layer of the weak activations.")
    strong_layer: int = Field(-1, description="Layer of the strong activations.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes.")
    mixing: MixingConfig = Field(MixingConfig(), description="The mixing experiment.")


class SelectSettings(Strict):
    """Which sources there are, and how they are selected from."""

    experiment: str = Field(description="Name of the experiment; also names its random streams.")
    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    layer: int = Field(-1, description="Layer of the strong activations.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes.")
    overlap: OverlapConfig = Field(OverlapConfig(), description="The detector.")
    sources: Experiment = Field(description="The sources.")
    paths: PathsConfig = Field(PathsConfig(), description="Policies, rounds and batches.")


class EvaluateSettings(Strict):
    """Nothing to choose: all metrics are computed."""


class TablesSettings(Strict):
    """Intervals of the tables."""

    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Bootstrap.")


class SelectionTablesSettings(TablesSettings):
    """Intervals of the tables of source selection."""


class FiguresSettings(Strict):
    """What the figures show."""

    weak: str = Field(description="Weak model of the pair.")
    strong: str = Field(description="Strong model of the pair.")
    title: str = Field("", description="Title of the figures: the models of the pair.")
    titles: tuple[tuple[str, str], ...] = Field(
        description="Name and title of each dataset, in the order of the panels.", min_length=1
    )


class SelectionFiguresSettings(FiguresSettings):
    """What the figures of source selection show; the titles are those of the experiments."""


class SyntheticSettings(Strict):
    """One sweep of the synthetic study."""

    study: Study = Field(description="Which sweep.")
    repetitions: int = Field(description="Mixtures drawn for each setting.", ge=2)
    seed: int = Field(0, description="Seed of all draws.", ge=0)
    recipe: RecipeConfig = Field(RecipeConfig(), description="How the models are trained.")


class SyntheticDetectionSettings(Strict):
    """How often the detector is tried."""

    repetitions: int = Field(description="Mixtures drawn for each cell.", ge=2)
    seed: int = Field(0, description="Seed of all draws.", ge=0)


class SyntheticControlsSettings(Strict):
    """The purity control and the expansion estimate."""

    repetitions: int = Field(description="Mixtures drawn for each setting.", ge=2)
    seed: int = Field(0, description="Seed of all draws.", ge=0)
    recipe: RecipeConfig = Field(RecipeConfig(), description="How the models are trained.")


class SyntheticTablesSettings(Strict):
    """Intervals of the tables of the synthetic study."""

    level: float = Field(0.95, description="Coverage of the intervals.", gt=0.5, lt=1)


class SyntheticFiguresSettings(Strict):
    """Nothing to choose: the figures show what the tables hold."""


class LabelMatrixSettings(Strict):
    """Which labeling functions read the texts."""

    lfs: tuple[LF, ...] = Field(description="Names of the labeling functions.", min_length=1)
    lexicons: Literal["packaged", "mended"] = Field(
        "packaged", description="How lexicons read texts."
    )


class LabelModelSettings(Strict):
    """Which label model is fitted."""

    label_model: LabelModelName = Field(description="Name of the label model.")


class StudentSettings(Strict):
    """Which student is trained, and on what."""

    weak: LabelModelName = Field(description="Name of the label model.")
    strong: Student = Field(description="mlp or probe.")
    layer: int = Field(-1, description="Layer of the activations.")
    restarts: int = Field(5, description="Starting points of each perceptron.", ge=1)
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes of the student probe.")
    overlap: OverlapConfig = Field(OverlapConfig(), description="The detector.")
    mixing: MixingConfig = Field(MixingConfig(), description="The mixing experiment.")


class WeakSupervisionTablesSettings(Strict):
    """Intervals of the tables of weak supervision."""

    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Bootstrap.")


class WeakSupervisionFiguresSettings(Strict):
    """What the figures of weak supervision show."""

    titles: tuple[tuple[str, str], ...] = Field(
        description="Name and title of each dataset, in the order of the panels.", min_length=1
    )


class FinetuneWeakSettings(Strict):
    """How the weak model is fine-tuned."""

    num_layers: int | None = Field(None, description="Keep only this many first layers.")
    pooling: Literal["last", "mean", "first"] = Field("last", description="Token pooling.")
    trust_remote_code: bool = Field(False, description=TRUST)
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the forward pass."
    )
    recipe: FinetuningRecipe = Field(FinetuningRecipe(), description="How it is trained.")


class FinetuneStrongSettings(FinetuneWeakSettings):
    """How the strong model is fine-tuned, and with which losses."""

    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    losses: tuple[LossName, ...] = Field(("xent",), description="Losses of w2s.", min_length=1)
    self_training: int = Field(0, description="Trainings on labels of its own.", ge=0)
    auxiliary: AuxiliaryConfig = Field(AuxiliaryConfig(), description="Constants of losses.")


class FinetuningTablesSettings(TablesSettings):
    """Intervals of the tables of fine-tuning."""


class FinetuningFiguresSettings(Strict):
    """What the figures of fine-tuning show."""

    titles: tuple[tuple[str, str], ...] = Field(
        description="Name and title of each dataset, in the order of the panels.", min_length=1
    )


class WrenchVotesSettings(Strict):
    """Nothing to choose: the dataset brings its votes."""


class WrenchFeaturesSettings(Strict):
    """Nothing to choose: the dataset brings its features."""
