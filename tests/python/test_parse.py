# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""cl.parse as a user meets it: sources, policies, errors, other packages."""

import doctest
import gc
import gzip
import io
import subprocess
import sys

import computelocator as cl
import computelocator._snapshot
import computelocator._verbs
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

PAGE = b"""# HELP jobs_total Jobs done.
# TYPE jobs_total counter
jobs_total{queue="a",host="x"} 3 1700000000123
jobs_total{queue="b\\n\\"c\\\\",host=""} 4
# TYPE queue_bytes gauge
queue_bytes 1.5e3
"""


def test_every_kind_of_source_gives_the_same(tmp_path):
    path = tmp_path / "page.txt"
    path.write_bytes(PAGE)
    zipped = tmp_path / "page.txt.gz"
    zipped.write_bytes(gzip.compress(PAGE))
    sources = [PAGE, bytearray(PAGE), memoryview(PAGE), PAGE.decode(), path, str(path), zipped]
    sources += [io.BytesIO(PAGE), io.StringIO(PAGE.decode()), gzip.compress(PAGE)]
    frames = [cl.parse(source).to_pandas().drop(columns="node") for source in sources]
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


def test_the_tidy_frame():
    frame = cl.parse(PAGE).to_pandas()
    assert frame["value"].tolist() == [3.0, 4.0, 1500.0]
    assert frame["timestamp"][0] == pd.Timestamp("2023-11-14T22:13:20.123Z")
    assert frame["timestamp"].isna().tolist() == [False, True, True]
    assert str(frame["timestamp"].dtype) == "datetime64[ms, UTC]"
    assert frame["queue"].tolist()[:2] == ["a", 'b\n"c\\']
    assert frame["host"].isna().tolist() == [False, True, True]  # an empty label is none
    assert isinstance(frame["metric"].dtype, pd.CategoricalDtype)
    assert frame.attrs["metrics"]["jobs_total"] == {"type": "counter", "help": "Jobs done."}
    assert frame.attrs["metrics"]["queue_bytes"] == {"type": "gauge", "unit": "bytes"}


def test_the_same_rows_through_every_package():
    snapshot = cl.parse(PAGE)
    ours = snapshot.to_pandas()
    arrow = pa.table(snapshot)
    arrow.validate(full=True)
    assert arrow.column("value").to_pylist() == ours["value"].tolist()
    assert arrow.column("timestamp").null_count == 2
    assert arrow.schema.field("timestamp").type == pa.timestamp("ms", tz="UTC")
    assert arrow.column("queue").to_pylist() == ["a", 'b\n"c\\', None]
    frame = pl.DataFrame(snapshot)
    assert frame["value"].to_list() == ours["value"].tolist()
    assert frame["queue"].to_list() == ["a", 'b\n"c\\', None]
    assert duckdb.sql("select sum(value), count(queue) from snapshot").fetchall() == [(1507.0, 2)]


def test_what_was_handed_over_outlives_us_and_is_freed():
    before = pa.total_allocated_bytes()
    table = pa.table(cl.parse(PAGE))
    gc.collect()
    assert table.column("value").to_pylist() == [3.0, 4.0, 1500.0]
    del table
    capsule = cl.parse(PAGE).__arrow_c_stream__()
    del capsule  # never consumed
    assert pa.total_allocated_bytes() == before


def test_numbers_are_not_copied():
    table = cl.parse(PAGE).table()
    values = table.column("value")[1]
    again = table.column("value")[1]
    del table
    gc.collect()
    assert memoryview(values).tolist() == [3.0, 4.0, 1500.0]
    assert pa.py_buffer(values).address == pa.py_buffer(again).address
    with pytest.raises(TypeError):
        memoryview(values)[0] = 1.0


def test_lenient_keeps_the_good_lines_and_says_which_were_bad():
    snapshot = cl.parse(b'a 1\nb{x="1" 2\n\xff 3\nc 4\n')
    assert snapshot.to_pandas()["metric"].tolist() == ["a", "c"]
    rejects = snapshot.rejects()
    assert rejects[["line", "column", "offset"]].values.tolist() == [[2, 9, 12], [3, 1, 14]]
    assert rejects["text"].tolist() == ['b{x="1" 2', "\\xff 3"]
    assert rejects["what"][0] == "two labels without a comma between them"


@pytest.mark.parametrize("policy", ["strict", "prometheus"])
def test_the_other_policies_raise_at_the_first(policy):
    with pytest.raises(cl.ParseError, match=r"<bytes>:2:3: this is not a number; write a") as caught:
        cl.parse(b"a 1\nb x\n", policy=policy)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.line, caught.value.column) == (2, 3)


def test_an_openmetrics_page_that_is_cut_off_is_refused_by_every_policy():
    for policy in ("strict", "prometheus", "lenient"):
        with pytest.raises(cl.ParseError, match="without '# EOF'"):
            cl.parse(b"# TYPE a gauge\na 1\n", dialect="openmetrics", policy=policy)


def test_damaged_gzip_is_refused_whole():
    packed = gzip.compress(PAGE)
    for cut in range(3, len(packed)):
        with pytest.raises(cl.ParseError):
            cl.parse(packed[:cut])
    flipped = bytearray(packed)
    flipped[-6] ^= 1
    with pytest.raises(cl.ParseError, match="check sum"):
        cl.parse(bytes(flipped))


def test_samples_are_chosen_by_label():
    page = (
        b'# TYPE a gauge\na{ns="x",pod="1"} 1\na{ns="y",pod="1"} 2\na{ns="x\\n",pod="1"} 3\na 4\n'
        b'{"b.c",ns="x"} 5\nb{pod="2",ns="x"} 6\nb{ns="x" 7\n'
    )

    def chosen(**labels):
        return cl.parse(page, labels=labels).to_pandas()["value"].tolist()

    assert chosen(ns="x") == [1, 5, 6]
    assert chosen(ns=["x", "y"]) == [1, 2, 5, 6]
    assert chosen(ns="x\n") == [3]
    assert chosen(ns="x\\n") == []
    assert chosen(ns="") == [4]
    assert chosen(ns="x", pod=["1", ""]) == [1, 5]
    assert chosen(ns=[]) == []
    assert chosen() == [1, 2, 3, 4, 5, 6]
    both = cl.parse(page, metrics="b", labels={"ns": "x"})
    assert both.to_pandas()["value"].tolist() == [6]
    assert len(both.rejects()) == 1  # what is wrong is told, whatever its labels are
    assert "pod" not in cl.parse(b'a{ns="x"} 1\na{pod="p"} 2\n', labels={"ns": "x"}).to_pandas()


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match="one of lenient, prometheus, strict"):
        cl.parse(PAGE, policy="relaxed")
    with pytest.raises(TypeError, match="a path, text, bytes or a file"):
        cl.parse(3.5)
    with pytest.raises(FileNotFoundError):
        cl.parse("no/such/page")
    with pytest.raises(ValueError, match="there are samples"):
        cl.parse(PAGE).table("sample")


def test_import_needs_nothing_else():
    script = (
        "import sys, computelocator as cl; cl.parse('a 1\\n').table();"
        "assert not {'pandas', 'numpy', 'pyarrow', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("module", [computelocator._snapshot, computelocator._verbs, cl])
def test_the_examples_of_the_docstrings(module):
    failures, tried = doctest.testmod(module)
    assert (failures, tried > 0) == (0, True)
