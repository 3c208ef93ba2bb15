"""The stages of fine-tuning: what they write, what they refuse, and how they go on after a kill."""

import itertools
import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from conftest import PAIR, Job
from faults import Victims, flipped
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from test_steps import by_id, shuffled

from w2s.cli import main
from w2s.config import parse_as
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, load, save
from w2s.files.formats import KEY
from w2s.finetuning.classifier import Classifier, adapted
from w2s.finetuning.losses import Loss
from w2s.finetuning.strong import finetune_strong
from w2s.finetuning.track import FinetuneStrongSettings, FinetuneWeakSettings
from w2s.finetuning.training import Lesson, Plan, Training
from w2s.finetuning.weak import Task, Trainer, finetune_weak
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source
from w2s.models.track import JobRuntime
from w2s.results.metrics import auroc
from w2s.tracks import STAGES

pytestmark = pytest.mark.xdist_group("finetuning")

RECIPE = {"epochs": 2, "looks": 3, "rank": 2, "batch_size": 8, "learning_rate": 0.01}
QUICK = {"recipe": RECIPE, "num_layers": 1}
RUNTIME = JobRuntime(device="cpu")
STEPS = 8  # of a training here: twice 27 or 28 texts by eights
LOOKS = (3, 6, 8)
DATA = {"source": "file", "path": "texts.csv", "val": 0.15, "test": 0.4}
MODULES = (
    *("w2s.run", "pyarrow.parquet", "pandas", "pyarrow.compute", "torch.profiler"),
    *("w2s.finetuning.weak", "w2s.finetuning.strong"),
    *("peft", "transformers.models.bert.modeling_bert", "transformers.models.llama.modeling_llama"),
)


@dataclass(frozen=True)
class Study:
    """A tiny dataset, its tokens, and the weak labels of a fine-tuned model: read-only files."""

    folder: Path

    def __truediv__(self, name):
        return self.folder / name

    def weak(self, folder, **settings):
        read = {name: self / f"{name}.parquet" for name in ("examples", "split")}
        read |= {"tokens": self / "tokens-small.safetensors", "model": self / "small"}
        return job("finetune_weak", settings, read, folder)

    def strong(self, folder, **settings):
        read = {"weak_labels": self / "weak_labels.parquet"}
        read |= {"tokens": self / "tokens-large.safetensors", "model": self / "large"}
        read |= {"scores": []}
        return job("finetune_strong", {**PAIR, "pooling": "mean", **settings}, read, folder)


def job(stage, settings, read, folder):
    kinds = STAGES[stage].outputs.items()
    made = {name: folder / f"{name}{kind.suffix}" for name, kind in kinds}
    return Job(stage, {**QUICK, **settings}, read, made)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    tiny.write_dataset(folder / "texts.csv", n=120)
    tiny.write_model(folder / "small", "bert")
    tiny.write_model(folder / "large", "llama")
    examples = {"examples": folder / "examples.parquet"}
    source, named = {"source": folder / "texts.csv"}, {"dataset": "films"}
    split = {"split": folder / "split.parquet"}
    jobs = [
        Job("examples", {**named, "data": DATA}, source, examples),
        Job("split", {**named, "seed": 0}, examples, split),
    ]
    for model in ("small", "large"):
        made = {"tokens": folder / f"tokens-{model}.safetensors"}
        read = {**examples, "model": folder / model}
        jobs.append(Job("tokenize", {"max_length": 32}, read, made))
    for each in (*jobs, Study(folder).weak(folder)):
        assert main(command(each) if each.stage == "finetune_weak" else each.line()) == 0, each
    return Study(folder)


@pytest.fixture(scope="module")
def victims(tmp_path_factory):
    with Victims(tmp_path_factory.mktemp("victims"), MODULES) as started:
        yield started


def command(made, **changes):
    return [*made.line(**changes), "--device", "cpu"]


def ran(made):
    """What the command writes: bytes by name."""
    assert main(command(made)) == 0
    return written(made)


def written(made):
    return {name: path.read_bytes() for name, path in made.outputs.items()}


