"""Progress: whole lines in a log, a bar on a terminal."""

import io
import sys

import pytest

from w2s import progress
from w2s.progress import bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """What a bar of so many steps writes to a stream."""

    def show(steps=4, done=0, stream=io.StringIO):
        monkeypatch.setattr(sys, "stderr", stream())
        with bar("activations films", 10 * steps, "tokens", 10 * done) as advance:
            for _ in range(steps - done):
                advance(10)
        return sys.stderr.getvalue()

    return show


def test_log_has_whole_lines_that_name_the_work_and_end_at_all_of_it(shown):
    text = shown()
    assert "\r" not in text
    assert text.endswith("\n")
    assert text.isascii()
    lines = text.splitlines()
    assert all(line.startswith("activations films: ") for line in lines)
    assert max(map(len, lines)) <= 90
    for part in ("100%", "40/40", "tokens"):
        assert part in lines[-1]
    assert shown(steps=0).endswith("\n")  # nothing to do is no fault
    first, *_, last = shown(done=3).splitlines()  # what was done before
    assert "30/40" in first
    assert "40/40" in last


def test_log_does_not_grow_with_the_number_of_steps(shown, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 3600.0)
    assert len(shown(steps=3000).splitlines()) <= 3


def test_terminal_gets_one_line_that_is_drawn_over(shown):
    text = shown(stream=Terminal)
    assert "\r" in text
    assert text.count("\n") == 1
    assert "100%" in text.split("\r")[-1]


def test_error_inside_passes_through_and_ends_the_line(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    def work():
        with bar("work", 5, "texts") as advance:
            advance(1)
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        work()
    assert stream.getvalue().endswith("\n")
