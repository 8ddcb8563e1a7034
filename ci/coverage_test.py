#!/usr/bin/env python3
"""coverage_test.py COVERAGE.md BUILD [RUN.jsonl]: checks docs/coverage.md against what exists.

The tables parse, topics 1 to 40 are all there and so are the parts of the confinement engine, no item
stands twice, status and ids agree, every
`test:` id is a test of BUILD, and every other id is a case that BUILD/bin/ringfence lists. With the
report of a run each such case must also be in it, held, or skipped for a reason of the host.
"""

import json
import os
import re
import subprocess
import sys

TOPICS = 40
# Of the table of the confinement engine, by the parts of a policy.
PARTS = ["process", "root", "mounts", "linux", "hooks", "seccomp", "resources", "unified", "ringfence", "network", "pools"]


def parse(text):
    """(rows, complaints); a row is (topic number or part, item, ids, status)."""
    rows, complaints, inside = [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            inside = None
            continue
        # The cells between the outer bars.
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[:2] in (["topic", "item"], ["part", "field"]):
            inside = cells[0]
            continue
        if inside is None or set(line) <= set("|- "):
            continue
        topic = re.match(r"(\d+) \S", cells[0])
        known = topic if inside == "topic" else cells[0] in PARTS
        if len(cells) != 4 or not known:
            complaints.append(f"line {number}: not `| N name | item | ids | status |`, or `| PART | field ...`")
            continue
        rows.append((int(topic.group(1)) if inside == "topic" else cells[0], cells[1], cells[2].split(),
                     cells[3]))
    return rows, complaints


def proven(outcome):
    """Whether a run says that a case held, or why this host cannot tell."""
    if outcome is None:
        return False
    verdict, reason = outcome
    return verdict == "held" or (verdict == "skipped" and re.match(
        r"needs:|host-lacks:|emulator-lacks:|kernel<", reason) is not None)


def judge(rows, tests, cases, ran=None):
    """What is wrong with the rows. `cases` is None where there is no program to ask, `ran` without a
    report; else {id: (verdict, reason)}."""
    complaints = []
    there = {row[0] for row in rows}
    for topic in [*range(1, TOPICS + 1), *PARTS]:
        if topic not in there:
            complaints.append(f"topic {topic} is missing")
    seen = set()
    for topic, item, ids, status in rows:
        where = f"topic {topic}, {item}"
        if not item:
            complaints.append(f"topic {topic}: an item without text")
        if (topic, item) in seen:
            complaints.append(f"{where}: twice")
        seen.add((topic, item))
        if status not in ("covered", "later"):
            complaints.append(f"{where}: status {status!r} is neither covered nor later")
        elif (status == "covered") != bool(ids):
            complaints.append(f"{where}: {status} with {len(ids)} ids")
        for name in ids:
            if name.startswith("test:"):
                if name[len("test:"):] not in tests:
                    complaints.append(f"{where}: no such test: {name}")
            elif cases is None:
                complaints.append(f"{where}: nobody to ask for case {name}: no ringfence program")
            elif name not in cases:
                complaints.append(f"{where}: no such case: {name}")
            elif ran is not None and not proven(ran.get(name)):
                complaints.append(f"{where}: {name} did not hold: {ran.get(name)}")
    return complaints


def tests_of(build):
    """Names of all tests that ctest knows in a build directory."""
    shown = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"],
                           stdout=subprocess.PIPE, check=True)
    # CMake 3.25 takes the comment of a parameter along.
    return {test["name"].split("  # GetParam()")[0] for test in json.loads(shown.stdout)["tests"]}


def cases_of(build):
    """Ids of all cases, as `ringfence list` says; None without a program."""
    program = os.path.join(build, "bin", "ringfence")
    if not os.path.exists(program):
        return None
    listed = subprocess.run([program, "list", "--ids"], stdout=subprocess.PIPE, check=True, text=True)
    return set(listed.stdout.split())


def outcomes_of(report):
    """{id: (verdict, reason)} of a JSONL report."""
    with open(report, encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return {r["id"]: (r["verdict"], r["reason"]) for r in records if r["type"] == "case"}


def self_test():
    """The checks find what they are for."""
    def complaints(*lines):
        rows, wrong = parse("\n".join(("| topic | item | ids | status |",
                                       "| --- | --- | --- | --- |") + lines))
        return [c for c in wrong + judge(rows, {"a.b"}, {"pid.x"}) if "missing" not in c]

    assert complaints("| 1 t | i | test:a.b pid.x | covered |", "| 2 t | i | | later |") == []
    for bad in ("| 1 t | i | test:a.c | covered |", "| 1 t | i | pid.y | covered |",
                "| 1 t | i | | covered |", "| 1 t | i | pid.x | later |", "| 1 t | i | later |",
                "| t | i | | later |", "| 1 t | | | later |", "| 1 t | i | | done |"):
        assert complaints(bad), bad
    assert complaints("| 1 t | i | | later |", "| 1 t | i | | later |")
    engine = ("", "| part | field | ids | status |", "| --- | --- | --- | --- |")
    assert complaints(*engine, "| root | f | test:a.b | covered |", "| root | g | | later |") == []
    for bad in ("| root | f | test:a.c | covered |", "| roof | f | | later |", "| 1 t | f | | later |",
                "| root | f | | covered |", "| root | f | later |"):
        assert complaints(*engine, bad), bad
    rows, _ = parse("| topic | item | ids | status |\n| --- | --- | --- | --- |\n| 1 t | i | | later |")
    missing = [c for c in judge(rows, set(), set()) if "missing" in c]
    assert missing[-len(PARTS) - 1] == "topic 40 is missing" and missing[-1] == "topic pools is missing"
    row = [(1, "i", ["pid.x"], "covered")]
    assert judge(row, set(), None)[-1].endswith("no ringfence program")
    for outcome, fine in (({"pid.x": ("held", "")}, True), ({}, False),
                          ({"pid.x": ("skipped", "host-lacks:kcore")}, True),
                          ({"pid.x": ("skipped", "interrupted")}, False),
                          ({"pid.x": ("unproven", "no_witness")}, False)):
        assert ("did not hold" in judge(row, set(), {"pid.x"}, outcome)[-1]) != fine, outcome


def main(arguments):
    self_test()
    with open(arguments[0], encoding="utf-8") as page:
        rows, complaints = parse(page.read())
    ran = outcomes_of(arguments[2]) if len(arguments) > 2 else None
    complaints += judge(rows, tests_of(arguments[1]), cases_of(arguments[1]), ran)
    for complaint in complaints:
        print(complaint)
    covered = sum(1 for row in rows if row[3] == "covered")
    print(f"{len(rows)} items, {covered} covered, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