def hidden(folder):
    return sorted(path.name for path in folder.glob(".*"))


def loaded(made):
    return {name: load(path) for name, path in made.outputs.items()}


def weak_settings(**changes):
    return parse_as(FinetuneWeakSettings, {**QUICK, **changes})


def weak_inputs(study):
    examples, split = load(study / "examples.parquet"), load(study / "split.parquet")
    return examples, split, load(study / "tokens-small.safetensors"), str(study / "small")


def strong_settings(**changes):
    return parse_as(FinetuneStrongSettings, {**PAIR, "pooling": "mean", **QUICK, **changes})


def strong_inputs(study):
    weak = load(study / "weak_labels.parquet")
    return weak, load(study / "tokens-large.safetensors"), [], str(study / "large")


def tuned_weak(*inputs, **settings):
    """What the stage makes in memory."""
    chosen = weak_settings(**settings)
    return finetune_weak(*inputs, settings=chosen, runtime=RUNTIME, work=None)


def tuned_strong(*inputs, **settings):
    chosen = strong_settings(**settings)
    return finetune_strong(*inputs, settings=chosen, runtime=RUNTIME, work=None)


def changed(artifact, **arrays):
    return replace(artifact, arrays={**artifact.arrays, **arrays})


def same_arrays(found, expected):
    return found.arrays.keys() == expected.arrays.keys() and all(
        np.array_equal(found[name], expected[name], equal_nan=expected[name].dtype.kind == "f")
        for name in expected.arrays
    )


def test_commands_write_what_the_library_gives_and_the_same_bytes_twice(study, tmp_path):
    chosen = {"losses": ["xent", "logconf"], "self_training": 1}
    for make, settings, tuned, inputs in (
        (study.weak, {}, tuned_weak, weak_inputs(study)),
        (study.strong, chosen, tuned_strong, strong_inputs(study)),
    ):
        first = make(tmp_path / "first", **settings)
        assert ran(first) == ran(make(tmp_path / "second", **settings))
        expected = tuned(*inputs, **settings)
        for name, found in loaded(first).items():
            assert found.facts == expected[name].facts
            assert same_arrays(found, expected[name])
    assert hidden(tmp_path / "first") == hidden(tmp_path / "second") == []


def read_alone(study, model):
    """Tokens of each text by its id."""
    tokens = load(study / f"tokens-{model}.safetensors")
    bounds = itertools.pairwise(tokens["start"])
    pieces = [tokens["token"][first:end] for first, end in bounds]
    return dict(zip(tokens["id"].tolist(), pieces, strict=True))


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, "float32"),
        ({"dtype": "bfloat16", "pooling": "mean", "num_layers": 2}, "bfloat16"),
        ({"dtype": "bfloat16", "recipe": {**RECIPE, "method": "full"}}, "float32"),
    ],
    ids=["lora", "lora in 16 bits", "full in 16 bits"],
)
def test_weak_labels_are_those_of_a_training_on_weak_train_alone(settings, weights, study):
    examples, split, tokens, model = weak_inputs(study)
    label, part, half = by_id(examples, "label"), by_id(examples, "part"), by_id(split, "half")
    text = read_alone(study, "small")
    # the order of the examples is that of the random draws
    train = [i for i in examples["id"].tolist() if half.get(i) == "weak_train"]
    val = [i for i in examples["id"].tolist() if part[i] == "val"]
    chosen = weak_settings(**settings)
    options = {"num_layers": chosen.num_layers, "dtype": weights, "device": "cpu"}
    base = load_encoder(parse_source(model), **options)
    adapted(base, chosen.recipe, seed=0, name="films floor")
    truth = np.array([label[i] for i in train])
    learned, looked_at = ([text[i] for i in some] for some in (train, val))
    val_labels = np.array([label[i] for i in val])
    training = Training(
        Classifier(base, pooling=chosen.pooling, dtype=chosen.dtype),
        Lesson(learned, truth.astype(np.float64), looked_at, val_labels),
        Plan(chosen.recipe, 0, "fine-tuning films, floor", RUNTIME.batch_tokens),
        Loss("xent", truth),
    )
    training.run()
    weak, told = tuned_weak(examples, split, tokens, model, **settings).values()
    read = [text[i] for i in weak["id"].tolist()]
    expected = training.classifier.predict(read, batch_tokens=RUNTIME.batch_tokens)
    assert weak["weak_proba"].tobytes() == expected.tobytes()
    assert np.ptp(expected) > 0.05
    assert set(weak["id"].tolist()) == set(label) - set(train)
    assert by_id(weak, "label") == {i: label[i] for i in weak["id"].tolist()}
    assert by_id(weak, "part") == {i: half.get(i, part[i]) for i in weak["id"].tolist()}
    assert set(weak["dataset"]) == {"films"}
    assert weak.facts["n_train"] == len(train)
    assert told["step"].tolist() == list(LOOKS)
    assert told["val_auroc"].tolist() == [look.val_auroc for look in training.looks]
    assert told["loss"].tolist() == [look.loss for look in training.looks]
    assert told["kept"].tolist() == [k == training.kept for k in range(len(LOOKS))]
    assert set(told["control"]) == {"floor"}
    trained = sum(p.numel() for p in training.classifier.trained.values())
    assert told.facts["trainable"] == trained
    ranks = told.facts["adapters"]
    lora = chosen.recipe.method == "lora"
    assert set(ranks.values()) == ({RECIPE["rank"]} if lora else set())
    assert lora == any(".*." in name for name in ranks)


