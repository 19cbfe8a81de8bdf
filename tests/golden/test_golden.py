"""
The golden cases: every statement gives its records, and nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pymysql.cursors import Cursor

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.observe import metrics
from meepo2_cdc.records.position import LogPosition
from tests.golden.case import HERE, READ, Case, Statement, line_of, read_case
from tests.reading import Log, Read, reading
from tests.sources import Run, known_runs, known_sources, source_run

CASES = [read_case(path) for path in sorted((HERE / "cases").glob("*.sql"))]
TRIALS = [
    pytest.param((server, metadata), case, id=f"{server}-{metadata}-{case}")
    for server, metadata in known_runs()
    for case in CASES
    if server in case.servers and metadata in case.metadata
]


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with source_run(*request.param) as found:
        yield found


class Playing:
    """A case as it is played: what was run so far, where the log stood behind each statement, what was read."""

    def __init__(self, log: Log, case: Case, database: str) -> None:
        self._log, self._case, self._database = log, case, database
        self._ends: list[LogPosition] = []
        self._reads: list[Read] = []
        self._start = log.end()

    def play(self) -> str:
        """Runs the statements and reads; the case's own text again, with the records that came."""
        with self._log.connect(self._database, local_infile=True) as session, session.cursor() as cursor:
            for sql in self._case.before:
                cursor.execute(self._filled(sql))
            return self._play(cursor)

    def _play(self, cursor: Cursor) -> str:
        with reading(self._log, self._database) as log:
            for statement in self._case.statements:
                if statement.sql == READ:
                    self._reads += log.up_to(self._log.end())
                else:
                    cursor.execute(self._filled(statement.sql))
                    while cursor.nextset():
                        pass
                self._ends.append(self._log.end())
            self._log.ask(f"CREATE TABLE {self._database}.behind_all (id INT PRIMARY KEY)")
            self._reads += log.up_to(self._log.end())
        return _text(self._case.statements, [self._lines(n) for n in range(len(self._ends))])

    def logged(self) -> set[str]:
        """The types of the events that were logged meanwhile, by this case or beside it."""
        start, end = self._start, self._log.end()
        assert start.file == end.file, "the log was rotated meanwhile"
        rows = self._log.ask(f"SHOW BINLOG EVENTS IN '{start.file}' FROM {start.offset}")
        return {row[2] for row in rows}

    def _filled(self, sql: str) -> str:
        return sql.replace("${db}", self._database).replace("${files}", str(HERE / "files"))

    def _lines(self, number: int) -> list[str]:
        """The records of the transactions that began in the log while a statement ran."""
        return [line_of(read.action, self._database) for read in self._reads if self._began(read) == number]

    def _began(self, read: Read) -> int:
        source = read.action.source
        assert source.file is not None
        assert source.position is not None
        at = LogPosition(source.file, source.position).order
        return sum(end.order <= at for end in self._ends)


def _text(statements: tuple[Statement, ...], records: list[list[str]]) -> str:
    return "\n".join(
        "\n".join([statement.sql, *(f"  {line}" for line in lines)])
        for statement, lines in zip(statements, records, strict=True)
    )


def _passed_over(database: str) -> set[str]:
    (metric,) = metrics.ROWS_EVENTS_SKIPPED.collect()
    samples = [one.labels for one in metric.samples if one.name.endswith("_total")]
    return {
        f"{labels['table'].removeprefix(database + '.')} {labels['reason']}"
        for labels in samples
        if labels["table"].startswith(f"{database}.")
    }


@pytest.mark.parametrize(("run", "case"), TRIALS, indirect=["run"], scope="module")
def test_every_statement_gives_its_records_and_nothing_else_does(run: Run, case: Case):
    """A change that is missed, repeated or given under another key stays wrong in every target for ever."""
    log, _, metadata = run
    with log.database() as database:
        playing = Playing(log, case, database)
        if metadata in case.stops:
            with pytest.raises(UnreadableData, match=re.escape(case.stops[metadata])) as stopped:
                playing.play()
            assert "on_unreadable = skip" in stopped.value.fix
            assert case.name.startswith("alter-") == ("SET GLOBAL binlog_row_metadata = FULL" in stopped.value.fix)
            return
        got = playing.play()
    assert got == _text(case.statements, [list(statement.records) for statement in case.statements])
    assert _passed_over(database) == set(case.passed_over)
    assert not case.logged or case.logged <= playing.logged()


@pytest.mark.parametrize(
    "run", [(server, "default") for server in known_sources()], indirect=True, ids=str, scope="module"
)
def test_statements_are_read_in_the_character_set_of_their_session(run: Run):
    """The log has them as they came; read as UTF-8, another table is said to be empty."""
    log, _, _ = run
    with log.database() as database:
        log.ask(f"CREATE TABLE {database}.größe (id INT PRIMARY KEY)")
        log.ask(f"CREATE TABLE {database}.gr (id INT PRIMARY KEY)")
        with reading(log, database) as reader:
            for charset in ("latin1", "gbk", "utf8mb4"):
                with log.connect(database, charset=charset) as session, session.cursor() as cursor:
                    cursor.execute("TRUNCATE größe" if charset != "gbk" else "TRUNCATE gr -- 中文")
            got = [line_of(read.action, database) for read in reader.up_to(log.end())]
    assert got == ["-> `größe` truncate ()", "-> gr truncate ()", "-> `größe` truncate ()"]
