"""Ways to spoil bytes, texts and trees of values; each draws from the generator alone."""

import copy
import datetime

WORDS = (
    "", " ", "no", "null", "1", "-1", "nan", "inf", "1e400", "0x10", "ünïcödé 漢字 🙂", "e\u0301",
    "\u202edlrow", "a\nb", "a\rb", "a\u2028b", "a\x0bb", "a\x85b", "\x1b[31mred", "\x00", "\x7f",
    "{x}", "{", "%s", "$HOME", "`id`", "a b", "'", '"', "\\", "-x", "--", "..", ".",
    "nowhere/at/all", "~nobody-of-this-name", "x" * 5000, "ﬁlm", "İ", "\ud83d", "a\udcff",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, -7, 2**31, 2**63, -(2**63) - 1, 10**40, 0.0, -0.0, 0.5, 1.5, -0.5, 1e-320,
    1e308, -1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
SMALL = tuple(number for number in NUMBERS if not abs(number) > 10)  # and NaN
OTHERS = (
    None, True, False, [], {}, [[]], [None], {"": None}, [1, "1", None], {"a": {"b": {"c": []}}},
)  # fmt: skip
YAML_ONLY = (
    datetime.date(2020, 2, 30 - 1), datetime.datetime(1, 1, 1), b"\xff\xfe", {1: 2}, {None: 1},
    {True: 1}, {1.5: 2}, {"a", "b"},
)  # fmt: skip


def pick(rng, choices):
    """One of some choices, as it is."""
    return choices[int(rng.integers(len(choices)))]


def odd(rng, *, yaml=False, numbers=NUMBERS):
    """An unusual value."""
    pools = [WORDS, numbers, OTHERS, *([YAML_ONLY] if yaml else [])]
    if rng.random() < 0.05:
        return deep(int(rng.integers(5, 80)))
    return copy.deepcopy(pick(rng, pick(rng, pools)))


def deep(levels):
    """A list in a list in a list."""
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def places(tree):
    """Every container of a tree with each of its keys."""
    items = ()
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    for key, value in items:
        yield tree, key
        yield from places(value)


def tree(value, rng, *, yaml=False, numbers=NUMBERS):
    """A tree with one to three of its places changed, and what was done."""
    value = copy.deepcopy(value)
    told = []
    for _ in range(int(rng.integers(1, 4))):
        found = list(places(value))
        if not found:
            return value, "; ".join(told) or "nothing"
        told.append(_change(found, rng, yaml=yaml, numbers=numbers))
    return value, "; ".join(told)


def _change(found, rng, *, yaml, numbers):
    holder, key = pick(rng, found)
    value = holder[key]
    way = pick(rng, ("odd", "odd", "odd", "drop", "double", "misspell", "wrap", "text", "other"))
    if way == "odd":
        holder[key] = odd(rng, yaml=yaml, numbers=numbers)
    elif way == "drop":
        del holder[key]
    elif way == "double" and isinstance(holder, list):
        holder.append(copy.deepcopy(value))
    elif way in ("misspell", "double") and isinstance(holder, dict):
        name = pick(rng, (misspelt(str(key), rng), misspelt(str(key), rng), pick(rng, WORDS), 7))
        holder[name] = holder.pop(key) if way == "misspell" else copy.deepcopy(value)
    elif way == "wrap":
        holder[key] = pick(rng, ([value], {"value": value}, [value, value], [[value]]))
    elif way == "text":
        holder[key] = str(value)
    else:
        other, place = pick(rng, found)
        holder[key] = copy.deepcopy(other[place]) if place in other or _holds(other, place) else 0
    return f"{way} at {str(key)[:40]!r}"


def _holds(holder, key):
    return isinstance(holder, list) and isinstance(key, int) and key < len(holder)


def misspelt(word, rng):
    """A word with a letter dropped, doubled or changed."""
    at = int(rng.integers(max(len(word), 1)))
    return pick(rng, (word[:at] + word[at + 1 :], word[:at] + word[at : at + 1] + word[at:],
                      word[:at] + "ß" + word[at + 1 :], word.upper()))  # fmt: skip


def data(content, rng):
    """Bytes that are cut, flipped, repeated, overwritten or followed by others."""
    way = pick(rng, ("cut", "cut", "flip", "flip", "flips", "repeat", "zeros", "more", "noise"))
    n = len(content)
    at = int(rng.integers(n)) if n else 0
    if way == "cut":
        return content[:at], f"cut at byte {at} of {n}"
    if way in ("flip", "flips") and n:
        changed = bytearray(content)
        for place in [at] if way == "flip" else rng.integers(n, size=max(2, n // 50)).tolist():
            changed[place] ^= 1 << int(rng.integers(8))
        return bytes(changed), f"{way} from byte {at} of {n}"
    length = int(rng.integers(1, 64))
    if way == "repeat":
        return content[:at] + content[max(0, at - length) :], f"{length} bytes twice at {at}"
    if way == "zeros":
        return content[:at] + bytes(length) + content[at + length :], f"{length} zeros at {at}"
    noise = rng.bytes(length)
    if way == "more":
        return content + noise, f"{length} more bytes"
    return content[:at] + noise + content[at:], f"{length} bytes put in at {at}"


def text(content, rng):
    """A text with lines dropped, doubled or swapped, or an unusual word put in."""
    lines = content.splitlines(keepends=True) or [""]
    at = int(rng.integers(len(lines)))
    way = pick(rng, ("drop", "double", "swap", "word", "indent", "tab"))
    if way == "drop":
        del lines[at]
    elif way == "double":
        lines.insert(at, lines[at])
    elif way == "swap":
        other = int(rng.integers(len(lines)))
        lines[at], lines[other] = lines[other], lines[at]
    elif way == "word":
        place = int(rng.integers(len(lines[at]) + 1))
        lines[at] = lines[at][:place] + pick(rng, WORDS) + lines[at][place:]
    else:
        lines[at] = (" " if way == "indent" else "\t") + lines[at]
    return "".join(lines), f"{way} at line {at + 1}"