def reordered(tokens):
    """The same texts in another order."""
    order = np.random.default_rng(0).permutation(len(tokens["id"]))
    pieces = [tokens["token"][tokens["start"][i] : tokens["start"][i + 1]] for i in order]
    start = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    arrays = {"id": tokens["id"][order], "start": start, "token": np.concatenate(pieces)}
    return replace(tokens, arrays=arrays)


def test_rows_are_matched_by_id(study):
    examples, split, tokens, model = weak_inputs(study)
    found = tuned_weak(examples, shuffled(split), reordered(tokens), model)
    assert same_arrays(found["weak_labels"], load(study / "weak_labels.parquet"))
    weak, tokens, none, model = strong_inputs(study)
    straight, turned = (
        tuned_strong(weak, each, none, model, losses=["logconf"])
        for each in (tokens, reordered(tokens))
    )
    for name, artifact in straight.items():
        assert same_arrays(turned[name], artifact)


LEARNING = {**RECIPE, "epochs": 6, "learning_rate": 0.02}


def again(study, weak, settings, control, labels, val_labels, *wanted):
    """A training of the strong model, made anew from the weak labels."""
    _, tokens, _, model = strong_inputs(study)
    place = {i: k for k, i in enumerate(tokens["id"].tolist())}
    rows = {
        part: np.array([place[i] for i in of(weak, part, "id").tolist()])
        for part in ("strong_train", "val", "test")
    }
    chosen = strong_settings(**settings)
    trainer = Trainer(parse_source(model), tokens, chosen, RUNTIME, None, 0)
    task = Task(control, "xent", rows["strong_train"], labels, rows["val"], val_labels)
    return trainer.train(task, np.concatenate([rows[part] for part in wanted]))


def noisy(study):
    """Weak labels that are right for four points of five, more or less surely."""
    weak = load(study / "weak_labels.parquet")
    right = np.where(np.arange(len(weak)) % 5, 1, -1) * (2 * weak["label"] - 1)
    proba = (0.5 + right * np.random.default_rng(0).uniform(0.1, 0.4, len(weak))).astype(np.float32)
    return changed(weak, weak_proba=proba)


def learning_from(made, weak, folder):
    """The job with other weak labels."""
    made.inputs["weak_labels"] = folder / "labels.parquet"
    save(weak, made.inputs["weak_labels"])
    return made


def of(weak, part, name):
    return weak[name][weak["part"] == part]


