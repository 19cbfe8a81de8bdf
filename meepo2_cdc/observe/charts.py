"""
A curve as an HTML figure: the drawing is SVG, the words beside it are text, so that they stay readable on a phone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape

from meepo2_cdc.observe import words
from meepo2_cdc.observe.content import Curve
from meepo2_cdc.observe.history import Point

_STEPS = (1, 2, 2.5, 5, 10)
_TABLE_ROWS = 15


def figure(curve: Curve, points: Sequence[Point], span_seconds: float) -> str:
    """With a table of the same numbers for those who cannot see the drawing."""
    known = [one for one in points if not math.isnan(one.value)]
    top = _ceiling(max((one.value for one in known), default=0.0))
    last = known[-1].value if known else math.nan
    data = [[round(one.seconds_ago, 1), None if math.isnan(one.value) else round(one.value, 3)] for one in points]
    now = _text(curve, last)
    label = f"{curve.title}, now {now}"
    return (
        f'<figure class="chart" id="chart-{escape(curve.key)}">'
        f'<figcaption><span class="name">{escape(curve.title)}</span>'
        f' <span class="now" data-now="{escape(now)}">{escape(now)}</span></figcaption>'
        f'<div class="plot" role="img" tabindex="0" aria-label="{escape(label)}; arrow keys read single values"'
        f' data-unit="{escape(curve.unit)}" data-span="{span_seconds:.0f}" data-points="{escape(json.dumps(data))}">'
        f"{_drawing(points, top, span_seconds)}"
        f'<span class="top">{escape(_text(curve, top))}</span><span class="cursor" hidden></span></div>'
        f'<div class="times" aria-hidden="true"><span>{words.duration(span_seconds)} ago</span><span>now</span></div>'
        f"{_table(curve, known)}</figure>"
    )


def _drawing(points: Sequence[Point], top: float, span: float) -> str:
    line = "".join(_pieces(points, top, span))
    grid = "".join(f'<line x1="0" x2="100" y1="{y}" y2="{y}" class="grid"/>' for y in (0.5, 50, 99.5))
    return (
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true" focusable="false">{grid}{line}</svg>'
    )


def _pieces(points: Sequence[Point], top: float, span: float) -> list[str]:
    """A line and the area below it for each stretch without a gap."""
    drawn = []
    for stretch in _stretches(points):
        at = [(_x(one, span), 99.5 - 99 * min(1.0, one.value / top)) for one in stretch]
        path = "L".join(f"{x:.2f} {y:.2f}" for x, y in at)
        drawn.append(f'<path class="area" d="M{at[0][0]:.2f} 99.5L{path}L{at[-1][0]:.2f} 99.5Z"/>')
        drawn.append(f'<path class="line" d="M{path}"/>')
    return drawn


def _x(point: Point, span: float) -> float:
    return 100 * (1 - min(1.0, max(0.0, point.seconds_ago / span)))


def _stretches(points: Sequence[Point]) -> list[list[Point]]:
    found: list[list[Point]] = [[]]
    for one in points:
        if math.isnan(one.value):
            found.append([])
        else:
            found[-1].append(one)
    return [stretch for stretch in found if stretch]


def _ceiling(value: float) -> float:
    """The next round number; at least one, so that noise near nothing does not look like mountains."""
    if not 1 < value < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value)


def _text(curve: Curve, value: float) -> str:
    if curve.unit == "seconds":
        return words.duration(value)
    return words.short(value) + ("/s" if curve.unit == "per second" and not math.isnan(value) else "")


def _table(curve: Curve, points: Sequence[Point]) -> str:
    """One value a minute."""
    by_minute = {int(one.seconds_ago // 60): one.value for one in points}
    rows = "".join(
        f"<tr><td>{minute} min ago</td><td class=n>{escape(_text(curve, value))}</td></tr>"
        for minute, value in sorted(by_minute.items())[:_TABLE_ROWS]
    )
    return (
        f'<details id="values-{escape(curve.key)}"><summary>Values</summary><table>'
        f"<caption>{escape(curve.title)}, the last of each minute</caption>"
        f"<thead><tr><th scope=col>when</th><th scope=col class=n>value</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )
