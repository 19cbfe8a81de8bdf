"""
Adds the .bin of each golden pair that has only its .json yet, and lists it in schemas/released.sha256.

    python -m tests.golden.make_schema_golden

Touches no file that is there: what is released stays, and the tests compare, never write.
"""

import hashlib

import fastavro

from meepo2_cdc.records import avro
from tests.readers.golden import SCHEMAS, from_json, pairs


def main() -> None:
    listed = SCHEMAS / "released.sha256"
    known = {line.split()[1] for line in listed.read_text().splitlines()} if listed.exists() else set()
    for pair in pairs():
        if not pair.bin_file.exists():
            schema = avro.schema(pair.record, pair.version)
            with pair.bin_file.open("xb") as file:
                file.write(avro.single_object_header(pair.record, pair.version))
                fastavro.schemaless_writer(file, schema, from_json(pair.fields))
    with listed.open("a") as lines:
        for file in sorted([*SCHEMAS.glob("*/*.avsc"), *SCHEMAS.glob("*/golden/*")]):
            if (name := str(file.relative_to(SCHEMAS))) not in known:
                lines.write(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n")
                print(f"added {name}")


if __name__ == "__main__":
    main()
