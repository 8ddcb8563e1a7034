"""Where another machine's devices deviate from the data sheets, against what is listed.

A list (suites/data/deviations/*.json) has, for each clause, the lines of the guest's source whose
expectations do not hold there. What is new in every run is a finding, and so is what is listed and
in none; `sometimes` is what depends on the phase of a clock.
"""
import json
import os
from concurrent.futures import ThreadPoolExecutor

TRIES = 4  # what a busy host brings about is not the same every time


def source_lines(tree, guest):
    with open(os.path.join(tree, "guests", guest + ".asm"), encoding="ascii") as source:
        return source.read().splitlines()


def deviations_of(tree, guest, said):
    """{(clause, source line): the first report} of what a guest says does not hold."""
    text = source_lines(tree, guest)
    found = {}
    for line in said.splitlines():
        if line.startswith("- "):
            clause, number = line.split()[1:3]
            found.setdefault((clause, text[int(number) - 1].split(";")[0].strip()), line)
    return found


def complaints(guest, listed, sometimes, runs):
    """What is new in every run, and what is listed and in none. `runs`: one dict for each run."""
    new = set.intersection(*[set(found) for found in runs]) - listed - sometimes
    gone = listed - set.union(*[set(found) for found in runs])
    return ([f"{guest}: new: {runs[-1][key]}    {key[1]}" for key in sorted(new)] +
            [f"{guest}: no longer: {clause}: {line}" for clause, line in sorted(gone)])


class Deviations:
    """What one machine does, against its list. `run(guest)`: (exit status, report); `statuses`:
    those of a guest without and with failures. `wanted(guest)`: those that are judged, of the devices and of the
    list."""

    def __init__(self, test, tree, name, run, statuses, wanted=lambda guest: True):
        data = os.path.join(tree, "suites", "data")
        with open(os.path.join(data, "devices.json"), encoding="utf-8") as table:
            clauses = json.load(table)["clauses"]
        self.guest_of = {clause["id"]: clause["guest"] for clause in clauses}
        with open(os.path.join(data, "deviations", name + ".json"), encoding="utf-8") as known:
            self.known = json.load(known)
        self.test, self.tree, self.run, self.statuses = test, tree, run, statuses
        guests = {*self.guest_of.values(), *(d["guest"] for d in self.known["deviations"] if "guest" in d)}
        self.guests = sorted(guest for guest in guests if wanted(guest))

    def check(self, jobs):
        listed = {}
        sometimes = {}
        for deviation in self.known["deviations"]:
            for name in ("clause", "does", "source"):
                self.test.assertTrue(deviation[name], deviation)
            guest = deviation.get("guest", self.guest_of.get(deviation["clause"]))
            self.test.assertIsNotNone(guest, deviation)
            for line in deviation["expectations"]:
                listed.setdefault(guest, set()).add((deviation["clause"], line))
            for line in deviation.get("sometimes", []):
                sometimes.setdefault(guest, set()).add((deviation["clause"], line))
        with ThreadPoolExecutor(jobs) as pool:
            wrong = list(pool.map(lambda guest: self.judge(
                guest, listed.pop(guest, set()), sometimes.get(guest, set())), self.guests))
        wrong = [complaint for of_guest in wrong for complaint in of_guest]
        self.test.assertEqual(listed, {}, "of guests that there are not")
        self.test.assertEqual(wrong, [])

    def judge(self, guest, listed, sometimes):
        """What is wrong with the list for one guest, in as many runs as it takes."""
        runs = []
        for _ in range(TRIES):
            status, said = self.run(guest)
            lines = said.splitlines()
            self.test.assertTrue(lines and lines[-1].startswith("Z "),
                                 f"{guest} did not end: {said}")
            failures = sum(line.startswith("- ") for line in lines)
            self.test.assertEqual(status, self.statuses[1 if failures else 0], guest)
            self.test.assertEqual(lines[-1].split()[2], f"{failures:04x}", guest)
            runs.append(deviations_of(self.tree, guest, said))
            if not complaints(guest, listed, sometimes, runs):
                break
        return complaints(guest, listed, sometimes, runs)
