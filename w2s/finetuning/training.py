"""Fine-tuning: a training of a `Classifier` on soft labels, with early stopping and resumption.

A training is a function of its texts, labels, recipe and seed: every epoch's order comes from a
stream of its own, no dropout is used, and memory decides only how a step's texts are divided among
forward passes. What a killed training left at its last look is all that the next one needs to
give the numbers of an undisturbed one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError, DegenerateError
from w2s.finetuning.classifier import Classifier
from w2s.finetuning.losses import Loss
from w2s.finetuning.track import FinetuningRecipe
from w2s.models.forward import lacks_memory, token_batches
from w2s.models.loader import Scale
from w2s.results.metrics import auroc
from w2s.rng import stream

MAX_NORM = 1.0  # of the gradient of a step; the usual value, a step beyond it is shortened
MOMENTS = {"average": "exp_avg", "square": "exp_avg_sq"}  # ours, AdamW's
log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Where the state of an unfinished training is kept, for example `w2s.files.resume`."""

    def load(self) -> tuple[dict[str, Array], Any] | None:
        """What was kept last; None where there is nothing."""

    def save(self, arrays: Mapping[str, Array], facts: Any) -> None:
        """Keep this in its place."""


@dataclass(frozen=True)
class Lesson:
    """What a model is to learn.

    Attributes:
        texts: Token ids of each training text, n of them.
        labels: P(label = 1) of each, float64 (n,) in [0, 1].
        val_texts: Token ids of each text of the val part, m of them.
        val_labels: 0 or 1, (m,).
    """

    texts: list[Array]
    labels: Array
    val_texts: list[Array]
    val_labels: Array


@dataclass(frozen=True)
class Plan:
    """How it learns.

    Attributes:
        recipe: The recipe.
        seed: Of the order of the texts.
        name: Of the training, for its random streams.
        batch_tokens: Most padded tokens of one pass, forward and back; changes nothing beyond
            rounding.
    """

    recipe: FinetuningRecipe
    seed: int
    name: str
    batch_tokens: int


@dataclass(frozen=True)
class Look:
    """A look at the val part.

    Attributes:
        step: Optimizer steps done.
        epoch: Passes over the training texts done.
        loss: Mean training loss since the look before.
        val_auroc: NaN where val does not have both classes.
    """

    step: int
    epoch: float
    loss: float
    val_auroc: float


