"""Fine-tuning: against a plain loop, a planted truth, memory, and interruptions at any point."""

import logging
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from faults import flipped
from hypothesis import given
from hypothesis import strategies as st
from test_classifier import Cramped
from test_passes import CPU, GPU
from torch.nn.utils import clip_grad_norm_, parametrize
from transformers import AutoModel

from w2s.errors import DataError, DegenerateError
from w2s.files.resume import Checkpoint
from w2s.finetuning.classifier import Classifier, adapted
from w2s.finetuning.losses import Loss
from w2s.finetuning.track import LOSSES, AuxiliaryConfig, FinetuningRecipe
from w2s.finetuning.training import Lesson, Plan, Training, look_steps, rate
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source, quiet
from w2s.results.metrics import auroc
from w2s.rng import stream

METHODS = pytest.mark.parametrize("method", ["lora", "full"])
BOTH = pytest.mark.parametrize(  # of each what matters, in two combinations
    ("family", "method", "loss"), [("bert", "lora", "logconf"), ("llama", "full", "xent")]
)
WHOLE = 10_000  # tokens: every step is one pass
RATES = {"lora": 1e-2, "full": 3e-3}
RECIPE = FinetuningRecipe(rank=2, alpha=4, epochs=2, batch_size=8, looks=4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Models of two families; BERT's pooler gets no gradient."""
    folder = tmp_path_factory.mktemp("models")
    return {family: tiny.write_model(folder / family, family) for family in ("bert", "llama")}


def texts(n, seed, sizes=(3, 9)):
    """Plain words with a good one or a bad one among them, and which it was."""
    draw = np.random.default_rng(seed)
    first = len(tiny.SPECIAL)
    good, bad, plain = (first, first + 10, first + 20)
    label = np.arange(n) % 2
    lists = []
    for side in label:
        words = plain + draw.integers(0, len(tiny.PLAIN), draw.integers(*sizes))
        lists.append(np.insert(words, draw.integers(len(words) + 1), good if side else bad))
    return lists, label


def lesson(n=40, m=21, **options):
    """Soft labels, a fifth of them on the wrong side."""
    learned, label = texts(n, 0, **options)
    side = np.where(np.arange(n) % 5 == 0, 1 - label, label)
    soft = np.abs(side - np.random.default_rng(2).uniform(0.05, 0.45, n))
    return Lesson(learned, soft, *texts(m, 1, **options))


def prepared(folder, *, method="lora", kind=Classifier, study=None, loss="xent", **chosen):
    """A training that begins anew, as another process would make it.

    What else is chosen is of the recipe, but for `plan` and `layers`.
    """
    torch.seed()  # what torch would draw is not to matter
    study, layers = study or lesson(), chosen.pop("layers", 1)
    plan = {"seed": 0, "name": "a training", "batch_tokens": WHOLE, **chosen.pop("plan", {})}
    how = RECIPE.model_copy(update={"method": method, "learning_rate": RATES[method], **chosen})
    base = load_encoder(parse_source(str(folder)), num_layers=layers, device="cpu")
    adapted(base, how, seed=0, name="a training")
    classifier = kind(base, pooling="mean", dtype="float32")
    options = AuxiliaryConfig(warmup=0.3)
    return Training(classifier, study, Plan(how, **plan), Loss(loss, study.labels, options=options))


def dies(training, *run):
    with pytest.raises(KilledError):
        training.run(*run)


def finished(training, keeper=None):
    training.run(keeper)
    return training


def said(training):
    """Predictions of other texts."""
    return training.classifier.predict(texts(15, 7)[0], batch_tokens=WHOLE)


def outcome(training):
    """All that a training gives, to the bit."""
    weights = {name: values.tobytes() for name, values in training.classifier.taken().items()}
    return repr(training.looks), training.kept, said(training).tobytes(), weights


def test_rate_rises_and_falls_by_hand():
    found = [rate(step, 10, 0.2) for step in range(10)]
    expected = [1 / 2, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    np.testing.assert_allclose(found, expected)
    assert [rate(step, 4, 0) for step in range(4)] == [1, 3 / 4, 2 / 4, 1 / 4]
    assert [rate(step, 4, 1) for step in range(4)] == [1 / 4, 2 / 4, 3 / 4, 1]
    assert rate(0, 1, 0.1) == rate(0, 1, 1) == 1
    # and looks are evenly spread
    assert sorted(look_steps(10, 3)) == [4, 7, 10]
    assert sorted(look_steps(10, 1)) == [10]
    assert sorted(look_steps(4, 4)) == sorted(look_steps(4, 100)) == [1, 2, 3, 4]


@given(st.integers(1, 300), st.floats(0, 1))
def test_rate_is_up_to_its_peak_then_down_and_never_0(steps, warmup):
    found = np.array([rate(step, steps, warmup) for step in range(steps)])
    rising = round(warmup * steps)
    assert found.min() > 0
    assert found.max() == 1
    assert (np.diff(found[:rising]) > 0).all()
    assert (np.diff(found[rising:]) < 0).all()
    assert found.argmax() == max(0, rising - 1)


@given(st.integers(1, 500), st.integers(1, 600))
def test_looks_are_as_many_as_asked_for_and_end_at_the_last_step(steps, looks):
    found = sorted(look_steps(steps, looks))
    assert len(found) == min(steps, looks)
    assert found[-1] == steps
    gaps = np.diff([0, *found])
    assert gaps.min() >= 1
    assert np.ptp(gaps) <= 1


@METHODS
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_planted_signal_is_found(family, method, folders):
    study = lesson(240)
    training = finished(prepared(folders[family], method=method, study=study, rank=4, layers=2))
    test, label = texts(60, 5)
    trained, untrained = (
        auroc(each.classifier.predict(test, batch_tokens=WHOLE), label)
        for each in (training, prepared(folders[family], study=study))
    )
    assert trained > 0.95
    assert untrained == 0.5
    assert training.looks[-1].loss < training.looks[0].loss < 0.75


class Plain(torch.nn.Module):
    """The same function written once more: the library's model, pooled under its mask, a head."""

    def __init__(self, folder):
        super().__init__()
        with quiet():
            self.model = AutoModel.from_pretrained(folder).eval()
        self.head = torch.nn.Linear(tiny.HIDDEN, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, lists):
        width = max(map(len, lists))
        ids = torch.tensor([[*map(int, text), *[0] * (width - len(text))] for text in lists])
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in lists])
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return self.head(pooled)[:, 0]


