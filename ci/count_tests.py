#!/usr/bin/env python3
"""Counts the tests of a run and prints one line: "N passed, N failed, N skipped".

--junit FILE   a JUnit file as ctest writes it (--output-junit); one test a <testcase>
--steps FILE   lines "NAME<TAB>passed|failed|skipped", for checks that are not ctest's

Exit 1 when one failed, and also when none passed: a run in which nothing ran proves nothing. A file
that is missing or cannot be read counts as one failure, as does a test whose state is not known.
Names of failed and skipped tests come before the line, so that it is the last one.
"""

import argparse
import sys
import xml.etree.ElementTree as ElementTree


def state_of(case):
    """The state of one <testcase>. ctest says it by children and by the attribute `status`."""
    status = case.get("status", "")
    if case.find("failure") is not None or case.find("error") is not None or status == "fail":
        return "failed"
    if case.find("skipped") is not None or status in ("disabled", "notrun"):
        # ctest also says `notrun` of a test whose program is missing; that one did not just skip.
        skipped = case.find("skipped")
        message = "" if skipped is None else skipped.get("message", "")
        if message.startswith(("Unable to find", "Missing", "Failed", "Required Files Missing",
                               "Fixture dependency failed")):
            return "failed"
        return "skipped"
    if status in ("", "run"):
        return "passed"
    return "failed"


def read_junit(path):
    """(name, state) of every test in a JUnit file."""
    root = ElementTree.parse(path).getroot()
    return [(case.get("name", "?"), state_of(case)) for case in root.iter("testcase")]


def read_steps(path):
    """(name, state) of every line of a steps file."""
    tests = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if not line.strip():
                continue
            name, _, state = line.rstrip("\n").partition("\t")
            tests.append((name, state if state in ("passed", "failed", "skipped") else "failed"))
    return tests


def collect(junit, steps):
    """All tests of all files; an unreadable file is a failed test of its own."""
    tests = []
    for read, paths in ((read_junit, junit), (read_steps, steps)):
        for path in paths:
            try:
                tests += read(path)
            except (OSError, ElementTree.ParseError, UnicodeDecodeError) as error:
                tests.append((f"results file {path}: {error}", "failed"))
    return tests


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--junit", action="append", default=[])
    parser.add_argument("--steps", action="append", default=[])
    options = parser.parse_args(arguments)
    tests = collect(options.junit, options.steps)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, state in tests:
        counts[state] += 1
        if state != "passed":
            print(f"{state}: {name}")
    if counts["passed"] == 0 and counts["failed"] == 0:
        print("no test passed: nothing was tested")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 0 if counts["failed"] == 0 and counts["passed"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
