"""
Statements that change rows without objects: captured exactly, or refused, or told of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from meepo2_cdc.capture.session.bulk import BulkNotCaptured
from meepo2_cdc.observe import metrics
from tests.session.conftest import Publish
from tests.session.databases import Database
from tests.session.models import Boss, Comp, Employee, Test, Versioned, Zero


@pytest.fixture
def session(maker: sessionmaker[Session], publish: Publish) -> Any:
    publish(maker)
    with maker() as made:
        made.add_all([Zero(id=n, data="abc"[n]) for n in range(3)])
        made.commit()
        yield made


@pytest.fixture
def told(session: Session, database: Database) -> Callable[[], list[Any]]:
    database.told()

    def committed() -> list[Any]:
        session.commit()
        return sorted(database.told())

    return committed


Told = Callable[[], list[Any]]


def test_an_update_tells_the_rows_that_it_changed(session: Session, told: Told):
    """S36, of the class, of the table, and by Query."""
    result = session.execute(update(Zero).where(Zero.data != "a").values(data="x"))
    assert result.rowcount == 2
    assert told() == [("update", "zero", 1), ("update", "zero", 2)]
    session.execute(update(Zero.__table__).where(Zero.__table__.c.id == 0).values(data=Zero.__table__.c.data))
    assert told() == [("update", "zero", 0)]
    assert session.query(Zero).filter(Zero.id > 1).update({"data": "y"}) == 1
    assert told() == [("update", "zero", 2)]
    session.execute(update(Zero).values(data="z"), execution_options={"synchronize_session": "fetch"})
    assert told() == [("update", "zero", n) for n in range(3)]
    session.execute(update(Zero).where(Zero.id == 77).values(data="z"))
    assert told() == []


def test_a_delete_tells_the_rows_that_it_removed(session: Session, told: Told):
    """S36."""
    session.execute(delete(Zero).where(Zero.id == select(func.max(Zero.id)).scalar_subquery())) if _not_mysql(
        session
    ) else session.execute(delete(Zero).where(Zero.id == 2))
    assert told() == [("delete", "zero", 2)]
    session.query(Zero).delete()
    assert told() == [("delete", "zero", 0), ("delete", "zero", 1)]


def _not_mysql(session: Session) -> bool:
    """MySQL refuses to delete from a table that a subquery reads."""
    return session.get_bind().dialect.name not in ("mysql", "mariadb")


def test_an_update_of_keys_is_deletes_and_writes(session: Session, told: Told):
    """A key that another row had before exists in the end."""
    session.execute(update(Zero).values(id=Zero.id + 100))
    assert told() == [("delete", "zero", n) for n in range(3)] + [("write", "zero", n + 100) for n in range(3)]
    session.execute(update(Zero).where(Zero.id == 100).values({"id": 7}))
    assert told() == [("delete", "zero", 100), ("write", "zero", 7)]


def test_an_update_by_keys_in_its_parameters_tells_them(session: Session, told: Told):
    """SQLAlchemy's bulk UPDATE by primary key."""
    session.execute(update(Zero), [{"id": 1, "data": "x"}, {"id": 2, "data": "y"}])
    assert told() == [("update", "zero", 1), ("update", "zero", 2)]


def test_an_insert_tells_the_keys_that_were_given_or_made(session: Session, told: Told):
    """S36."""
    session.execute(insert(Zero), [{"id": 10}, {"id": 11}])
    assert told() == [("write", "zero", 10), ("write", "zero", 11)]
    session.execute(insert(Comp).values(a=1, b="x"))
    assert told() == [("write", "comp", 1, "x")]
    result = session.execute(insert(Test).values(data="x"))
    assert told() == [("write", "test", result.inserted_primary_key[0])]


