#!/usr/bin/env python3
"""check_reports.py RUN.jsonl RUN.xml RUN.ktap: one run's reports, read by other means than they were
written with, say the same verdict for every case.

JUnit: well formed, and its counts are those of its elements. KTAP: every plan is kept and numbers run
from 1 without a gap. Both: docs/adr/0004-verdicts.md has what stands for which verdict. The header of
the JSONL names the machine: kernel, CPU, security modules, facts.
"""

import json
import re
import sys
import xml.etree.ElementTree as tree

BAD = ("unproven", "broken")


def from_jsonl(text):
    """({id: verdict}, complaints)"""
    records = [json.loads(line) for line in text.splitlines()]
    cases = {r["id"]: r["verdict"] for r in records if r["type"] == "case"}
    complaints = []
    if [r["type"] for r in (records[0], records[-1])] != ["header", "summary"]:
        complaints.append("jsonl: not from a header to a summary")
        return cases, complaints
    header, summary = records[0], records[-1]
    for field in ("kernel", "cpu", "lsms", "facts", "cgroup_mode", "version"):
        if not header[field]:
            complaints.append(f"jsonl: the header's {field} is empty")
    counted = {v: n for v, n in summary["counts"].items() if n}
    seen = {v: list(cases.values()).count(v) for v in set(cases.values())}
    if counted != seen:
        complaints.append(f"jsonl: the summary counts {counted}, the records say {seen}")
    return cases, complaints


def from_junit(text):
    """({id: verdict}, complaints)"""
    root, cases, complaints = tree.fromstring(text), {}, []
    for case in root.iter("testcase"):
        verdict = "held"
        if case.find("failure") is not None:
            verdict = "breached"
        elif case.find("skipped") is not None:
            verdict = "skipped"
        elif case.find("error") is not None:
            verdict = case.find("error").get("type")
            if verdict not in BAD:
                complaints.append(f"junit: {case.get('name')}: an error of type {verdict!r}")
        if case.get("name") in cases:
            complaints.append(f"junit: {case.get('name')} twice")
        cases[case.get("name")] = verdict
    for element in [root, *root.iter("testsuite")]:
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            number = len(list(element.iter(tag)))
            if element.get(attribute) != str(number):
                complaints.append(f"junit: {attribute}={element.get(attribute)}, but {number} of them")
    return cases, complaints


def from_ktap(text, ids):
    """({id: verdict}, complaints). A line that names none of `ids` is a group's."""
    cases, complaints = {}, []
    blocks = {}  # indentation -> [planned, seen]

    def close(indentation):
        for depth in [d for d in blocks if d >= indentation]:
            planned, seen = blocks.pop(depth)
            if planned != seen:
                complaints.append(f"ktap: a plan of {planned}, {seen} lines")

    for number, line in enumerate(text.splitlines(), 1):
        indentation = len(line) - len(line.lstrip(" "))
        plan = re.fullmatch(r" *1\.\.(\d+)", line)
        result = re.fullmatch(r" *(ok|not ok) (\d+) (\S+)((?: \S+)*?)(?: # (SKIP|ERROR) (.*))?", line)
        if plan:
            close(indentation)
            blocks[indentation] = [int(plan.group(1)), 0]
        elif result:
            close(indentation + 1)
            if indentation not in blocks:
                complaints.append(f"ktap: line {number}: a result without a plan")
                continue
            blocks[indentation][1] += 1
            if int(result.group(2)) != blocks[indentation][1]:
                complaints.append(f"ktap: line {number}: number {result.group(2)}, "
                                  f"expected {blocks[indentation][1]}")
            name, directive = result.group(3), result.group(5)
            if name not in ids:
                continue
            if directive == "ERROR":
                verdict = (result.group(6) or "").split(":")[0]
            elif directive == "SKIP":
                verdict = "skipped"
            else:
                verdict = "held" if result.group(1) == "ok" else "breached"
            cases[name] = verdict
        elif not re.match(r" *(#|KTAP version 1$)", line) and line:
            complaints.append(f"ktap: line {number}: neither plan, result nor comment")
    close(0)
    if not text.startswith("KTAP version 1\n"):
        complaints.append("ktap: no version line")
    return cases, complaints


def compare(jsonl, junit, ktap):
    cases, complaints = from_jsonl(jsonl)
    if not cases:
        complaints.append("jsonl: no case")
    red = json.loads(jsonl.splitlines()[-1]).get("exit_code", 0) != 0
    for name, (others, wrong) in (("junit", from_junit(junit)), ("ktap", from_ktap(ktap, cases))):
        complaints += wrong
        # Stands for a run that is not green although each of its cases is.
        if red:
            others.pop("run.exit_code", None)
        for case in sorted(set(cases) | set(others)):
            if cases.get(case) != others.get(case):
                complaints.append(f"{case}: {cases.get(case)}, but {name} says {others.get(case)}")
    return complaints


def self_test(jsonl, junit, ktap):
    """The checks find what they are for, in these very files."""
    first = re.search(r'<testcase name="([^"]+)"', junit).group(1)
    assert compare(jsonl, junit.replace(f'name="{first}"', 'name="other"', 1), ktap)
    assert compare(jsonl, junit.replace('tests="', 'tests="9', 1), ktap)
    assert compare(jsonl, junit, re.sub(r"(?m)^( *)ok 1 ", r"\1ok 2 ", ktap))
    assert compare(jsonl, junit, re.sub(r"(?m)^1\.\.", "1..9", ktap))
    assert compare(jsonl, junit, "\n".join(ktap.splitlines()[1:]))
    # What cannot be told where this machine can run no case: a skip is `ok` and `not ok` alike.
    if '"verdict":"held"' in jsonl:
        assert compare(jsonl.replace('"verdict":"held"', '"verdict":"breached"', 1), junit, ktap)
        assert compare(jsonl, junit, re.sub(r"(?m)^( *)ok ", r"\1not ok ", ktap))


def main(files):
    texts = []
    for file in files:
        with open(file, encoding="utf-8") as opened:
            texts.append(opened.read())
    complaints = compare(*texts)
    for complaint in complaints:
        print(complaint)
    if not complaints:
        self_test(*texts)
    print(f"{len(from_jsonl(texts[0])[0])} cases in three reports, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
