#!/usr/bin/env python3
"""Guests on KVM's own PIC and PIT: kvm_test.py SOURCE_TREE RINGFENCE

The PIC and PIT guests, as firmware, against the data sheets: where KVM deviates has to be listed in
suites/data/deviations/kvm.json, and what is listed there has to be so. Exit 77 where there is no
KVM, or one of which nobody has listed the deviations.
"""
import os
import platform
import subprocess
import sys
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
                                lambda guest: guest.startswith(("pic_", "pit_")))
        release = platform.release()
        if ([int(n) for n in release.split(".")[:2]] <
                [int(n) for n in deviations.known["since"].split(".")]):
            self.skipTest(f"kernel {release}; the deviations are those since " +
                          deviations.known["since"])
        deviations.check(2)


if __name__ == "__main__":
    program = unittest.main(argv=[sys.argv[0]], verbosity=2, exit=False)
    if not program.result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if program.result.skipped else 0)
