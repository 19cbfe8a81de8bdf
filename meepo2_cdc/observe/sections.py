"""
Sections that more than one status page has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from meepo2_cdc.observe import metrics, words
from meepo2_cdc.observe.cluster import ClusterFacts, LetterFacts
from meepo2_cdc.observe.content import Table
from meepo2_cdc.observe.recent import RECENT
from meepo2_cdc.observe.redaction import redacted
from meepo2_cdc.records import Action

_ROWS = 100
_LETTER_CHARACTERS = 300


def records_by_table() -> Table:
    """The busiest first."""
    by_table: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for labels, value in metrics.values(metrics.RECORDS):
        by_table[labels["table"]][labels["action"]] = value
    names = sorted(by_table, key=lambda name: (-sum(by_table[name].values()), name))
    rows = [[name, *(words.count(by_table[name].get(action.value, 0)) for action in Action)] for name in names]
    columns = ["table", *(action.value for action in Action)]
    numbers = range(1, len(columns))
    return Table("tables", "Records by table", columns, rows[:_ROWS], "No record since this process began.", numbers,
                 _cut(rows, "tables"))  # fmt: skip


def cluster_sections(facts: ClusterFacts) -> list[Table]:
    """What Kafka tells: topics, groups, dead letters."""
    troubles = ". ".join(redacted(one) for one in facts.troubles)
    waits = "Kafka is being asked." if facts.asked_at is None and not troubles else ""
    topics = [[one.name, str(one.partitions), words.count(one.records)] for one in facts.topics]
    groups = [[one.name, words.count(one.lag), one.state, str(one.members), str(one.topics)] for one in facts.groups]
    letters = [_letter(one) for one in facts.letters]
    return [
        Table("groups", "Consumer groups", ("group", "lag", "state", "members", "topics"), groups,
              waits or "No group has a position in these topics.", (1, 3, 4), troubles),
        Table("letters", "Dead letters", ("connector", "waiting", "last", "why"), letters,
              waits or "None was ever set aside.", (1,)),
        Table("topics", "Topics", ("topic", "partitions", "offsets"), topics[:_ROWS],
              waits or "There is no data topic yet.", (1, 2), _cut(topics, "topics")),
    ]  # fmt: skip


def _letter(one: LetterFacts) -> list[str]:
    if one.waiting is None:
        return [one.connector, "many", "", "meepo2-cdc dead-letters list shows them"]
    if one.last is None:
        return [one.connector, "0", "", ""]
    why = redacted(one.last.why)
    why = why if len(why) <= _LETTER_CHARACTERS else f"{why[:_LETTER_CHARACTERS]}…"
    return [one.connector, words.count(one.waiting), one.last.failed_at, why]


def recent_troubles() -> Table:
    """Those of this process."""
    rows = [[one.at.replace("T", " ")[:19], one.level, one.event, one.facts] for one in RECENT.lines()]
    return Table("troubles", "Recent warnings and errors", ("at (UTC)", "level", "event", "facts"), rows,
                 "None since this process began.")  # fmt: skip


def _cut(rows: Sequence[object], what: str) -> str:
    return f"{len(rows)} {what}, of which {_ROWS} are shown." if len(rows) > _ROWS else ""