def test_keys_that_the_database_makes_for_many_rows_are_returned_or_the_insert_is_refused(session: Session, told: Told):
    """MySQL says only the first of them."""
    several = insert(Test), [{"data": "x"}, {"data": "y"}]
    if session.get_bind().dialect.insert_executemany_returning:
        keys = session.execute(*several).scalars().all()
        assert told() == [("write", "test", key) for key in sorted(keys)]
    else:
        with pytest.raises(BulkNotCaptured, match=r"a statement on test .* it was not executed"):
            session.execute(*several)
        assert session.scalars(select(Test)).all() == []


def test_an_insert_of_a_joined_class_tells_all_its_tables(session: Session, told: Told):
    """A consumer of one of them hears of no other."""
    rows = [{"id": n, "employee_id": n, "name": "x", "bonus": n, "kind": "boss"} for n in (1001, 1002)]
    session.execute(insert(Boss), rows)
    assert told() == [("write", table, n) for table in ("boss", "employee") for n in (1001, 1002)]
    session.execute(update(Employee).where(Employee.id == 1001).values(name="y"))
    assert told() == [("update", "employee", 1001)]
    rows = [{"name": "x", "note": "y", "kind": "versioned"} for _ in range(2)]
    if session.get_bind().dialect.insert_executemany_returning:
        keys = session.scalars(insert(Versioned), rows).all()
        assert told() == [("write", table, key) for table in ("employee", "versioned") for key in sorted(keys)]
    else:
        with pytest.raises(BulkNotCaptured):
            session.execute(insert(Versioned), rows)


def test_an_insert_that_found_the_row_there_tells_nothing_that_did_not_happen(session: Session, told: Told):
    """ON CONFLICT DO NOTHING inserts some of its rows."""
    name = session.get_bind().dialect.name
    if name in ("mysql", "mariadb"):
        from sqlalchemy.dialects.mysql import insert as insert_mysql

        statement: Any = insert_mysql(Zero).on_duplicate_key_update(data="d")
        rows = [{"id": 2}, {"id": 3}]
        if session.get_bind().dialect.insert_returning:
            session.execute(statement, rows)
            assert told() == [("write", "zero", 2), ("write", "zero", 3)]
        else:
            with pytest.raises(BulkNotCaptured):
                session.execute(statement, rows)
        return
    if name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_or
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_or  # type: ignore[assignment]
    session.execute(insert_or(Zero).on_conflict_do_nothing(), [{"id": 2}, {"id": 3}])
    assert told() == [("write", "zero", 3)]
    session.execute(insert_or(Zero).values(id=3).on_conflict_do_nothing())
    assert told() == []


def test_an_insert_from_a_select_is_told_or_refused(session: Session, told: Told):
    """Its rows are nowhere but in the database."""
    statement = insert(Zero).from_select(["id", "data"], select(Zero.id + 50, Zero.data))
    if session.get_bind().dialect.insert_returning:
        session.execute(statement)
        assert told() == [("write", "zero", n + 50) for n in range(3)]
    else:
        with pytest.raises(BulkNotCaptured):
            session.execute(statement)


def test_a_statement_that_fails_tells_nothing(session: Session, told: Told):
    """What was found before it must not stay."""
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(insert(Zero).values(id=1))
    session.add(Zero(id=9))
    assert told() == [("write", "zero", 9)]


def test_rows_that_come_between_are_noticed(session: Session, maker: sessionmaker[Session], told: Told):
    """The rows are selected, then changed: what another transaction adds meanwhile would be changed and not told."""
    if session.get_bind().dialect.name != "postgresql":
        return  # the others lock what is not there yet
    from sqlalchemy import event

    def add_one(state: Any) -> None:
        if state.is_update:
            with maker() as other:
                other.add(Zero(id=500, data="b"))
                other.commit()

    event.listen(session, "do_orm_execute", add_one)  # behind the publisher's own, which selects first
    with pytest.raises(BulkNotCaptured, match="it changed 2 rows, and 1 had been found"):
        session.execute(update(Zero).where(Zero.data == "b").values(data="c"))
    event.remove(session, "do_orm_execute", add_one)
    session.rollback()