def test_self_training_learns_what_the_training_before_says_of_its_own_points(study, tmp_path):
    chosen = {"recipe": LEARNING, "num_layers": tiny.LAYERS}
    made = study.strong(tmp_path / "out", losses=["xent", "kl"], self_training=2, **chosen)
    weak = noisy(study)
    ran(learning_from(made, weak, tmp_path))
    artifacts = loaded(made)
    runs, proba = artifacts["runs"], artifacts["predictions"]["proba"]
    controls = ["ceiling", "xent", "kl", "s2s_1", "s2s_2"]
    assert runs["control"].tolist() == controls
    assert runs["reason"].tolist() == [""] * 5
    val = (of(weak, "val", "weak_proba") >= 0.5).astype(np.int8)
    true = of(weak, "strong_train", "label")
    labels = of(weak, "strong_train", "weak_proba").astype(np.float64)
    for row, control in ((1, "xent"), (3, "s2s_1"), (4, "s2s_2")):
        told = again(study, weak, chosen, control, labels, val, "strong_train", "test").proba
        assert proba[row].tobytes() == told[len(true) :].tobytes()
        assert runs["label_accuracy"][row] == np.mean((labels >= 0.5) == (true == 1))
        assert runs["label_brier"][row] == pytest.approx(np.mean((labels - true) ** 2))
        labels = told[: len(true)].astype(np.float64)
    known = (true.astype(np.float64), of(weak, "val", "label"))
    told = again(study, weak, chosen, "ceiling", *known, "strong_train", "test").proba
    assert proba[0].tobytes() == told[len(true) :].tobytes()
    assert runs["label_accuracy"][0] == 1
    assert len({row.tobytes() for row in proba}) == 5
    assert set(runs["n_train"]) == {len(true)}
    looks = artifacts["training"]
    assert list(dict.fromkeys(looks["control"])) == controls
    assert [looks["kept"][looks["control"] == name].sum() for name in controls] == [1] * 5
    assert artifacts["predictions"]["id"].tolist() == of(weak, "test", "id").tolist()


def test_looks_at_val_are_scored_by_own_or_true_labels(study, tmp_path):
    weak = load(study / "weak_labels.parquet")
    labels = of(weak, "strong_train", "weak_proba").astype(np.float64)
    own = (of(weak, "val", "weak_proba") >= 0.5).astype(np.int8)
    true = of(weak, "val", "label")
    assert (own != true).any()
    values = {}
    for kind, scored in (("own", own), ("true", true)):
        recipe = {**LEARNING, "val_labels": kind}
        made = study.strong(tmp_path / kind, recipe=recipe)
        ran(made)
        told = load(made.outputs["training"])
        scores = [told["val_auroc"][told["control"] == name] for name in ("ceiling", "xent")]
        values[kind] = dict(zip(("ceiling", "xent"), map(list, scores), strict=True))
        found = again(study, weak, {"recipe": recipe}, "xent", labels, scored, "val")
        assert [look.val_auroc for look in found.looks] == values[kind]["xent"]
        assert auroc(found.proba, scored) == max(values[kind]["xent"])
    assert values["own"]["ceiling"] == values["true"]["ceiling"]
    assert values["own"]["xent"] != values["true"]["xent"]


def test_a_weak_label_of_one_half_is_of_no_class_in_val(study, tmp_path):
    weak = load(study / "weak_labels.parquet")
    val, proba = weak["part"] == "val", weak["weak_proba"]
    some = val & (np.arange(len(weak)) % 3 == 0)
    negatives = np.where(val, 0.5 - 0.3 * (weak["label"] == 0), proba).astype(np.float32)
    undecided = np.where(some, 0.5, proba).astype(np.float32)
    several = [changed(weak, weak_proba=labels) for labels in (negatives, undecided)]
    found = []
    for number, labels in enumerate((*several, weak.where(~some))):
        made = study.strong(tmp_path / str(number))
        ran(learning_from(made, labels, tmp_path))
        told = load(made.outputs["training"])
        found.append(told["val_auroc"][told["control"] == "xent"].tolist())
        assert np.isfinite(told["val_auroc"][told["control"] == "ceiling"]).all()
    assert np.isnan(found[0]).all()  # negatives only
    assert np.isfinite(found[1]).all()
    assert found[1] == found[2]


