#!/usr/bin/env python3
"""claims_test.py CLAIMS.md BUILD: every id in docs/claims.md matches a test of BUILD or a case.

`covered` needs ids, `later` has none; no claim stands twice.
"""

import fnmatch
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from coverage_test import cases_of, tests_of  # noqa: E402


def check(text, tests, cases):
    """(number of claims, what is wrong)"""
    complaints, seen, inside = [], set(), False
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
            continue
        if cells == ["claim", "ids", "status"]:
            inside = True
            continue
        if not inside or set(line) <= set("|- "):
            continue
        if len(cells) != 3 or not cells[0]:
            complaints.append(f"line {number}: not `| claim | ids | status |`")
            continue
        claim, ids, status = cells[0], cells[1].split(), cells[2]
        if claim in seen:
            complaints.append(f"{claim}: twice")
        seen.add(claim)
        if status not in ("covered", "later") or (status == "covered") != bool(ids):
            complaints.append(f"{claim}: {status!r} with {len(ids)} ids")
        for name in ids:
            known = tests if name.startswith("test:") else cases
            if not fnmatch.filter(known, name.removeprefix("test:")):
                complaints.append(f"{claim}: nothing matches {name}")
    return len(seen), complaints


def self_test():
    """The checks find what they are for."""
    def wrong(*lines):
        page = "\n".join(("| claim | ids | status |", "| --- | --- | --- |") + lines)
        return check(page, {"a.B.c"}, {"pid.x"})[1]

    assert wrong("| i | test:a.* pid.x | covered |", "| j | | later |") == []
    for bad in ("| i | test:b.* | covered |", "| i | pid.y | covered |", "| i | | covered |",
                "| i | pid.x | later |", "| i | pid.x |", "| i | pid.x | done |", "| | pid.x | covered |"):
        assert wrong(bad), bad
    assert wrong("| i | pid.x | covered |", "| i | pid.x | covered |")


def main(arguments):
    self_test()
    with open(arguments[0], encoding="utf-8") as page:
        count, complaints = check(page.read(), tests_of(arguments[1]), cases_of(arguments[1]) or set())
    if count == 0:
        complaints.append("no claims")
    for complaint in complaints:
        print(complaint)
    print(f"{count} claims, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
