"""Progress: whole lines in a log, a bar on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from w2s import progress
from w2s.progress import bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, steps: int = 4) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with bar("activations films", 10 * steps, "tokens") as advance:
        for _ in range(steps):
            advance(10)
    return stream.getvalue()


def test_log_has_whole_lines_that_name_the_work_and_end_at_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = shown(io.StringIO(), monkeypatch)
    assert "\r" not in text
    assert text.endswith("\n")
    lines = text.splitlines()
    assert all(line.startswith("activations films: ") for line in lines)
    assert "100%" in lines[-1]
    assert "40/40" in lines[-1]
    assert "tokens" in lines[-1]


def test_log_does_not_grow_with_the_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 3600.0)
    assert len(shown(io.StringIO(), monkeypatch, steps=3000).splitlines()) <= 3


def test_log_is_ascii_and_not_wider_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(io.StringIO(), monkeypatch)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 90


def test_terminal_gets_one_line_that_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(Terminal(), monkeypatch)
    assert "\r" in text
    assert text.count("\n") == 1
    assert "100%" in text.split("\r")[-1]


def test_error_inside_passes_through_and_ends_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    def work() -> None:
        with bar("work", 5, "texts") as advance:
            advance(1)
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        work()
    assert stream.getvalue().endswith("\n")


def test_nothing_to_do_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch, steps=0).endswith("\n")


def test_what_was_done_before_is_shown_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with bar("activations films", 40, "tokens", 30) as advance:
        advance(10)
    first, *_, last = stream.getvalue().splitlines()
    assert "30/40" in first
    assert "40/40" in last
