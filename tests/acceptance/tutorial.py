"""
The predecessor's tutorial: its table, its seven statements, and the thirteen changes they are.
"""

from __future__ import annotations

TABLE = "CREATE TABLE test (id INT AUTO_INCREMENT PRIMARY KEY, data VARCHAR(256)) CHARACTER SET utf8mb4"
STATEMENTS = (
    "INSERT INTO test (data) VALUES ('a')",
    "INSERT INTO test (data) VALUES ('b'), ('c'), ('d')",
    "UPDATE test SET data = 'aa' WHERE id = 1",
    "UPDATE test SET data = 'bb' WHERE id = 2",
    "UPDATE test SET data = 'cc' WHERE id != 1",
    "DELETE FROM test WHERE id != 1",
    "DELETE FROM test WHERE id = 1",
)
CHANGES = [
    *(("write", (n,)) for n in (1, 2, 3, 4)),
    *(("update", (n,)) for n in (1, 2, 2, 3, 4)),
    *(("delete", (n,)) for n in (2, 3, 4, 1)),
]
