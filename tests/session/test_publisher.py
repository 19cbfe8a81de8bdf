"""
What a session changed, as its outbox has it behind the commit.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import meepo2_cdc
from meepo2_cdc.errors import ConfigError
from tests.session.conftest import Publish
from tests.session.databases import Database
from tests.session.models import (
    KEYS,
    Boss,
    Child,
    Comp,
    Employee,
    Entry,
    Loose,
    Parent,
    Post,
    Renamed,
    Tag,
    Test,
    Versioned,
    Widget,
    Zero,
    keyed,
)


@pytest.fixture
def session(maker: sessionmaker[Session], publish: Publish) -> Any:
    publish(maker)
    with maker() as made:
        yield made


def test_an_added_row_is_one_write_with_its_new_key(session: Session, database: Database):
    """S22: a key that is asked for before the flush is not there yet."""
    one, two = Test(data="a"), Test(data="b")
    session.add(one)
    session.commit()
    assert database.told() == [("write", "test", one.id)]
    session.add(two)
    session.flush()
    assert database.waiting() == 0
    session.commit()
    assert database.told() == [("write", "test", two.id)]


def test_a_change_is_one_update_and_a_removal_one_delete(session: Session, database: Database):
    """S23."""
    session.add(Zero(id=1, data="a"))
    session.commit()
    session.get_one(Zero, 1).data = "b"
    session.commit()
    session.delete(session.get_one(Zero, 1))
    session.commit()
    assert database.told() == [("write", "zero", 1), ("update", "zero", 1), ("delete", "zero", 1)]


def test_a_transaction_of_several_flushes_is_told_behind_its_commit(session: Session, database: Database):
    """S24: what is told before the commit may never come true."""
    session.add_all([Zero(id=1), Zero(id=2), Zero(id=3)])
    session.commit()
    database.told()
    session.add(Zero(id=5))
    session.get_one(Zero, 2).data = "changed"
    session.flush()
    session.delete(session.get_one(Zero, 3))
    session.flush()
    session.commit()
    assert database.told() == [("write", "zero", 5), ("update", "zero", 2), ("delete", "zero", 3)]


def test_nothing_is_told_of_what_did_not_happen(session: Session, database: Database):
    """S25, S26, S30: phantom records make consumers read rows that are not there."""
    session.commit()
    session.rollback()
    session.add(Zero(id=50))
    session.rollback()
    session.add(Zero(id=51, data="x"))
    session.flush()
    session.rollback()
    session.add(Zero(id=52, data="x"))
    session.commit()
    session.get_one(Zero, 52).data = "x"
    session.commit()
    session.add(Zero(id=53))
    session.flush()
    session.close()
    assert database.told() == [("write", "zero", 52)]


def test_a_savepoint_takes_only_its_own_rows_back(session: Session, database: Database):
    """S27, S28: the predecessor lost the outer row too, or told of the inner one."""
    session.add(Zero(id=1))
    inner = session.begin_nested()
    session.add(Zero(id=2))
    session.flush()
    inner.rollback()
    with session.begin_nested():
        session.add(Zero(id=3))
        with session.begin_nested():
            session.add(Zero(id=4))
    session.commit()
    assert database.told() == [("write", "zero", 1), ("write", "zero", 3), ("write", "zero", 4)]
    with session.begin_nested():
        session.add(Zero(id=5))
    session.rollback()
    assert database.told() == []


def test_a_row_that_is_deleted_and_comes_again_is_there_in_the_end(session: Session, database: Database):
    """S29: a replica that hears of the delete last has lost the row."""
    session.add(Zero(id=50, data="a"))
    session.commit()
    database.told()
    session.delete(session.get_one(Zero, 50))
    session.flush()
    session.add(Zero(id=50, data="b"))
    session.commit()
    assert database.told() == [("delete", "zero", 50), ("write", "zero", 50)]
    session.delete(session.get_one(Zero, 50))
    session.add(Zero(id=50, data="c"))  # in one flush this becomes an UPDATE
    session.commit()
    assert database.told() == [("update", "zero", 50)]


def test_what_is_added_and_changed_is_never_updated_before_it_is_written(session: Session, database: Database):
    """S31."""
    one = Zero(id=1)
    session.add(one)
    session.flush()
    one.data = "later"
    session.commit()
    assert database.told() == [("write", "zero", 1), ("update", "zero", 1)]


def test_the_keys_zero_and_empty_are_keys(session: Session, database: Database):
    """S6: the predecessor took them for no key."""
    session.add_all([Zero(id=0), Renamed(ident=""), Comp(a=0, b="")])
    session.commit()
    assert sorted(database.told()) == [("write", "comp", 0, ""), ("write", "renamed", ""), ("write", "zero", 0)]


def test_attributes_may_be_named_otherwise_than_their_columns(session: Session, database: Database):
    """S32: the predecessor failed behind the commit."""
    one = Renamed(ident="k", info="text")
    session.add(one)
    session.commit()
    one.info = "other"
    session.commit()
    session.delete(one)
    session.commit()
    assert database.told() == [("write", "renamed", "k"), ("update", "renamed", "k"), ("delete", "renamed", "k")]


def test_a_changed_key_is_a_delete_and_a_write(session: Session, database: Database):
    """A replica that hears of the new key only keeps the old row for ever."""
    one = Comp(a=1, b="x")
    session.add(one)
    session.commit()
    database.told()
    one.b = "y"
    session.commit()
    assert database.told() == [("delete", "comp", 1, "x"), ("write", "comp", 1, "y")]


def test_a_key_that_is_given_on_in_one_flush_is_there_in_the_end(session: Session, database: Database):
    """SQLAlchemy updates before it inserts, and tells of it in the other order."""
    session.add(Zero(id=1, data="old"))
    session.commit()
    database.told()
    session.get_one(Zero, 1).id = 2
    session.add(Zero(id=1, data="new"))
    session.commit()
    told = database.told()
    assert sorted(told) == [("delete", "zero", 1), ("write", "zero", 1), ("write", "zero", 2)]
    assert told.index(("delete", "zero", 1)) < told.index(("write", "zero", 1))


def test_each_table_of_a_joined_inheritance_has_its_rows(session: Session, database: Database):
    """A consumer of one of the tables hears of no other."""
    one = Boss(name="ann", bonus=1)
    session.add(one)
    session.commit()
    key = one.id
    assert database.told() == [("write", "employee", key), ("write", "boss", key)]
    one.bonus = 2
    session.commit()
    assert database.told() == [("update", "boss", key)]
    one.name = "eve"
    session.commit()
    assert database.told() == [("update", "employee", key)]
    session.delete(one)
    session.commit()
    assert sorted(database.told()) == [("delete", "boss", key), ("delete", "employee", key)]


def test_cascades_of_the_session_are_told(session: Session, database: Database):
    """Orphans and children are in no list of the session's when it begins to flush."""
    one = Parent(children=[Child(), Child()], loose=[Loose()])
    session.add(one)
    session.commit()
    first, second = sorted(child.id for child in one.children)
    loose = one.loose[0].id
    assert len(database.told()) == 4
    one.children = [child for child in one.children if child.id == second]
    session.commit()
    assert database.told() == [("delete", "child", first)]
    key = one.id
    session.delete(one)
    session.commit()
    assert sorted(database.told()) == [
        ("delete", "child", second),
        ("delete", "parent", key),
        ("update", "loose", loose),
    ]


