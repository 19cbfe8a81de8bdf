"""
Runs Java programs on Kafka's and Avro's own jars: `java/Reader.java`, and whatever else a test compiles.

Needs Java 17 and Maven.  Jars and classes are kept outside the tree, under names that change when what they
are made of does.
"""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.readers.golden import SCHEMAS
from tests.services import downloads, places
from tests.services.running import Command, run

HERE = Path(__file__).parent / "java"
COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
DEADLINE_SECONDS = 120


def golden() -> dict[str, Any]:
    """Every golden .bin file, by its path below `schemas/`, as Avro's Java reads it."""
    lines = run_java(HERE / "Reader.java", "golden", "--schemas", str(SCHEMAS))
    return {line["file"]: line["record"] for line in map(json.loads, lines)}


def read_topic(
    bootstrap: str, topic: str, registry: str | None = None, isolation: str = "read_committed"
) -> list[dict[str, Any]]:
    """The whole topic as Kafka's Java consumer and Avro's Java read it, by partition and offset."""
    words = ["--schemas", str(SCHEMAS), "--bootstrap", bootstrap, "--topic", topic, "--isolation", isolation]
    words += ["--registry", registry] if registry else []
    lines = run_java(HERE / "Reader.java", "topic", *words)
    return sorted(map(json.loads, lines), key=lambda line: (line["partition"], line["offset"]))


def run_java(source: Path, *arguments: str) -> list[str]:
    """Runs a one-file program to its end; the lines it printed."""
    command = java_command(source, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=DEADLINE_SECONDS)
    if done.returncode:
        raise AssertionError(f"{source.name} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout.split("\n")[:-1]


def java_command(source: Path, *arguments: str) -> list[str]:
    """What runs the program, which is compiled unless that was done before."""
    return [downloads.java(), *FLAGS, "-cp", f"{_jars()}/*:{_classes(source)}", source.stem, *arguments]


def _jars() -> Path:
    pom = HERE / "pom.xml"

    def fill(new: Path) -> None:
        downloads.announce("Kafka's and Avro's Java clients by Maven")
        (new / "pom.xml").write_bytes(pom.read_bytes())
        downloads.maven("copy-dependencies", f"-DoutputDirectory={new}", "-DincludeScope=runtime", cwd=new)

    return places.cached(f"readers-java/jars-{_digest(pom)}", fill)


def _classes(source: Path) -> Path:
    def fill(new: Path) -> None:
        jars = ":".join(map(str, sorted(_jars().glob("*.jar"))))
        compiler = [downloads.java(), *FLAGS, "-cp", jars, COMPILER, "-17", "-nowarn", "-cp", jars]
        run(Command([*compiler, "-encoding", "UTF-8", "-d", str(new), str(source)]))

    return places.cached(f"readers-java/{source.stem}-{_digest(HERE / 'pom.xml', source)}", fill)


def _digest(*made_of: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in made_of)).hexdigest()[:12]
