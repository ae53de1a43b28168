# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""From tables of the C++ side to the frames of other packages, imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

    from computelocator._core import Table


def missing(package: str, extra: str) -> ImportError:
    """Say which package is needed and how to get it."""
    return ImportError(
        f"this needs {package}, which is not installed; run: pip install 'computelocator[{extra}]'"
    )


def unchecked(dtype: Any, categories: Any) -> Any:
    """Make a CategoricalDtype without the look for duplicates, where pandas offers that.

    The look costs as much as all the rest of a small frame; without the private door of pandas
    the result is the same.
    """
    door = getattr(dtype, "_from_fastpath", None)
    return dtype(categories) if door is None else door(categories, ordered=False)


def to_pandas(table: Table) -> pandas.DataFrame:
    """Make a DataFrame: categoricals, UTC times, units and help in ``attrs``.

    Numbers without a missing value are not copied by us.
    """
    try:
        import numpy as np
        import pandas as pd
    except ImportError:
        raise missing("pandas", "pandas") from None
    columns = {name: table.column(name) for name in table.names}
    # One index of all texts, and slices of it: to make one a column costs ten times as much.
    texts = pd.Index([text for each in columns.values() for text in each[3] or ()], dtype=object)
    begin = 0
    made: dict[str, Any] = {}
    about: dict[str, dict[str, str]] = {}
    for name, (kind, values, valid, dictionary, metadata) in columns.items():
        if metadata:
            about[name] = metadata
        gaps = None if valid is None else ~np.frombuffer(valid, np.bool_)
        if kind == "category":
            # Distinct texts and codes within them are what the C++ side makes: not checked again.
            end = begin + len(dictionary)
            kinds = unchecked(pd.CategoricalDtype, texts[begin:end])
            begin = end
            codes = np.frombuffer(values, np.int32)
            made[name] = pd.Categorical.from_codes(codes, dtype=kinds, validate=False)
        elif kind == "text":
            made[name] = pd.Series(values, dtype=object)
        elif kind == "timestamp_ms":
            times = np.frombuffer(values, np.int64).view("datetime64[ms]")
            if gaps is not None:
                times = times.copy()
                times[gaps] = np.datetime64("NaT")
            made[name] = pd.DatetimeIndex(times).tz_localize("UTC")
        elif kind == "timestamp_ns":
            times = np.frombuffer(values, np.int64).view("datetime64[ns]")
            made[name] = pd.DatetimeIndex(times).tz_localize("UTC")
        elif kind == "duration_ns":
            made[name] = pd.TimedeltaIndex(np.frombuffer(values, np.int64).view("timedelta64[ns]"))
        elif kind == "boolean":
            made[name] = np.frombuffer(values, np.bool_)
        else:
            made[name] = np.frombuffer(values, np.int64 if kind == "int64" else np.float64)
    frame = pd.DataFrame(made, copy=False)
    if about:
        frame.attrs["columns"] = about
    if table.metadata:
        frame.attrs["metrics"] = metric_metadata(table.metadata)
    return frame


def metric_metadata(pairs: dict[str, str]) -> dict[str, dict[str, str]]:
    """Turn ``{"unit:NAME": ...}`` into ``{NAME: {"unit": ...}}``."""
    made: dict[str, dict[str, str]] = {}
    for key, value in pairs.items():
        what, _, name = key.partition(":")
        made.setdefault(name, {})[what] = value
    return made


def to_numpy(table: Table) -> dict[str, numpy.ndarray[Any, Any]]:
    """Give the columns as arrays; categories and text as arrays of objects, None where missing."""
    try:
        import numpy as np
    except ImportError:
        raise missing("numpy", "pandas") from None
    made: dict[str, Any] = {}
    for name in table.names:
        kind, values, valid, dictionary, _ = table.column(name)
        if kind == "category":
            texts = np.array([*dictionary, None], dtype=object)
            made[name] = texts[np.frombuffer(values, np.int32)]
        elif kind == "text":
            made[name] = np.array(values, dtype=object)
        elif kind == "timestamp_ms":
            times = np.frombuffer(values, np.int64).view("datetime64[ms]")
            if valid is not None:
                times = times.copy()
                times[~np.frombuffer(valid, np.bool_)] = np.datetime64("NaT")
            made[name] = times
        elif kind == "timestamp_ns":
            made[name] = np.frombuffer(values, np.int64).view("datetime64[ns]")
        elif kind == "duration_ns":
            made[name] = np.frombuffer(values, np.int64).view("timedelta64[ns]")
        elif kind == "boolean":
            made[name] = np.frombuffer(values, np.bool_)
        else:
            made[name] = np.frombuffer(values, np.int64 if kind == "int64" else np.float64)
    return made


def to_arrow(table: Table) -> pyarrow.Table:
    """Give a pyarrow table that shares the numbers."""
    try:
        import pyarrow
    except ImportError:
        raise missing("pyarrow", "arrow") from None
    return pyarrow.RecordBatchReader.from_stream(table).read_all()


def to_polars(table: Table) -> polars.DataFrame:
    """Give a polars frame by way of the Arrow stream."""
    try:
        import polars
    except ImportError:
        raise missing("polars", "polars") from None
    return polars.DataFrame(table)