def test_a_reference_that_is_set_behind_the_insert_is_an_update(session: Session, database: Database):
    """post_update writes a column when the row's own statement is over."""
    widget, entry = Widget(id=1), Entry(id=7)
    widget.entries.append(entry)
    session.add(widget)
    session.commit()
    database.told()
    widget.favorite = entry
    session.commit()
    assert database.told() == [("update", "widget", 1)]


def test_rows_of_many_to_many_tables_are_told_once(session: Session, database: Database):
    """No object stands for them, and both sides of the relationship know of them."""
    red, blue = Tag(id=1), Tag(id=2)
    post = Post(id=7, tags=[red, blue])
    session.add(post)
    session.commit()
    told = [one for one in database.told() if one[1] == "post_tag"]
    assert sorted(told) == [("write", "post_tag", 7, 1), ("write", "post_tag", 7, 2)]
    post.tags.remove(red)
    session.commit()
    assert [one for one in database.told() if one[1] == "post_tag"] == [("delete", "post_tag", 7, 1)]
    session.delete(post)
    session.commit()
    assert sorted(database.told()) == [("delete", "post", 7), ("delete", "post_tag", 7, 2)]


def test_a_column_set_by_an_expression_is_an_update(session: Session, database: Database):
    """SQLAlchemy forgets the change when the statement is over."""
    one = Test(data="a", count=1)
    session.add(one)
    session.commit()
    database.told()
    one.count = Test.count + 1
    session.commit()
    assert database.told() == [("update", "test", one.id)]


