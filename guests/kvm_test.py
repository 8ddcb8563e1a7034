#!/usr/bin/env python3
"""Guests on KVM's own PIC, PIT and I/O APIC: kvm_test.py SOURCE_TREE RINGFENCE

The PIC, PIT and I/O APIC guests, as firmware, against the data sheets: where KVM deviates has to be listed in
suites/data/deviations/kvm.json, and what is listed there has to be so. Exit 77 where there is no
KVM, or one of which nobody has listed the deviations.
"""
import json
import os
import platform
import subprocess
import sys
import tempfile
import unittest

from deviations import Deviations

SOURCE, RINGFENCE = sys.argv[1:3]
# What comes to a guest from outside, and how it can know the time.
SETTINGS = {"pic_lines": [f"input=5000:line:{line}" for line in "35679bdef"],
            "pit_frequency": ["tsc_leaf"]}


def run(guest):
    """(exit status, what the guest said)"""
    words = [RINGFENCE, "vm", "run", guest, "--vmm", "kvm-irqchip", "--timeout", "60"]
    for word in SETTINGS.get(guest, []):
        words += ["--set", word]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          check=False, timeout=120)
    return done.returncode, done.stdout


class Devices(unittest.TestCase):
    maxDiff = None

    def test_deviates_as_listed(self):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("host-lacks:kvm")
        deviations = Deviations(self, SOURCE, "kvm", run, (0, 1),
                                lambda guest: guest.startswith(("pic_", "pit_", "ioapic")))
        release = platform.release()
        if ([int(n) for n in release.split(".")[:2]] <
                [int(n) for n in deviations.known["since"].split(".")]):
            self.skipTest(f"kernel {release}; the deviations are those since " +
                          deviations.known["since"])
        deviations.check(2)

    def test_the_transcript_has_what_the_kernel_answered(self):
        """By KVM's tracepoints: the same accesses in the same order as on our devices, for a guest whose
        way does not hang on what it reads. The kernel's PIC answers some of them otherwise. Where the two
        part *first* is no matter of the PIC: one runs on the host's time, so its i8042 may answer sooner."""
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("host-lacks:kvm")
        facts = json.loads(subprocess.run([RINGFENCE, "doctor", "--json"], capture_output=True, text=True,
                                          check=True, timeout=60).stdout)
        if not next(f for f in facts["facts"] if f["name"] == "bpf")["available"]:
            self.skipTest("needs:bpf")
        accesses, answers, files = {}, {}, []
        with tempfile.TemporaryDirectory(prefix="ringfence-kvm-") as here:
            for vmm in ("ringfence", "kvm-irqchip"):
                files.append(f"{here}/{vmm}")
                done = subprocess.run([RINGFENCE, "vm", "run", "pic_init", "--vmm", vmm, "--timeout", "60",
                                       "--transcript", files[-1]], capture_output=True, text=True,
                                      stdin=subprocess.DEVNULL, check=False, timeout=120)
                self.assertNotIn("are not in the transcript", done.stderr)
                self.assertIn(done.returncode, (0, 1), done.stderr)
                with open(files[-1], encoding="ascii") as file:
                    words = [line.split() for line in file if line.rstrip().endswith(" pic")]
                accesses[vmm] = [(w[2], w[3], w[5] if w[2] == "out" else "") for w in words]
                answers[vmm] = [w[5] for w in words if w[2] == "in"]
            self.assertGreater(len(accesses["kvm-irqchip"]), 50)
            self.assertEqual(accesses["kvm-irqchip"], accesses["ringfence"])
            found = subprocess.run([RINGFENCE, "diff", *files], capture_output=True, text=True, check=False,
                                   timeout=60)
            self.assertEqual(found.returncode, 1, found.stdout + found.stderr)
            self.assertNotEqual(answers["kvm-irqchip"], answers["ringfence"])
            self.assertRegex(found.stdout, r"(?s)judged differently\n.* guests/pic_init\.asm:\d+ \(pic\.")


if __name__ == "__main__":
    program = unittest.main(argv=[sys.argv[0]], verbosity=2, exit=False)
    if not program.result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if program.result.skipped else 0)