class Added(torch.nn.Module):
    """A weight with a product of two thin matrices added."""

    def __init__(self, thin, wide, scale):
        super().__init__()
        self.thin, self.wide = (torch.nn.Parameter(torch.from_numpy(x)) for x in (thin, wide))
        self.scale = scale

    def forward(self, weight):
        return weight + self.scale * self.wide @ self.thin


def adapt(plain, start, scale):
    """Low-rank adapters of the given start, without the package."""
    plain.model.requires_grad_(False)
    for path in [name for name in start if "lora_A" in name]:
        module = plain.get_submodule(path.split(".lora_A")[0])
        wide = start[path.replace("lora_A", "lora_B")]
        parametrize.register_parametrization(module, "weight", Added(start[path], wide, scale))


def plain_loop(plain, study, recipe, loss):
    """Train it with a loss, or with cross-entropy: losses and lengths of the steps' gradients."""
    trained = [p for p in plain.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1.0, weight_decay=recipe.weight_decay)
    n, size = len(study.texts), recipe.batch_size
    draws = [
        stream(0, "finetuning", "a training", "order", f"epoch={epoch}")
        for epoch in range(recipe.epochs)
    ]
    orders = [draw.permutation(n) for draw in draws]
    batches = [rows[first : first + size] for rows in orders for first in range(0, n, size)]
    warm = round(recipe.warmup * len(batches))
    losses, lengths = [], []
    for step, rows in enumerate(batches):
        share = min((step + 1) / warm, (len(batches) - step) / (len(batches) - warm))
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * share
        logits, y = plain([study.texts[i] for i in rows]), torch.from_numpy(study.labels[rows])
        if loss is None:
            proba = torch.sigmoid(logits)
            mean = -(y * proba.log() + (1 - y) * (1 - proba).log()).mean()
        else:
            loss.begin(logits)
            mean = loss(logits, y, progress=step / len(batches)).mean()
        optimizer.zero_grad()
        mean.backward()
        lengths.append(float(clip_grad_norm_(trained, 1.0)))
        optimizer.step()
        losses.append(float(mean.detach()))
    return losses, lengths


