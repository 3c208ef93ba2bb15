"""The parser of the ICWSM-14 texts."""

import hashlib
import tarfile

import pytest

from w2s.data.fetch import download, unpack
from w2s.data.files import ARCHIVE, parse_icwsm14
from w2s.data.track import ICWSM14
from w2s.errors import DataError


def parse(text, part="tweets", min_rating=0.5):
    return parse_icwsm14(text, part=part, min_rating=min_rating)


def test_lines_become_rows_with_the_sign_of_the_rating_as_label():
    rows = parse("1\t2.5\tgood day\r\n2\t-1.25\tbad day\r\n3\t0.5\tjust clear\r\n")
    assert rows.source_id == ["1", "2", "3"]
    assert rows.text == ["good day", "bad day", "just clear"]
    assert rows.label == [1, 0, 1]
    assert rows.group is None
    assert rows.part is None
    assert rows.dropped == {"ambiguous": 0}


def test_line_ends_are_not_part_of_the_text_and_other_separators_are():
    for end in ("\n", "\r\n"):
        for last in ("", end):
            assert parse(f"1\t1\ta{end}2\t-1\tb{last}").text == ["a", "b"]
    for mark in "\u2028\u2029\x85\x0b\x0c\x1c\x1e":
        rows = parse(f"1\t1\tone{mark}two\r\n2\t-1\tthree\r\n")
        assert rows.text == [f"one{mark}two", "three"]


def test_ambiguous_rows_are_dropped_and_counted():
    rows = parse("1\t0.49\ta\n2\t-0.49\tb\n3\t0.5\tc\n4\t-0.5\td\n5\t0\te\n")
    assert rows.source_id == ["3", "4"]
    assert rows.dropped == {"ambiguous": 3}
    # a rating of zero is not positive where nothing is dropped
    assert parse("1\t0\ta\n2\t0.1\tb\n", min_rating=0).label == [0, 1]


def test_sentences_of_a_document_are_a_group():
    for part in ("amazonReviewSnippets", "nytEditorialSnippets"):
        rows = parse("12_3\t1\ta\n12_4\t-1\tb\n7_1\t1\tc\n", part=part)
        assert rows.group == ["12", "12", "7"]
    for part in ("tweets", "movieReviewSnippets"):
        assert parse("12_3\t1\ta\n12_4\t-1\tb\n", part=part).group is None


def test_bad_line_is_refused_with_its_number(subtests):
    for line in [
        "2\t1.0", "2\t1.0\ttext\tmore", "", "2 1.0 text", "2\thigh\ttext", "2\t\ttext",
        "2\tnan\ttext", "2\tinf\ttext", "2\t40\ttext",
    ]:  # fmt: skip
        with subtests.test(line):
            with pytest.raises(DataError) as caught:
                parse(f"1\t1\tgood\r\n{line}\r\n3\t-1\tbad\r\n")
            assert "\n" not in str(caught.value)
            assert "tweets line 2: found" in str(caught.value)
            assert "expected" in str(caught.value)
    with pytest.raises(DataError):
        parse("")


REAL = {  # rows, different ones, and the hash
    "movieReviewSnippets": (
        10605, 10603, "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"),
    "amazonReviewSnippets": (
        3708, 3697, "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"),
    "nytEditorialSnippets": (
        5190, 5119, "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e"),
    "tweets": (4200, 4200, "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f"),
}  # fmt: skip


@pytest.mark.real
@pytest.mark.slow
def test_real_files_have_the_published_rows_and_hashes(tmp_path):
    for name in ("fetched", "unpacked"):
        (tmp_path / name).mkdir()
    package = download(
        ICWSM14.name, ICWSM14.version, ICWSM14.sha256, sdist=True, into=tmp_path / "fetched"
    )
    assert hashlib.sha256(package.read_bytes()).hexdigest() == ICWSM14.sha256
    unpack(package, ICWSM14.folder, tmp_path / "unpacked")
    with tarfile.open(tmp_path / "unpacked" / ARCHIVE) as archive:
        for part, (count, unique, sha) in REAL.items():
            file = archive.extractfile(f"hutto_ICWSM_2014/{part}_GroundTruth.txt")
            assert file is not None
            content = file.read()
            assert hashlib.sha256(content).hexdigest() == sha
            rows = parse(content.decode("utf-8"), part=part, min_rating=0)
            assert len(rows.text) == count
            assert len(set(rows.text)) == unique
            clear = parse(content.decode("utf-8"), part=part, min_rating=0.5)
            assert clear.dropped["ambiguous"] == count - len(clear.text) > 0
            assert (clear.group is not None) == (part in ("amazonReviewSnippets",
                                                          "nytEditorialSnippets"))  # fmt: skip
