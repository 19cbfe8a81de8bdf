"""
The SQL that tools run to alter a table by way of a copy, among an application's own changes of the table.

Written down from gh-ost 1.1 (go/logic/applier.go, go/sql/builder.go) and pt-online-schema-change 3.5, run by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.history import Change


@dataclass(frozen=True)
class Tool:
    """
    A table that is altered by a tool: `before` makes it, `steps` are run in turn.

    `changes` is all that happens to the table itself, and `written_copies` are the names of the copies that get rows.
    """

    table: str
    before: tuple[str, ...]
    steps: tuple[tuple[str, ...], ...]
    changes: list[Change]
    written_copies: tuple[str, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        return tuple(statement for step in self.steps for statement in step)


def _before(t: str) -> tuple[str, ...]:
    return f"CREATE TABLE {t} (id INT PRIMARY KEY, v INT)", f"INSERT INTO {t} VALUES (1, 10), (2, 20), (3, 30)"


_BEFORE: list[Change] = [("write", (n,)) for n in (1, 2, 3)]
_MEANWHILE: list[Change] = [("write", (4,)), ("update", (1,)), ("delete", (2,)), ("delete", (3,)), ("write", (5,))]
_BEHIND: list[Change] = [("write", (6,)), ("update", (1,)), ("delete", (4,))]


def _meanwhile(t: str) -> tuple[str, ...]:
    """What the application does while the tool copies."""
    return (
        f"INSERT INTO {t} VALUES (4, 40)",
        f"UPDATE {t} SET v = 11 WHERE id = 1",
        f"DELETE FROM {t} WHERE id = 2",
        f"UPDATE {t} SET id = 5 WHERE id = 3",
    )


def _behind(t: str) -> tuple[str, ...]:
    """What it does when the tool is done."""
    return (
        f"INSERT INTO {t} (id, v) VALUES (6, 60)",
        f"UPDATE {t} SET v = 12 WHERE id = 1",
        f"DELETE FROM {t} WHERE id = 4",
    )


def gh_ost(t: str, alteration: str) -> Tool:
    """Copies in chunks, and carries over what it reads in the log."""
    gho, ghc, gone = f"`_{t}_gho`", f"`_{t}_ghc`", f"`_{t}_del`"
    hint = f"insert /* gh-ost */ into {ghc} (id, hint, value) values (NULLIF(%d, 0), '%s', '%s')"
    hint += " on duplicate key update last_update = NOW(), value = VALUES(value)"
    prepared = (
        f"drop /* gh-ost */ table if exists {gho}",
        (
            f"create /* gh-ost */ table {ghc} (id bigint unsigned auto_increment, last_update timestamp not null"
            " DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, hint varchar(64) charset ascii not null,"
            " value varchar(4096) charset ascii not null, primary key(id), unique key hint_uidx(hint))"
            " auto_increment=256"
        ),
        f"create /* gh-ost */ table {gho} like `{t}`",
        f"alter /* gh-ost */ table {gho} {alteration}",
        hint % (2, "state", "GhostTableMigrated"),
        hint % (1, "heartbeat", "2026-01-31T12:00:00Z"),
    )
    copied = tuple(
        f"insert /* gh-ost `{t}` */ ignore into {gho} (`id`, `v`) (select `id`, `v` from `{t}` force index (`PRIMARY`)"
        f" where (((`id` > {n - 1})) and ((`id` < {n}) or ((`id` = {n})))) lock in share mode)"
        for n in range(1, 7)
    )
    carried_over = (
        f"replace /* gh-ost */ into {gho} (`id`, `v`) values (4, 40)",
        f"update /* gh-ost */ {gho} set `id` = 1, `v` = 11 where ((`id` = 1))",
        f"delete /* gh-ost */ from {gho} where ((`id` = 2))",
        f"delete /* gh-ost */ from {gho} where ((`id` = 3))",
        f"replace /* gh-ost */ into {gho} (`id`, `v`) values (5, 30)",
        hint % (1, "heartbeat", "2026-01-31T12:00:01Z"),
    )
    cut_over = (
        f"create /* gh-ost */ table {gone} (id int auto_increment primary key) comment='ghost-cut-over-sentry'",
        f"lock /* gh-ost */ tables `{t}` write, {gone} write",
        f"drop /* gh-ost */ table if exists {gone}",
        "unlock tables",
        f"rename /* gh-ost */ table `{t}` to {gone}, {gho} to `{t}`",
    )
    dropped = f"drop /* gh-ost */ table if exists {ghc}", f"drop /* gh-ost */ table if exists {gone}"
    steps = (prepared, _meanwhile(t), (*copied, *carried_over), cut_over, (*_behind(t), *dropped))
    return Tool(t, _before(t), steps, [*_BEFORE, *_MEANWHILE, *_BEHIND], (f"_{t}_gho", f"_{t}_ghc"))


def pt_osc(t: str, alteration: str) -> Tool:
    """Copies in chunks, and carries over by triggers, in the transactions of the application."""
    new, old, name = f"`_{t}_new`", f"`_{t}_old`", f"pt_osc_{t}"
    row = f"REPLACE INTO {new} (`id`, `v`) VALUES (NEW.`id`, NEW.`v`)"
    delete = f"DELETE IGNORE FROM {new} WHERE %s{new}.`id` <=> OLD.`id`"
    prepared = (
        f"CREATE TABLE {new} (`id` int NOT NULL, `v` int DEFAULT NULL, PRIMARY KEY (`id`))",
        f"ALTER TABLE {new} {alteration}",
        f"CREATE TRIGGER `{name}_del` AFTER DELETE ON `{t}` FOR EACH ROW {delete % ''}",
        (
            f"CREATE TRIGGER `{name}_upd` AFTER UPDATE ON `{t}` FOR EACH ROW BEGIN"
            f" {delete % '!(OLD.`id` <=> NEW.`id`) AND '}; {row}; END"
        ),
        f"CREATE TRIGGER `{name}_ins` AFTER INSERT ON `{t}` FOR EACH ROW {row}",
    )
    copied = tuple(
        f"INSERT LOW_PRIORITY IGNORE INTO {new} (`id`, `v`) SELECT `id`, `v` FROM `{t}` FORCE INDEX(`PRIMARY`)"
        f" WHERE ((`id` >= '{n}')) AND ((`id` <= '{n + 2}')) LOCK IN SHARE MODE"
        " /*pt-online-schema-change 4711 copy nibble*/"
        for n in (1, 4)
    )
    cut_over = (
        f"ANALYZE TABLE {new} /* pt-online-schema-change */",
        f"RENAME TABLE `{t}` TO {old}, {new} TO `{t}`",
    )
    dropped = (f"DROP TABLE IF EXISTS {old}", *(f"DROP TRIGGER IF EXISTS `{name}_{n}`" for n in ("del", "upd", "ins")))
    steps = (prepared, _meanwhile(t), copied, cut_over, (*_behind(t), *dropped))
    return Tool(t, _before(t), steps, [*_BEFORE, *_MEANWHILE, *_BEHIND], (f"_{t}_new",))


TOOLS = (
    gh_ost("by_gh_ost", "MODIFY id BIGINT NOT NULL, ADD COLUMN front VARCHAR(9) FIRST"),
    pt_osc("by_pt_osc", "ADD COLUMN front INT FIRST, ADD COLUMN w INT AFTER front"),
)
REBUILT = pt_osc("rebuilt", "ENGINE=InnoDB")
"""As to get back the space of deleted rows: its columns and its key stay what they are."""
