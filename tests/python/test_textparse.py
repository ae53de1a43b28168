# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Policy ``prometheus`` against Prometheus' own parser, sample by sample (`make peers` builds it)."""

import ast
import base64
import gzip
import json
import os
import random
import re
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THEIRS = ROOT / "build" / "peers" / "textparse"
DIALECTS = ("prometheus", "openmetrics")

# Where the two differ on purpose, and why; docs/grammar.md says it to users.
COMMA = "labels without a comma between them are accepted there in text 0.0.4"
NEGATIVE = "a negative timestamp of text 0.0.4 is refused there; the specification has one"
WRAPS = "a time beyond 64 bits of milliseconds wraps there, and is the last one here"
EMPTY = "an empty quoted name is accepted there"
NUL = "a NUL at the start of a line ends the page there"
DEVIATIONS = {
    ("missing_comma", "prometheus"): COMMA,
    ("missing_comma_nospace", "prometheus"): COMMA,
    ("bad.bad_missing_or_extra_commas_0.txt", "prometheus"): COMMA,
    ("bad.bad_grouping_or_ordering_4.txt", "prometheus"): NEGATIVE,
    ("bad.bad_grouping_or_ordering_6.txt", "prometheus"): NEGATIVE,
    ("ts_overflow", "openmetrics"): WRAPS,
    ("good.timestamps.txt", "openmetrics"): WRAPS,
    ("utf8_empty_name", "prometheus"): EMPTY,
    ("utf8_empty_name", "openmetrics"): EMPTY,
    ("nul_line", "prometheus"): NUL,
}

# The same for pages that are made at random: what a page must have for the two to differ.
MAY_DIFFER = {
    "NUL": lambda page, dialect: b"\0" in page,
    "empty name": lambda page, dialect: re.search(rb'\{[^}]*"\s*"', page),
    "negative time": lambda page, dialect: dialect == "prometheus" and re.search(rb"\s-\d+\s*$", page, re.M),
    "no comma": lambda page, dialect: dialect == "prometheus" and re.search(rb'"\s*[A-Za-z_]\w*\s*="', page),
    "line feed in quotes": lambda page, dialect: re.search(rb'"[^"]*\n[^"]*"', page),
    "blanks before a name": lambda page, dialect: dialect == "prometheus" and re.search(rb"^[ \t]+[^#\s]", page, re.M),
    "time in a float64": lambda page, dialect: dialect == "openmetrics" and re.search(rb" [\d.]{8,}|\de\d\d", page),
    "name that is not UTF-8": lambda page, dialect: re.search(rb'["][^"]*[\x80-\xff]', page),
    "name of HELP or TYPE": lambda page, dialect: dialect == "prometheus" and re.search(rb'(?:HELP|TYPE)[ \t]+("[^"]*"|[\w:]+)[^\w: \t\n]', page),
}  # fmt: skip


def number(text):
    try:
        return str(float(text))
    except ValueError:
        return text


def labels(pairs):
    """Sorted; le and quantile as numbers, as Prometheus writes "1" anew as "1.0"."""
    return sorted((n, number(v) if n in ("le", "quantile") else v) for n, v in pairs)


def value(bits):
    decoded = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))[0]
    return "NaN" if decoded != decoded else bits


def their_sample(of):
    exemplar = of.get("exemplar")
    return (labels(map(tuple, of["labels"])), value(of["bits"]), of["timestamp"],
            their_sample(exemplar) if exemplar else None)  # fmt: skip