@METHODS
@pytest.mark.parametrize(
    ("family", "name", "head"), [("bert", "xent", 0.4), ("llama", "logconf", 0.8)]
)
def test_weights_are_those_of_a_plain_loop(family, name, head, method, folders):
    study = lesson(36)  # the last step of an epoch has half as many texts as the others
    chosen = {"weight_decay": 0.1, "warmup": 0.3, "looks": 1000, "learning_rate": 1e-3}
    chosen |= {"method": method, "loss": name, "study": study, "layers": tiny.LAYERS}
    training = prepared(folders[family], **chosen)
    plain = Plain(folders[family])
    weight = (head * np.random.default_rng(4).normal(size=(1, tiny.HIDDEN))).astype(np.float32)
    training.classifier.put(training.classifier.taken() | {"head.weight": weight})
    plain.head.weight.data = torch.from_numpy(weight.copy())
    if method == "lora":
        adapt(plain, training.classifier.taken(), scale=2.0)
    before = {name: p.detach().clone() for name, p in plain.named_parameters()}
    options = AuxiliaryConfig(warmup=0.3)
    loss = None if name == "xent" else Loss(name, study.labels, options=options)
    losses, lengths = plain_loop(plain, study, training.plan.recipe, loss)
    seen = Keeper()
    finished(training, seen)
    np.testing.assert_allclose([look.loss for look in training.looks], losses, rtol=0, atol=2e-6)
    expected = {name: p.detach().numpy() for name, p in plain.named_parameters()}
    errors = []
    for path in training.classifier.trained:
        theirs = path
        if ".lora_" in path:
            layer, kind = path.split(".lora_")
            theirs = f"{layer}.parametrizations.weight.0.{'thin' if kind[0] == 'A' else 'wide'}"
        if theirs.endswith("key.bias"):  # it cancels out: AdamW makes steps of pure rounding
            continue
        errors.append(np.abs(seen.weights[-1][path] - expected[theirs]).ravel())
    assert np.quantile(np.concatenate(errors), 0.999) < 1e-6
    assert np.concatenate(errors).max() < 1e-4  # where a gradient is near 0, its rounding counts
    moved = [np.abs(expected[name] - before[name].numpy()).max() for name in expected]
    assert max(moved) > 1e-3
    assert min(lengths) < 0.95 < 1.1 < max(lengths)  # some are cut, some are not


class Keeper:
    """Keeps the trained weights of every state in memory."""

    def __init__(self):
        self.weights = []

    def load(self):
        return None

    def save(self, arrays, facts):
        del facts
        now = {n.removeprefix("now/"): x for n, x in arrays.items() if n.startswith("now/")}
        self.weights.append(now)


def test_same_training_is_the_same_bits_and_depends_on_seed_and_name_and_no_keeper(folders):
    for loss in LOSSES:
        first, second = (outcome(finished(prepared(folders["llama"], loss=loss))) for _ in range(2))
        assert first == second, loss
    expected = outcome(finished(prepared(folders["bert"])))
    assert outcome(finished(prepared(folders["bert"]), Keeper())) == expected
    for plan in ({"seed": 1}, {"name": "another"}):
        assert outcome(finished(prepared(folders["bert"], plan=plan)))[2] != expected[2]
    # a confidence loss with coefficient 0 is cross-entropy to the bit
    for loss in ("logconf", "entropy"):
        training = prepared(folders["bert"], loss=loss)
        none = AuxiliaryConfig(coefficient=0)
        training.loss = Loss(loss, training.lesson.labels, options=none)
        assert outcome(finished(training)) == expected
        assert outcome(finished(prepared(folders["bert"], loss=loss))) != expected


class Reader(Classifier):
    """A classifier that tells which texts it is trained on."""

    def forward(self, lists):
        if torch.is_grad_enabled():
            self.read.append([text.tobytes() for text in lists])
        return super().forward(lists)


