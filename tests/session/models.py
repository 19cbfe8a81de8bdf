"""
Mapped classes of every kind that a publisher must follow.
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Model(DeclarativeBase):
    metadata = MetaData()


class Test(Model):
    __test__ = False  # no case of pytest's
    __tablename__ = "test"
    id: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[str | None] = mapped_column(String(256))
    count: Mapped[int | None]


class Zero(Model):
    """Keys that the database does not choose, 0 among them."""

    __tablename__ = "zero"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[str | None] = mapped_column(String(256))


class Comp(Model):
    __tablename__ = "comp"
    a: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    b: Mapped[str] = mapped_column(String(50), primary_key=True)
    data: Mapped[str | None] = mapped_column(String(256))


class Renamed(Model):
    """Attributes named otherwise than their columns, and one that is named `info`."""

    __tablename__ = "renamed"
    ident: Mapped[str] = mapped_column("id", String(50), primary_key=True)
    info: Mapped[str | None] = mapped_column("text", String(256))


class Employee(Model):
    __tablename__ = "employee"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str | None] = mapped_column(String(50))
    __mapper_args__: Any = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}  # noqa: RUF012


class Boss(Employee):
    """Joined inheritance, its key under another name."""

    __tablename__ = "boss"
    employee_id: Mapped[int] = mapped_column(ForeignKey("employee.id"), primary_key=True)
    bonus: Mapped[int | None]
    __mapper_args__: Any = {"polymorphic_identity": "boss"}  # noqa: RUF012


class Parent(Model):
    __tablename__ = "parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(50))
    children: Mapped[list[Child]] = relationship(cascade="all, delete-orphan", back_populates="parent")
    loose: Mapped[list[Loose]] = relationship()


class Child(Model):
    __tablename__ = "child"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
    parent: Mapped[Parent] = relationship(back_populates="children")


class Loose(Model):
    """Stays when its parent goes, without it."""

    __tablename__ = "loose"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("parent.id"))


class Widget(Model):
    """Two tables that refer to each other: a post_update."""

    __tablename__ = "widget"
    id: Mapped[int] = mapped_column(primary_key=True)
    favorite_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id", name="favorite"))
    entries: Mapped[list[Entry]] = relationship(primaryjoin="Widget.id == Entry.widget_id")
    favorite: Mapped[Entry | None] = relationship(
        primaryjoin="Widget.favorite_id == Entry.id", post_update=True, foreign_keys="Widget.favorite_id"
    )


class Entry(Model):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    widget_id: Mapped[int | None] = mapped_column(ForeignKey("widget.id"))


post_tag = Table(
    "post_tag",
    Model.metadata,
    Column("post_id", ForeignKey("post.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Post(Model):
    __tablename__ = "post"
    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[list[Tag]] = relationship(secondary=post_tag, back_populates="posts")


class Tag(Model):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    posts: Mapped[list[Post]] = relationship(secondary=post_tag, back_populates="tags")


class Versioned(Employee):
    """Its version is counted in the table of its parent class."""

    __tablename__ = "versioned"
    id: Mapped[int] = mapped_column(ForeignKey("employee.id"), primary_key=True)
    note: Mapped[str | None] = mapped_column(String(50))
    __mapper_args__: Any = {"polymorphic_identity": "versioned"}  # noqa: RUF012


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"


class Upper(TypeDecorator[str]):
    """Stores capitals."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value.upper()


def keyed(name: str, kind: Any) -> type[Any]:
    """A class with a key of this type, in metadata of its own."""

    class Base(DeclarativeBase):
        pass

    return type(name, (Base,), {
        "__tablename__": name,
        "id": Column(kind, primary_key=True, autoincrement=False),
    })  # fmt: skip


KEYS: list[tuple[str, Any, Any]] = [
    ("int", Integer(), -5),
    ("enum", Enum(Color, name="color"), Color.GREEN),
    ("upper", Upper(), "abc"),
    ("decimal", Numeric(10, 3), Decimal("1.5")),
    ("uuid", Uuid(), uuid.UUID("12345678-1234-5678-1234-567812345678")),
    ("moment", DateTime(), datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    ("bytes", LargeBinary(8), b"\x00\xff"),
    ("text", String(20), "größe 😀"),
]