def one_sided(study, path):
    """A split whose weak_train has texts of one label only."""
    examples, split, *_ = weak_inputs(study)
    label = by_id(examples, "label")
    ones = [i for i in split["id"].tolist() if label[i]]
    weak = set(ones[::2])
    half = ["weak_train" if i in weak else "strong_train" for i in split["id"].tolist()]
    save(changed(split, half=np.array(half, dtype=object)), path)
    return path


def test_weak_half_of_one_class_is_an_outcome_for_all_that_follows(study, tmp_path):
    weak = study.weak(tmp_path)
    weak.inputs["split"] = one_sided(study, tmp_path / "split.parquet")
    ran(weak)
    labels, told = loaded(weak).values()
    n = labels.facts["n_train"]
    why = f"weak model: all {n} training labels are 1"
    assert degenerate(labels) == why
    assert len(told) == 0
    assert told.facts["trainable"] == 0
    strong = study.strong(tmp_path, losses=["logconf", "xent"], self_training=2)
    strong.inputs["weak_labels"] = weak.outputs["weak_labels"]
    ran(strong)
    runs, predictions, training = loaded(strong).values()
    assert runs["control"].tolist() == ["ceiling", "logconf", "xent", "s2s_1", "s2s_2"]
    assert runs["reason"].tolist() == ["", why, why, why, why]
    assert np.isfinite(predictions["proba"][0]).all()
    assert np.isnan(predictions["proba"][1:]).all()
    # labels of exactly 1/2 are neither right nor wrong
    np.testing.assert_array_equal(runs["label_accuracy"], [1, *[np.nan] * 4])
    np.testing.assert_array_equal(runs["label_brier"], [0, 0.25, 0.25, np.nan, np.nan])
    away = abs(np.mean(labels["label"][labels["part"] == "strong_train"]) - 0.5)
    np.testing.assert_allclose(runs["label_calibration"], [0, away, away, np.nan, np.nan])
    assert set(training["control"]) == {"ceiling"}


def degenerate(labels):
    """Why the weak labels are all 1/2."""
    assert labels.facts["status"] == "degenerate"
    assert set(labels["weak_proba"].tolist()) == {0.5}
    return labels.facts["reason"]


def test_training_that_runs_away_or_predicts_what_is_not_finite_is_an_outcome(study, tmp_path):
    away = {**RECIPE, "learning_rate": 1, "weight_decay": 1e10}
    weak = study.weak(tmp_path, recipe=away)
    ran(weak)
    told = degenerate(load(weak.outputs["weak_labels"]))
    assert told.startswith("weak model: training: ")
    strong = study.strong(tmp_path, recipe={**away, "method": "full"}, self_training=1)
    ran(strong)
    runs, predictions, _ = loaded(strong).values()
    assert all(reason.startswith("training: ") for reason in runs["reason"])
    assert np.isnan(predictions["proba"]).all()
    assert hidden(tmp_path) == []
    model = shutil.copytree(study / "small", tmp_path / "small")
    weights = load_file(model / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][0] = np.inf  # of a word that no text has
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    examples, split, tokens, _ = weak_inputs(study)
    row = np.flatnonzero(examples["part"] == "test")[0]  # tokens are in the order of the examples
    token = tokens["token"].copy()
    token[tokens["start"][row] + 1] = 0
    labels = tuned_weak(examples, split, changed(tokens, token=token), str(model))["weak_labels"]
    assert degenerate(labels) == "weak model: training: predictions are not finite"


def test_loss_that_cannot_learn_is_an_outcome_of_its_own(study, tmp_path):
    weak = load(study / "weak_labels.parquet")
    flat = np.where(np.arange(len(weak)) % 3 == 0, 0.9, 0.5).astype(np.float32)
    flat[np.arange(len(weak)) % 7 == 0] = 0.1
    strong = study.strong(tmp_path, losses=["window", "xent"], self_training=1)
    ran(learning_from(strong, changed(weak, weak_proba=flat), tmp_path))
    runs = load(strong.outputs["runs"])
    why = runs["reason"].tolist()[1]
    assert why.startswith("window loss: found a median |label - 1/2| of 0")
    assert runs["reason"].tolist() == ["", why, "", why]  # self-training is of the first loss


