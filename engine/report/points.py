"""From the bounded histories of a view to the points of a curve, no more of them than a page can show."""

from __future__ import annotations

from engine.report.chart import AreaChart, Curve, Point
from states.series import Bucket, Series

MOST = 320
"""Points of one curve."""


def curve(
    series: Series, name: str, ink: str, *, band: bool = False, faint: bool = False, scale: float = 1.0, least: int = 0
) -> Curve:
    """Means of neighbouring samples, from step `least` on; `band` adds their least and largest."""
    buckets = _thinned(tuple(each for each in series.buckets if each.last >= least))
    return Curve(
        name=name,
        ink=ink,
        points=tuple((float(each.last), each.mean * scale) for each in buckets),
        low=tuple(each.low * scale for each in buckets) if band else (),
        high=tuple(each.high * scale for each in buckets) if band else (),
        faint=faint,
    )


def points(pairs: list[Point]) -> tuple[Point, ...]:
    """Measurements as they are, every n-th of very many, the last one always."""
    every = max(1, -(-len(pairs) // MOST))
    return tuple(pairs[:-1][::every]) + tuple(pairs[-1:])


def stacked(series: tuple[Series, ...], names: tuple[str, ...]) -> AreaChart | None:
    """The shares of all experts over the steps where all of them were measured; None without any."""
    columns = [_thinned(each.buckets) for each in series]
    length = min(map(len, columns), default=0)
    if not length:
        return None
    rows = []
    for index in range(length):
        row = [column[index].mean for column in columns]
        total = sum(row)
        rows.append(tuple(value / total for value in row) if total > 0 else tuple(1 / len(row) for _ in row))
    return AreaChart(names=names, steps=tuple(float(bucket.last) for bucket in columns[0][:length]), shares=tuple(rows))


def weighted_mean(series: Series, *, least: int = 0) -> float | None:
    """Mean over all samples of a history, from step `least` on."""
    buckets = [each for each in series.buckets if each.last >= least]
    samples = sum(bucket.count for bucket in buckets)
    return sum(bucket.total for bucket in buckets) / samples if samples else None


def _thinned(buckets: tuple[Bucket, ...]) -> list[Bucket]:
    every = max(1, -(-len(buckets) // MOST))
    if every == 1:
        return list(buckets)
    merged = []
    for start in range(0, len(buckets), every):
        group = buckets[start : start + every]
        merged.append(
            Bucket(
                group[0].first,
                group[-1].last,
                group[-1].last_wall,
                min(each.low for each in group),
                max(each.high for each in group),
                sum(each.total for each in group),
                sum(each.count for each in group),
            )
        )
    return merged
