"""Word lists of the hand-written labeling functions.

Written from general knowledge of how each kind of text praises and blames, without looking at the
texts or labels of any dataset here. Words are lower case; a word has one side at most.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Lexicon:
    """Words that speak for and against.

    Attributes:
        positive: Signs of y = 1.
        negative: Signs of y = 0.
    """

    positive: frozenset[str]
    negative: frozenset[str]

    def score(self, words: list[str]) -> int:
        """Positive words less negative ones."""
        return sum((word in self.positive) - (word in self.negative) for word in words)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _lexicon(positive: str, negative: str) -> Lexicon:
    return Lexicon(_words(positive), _words(negative))


GENERAL = _lexicon(
    """
    amazing awesome beautiful best better brilliant clever delightful easy effective enjoy enjoyable
    enjoyed excellent exciting fantastic favorite fine fresh fun funny glad good great happy helpful
    impressive interesting like liked love loved lovely nice perfect pleasant smart strong superb
    terrific useful wonderful worth
    """,
    """
    annoying awful bad boring broken cheap confusing difficult disappointed disappointing dull
    dumb fail fails failed hate hated horrible lame mediocre mess pathetic poor poorly problem
    problems ridiculous sad silly slow stupid terrible tired ugly useless waste weak worse worst
    wrong
    """,
)
MOVIES = _lexicon(
    """
    absorbing affecting captivating charming compelling delight engaging engrossing entertaining
    gem gripping heartfelt hilarious imaginative insightful intelligent inventive masterful
    masterpiece moving nuanced original poignant powerful remarkable riveting satisfying sensitive
    solid stunning subtle suspenseful thoughtful touching triumph unforgettable vivid warm witty
    """,
    """
    amateurish bland cliche clichéd cliches clumsy contrived derivative flat forced forgettable
    formulaic generic hackneyed heavy-handed hollow inept lifeless muddled overlong pointless
    predictable pretentious shallow sloppy stale tedious tepid tiresome trite unfunny uninspired
    uninteresting unnecessary vulgar
    """,
)
PRODUCTS = _lexicon(
    """
    affordable bargain comfortable compact convenient crisp dependable durable easily fast flawless
    flawlessly happy intuitive loud perfectly pleased quick quickly recommend recommended reliable
    responsive sharp simple sleek smooth smoothly sturdy versatile works worth
    """,
    """
    blurry broke bulky clunky complaint complaints crap crash crashed crashes dead defective
    died flaw flawed flaws flimsy frustrating glitches inconvenient junk lousy overpriced refund
    replacement return returned returning scratched uncomfortable unreliable unusable
    """,
)
EDITORIALS = _lexicon(
    """
    achievement agreement benefit benefits boost courage democracy encourage encouraging fair
    freedom growth honest hope hopeful improve improved improvement innovation justice peace
    progress prosperity protect protection reform reforms rescue responsible safe sensible
    succeed success successful support thrive victory welcome wise
    """,
    """
    abuse abuses attack attacks brutal catastrophe corrupt corruption crime crisis cruel damage
    danger dangerous death deaths debt deficit destruction disaster failure fraud greed illegal
    injustice killed killing loss losses poverty reckless recession scandal shameful terror
    terrorist terrorists threat threaten threatens torture unemployment victims violence war
    """,
)
TWEETS = _lexicon(
    """
    aww blessed congrats congratulations cool cute excited goodnight haha hahaha hehe hooray lmao
    lol luv omg party proud sweet thank thanks thankful thx w00t welcome winner woohoo woot wow yay
    yum yummy
    """,
    """
    alone angry argh bored cancelled cold cry crying depressed died dying exhausted fml headache
    hurt hurts hurting ill lonely lost meh miss missed missing nooo pain poor ruined scared sick
    sigh sore sorry stuck sucks sucky ugh unfortunately upset worried
    """,
)
NEGATORS = _words(
    """
    ain't aint barely can't cannot cant couldn't couldnt didn't didnt doesn't doesnt don't dont
    hardly hasn't hasnt haven't havent isn't isnt lack lacks neither never no none nor not nothing
    scarcely shouldn't shouldnt wasn't wasnt weren't werent without won't wont wouldn't wouldnt
    """
)
BOOSTERS = _words(
    """
    absolutely amazingly completely deeply especially exceptionally extremely genuinely highly
    hugely incredibly insanely most particularly quite really remarkably so such super surprisingly
    terribly thoroughly totally truly unbelievably utterly very
    """
)
SMILES = _words(":) :-) :] :D :-D =) =D ;) ;-) ;D (: (-: :P :-P XD xD <3 ^_^ ☺ ♥ ❤")
FROWNS = _words(":( :-( :[ :'( =( ;( ): )-: :/ :-/ =/ D: :S </3 -_- >:( T_T")
COMPOUNDS = frozenset(
    word
    for lexicon in (GENERAL, MOVIES, PRODUCTS, EDITORIALS, TWEETS)
    for word in (*lexicon.positive, *lexicon.negative)
    if "-" in word
)
SIGNS = str.maketrans(
    {**dict.fromkeys("‘’ʼ′＇`´", "'"), **dict.fromkeys("“”„", '"'), **dict.fromkeys("‐‑", "-")}
    | {"\N{SOFT HYPHEN}": None}
)
WHOLE = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}  # of can't, won't, shan't, ain't
NOT = re.compile(r"\b(\w+)n't\b(?! stand\b)", re.IGNORECASE)  # AFINN has "can't stand" as it is
COMPOUND = re.compile(r"(?<=\w)-(?=\w)")


def plain(text: str) -> str:
    """The text with typewriter's quotes, apostrophes and hyphens."""
    return text.translate(SIGNS)


def written_out(text: str) -> str:
    """The text with negations in two words, "isn't" as "is not"."""
    return NOT.sub(lambda found: f"{WHOLE.get(found[1].lower(), found[1])} not", text)


def apart(text: str, known: frozenset[str]) -> str:
    """The text with compounds in parts, "feel-good" as "feel good", but for known ones."""
    return " ".join(
        word if word.strip(".,;:!?\"'()").lower() in known else COMPOUND.sub(" ", word)
        for word in text.split(" ")
    )