@pytest.mark.parametrize(("name", "kind", "value"), KEYS, ids=[one[0] for one in KEYS])
def test_a_key_has_the_form_that_the_binlog_gives_it(
    name: str, kind: Any, value: Any, database: Database, publish: Publish
):
    """A consumer of both would take one row for two."""
    if name == "bytes" and database.engine.dialect.name in ("mysql", "mariadb"):
        from sqlalchemy.dialects.mysql import VARBINARY

        kind = VARBINARY(8)
    model = keyed(f"k_{name}", kind)
    model.metadata.create_all(database.engine)
    native = database.engine.dialect.supports_native_uuid
    expected = {
        "int": -5,
        "enum": "GREEN",
        "upper": "ABC",
        "decimal": "1.500",
        "uuid": "12345678-1234-5678-1234-567812345678" if native else "12345678123456781234567812345678",
        "moment": "2026-01-02T03:04:05",
        "bytes": b"\x00\xff",
        "text": "größe 😀",
    }[name]
    with Session(database.engine) as session:
        publish(session)
        session.add(model(id=value))
        session.commit()
    assert database.told() == [("write", f"k_{name}", expected)]


# -- which tables, which sessions


def test_tables_are_names_tables_or_classes_and_merge(sqlite: Database, publish: Publish):
    """S33: in the predecessor a list could not be merged, and a string meant each of its letters."""
    session = Session(sqlite.engine)
    pub = publish(session, tables=["test", Comp])
    session.add_all([Zero(id=1), Comp(a=1, b="x"), Test(id=1)])
    session.commit()
    assert sorted(sqlite.told()) == [("write", "comp", 1, "x"), ("write", "test", 1)]
    pub({Comp.__table__, "zero"})
    assert pub.tables == {"test", "comp", "zero"}
    session.add_all([Zero(id=2), Employee(kind="employee")])
    session.commit()
    assert sqlite.told() == [("write", "zero", 2)]
    with pytest.raises(ConfigError, match="expected a list, set or tuple"):
        publish(session, tables="test")


def test_two_publishers_of_a_session_both_publish_and_no_row_twice(sqlite: Database, publish: Publish):
    """S34: in the predecessor the second one was ignored."""
    session = Session(sqlite.engine)
    publish(session, {"test"})
    publish(session, {"comp", "test"})
    session.add_all([Test(id=1), Comp(a=1, b="x"), Zero(id=1)])
    session.commit()
    assert sorted(sqlite.told()) == [("write", "comp", 1, "x"), ("write", "test", 1)]