def refused(line, folder, capsys):
    """The one line of a command that fails and leaves nothing."""
    capsys.readouterr()
    assert main(line) == 2
    said = capsys.readouterr().err.splitlines()
    (message,) = [text for text in said if "steps/s" not in text]
    assert not folder.exists() or list(folder.iterdir()) == []
    return message


def test_inputs_of_another_dataset_or_that_cannot_be_read_are_refused(study, tmp_path, capsys):
    def said(made, name, other):
        """What is said of a job with another input of that name."""
        path = tmp_path / made.inputs[name].name
        save(other, path)
        message = refused(command(made, **{name: path}), tmp_path / "out", capsys)
        return message.removeprefix(f"w2s {made.stage}: error: {name}: ")

    for make, names, told in (
        (study.weak, ("tokens", "split"), "examples"),
        (study.strong, ("tokens",), "weak_labels"),
    ):
        made = make(tmp_path / "out")
        for name in names:
            other = load(made.inputs[name])
            other = replace(other, facts={**other.facts, "dataset": "books"})
            assert said(made, name, other) == f"found dataset books, expected films as in {told}"
        tokens = load(made.inputs["tokens"])
        lacking = changed(tokens, id=tokens["id"] + 1)
        assert said(made, "tokens", lacking).startswith("found no row for ")
        # a text longer than the model can read, before any training
        longer = np.full(tiny.POSITIONS + 1, 25, dtype=np.int32)
        start = tokens["start"].copy()
        start[-1] = start[-2] + len(longer)  # of a test text, which is read last
        token = np.concatenate([tokens["token"][: start[-2]], longer])
        assert said(made, "tokens", changed(tokens, start=start, token=token)) == (
            "found a text of 65 tokens, expected at most 64, which is all the model can read; "
            "lower max_length"
        )


def test_missing_peft_and_model_are_one_line(study, tmp_path, capsys, monkeypatch):
    made = study.weak(tmp_path / "out")
    message = refused(command(made, model=tmp_path / "none"), tmp_path / "out", capsys)
    assert "found no config.json, expected a model folder" in message
    monkeypatch.setitem(sys.modules, "peft", None)  # as if it were not installed
    message = refused(command(made), tmp_path / "out", capsys)
    told = "w2s finetune_weak: error: finetuning.recipe.method: found no package peft"
    assert message.startswith(told)


def test_outputs_hold_neither_weights_nor_pickles(study, tmp_path):
    made = study.strong(tmp_path, recipe={**RECIPE, "method": "full"})
    contents = ran(made)
    assert set(tmp_path.iterdir()) == set(made.outputs.values())
    assert contents["runs"][:4] == contents["training"][:4] == b"PAR1"
    header = int.from_bytes(contents["predictions"][:8], "little")
    tensors = set(json.loads(contents["predictions"][8 : 8 + header])) - {"__metadata__"}
    assert tensors == {"id", "run", "proba"}
    weights = load(made.outputs["training"]).facts["trainable"]
    assert weights > 10_000
    assert sum(map(len, contents.values())) < 4 * weights


def state(folder, control):
    """Facts of an unfinished or finished training in the hidden folder."""
    (path,) = folder.glob(f".work-*/{control}.safetensors")
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()[KEY])["facts"]


SAVE = 6  # points of writing: make, twice sync, permit, rename, remove what may be left


def kill(victims, made, control, saves, before=0):
    """Kill a job when one of its trainings has kept so many states; the folder of its outputs.

    States are kept at looks, and one at the end; `before` counts those of the trainings before.
    """
    folder = next(iter(made.outputs.values())).parent
    folder.mkdir()
    assert victims.run(command(made), folder / ".work-", kill_at=2).code == -9  # folder, lock
    (work,) = folder.glob(".work-*")
    point = 2 * before + SAVE * saves + 1  # a state of another training has its two syncs only
    ended = victims.run(command(made), work / f".{control}-", kill_at=point)
    assert ended.code == -9, ended.said
    assert not [path for path in folder.iterdir() if path != work]
    return folder