UNSEEN: list[Callable[[Session], Any]] = [
    lambda session: session.bulk_save_objects([Zero(id=20)]),
    lambda session: session.bulk_insert_mappings(Zero, [{"id": 20}]),
    lambda session: session.execute(text("INSERT INTO zero (id) VALUES (20)")),
    lambda session: session.connection().execute(insert(Zero.__table__).values(id=20)),
    lambda session: session.connection().execute(text("insert into zero (id) values (20)")),
    lambda session: session.execute(text("  delete from `zero` where id = 1".replace("`", ""))),
]


@pytest.mark.parametrize("statement", UNSEEN)
def test_what_cannot_be_told_is_refused_and_not_executed(
    statement: Callable[[Session], Any], sqlite: Database, publish: Publish
):
    """S36: the predecessor passed it over in silence."""
    publish(maker := sessionmaker(sqlite.engine))
    with maker() as session:
        session.add(Zero(id=1))
        session.commit()
        sqlite.told()
        with pytest.raises(BulkNotCaptured, match="zero"):
            statement(session)
        session.rollback()
        assert session.scalars(select(Zero.id)).all() == [1]
        session.execute(text("select * from zero"))


@pytest.mark.parametrize("statement", UNSEEN)
def test_a_warning_counts_it(statement: Callable[[Session], Any], sqlite: Database, publish: Publish):
    """Who lets it go on can see how often."""
    publish(maker := sessionmaker(sqlite.engine), bulk="warn")
    counter = metrics.SESSION_STATEMENTS_UNSEEN.labels("zero")
    before = counter._value.get()
    with maker() as session:
        statement(session)
        session.commit()
    assert counter._value.get() == before + 1
    assert sqlite.told() == []


def test_tables_that_are_not_published_are_left_alone(sqlite: Database, publish: Publish):
    """A publisher of one table must not forbid statements on another."""
    publish(maker := sessionmaker(sqlite.engine), ["test"])
    with maker() as session:
        for statement in UNSEEN:
            statement(session)
            session.rollback()
        session.execute(update(Zero).values(data="x"))
        session.commit()
    assert sqlite.told() == []


def test_all_of_them_can_be_refused(sqlite: Database, publish: Publish):
    """For those who want objects only."""
    publish(maker := sessionmaker(sqlite.engine), bulk="refuse")
    with maker() as session, pytest.raises(BulkNotCaptured, match="'refuse'"):
        session.execute(delete(Zero))


def test_two_publishers_tell_of_a_statement_once(sqlite: Database, publish: Publish):
    """Both write to the same outbox."""
    maker = sessionmaker(sqlite.engine)
    publish(maker, ["zero"])
    publish(maker)
    with maker() as session:
        session.add(Zero(id=1))
        session.commit()
        sqlite.told()
        session.execute(update(Zero).values(data="x"))
        session.commit()
    assert sqlite.told() == [("update", "zero", 1)]


def test_on_sqlite_nothing_changes_between_the_selection_and_the_statement(sqlite: Database, publish: Publish):
    """It has no row locks; a writer between the two would be changed and not told."""
    from sqlalchemy import event
    from sqlalchemy.exc import OperationalError

    maker, others = sessionmaker(sqlite.engine), sessionmaker(create_engine(sqlite.url, connect_args={"timeout": 0.1}))
    publish(maker)
    with maker() as session:
        session.add(Zero(id=1, data="b"))
        session.commit()
        sqlite.told()

        def move(state: Any) -> None:
            if state.is_update:
                with others() as other, pytest.raises(OperationalError, match="locked"):
                    other.execute(update(Zero).values(id=2))

        event.listen(session, "do_orm_execute", move)
        session.execute(update(Zero).where(Zero.data == "b").values(data="c"))
        session.commit()
    assert sqlite.told() == [("update", "zero", 1)]