@pytest.mark.parametrize("kind", ["session", "sessionmaker", "scoped", "class"])
def test_every_kind_of_session_can_be_published(kind: str, sqlite: Database, publish: Publish):
    """An install that SQLAlchemy takes and never calls loses everything."""

    class Own(Session):
        pass

    maker = sessionmaker(sqlite.engine)
    target: Any = {
        "session": maker(),
        "sessionmaker": maker,
        "scoped": scoped_session(maker),
        "class": Own,
    }[kind]
    publish(target)
    session = target if kind in ("session", "scoped") else Own(sqlite.engine) if kind == "class" else maker()
    session.add(Zero(id=1))
    session.commit()
    session.remove() if kind == "scoped" else session.close()
    session.add(Zero(id=2))
    session.commit()
    assert sqlite.told() == [("write", "zero", 1), ("write", "zero", 2)]  # S37
    session.close()


def test_other_sessions_are_left_alone(sqlite: Database, publish: Publish):
    """A publisher of one session factory must not speak for the others."""
    ours, others = sessionmaker(sqlite.engine), sessionmaker(sqlite.engine)
    publish(ours)
    with others() as session:
        session.add(Zero(id=1))
        session.commit()
    assert sqlite.told() == []


def test_a_removed_publisher_leaves_nothing(sqlite: Database):
    """Listeners that stay cost every session of the program."""
    from sqlalchemy import event
    from sqlalchemy.orm import Mapper

    from meepo2_cdc.capture.session import hooks

    session = Session(sqlite.engine)
    pub = meepo2_cdc.sqlalchemy_pub(session)
    assert all(event.contains(Mapper, name, function) for name, function in hooks._MAPPER_EVENTS)
    pub.remove()
    assert not any(event.contains(Mapper, name, function) for name, function in hooks._MAPPER_EVENTS)
    session.add(Zero(id=1))
    session.commit()
    assert sqlite.told() == []
    assert [key for key in session.info if str(key).startswith("meepo2")] == []


def test_what_is_no_session_is_refused(engine_of_sqlite: Engine):
    """An engine is what people try first."""
    with pytest.raises(ConfigError, match="is no session"):
        meepo2_cdc.sqlalchemy_pub(engine_of_sqlite)
    with pytest.raises(ConfigError, match="sqlalchemy_pub has no setting 'tabels'; did you mean 'tables'"):
        meepo2_cdc.sqlalchemy_pub(sessionmaker(engine_of_sqlite), tabels=["test"])


@pytest.fixture
def engine_of_sqlite(sqlite: Database) -> Engine:
    return sqlite.engine


def test_a_missing_outbox_fails_the_flush_and_says_what_to_do(sqlite: Database, publish: Publish):
    """A transaction whose records cannot be written must not commit."""
    sqlite.outbox.drop(sqlite.engine)
    session = Session(sqlite.engine)
    publish(session)
    session.add(Zero(id=1))
    with pytest.raises(Exception, match="meepo2_outbox") as failure:
        session.commit()
    assert "meepo2-cdc relay --create" in failure.value.__notes__[-1]
    session.rollback()
    assert session.scalars(select(Zero)).all() == []


def test_a_large_flush_is_several_rows(sqlite: Database, publish: Publish):
    """A row of the outbox has a size that every database takes."""
    session = Session(sqlite.engine)
    publish(session)
    session.add_all([Zero(id=n) for n in range(1203)])
    session.commit()
    assert sqlite.waiting() == 3
    assert sqlite.told() == [("write", "zero", n) for n in range(1203)]


def test_a_row_of_a_subclass_with_its_own_key_name_is_told(sqlite: Database, publish: Publish):
    """The version of an inherited table is a change of that table."""
    session = Session(sqlite.engine)
    publish(session)
    one = Versioned(name="a", note="b")
    session.add(one)
    session.commit()
    one.note = "c"
    session.commit()
    assert sqlite.told() == [("write", "employee", 1), ("write", "versioned", 1), ("update", "versioned", 1)]
