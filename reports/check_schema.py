#!/usr/bin/python3
"""Validates JSONL result streams against the JSON Schema of the result stream.

usage: check_schema.py [--schema FILE] [--each-refused] FILE.jsonl...

Without --each-refused every line of every file must be valid. With it every line must be invalid
(the file holds negative examples), each as {"name": ..., "pointer": ..., "record": ...}, which
says what is wrong in the record and where. A file without lines is an error in both cases. Exit code 0, or 1 with one line per
disagreement. Needs python3-jsonschema (Draft 2020-12).
"""
import argparse
import json
import pathlib
import sys

import jsonschema

DEFAULT = pathlib.Path(__file__).parent / "schema" / "ringfence-result-1.schema.json"


def what_is_wrong(validator, record):
    """The most telling error of a record, or None. oneOf alone says only that nothing matched."""
    if validator.is_valid(record):
        return None
    defs = validator.schema["$defs"]
    kind = record.get("type") if isinstance(record, dict) else None
    if not isinstance(kind, str) or kind not in defs:
        return f"unknown type {kind!r}"
    reference = {"$schema": validator.schema["$schema"], "$ref": f"#/$defs/{kind}", "$defs": defs}
    error = jsonschema.exceptions.best_match(type(validator)(reference).iter_errors(record))
    if error is None:
        return "matches more than one record type"
    return "/" + "/".join(str(p) for p in error.absolute_path) + ": " + error.message


def check(path, validator, refused):
    complaints = []
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines:
        complaints.append(f"{path}: has no lines")
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            complaints.append(f"{path}:{number}: not JSON: {error}")
            continue
        name = "the record"
        if refused:
            name, record = record["name"], record["record"]
        wrong = what_is_wrong(validator, record)
        if refused and wrong is None:
            complaints.append(f"{path}:{number}: {name} is accepted, and should not be")
        if not refused and wrong is not None:
            complaints.append(f"{path}:{number}: {wrong}")
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schema", type=pathlib.Path, default=DEFAULT)
    parser.add_argument("--each-refused", action="store_true")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    schema = json.loads(arguments.schema.read_text(encoding="utf-8"))
    kind = jsonschema.Draft202012Validator
    kind.check_schema(schema)
    validator = kind(schema)
    complaints = []
    for path in arguments.files:
        complaints += check(path, validator, arguments.each_refused)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