def our_sample(of):
    def text(encoded):
        return bytes.fromhex(encoded).decode("utf-8", "replace")

    exemplar = of[3]
    return (labels((text(n), text(v)) for n, v in of[0]), value(of[1]), of[2],
            our_sample([*exemplar, None]) if exemplar else None)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Ask both parsers; give pairs of (error or None, samples)."""
    if not THEIRS.exists():
        pytest.skip("Prometheus' parser is not built: run `make peers`")
    program = tmp_path_factory.mktemp("ours") / "ours"
    subprocess.run(
        [os.environ.get("CXX", "g++"), "-std=c++20", "-O1", "-I", str(ROOT / "include"),
         str(ROOT / "tests" / "peers" / "ours.cpp"), "-o", str(program)],
        check=True,
    )  # fmt: skip

    def ask(questions):
        lines = "".join(
            json.dumps({"dialect": dialect, "page": base64.b64encode(page).decode()}) + "\n"
            for page, dialect in questions
        )
        frames = b"".join(
            f"{dialect} prometheus {len(page)}\n".encode() + page for page, dialect in questions
        )
        said = [
            [json.loads(line) for line in subprocess.run(
                [command], input=given, capture_output=True, check=True, timeout=300
            ).stdout.splitlines()]
            for command, given in ((THEIRS, lines.encode()), (program, frames))
        ]  # fmt: skip
        assert len(said[0]) == len(said[1]) == len(questions)
        for theirs, ours in zip(*said, strict=True):
            yield (
                (theirs["error"], [their_sample(each) for each in theirs["samples"]]),
                (ours["error"], [our_sample(each) for each in ours["samples"]]),
            )

    return ask


def differ(theirs, ours):
    """Both refuse the page, or both read the same samples from it."""
    return bool(theirs[0]) != bool(ours[0]) or (not theirs[0] and theirs[1] != ours[1])


def test_every_case_at_hand(both, shared):
    data = shared / "data"
    pages = {path.name: path.read_bytes() for path in (data / "openmetrics-1.0").glob("*.txt")}
    for line in (data / "edge" / "cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        pages[case["id"]] = base64.b64decode(case["b64"])
    assert len(pages) == 211 + 98
    asked = [(name, dialect) for name in sorted(pages) for dialect in DIALECTS]
    answers = both([(pages[name], dialect) for name, dialect in asked])
    differing = {
        case: answer for case, answer in zip(asked, answers, strict=True) if differ(*answer)
    }
    assert set(differing) == set(DEVIATIONS), {
        case: differing.get(case) for case in set(differing) ^ set(DEVIATIONS)
    }


def test_every_capture(both, shared):
    paths = sorted((shared / "data" / "captures").glob("*.gz"))
    assert len(paths) >= 10
    texts = [gzip.decompress(path.read_bytes()) for path in paths]
    asked = [(text, "openmetrics" if text.endswith(b"# EOF\n") else "prometheus") for text in texts]
    for path, (theirs, ours) in zip(paths, both(asked), strict=True):
        assert theirs[0] is None and ours[0] is None, path.name
        assert len(theirs[1]) > 20 and theirs[1] == ours[1], path.name


def own_pages():
    for path in [*(ROOT / "tests" / "fixtures").glob("*.prom"), *(ROOT / "tests" / "fuzz" / "corpus" / "text").glob("*")]:
        yield path.read_bytes()
    for literal in re.findall(r"\| `('.*')` \|", (ROOT / "docs" / "grammar.md").read_text()):
        page = ast.literal_eval("b" + literal)
        yield page
        yield page + b"# EOF\n"


PIECES = [b" ", b"\t", b"{", b"}", b",", b'"', b"\\", b"=", b"#", b"\n", b"1", b"-", b"+", b".", b"e", b"a", b":",
          b"\xc3\xa9", b"NaN", b"Inf", b"# HELP ", b"# TYPE ", b"# UNIT ", b"# EOF\n", b'b="c"', b'{"a"}',
          b' # {a="b"} 1', b"\r", b"_total"]  # fmt: skip


def test_pages_made_at_random(both):
    pool = sorted({page for page in own_pages() if len(page) < 400})
    chance = random.Random(1)
    asked = []
    for _ in range(8_000):
        page = bytearray(chance.choice(pool))
        for _ in range(chance.choice((1, 1, 2, 3))):
            at = chance.randrange(len(page) + 1)
            kind = chance.randrange(4)
            if kind == 0:
                page[at:at] = chance.choice(PIECES)
            elif kind == 1:
                del page[at : at + chance.randrange(1, 4)]
            elif kind == 2:
                page[at : at + 1] = chance.choice(PIECES)
            else:
                other = chance.choice(pool)
                page[at:] = other[chance.randrange(len(other) + 1) :]
        asked.append((bytes(page), chance.choice(DIALECTS)))
    same = 0
    for (page, dialect), (theirs, ours) in zip(asked, both(asked), strict=True):
        if not differ(theirs, ours):
            same += 1
            continue
        reasons = [name for name, holds in MAY_DIFFER.items() if holds(page, dialect)]
        assert reasons, (page, dialect, theirs, ours)
    assert same > 7_000
