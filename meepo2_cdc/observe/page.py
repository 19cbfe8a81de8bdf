"""
The status page as HTML: made here whole, and in the pieces of it that change.

Everything that came from elsewhere (names of tables, messages of errors) passes through `escape`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from urllib.parse import quote

import meepo2_cdc
from meepo2_cdc.observe.charts import figure
from meepo2_cdc.observe.content import Content, Curve, Facts, Subject, Table, Tile
from meepo2_cdc.observe.history import Point
from meepo2_cdc.observe.vitals import Health

_BADGES = {"starting": "starting", "standby": "standing by", "running": "running", "waiting": "waiting for topics",
           "ended": "ending"}  # fmt: skip
_ICON = "data:image/svg+xml," + quote(
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#0f766e'/>"
    "<path d='M6 20l5-8 5 8 5-8 5 8' fill='none' stroke='white' stroke-width='3'/></svg>"
)


@cache
def _asset(name: str) -> str:
    return (files("meepo2_cdc.observe") / name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode() + "'"


_POLICY = (
    f"default-src 'none'; style-src {_hash('page.css')}; script-src {_hash('page.js')}; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)


def whole(subject: Subject, pieces: Mapping[str, str]) -> str:
    """The document; `pieces` as `pieces_of` gives them, in their order."""
    title = escape(subject.title)
    places = "".join(f'<div class="piece" id="{escape(name)}">{html}</div>' for name, html in pieces.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f'<title>{title} - meepo2-cdc</title><link rel="icon" href="{_ICON}">'
        f"<style>{_asset('page.css')}</style></head><body>"
        '<a class="skip" href="#main">Skip to the numbers</a>'
        f'<header><p class="brand"><span class="mark" aria-hidden="true"></span>meepo2-cdc</p><h1>{title}</h1>'
        '<p id="link" role="status">as it was when this page was loaded</p></header>'
        f'<main id="main" tabindex="-1">{places}</main>'
        f"<footer><p>meepo2-cdc {escape(meepo2_cdc.__version__)}. Read-only."
        ' <a href="metrics">metrics</a> <a href="readyz">readyz</a> <a href="livez">livez</a>'
        ' <a href="status.json">status.json</a></p></footer>'
        f"<script>{_asset('page.js')}</script></body></html>"
    )


def pieces_of(
    health: Health, content: Content, curves: Sequence[tuple[Curve, Sequence[Point]]], span: float
) -> dict[str, str]:
    """What changes, by the id of its place."""
    pieces = {"state": _state(health, content.summary), "tiles": _tiles(content.tiles)}
    if curves:
        pieces["charts"] = '<section class="charts" aria-label="The last minutes">' + (
            "".join(figure(curve, points, span) for curve, points in curves) + "</section>"
        )
    for section in content.sections:
        pieces[f"section-{section.key}"] = _facts(section) if isinstance(section, Facts) else _table(section)
    return pieces


def _state(health: Health, summary: str) -> str:
    tone = "warn" if health.state != "running" else "good" if health.ready else "bad"
    badge = f'<p class="badge {tone}"><span class="dot" aria-hidden="true"></span>{_BADGES[health.state]}</p>'
    why = "".join(f"<li>{escape(one)}</li>" for one in health.lacks)
    lacks = f'<div class="lacks"><strong>Not ready:</strong><ul>{why}</ul></div>' if why else ""
    line = f'<p class="summary">{escape(summary)}</p>'
    return f'<section class="state" aria-label="State">{badge}{line}{lacks}</section>'


def _tiles(tiles: Sequence[Tile]) -> str:
    each = "".join(
        f'<div class="tile {one.tone}"><dt>{escape(one.label)}</dt>'
        f'<dd><span class="value">{escape(one.value)}</span>'
        f'<span class="note">{escape(one.note)}</span></dd></div>'
        for one in tiles
    )
    return f'<section aria-label="Numbers"><dl class="tiles">{each}</dl></section>'


def _facts(facts: Facts) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.rows)
    return _section(facts.key, facts.title, f'<dl class="facts">{rows}</dl>')


def _table(table: Table) -> str:
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    if not table.rows:
        return _section(table.key, table.title, f'<p class="empty">{escape(table.empty)}</p>{note}')
    head = "".join(f"<th scope=col{_kind(table, n)}>{escape(one)}</th>" for n, one in enumerate(table.columns))
    body = "".join(f"<tr>{_row(table, row)}</tr>" for row in table.rows)
    key = escape(table.key)
    html = f'<table id="table-{key}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    scroll = f'<div class="scroll" role="region" tabindex="0" aria-labelledby="title-{key}">{html}</div>'
    return _section(table.key, table.title, scroll + note)


def _row(table: Table, row: Sequence[str]) -> str:
    first = f"<th scope=row{_kind(table, 0)}>{_broken(row[0])}</th>"
    return first + "".join(f"<td{_kind(table, n)}>{escape(one)}</td>" for n, one in enumerate(row[1:], 1))


def _broken(name: str) -> str:
    """A name that does not fit on a line is broken behind its parts."""
    return escape(name).replace(".", ".<wbr>").replace("_", "_<wbr>")


def _kind(table: Table, column: int) -> str:
    return " class=n" if column in table.numbers else ""


def _section(key: str, title: str, html: str) -> str:
    name = f"title-{escape(key)}"
    return f'<section class="card" aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{html}</section>'