class Training:
    """One training; `run` leaves the classifier with the weights of the best look.

    Attributes:
        looks: All looks so far.
        kept: Which of them had the best val AUROC, the first of equals; the last one where the
            AUROC is undefined.
    """

    def __init__(self, classifier: Classifier, lesson: Lesson, plan: Plan, loss: Loss) -> None:
        """Prepare; nothing is trained yet."""
        self.classifier, self.lesson, self.plan, self.loss = classifier, lesson, plan, loss
        recipe = plan.recipe
        self.per_epoch = -(-len(lesson.texts) // recipe.batch_size)
        self.steps = recipe.epochs * self.per_epoch
        self.looks: list[Look] = []
        self.kept = 0
        self._lengths = np.array(list(map(len, lesson.texts)))
        self._budget, self._scale = plan.batch_tokens, Scale(classifier.dtype)
        self._best: dict[str, Array] = {}
        self._optimizer = torch.optim.AdamW(
            classifier.trained.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._order = (-1, np.empty(0, dtype=np.int64))  # an epoch, and the order of its texts

    def run(self, keeper: Keeper | None = None, on_step: Callable[[int], object] = id) -> None:
        """Train to the end, from what the keeper has on.

        Args:
            keeper: Takes the state at every look; none to keep nothing.
            on_step: Told the number of steps after each.

        Raises:
            DegenerateError: the loss or a prediction is not finite.
            DataError: a single text does not fit into memory.
        """
        first = 0 if keeper is None else self._resume(keeper)
        if first:
            on_step(first)
        ends = look_steps(self.steps, self.plan.recipe.looks)
        total, since = 0.0, first
        for step in range(first, self.steps):
            if self._stopped():
                break
            total += self._step(step)
            on_step(1)
            if step + 1 in ends:
                self._look(step + 1, total / (step + 1 - since))
                total, since = 0.0, step + 1
                if keeper is not None:
                    keeper.save(*self._state(step + 1))
        self.classifier.put(self._best)

    def _resume(self, keeper: Keeper) -> int:
        """Go on from what was kept, if there is something; the steps that are done."""
        state = keeper.load()
        if state is None:
            return 0
        first = self._restore(*state)
        log.warning(
            "%s: continuing at step %s of %s", self.plan.name, f"{first:,}", f"{self.steps:,}"
        )
        return first

    def _stopped(self) -> bool:
        patience = self.plan.recipe.patience
        return patience is not None and len(self.looks) - 1 - self.kept >= patience

    def _step(self, step: int) -> float:
        """One optimizer step: its mean loss."""
        rows = self._rows(step)
        while True:
            try:
                total = self._gradient(rows, step / self.steps)
                if not math.isfinite(total) or self._scale.undo(self.classifier.trained.values()):
                    break
                continue
            except RuntimeError as error:
                if not lacks_memory(error):
                    raise
            self._shrink(rows)  # here, where no traceback holds the tensors any more
        if not math.isfinite(total):
            raise DegenerateError(f"training: the loss is {total} at step {step + 1}")
        torch.nn.utils.clip_grad_norm_(self.classifier.trained.values(), MAX_NORM)
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.recipe.learning_rate * rate(
                step, self.steps, self.plan.recipe.warmup
            )
        self._optimizer.step()
        return total

    def _rows(self, step: int) -> Array:
        """Positions of the texts of a step."""
        epoch, place = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            plan = self.plan
            draw = stream(plan.seed, "finetuning", plan.name, "order", f"epoch={epoch}")
            self._order = (epoch, draw.permutation(len(self.lesson.texts)))
        size = self.plan.recipe.batch_size
        rows: Array = self._order[1][place * size : (place + 1) * size]
        return rows

    def _gradient(self, rows: Array, progress: float) -> float:
        """Set the gradient of the mean loss of some texts; that loss, NaN without a gradient."""
        self._optimizer.zero_grad()
        if self.loss.needs_step:
            logits = self._logits(rows)
            if not torch.isfinite(logits).all():
                return math.nan
            self.loss.begin(logits)
        labels = torch.from_numpy(self.lesson.labels[rows].astype(np.float32))
        total = 0.0
        for part in token_batches(self._lengths[rows], self._budget):
            logits = self.classifier([self.lesson.texts[i] for i in rows[part]])
            losses = self.loss(logits, labels[part].to(logits.device), progress=progress)
            mean = losses.sum() / len(rows)
            (mean * self._scale.factor).backward()
            total += float(mean.detach())
        return total

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _logits(self, rows: Array) -> torch.Tensor:
        """Logits of some texts, one pass more than the gradient takes, without what it keeps."""
        found = torch.empty(len(rows))
        for part in token_batches(self._lengths[rows], self._budget):
            found[part] = self.classifier([self.lesson.texts[i] for i in rows[part]]).cpu()
        return found

    def _shrink(self, rows: Array) -> None:
        """Divide a step among more passes."""
        longest = int(self._lengths[rows].max())
        if self._budget <= longest:
            raise DataError(
                f"device: found no room to train on {longest} tokens in one pass, expected room "
                f"for the longest text; lower max_length"
            )
        half = max(longest, min(self._budget, longest * len(rows)) // 2)
        log.warning("out of memory with %d tokens in a pass; going on with %d", self._budget, half)
        self._budget = half
        self._optimizer.zero_grad()
        torch.cuda.empty_cache()

    def _look(self, step: int, loss: float) -> None:
        lesson, value = self.lesson, math.nan
        if lesson.val_texts:
            proba = self.classifier.predict(lesson.val_texts, batch_tokens=self._budget)
            if not np.isfinite(proba).all():
                raise DegenerateError(f"training: predictions are not finite at step {step}")
            value = auroc(proba, lesson.val_labels)
        best = self.looks[self.kept].val_auroc if self.looks else math.nan
        self.looks.append(Look(step, step / self.per_epoch, loss, value))
        if not best >= value:  # better, the first one, or undefined
            self.kept = len(self.looks) - 1
            self._best = self.classifier.taken()

    def _state(self, step: int) -> tuple[dict[str, Array], Any]:
        arrays = {f"now/{n}": values for n, values in self.classifier.taken().items()}
        arrays |= {f"best/{n}": values for n, values in self._best.items()}
        updates = {}  # fewer than steps where a weight is not used by every text
        for name, parameter in self.classifier.trained.items():
            moments = self._optimizer.state.get(parameter, {})
            for ours, theirs in MOMENTS.items() if moments else ():
                arrays[f"{ours}/{name}"] = moments[theirs].cpu().numpy()
                updates[name] = float(moments["step"])
        looks = [asdict(look) for look in self.looks]
        facts = {"step": step, "looks": looks, "kept": self.kept, "budget": self._budget}
        facts["scale"] = self._scale.factor
        return arrays, {**facts, "updates": updates}

    def _restore(self, arrays: dict[str, Array], facts: Any) -> int:
        """Set the state; the steps that are done."""

        def under(prefix: str) -> dict[str, Array]:
            start = f"{prefix}/"
            return {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}

        self.classifier.put(under("now"))
        self._best = under("best")
        for name, parameter in self.classifier.trained.items():
            if f"average/{name}" in arrays:
                moments = {
                    theirs: torch.from_numpy(arrays[f"{ours}/{name}"]).to(parameter.device)
                    for ours, theirs in MOMENTS.items()
                }
                state = {"step": torch.tensor(facts["updates"][name]), **moments}
                self._optimizer.state[parameter] = state
        self.looks = [Look(**look) for look in facts["looks"]]
        self.kept, self._budget = facts["kept"], facts["budget"]
        self._scale.factor = facts.get("scale", self._scale.factor)
        return int(facts["step"])


def rate(step: int, steps: int, warmup: float) -> float:
    """The learning rate of a step, 0 to `steps` - 1, relative to its peak: up, then down to 0."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / (steps - rising)


def look_steps(steps: int, looks: int) -> frozenset[int]:
    """After which steps val is looked at: evenly spread, the last step among them."""
    return frozenset(-(-steps * k // looks) for k in range(1, looks + 1))
