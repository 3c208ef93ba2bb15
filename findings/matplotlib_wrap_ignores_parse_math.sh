#!/usr/bin/env bash
# matplotlib 3.11.2: a Text with parse_math=False is drawn as plain text, dollar signs and all. With
# wrap=True as well the search for line ends parses it as mathematics again, and a title such as
# "Price in A$ {x$ b" ends the drawing with a ValueError. Dividing the text into lines beforehand
# (textwrap) and leaving wrap off draws it.
#
# Seen:  plain: drawn / wrapped: ValueError / divided beforehand: drawn
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check matplotlib==3.11.2 2>"$folder/pip.log" ||
    { cat "$folder/pip.log"; exit 1; }

"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import textwrap

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

TITLE = "Price in A$ {x$ b, and some more words so that a line of two inches is too short for it"
WAYS = {
    "plain": (TITLE, False),
    "wrapped": (TITLE, True),
    "divided beforehand": (textwrap.fill(TITLE, 20), False),
}
for way, (text, wrap) in WAYS.items():
    figure = Figure(figsize=(2, 2))
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, text, parse_math=False, wrap=wrap)
    try:
        figure.canvas.draw()
    except ValueError:
        print(f"{way}: ValueError")
    else:
        print(f"{way}: drawn")
PYTHON

cat "$folder/seen"
diff "$folder/seen" - <<'SEEN'
plain: drawn
wrapped: ValueError
divided beforehand: drawn
SEEN
