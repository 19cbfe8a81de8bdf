"""
`python -m examples.tutorial`: seven statements, and an application that prints which rows they changed.

`python -m examples.tutorial sqlalchemy`: the same with the unit of work of SQLAlchemy in the place of SQL.
"""

from __future__ import annotations

import os
import sys
import threading

from sqlalchemy import Engine, String, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import meepo2_cdc
from examples.stage import DELETES, INSERTS, UPDATES, Stage, until
from meepo2_cdc import TableAction
from meepo2_cdc.observe import logs


class Base(DeclarativeBase):
    pass


class Test(Base):
    """The table of the tutorial."""

    __tablename__ = "test"
    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[str | None] = mapped_column(String(256))


def main(with_sqlalchemy: bool) -> None:
    logs.set_up("ERROR", "text")
    stage = Stage("tutorial")
    seen: list[str] = []
    with stage.captured():
        os.environ.update(stage.variables)  # which the file names
        app = meepo2_cdc.App(config=stage.config)

        @app.on(f"{stage.schema}.test", records=True)
        def tell(record: TableAction) -> None:
            seen.append(f"{record.table}_{record.action.value} {record.pk[0]}")
            print(seen[-1], flush=True)

        thread = threading.Thread(target=app.run)
        thread.start()
        try:
            expected = _by_sqlalchemy(stage) if with_sqlalchemy else _by_statements(stage)
            until(lambda: len(seen) >= expected, f"{expected} changes are told")
        finally:
            app.stop()
            thread.join()


def _by_statements(stage: Stage) -> int:
    stage.run(*INSERTS, *UPDATES, *DELETES, shown=True)
    return 13


def _by_sqlalchemy(stage: Stage) -> int:
    engine = _engine(stage)
    with Session(engine) as session:
        print("  add one, commit; add two, commit; change one, commit; delete one, commit", flush=True)
        session.add(Test(data="1"))
        session.commit()
        session.add_all([second := Test(data="2"), third := Test(data="3")])
        session.commit()
        second.data = "22"
        session.commit()
        session.delete(third)
        session.commit()
    engine.dispose()
    return 5


def _engine(stage: Stage) -> Engine:
    return create_engine(make_url(stage.source).set(drivername="mysql+pymysql", database=stage.schema))


if __name__ == "__main__":
    main("sqlalchemy" in sys.argv[1:])