def test_every_epoch_reads_every_text_once_in_an_order_of_its_own(folders):
    study = lesson(20, sizes=(5, 6))  # of one length: a pass keeps the order of its step
    training = prepared(folders["llama"], kind=Reader, study=study, epochs=3)
    training.classifier.read = []
    finished(training)
    read = training.classifier.read
    assert [len(step) for step in read] == [8, 8, 4] * 3
    epochs = [[*read[k], *read[k + 1], *read[k + 2]] for k in (0, 3, 6)]
    every = sorted(text.tobytes() for text in study.texts)
    assert [sorted(epoch) for epoch in epochs] == [every] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert training.steps == 9


@BOTH
def test_division_among_passes_changes_nothing_beyond_rounding(family, method, loss, folders):
    chosen = {"loss": loss, "method": method, "learning_rate": 1e-3}
    expected = finished(prepared(folders[family], **chosen))
    for tokens in (1, 33):
        found = finished(prepared(folders[family], plan={"batch_tokens": tokens}, **chosen))
        np.testing.assert_allclose(said(found), said(expected), rtol=0, atol=1e-4)
        for mine, theirs in zip(found.looks, expected.looks, strict=True):
            assert mine.loss == pytest.approx(theirs.loss, abs=1e-4)
    assert np.ptp(said(expected)) > 1e-2


MIDDLE = 3


def best_in_the_middle(folder, **chosen):
    """Val labels that the look of number 3, of 10, ranks without a mistake."""
    seen = Keeper()
    training = finished(prepared(folder, study=lesson(m=41), looks=10, **chosen), seen)
    training.classifier.put(seen.weights[MIDDLE])
    proba = training.classifier.predict(training.lesson.val_texts, batch_tokens=WHOLE)
    return replace(training.lesson, val_labels=(proba > np.median(proba)).astype(np.int8))


@METHODS
def test_weights_of_the_best_look_are_kept(method, folders):
    study = best_in_the_middle(folders["bert"], method=method)
    seen = Keeper()
    training = finished(prepared(folders["bert"], method=method, study=study, looks=10), seen)
    found = [look.val_auroc for look in training.looks]
    assert len(found) == 10
    assert training.kept == found.index(1.0)  # by then few of the ranks still change
    assert 0 < training.kept <= MIDDLE
    weights = training.classifier.taken()
    assert all((weights[n] == values).all() for n, values in seen.weights[training.kept].items())
    assert any((weights[n] != values).any() for n, values in seen.weights[-1].items())
    proba = training.classifier.predict(study.val_texts, batch_tokens=WHOLE)
    assert auroc(proba, study.val_labels) == 1


def test_looks_say_when_they_were(folders):
    training = finished(prepared(folders["bert"], study=lesson(36)))  # 5 steps an epoch
    assert [look.step for look in training.looks] == [3, 5, 8, 10]
    assert [look.epoch for look in training.looks] == [0.6, 1.0, 1.6, 2.0]
    every = finished(prepared(folders["bert"], study=lesson(36), looks=10))
    losses = [look.loss for look in every.looks]
    expected = [np.mean(losses[a:b]) for a, b in ((0, 3), (3, 5), (5, 8), (8, 10))]
    np.testing.assert_allclose([look.loss for look in training.looks], expected, rtol=1e-12)
    assert losses[0] == pytest.approx(math.log(2))


def test_patience_stops_after_so_many_looks_without_a_better_one(folders):
    chosen = {"study": best_in_the_middle(folders["bert"]), "looks": 10}
    whole = finished(prepared(folders["bert"], **chosen)).looks
    values = [look.val_auroc for look in whole]
    for patience in (1, 2, 3):
        seen = Keeper()
        training = finished(prepared(folders["bert"], patience=patience, **chosen), seen)
        assert training.looks == whole[: len(training.looks)]
        assert len(seen.weights) == len(training.looks)
        best, stop = 0, len(values)
        for k, value in enumerate(values):
            if value > values[best]:
                best = k
            elif k - best == patience:
                stop = k + 1
                break
        assert (training.kept, len(training.looks)) == (best, stop)
        assert patience == 3 or stop < len(values)


