# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What an event used, at any nanosecond of the present."""

import random

import computelocator as cl

PAGE = 'container_cpu_usage_seconds_total{{container="c",cpu="total",id="/kubepods/pod{0}/{1}",namespace="n",pod="p"}} {2} {3}\n'


def test_an_event_between_samples_is_covered_to_the_last_nanosecond():
    history = cl.History()
    first_ms = 1_795_758_443_197
    for second in range(10):
        history.add(cl.parse(PAGE.format("0" * 32, "a" * 64, 2 * second, first_ms + 1000 * second)))
    choose = random.Random(1)
    last = first_ms * 10**6 + 9 * 10**9
    events = []
    for _ in range(500):
        start, end = sorted(choose.randrange(first_ms * 10**6, last) for _ in range(2))
        events.append({"pod": "p", "container": "c", "start": start, "end": end})
    used = history.usage(events)
    assert (used["coverage"] == 1).all() and used["reason"].isna().all()
    for event, seconds in zip(events, used["cpu_seconds"], strict=True):
        assert abs(seconds - 2 * (event["end"] - event["start"]) / 1e9) < 1e-6