def continued(victims, made):
    """What the job says when it is run again to its end."""
    folder = next(iter(made.outputs.values())).parent
    ended = victims.run(command(made), folder)
    assert ended.code == 0, ended.said
    assert hidden(folder) == []
    return ended.said


@pytest.fixture(scope="module")
def weak_bytes(study, tmp_path_factory):
    """What an undisturbed training of the weak model writes."""
    return ran(study.weak(tmp_path_factory.mktemp("undisturbed")))


@pytest.mark.slow
def test_killed_at_any_point_it_goes_on_to_the_same_bytes(study, victims, weak_bytes, tmp_path):
    made = study.weak(tmp_path / "out")
    ended = victims.run(command(made), tmp_path / "out")
    assert (ended.code, written(made)) == (0, weak_bytes), ended.said
    assert ended.points > SAVE * 4 + 12
    said = []
    for point in (10, 16, 22, 30, 44):
        shutil.rmtree(tmp_path / "out")
        assert victims.run(command(made), tmp_path / "out", kill_at=point).code == -9, point
        for name, path in made.outputs.items():
            assert not path.exists() or path.read_bytes() == weak_bytes[name], point
        again = victims.run(command(made), tmp_path / "out")
        assert (again.code, written(made)) == (0, weak_bytes), again.said
        assert not list((tmp_path / "out").glob(".work-*")), point
        said.append(again.said)
    for step in LOOKS:
        assert any(f"continuing at step {step} of {STEPS}\n" in text for text in said), step
    assert any("fine-tuning" not in text for text in said)  # only its files were missing


@pytest.fixture(scope="module")
def killed(study, victims, tmp_path_factory):
    """What a training of the weak model leaves that was killed after its first look."""
    folder = kill(victims, study.weak(tmp_path_factory.mktemp("killed") / "out"), "floor", 1)
    assert state(folder, "floor")["step"] == LOOKS[0]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_killed_later_the_earlier_trainings_are_not_repeated(method, study, victims, tmp_path):
    recipe = {**LEARNING, "method": method, "epochs": 2}
    chosen = {"recipe": recipe, "losses": ["logconf"], "self_training": 1}
    expected = ran(study.strong(tmp_path / "undisturbed", **chosen))
    made = study.strong(tmp_path / "out", **chosen)
    folder = kill(victims, made, "logconf", saves=2, before=len(LOOKS) + 1)
    assert "trainable" in state(folder, "ceiling")
    assert state(folder, "logconf")["step"] == LOOKS[1]
    said = continued(victims, made)
    assert "fine-tuning films, ceiling" not in said
    assert f"fine-tuning films, logconf: continuing at step {LOOKS[1]} of {STEPS}\n" in said
    assert written(made) == expected
    made = study.strong(tmp_path / "between", **chosen)  # two trainings
    folder = kill(victims, made, "ceiling", saves=len(LOOKS) + 1)
    assert "trainable" in state(folder, "ceiling")
    said = continued(victims, made)
    assert "fine-tuning films, ceiling" not in said
    assert "fine-tuning films, logconf" in said
    assert "continuing" not in said
    assert written(made) == expected