def test_first_of_equal_looks_is_kept_and_equals_use_up_patience(folders):
    study = lesson(240)
    whole = finished(prepared(folders["bert"], study=study, looks=12))
    values = [look.val_auroc for look in whole.looks]
    assert values.count(1.0) > 3
    assert whole.kept == values.index(1.0)
    short = finished(prepared(folders["bert"], study=study, looks=12, patience=2))
    assert short.kept == whole.kept
    assert len(short.looks) == whole.kept + 3
    assert said(short).tobytes() == said(whole).tobytes()


@pytest.mark.parametrize("n", [21, 0])
def test_val_without_both_classes_keeps_the_last_look_and_never_stops(n, folders):
    usual = lesson()
    study = replace(usual, val_texts=usual.val_texts[:n], val_labels=np.ones(n, dtype=np.int8))
    seen = Keeper()
    training = finished(prepared(folders["bert"], study=study, patience=1), seen)
    assert len(training.looks) == 4
    assert training.kept == 3
    assert all(math.isnan(look.val_auroc) for look in training.looks)
    weights = training.classifier.taken()
    assert all((seen.weights[-1][n] == values).all() for n, values in weights.items())


def degenerate(training):
    with pytest.raises(DegenerateError) as caught:
        training.run()
    return str(caught.value)


def test_training_that_runs_away_or_is_not_a_number_is_an_outcome(folders):
    for method in ("lora", "full"):
        told = degenerate(prepared(folders["bert"], method=method, learning_rate=1e10))
        expected = r"training: (the loss is (nan|inf)|predictions are not finite) at step [2-5]"
        assert re.fullmatch(expected, told)
    for loss in LOSSES:
        training = prepared(folders["bert"], loss=loss)
        nothing = {"head.bias": np.full(1, np.nan, dtype=np.float32)}
        training.classifier.put(training.classifier.taken() | nothing)
        assert degenerate(training) == "training: the loss is nan at step 1", loss
    study = lesson()
    unread = len(tiny.VOCABULARY) - 1  # a word that only val has
    study.val_texts[0] = np.array([unread])
    study = replace(study, texts=[text % unread for text in study.texts])
    training = prepared(folders["bert"], study=study)
    training.classifier.model.get_input_embeddings().weight.data[unread] = np.inf
    assert degenerate(training) == "training: predictions are not finite at step 3"


def of_training(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "w2s.finetuning.training"]


@BOTH
def test_full_memory_is_no_end(family, method, loss, folders, caplog):
    chosen = {"loss": loss, "method": method, "learning_rate": 1e-3}
    expected = finished(prepared(folders[family], **chosen))
    for error in (GPU, CPU):
        cramped = prepared(folders[family], kind=Cramped, plan={"batch_tokens": 70}, **chosen)
        cramped.classifier.error, cramped.classifier.room = error, 33
        caplog.clear()
        finished(cramped)
        np.testing.assert_allclose(said(cramped), said(expected), rtol=0, atol=1e-4)
        assert of_training(caplog) == [
            "out of memory with 70 tokens in a pass; going on with 35",
            "out of memory with 35 tokens in a pass; going on with 17",
        ]


def test_text_without_room_of_its_own_is_one_line_and_any_other_error_passes_through(folders):
    training = prepared(folders["bert"], kind=Cramped)
    longest = max(map(len, training.lesson.texts))
    training.classifier.room = longest - 1
    with pytest.raises(DataError) as caught:
        training.run()
    assert str(caught.value) == (
        f"device: found no room to train on {longest} tokens in one pass, expected room for the "
        f"longest text; lower max_length"
    )
    training = prepared(folders["bert"], kind=Cramped)
    training.classifier.error, training.classifier.room = RuntimeError("shape mismatch"), 1
    with pytest.raises(RuntimeError, match="shape mismatch"):
        training.run()


class KilledError(Exception):
    """Stands for a signal."""


class Dying:
    """Keeps states on disk until, after so many, the process dies."""

    def __init__(self, held, saves):
        self.held, self.saves = held, saves

    def load(self):
        return self.held.load()

    def save(self, arrays, facts):
        self.held.save(arrays, facts)
        self.saves -= 1
        if not self.saves:
            raise KilledError


def place(folder):
    return Checkpoint(folder / "xent.safetensors", "a training")


@METHODS
@pytest.mark.parametrize("loss", ["xent", "logconf"])
def test_interrupted_at_any_look_it_ends_the_same(loss, method, folders, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    chosen = {"loss": loss, "method": method}
    expected = outcome(finished(prepared(folders["bert"], **chosen)))
    steps = [3, 5, 8, 10]
    for saves, step in enumerate(steps, start=1):
        held = place(tmp_path / str(step))
        dies(prepared(folders["bert"], **chosen), Dying(held, saves))
        caplog.clear()
        assert outcome(finished(prepared(folders["bert"], **chosen), held)) == expected
        assert caplog.messages == [f"a training: continuing at step {step} of 10"]


@pytest.mark.parametrize("loss", ["xent", "logconf"])
def test_interrupted_at_every_look_it_ends_with_the_same_bits(loss, folders, tmp_path):
    study = best_in_the_middle(folders["bert"])
    chosen = {"loss": loss, "looks": 10, "patience": 2, "study": study}
    whole = finished(prepared(folders["bert"], **chosen))
    for _ in whole.looks:
        dies(prepared(folders["bert"], **chosen), Dying(place(tmp_path), 1))
    told = []
    last = prepared(folders["bert"], **chosen)
    last.run(place(tmp_path), told.append)
    assert told == [whole.looks[-1].step]  # no step is done again
    assert outcome(last) == outcome(whole)


def test_interrupted_between_looks_it_ends_with_the_same_bits(folders, tmp_path):
    chosen = {"loss": "logconf"}
    expected = outcome(finished(prepared(folders["llama"], **chosen)))

    def killed_at(step):
        done = []

        def count(steps):
            done.append(steps)
            if sum(done) == step:
                raise KilledError

        return count

    for step, last in ((1, 0), (3, 0), (4, 3), (7, 5), (9, 8), (10, 8)):
        held = place(tmp_path / str(step))
        dies(prepared(folders["llama"], **chosen), held, killed_at(step))
        told = []
        again = prepared(folders["llama"], **chosen)
        again.run(held, told.append)
        assert told == [*([last] if last else []), *[1] * (10 - last)]
        assert outcome(again) == expected


def test_after_damage_of_its_state_it_begins_anew(folders, tmp_path, caplog):
    held = place(tmp_path)
    dies(prepared(folders["bert"]), Dying(held, 2))
    content = held.path.read_bytes()
    held.path.write_bytes(flipped(content, len(content) - 1))  # of the last weight
    found, expected = (finished(prepared(folders["bert"]), keeper) for keeper in (held, None))
    assert outcome(found) == outcome(expected)
    (told,) = caplog.messages
    assert told == "xent.safetensors: differs from its checksum; the training begins anew"


def test_after_an_interruption_memory_need_not_run_out_again(folders, tmp_path, caplog):
    def cramped():
        training = prepared(folders["bert"], kind=Cramped, plan={"batch_tokens": 70})
        training.classifier.room = 40
        return training

    expected = outcome(finished(cramped()))
    dies(cramped(), Dying(place(tmp_path), 1))
    caplog.clear()
    assert outcome(finished(cramped(), place(tmp_path))) == expected
    assert of_training(caplog) == ["a training: continuing at step 3 of 10"]


class Sparse(Classifier):
    """A classifier with a weight that only some steps use, as the experts of a mixture are."""

    def __init__(self, *inputs, **options):
        super().__init__(*inputs, **options)
        self.expert = torch.nn.Parameter(torch.zeros(1))

    def forward(self, lists):
        logits = super().forward(lists)
        routed = torch.tensor([len(text) % 3 == 0 for text in lists])
        return logits + routed * self.expert if routed.any() else logits


def test_weights_that_only_some_steps_use_go_on_too(folders, tmp_path):
    chosen = {"kind": Sparse, "batch_size": 2, "study": lesson(12)}
    whole = finished(prepared(folders["llama"], **chosen))
    dies(prepared(folders["llama"], **chosen), Dying(place(tmp_path), 2))
    _, facts = place(tmp_path).load()
    updates = facts["updates"]
    assert 0 < updates["expert"] < updates["head.bias"] == facts["step"] < whole.steps
    again = finished(prepared(folders["llama"], **chosen), place(tmp_path))
    assert outcome(again) == outcome(whole)