@pytest.mark.slow
@pytest.mark.parametrize("change", ["settings", "batches", "weights", "damage"])
def test_state_that_does_not_fit_is_not_used(change, study, killed, weak_bytes, tmp_path, caplog):
    folder = shutil.copytree(killed, tmp_path / "out")
    (file,) = folder.glob(".work-*/floor.safetensors")
    settings = {"recipe": {**RECIPE, "learning_rate": 0.005}} if change == "settings" else {}
    batches = "64" if change == "batches" else "2048"
    model = shutil.copytree(study / "small", tmp_path / "small")
    if change == "weights":
        weights = load_file(model / "model.safetensors")
        scaled = {name: 1.5 * values for name, values in weights.items()}
        save_file(scaled, model / "model.safetensors", {"format": "pt"})
    if change == "damage":
        file.write_bytes(flipped(file.read_bytes(), file.stat().st_size - 2))
    results = []
    for place in (folder, tmp_path / "undisturbed"):
        made = study.weak(place, **settings)
        assert main([*command(made, model=model), "--batch-tokens", batches]) == 0
        results.append(written(made))
        assert hidden(place) == []  # not even the folder of the other settings
    assert results[0] == results[1]
    assert (results[0] == weak_bytes) == (change == "damage")  # other batches round otherwise
    anew = "floor.safetensors: differs from its checksum; the training begins anew"
    assert set(caplog.messages) == ({anew} if change == "damage" else set())


def test_full_disk_is_one_line_and_it_goes_on(
    study, killed, weak_bytes, small_disk, capsys, caplog
):
    made = study.weak(small_disk / "out")
    ballast = small_disk / "ballast"
    (left,) = killed.glob(".work-*/floor.safetensors")
    size = left.stat().st_size
    for free in (size // 2, size * 3 // 2):  # less than a state, and less than two
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - free))
        assert main(command(made)) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith("w2s finetune_weak: error: ")
        assert "floor.safetensors: cannot be written (" in message
        assert "No space left on device" in message
        ballast.unlink()
    kept = state(small_disk / "out", "floor")["step"]
    assert kept in LOOKS[:2]
    assert ran(made) == weak_bytes
    assert f"fine-tuning films, floor: continuing at step {kept} of {STEPS}" in caplog.messages
    assert hidden(small_disk / "out") == []


def scores_of(weak, score, reason=""):
    """Scores of the points of strong_train, by a selector called mine."""
    pool = weak.where(weak["part"] == "strong_train")
    points = {name: pool[name] for name in ("id", "label", "weak_proba")}
    facts = {**PAIR, **{key: weak.facts[key] for key in ("dataset", "seed")}}
    facts["reasons"] = {"mine": reason} if reason else {}
    return Artifact("selector_scores", {**points, "score_mine": score(pool)}, facts)


def test_arms_are_trained_on_what_their_scores_keep_and_on_as_many_random_points(study):
    weak, tokens, _, model = strong_inputs(study)
    scores = scores_of(weak, lambda p: ((p["weak_proba"] > 0.5) == (p["label"] == 1)).astype(float))
    arms = [{"selector": "mine", "budget": 0.4}, {"selector": "mine", "band": "low", "budget": 0.4}]
    found = tuned_strong(weak, tokens, [scores], model, arms=arms)["runs"].frame
    found = found.set_index("control")
    best, worst, beside = (
        found.loc[name] for name in ("arm mine high 0.4", "arm mine low 0.4", "arm random 0.4")
    )
    assert best["n_train"] == worst["n_train"] == beside["n_train"] <= 0.4 * len(scores) + 1
    assert best["label_accuracy"] > beside["label_accuracy"] > worst["label_accuracy"]
    assert not found["reason"].any()
    plain = tuned_strong(weak, tokens, [], model)["runs"].frame.set_index("control")
    assert list(found.index) == [*plain.index, beside.name, best.name, worst.name]
    assert found.loc["xent"].drop("run").equals(plain.loc["xent"].drop("run"))


def test_arms_without_scores_tell_why(study):
    weak, tokens, _, model = strong_inputs(study)
    arms = [{"selector": "mine"}]
    scores = scores_of(weak, lambda p: np.full(len(p), np.nan), reason="no regions")
    found = tuned_strong(weak, tokens, [scores], model, arms=arms)["runs"].frame
    told = found.set_index("control")["reason"]
    assert told["arm mine high 0.5"] == told["arm random 0.5"] == "no regions"
    for given in (
        [],
        [replace(scores, arrays={k: v for k, v in scores.arrays.items() if k != "score_mine"})],
    ):
        with pytest.raises(ArtifactError, match="found none of the selector mine"):
            tuned_strong(weak, tokens, given, model, arms=arms)
