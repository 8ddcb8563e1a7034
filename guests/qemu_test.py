#!/usr/bin/env python3
"""Guests as firmware under QEMU's emulation: qemu_test.py SOURCE_TREE IMAGE_DIR abi|devices

abi      the probe ABI reports what holds and what does not, `hi` prints, `halt` halts.
devices  QEMU's devices against the data sheets: where it deviates has to be listed in
         suites/data/deviations/qemu.json, and what is listed there has to be so (but what is
         listed under `sometimes`, which is the phase of a clock).
Exit 77 where QEMU is not installed, or is one of which nobody has listed the deviations.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from deviations import Deviations, complaints, deviations_of, source_lines

QEMU = "qemu-system-x86_64"
SOURCE, IMAGES = sys.argv[1:3]
LOCAL_APIC = ["ioapic"]


def command(image, *options):
    # Without firmware nobody lets the PIC's interrupts through a local APIC.
    cpu = "qemu64" if image in LOCAL_APIC else "qemu64,-apic"
    return [QEMU, "-accel", "tcg", "-cpu", cpu, "-nodefaults", "-display", "none",
            "-bios", os.path.join(IMAGES, image + ".rom"), *options]


def run(image):
    """(exit status, what the guest said). A guest that does not end is ended after 120 seconds."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "out")
        status = subprocess.run(
            command(image, "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
                    "-debugcon", "file:" + out, "-serial", "null"),
            timeout=120, stdin=subprocess.DEVNULL, check=False).returncode
        with open(out, encoding="ascii") as said:
            return status, said.read()


class Abi(unittest.TestCase):
    def test_reports_what_holds_and_what_does_not(self):
        status, said = run("abi")
        lines = said.splitlines()
        self.assertEqual(status, 3)  # isa-debug-exit: (1 << 1) | 1
        self.assertEqual(lines[0], "G abi 1")
        held = [line for line in lines if line.startswith("+ ")]
        failed = [line for line in lines if line.startswith("- ")]
        self.assertEqual({line.split()[1] for line in held}, {"abi.holds"})
        self.assertEqual(
            [line.split()[1] for line in failed],
            ["abi.register", "abi.port", "abi.memory", "abi.range", "abi.range", "abi.equal",
             "abi.flag", "abi.fail", "abi.irq", "abi.no_irq"])
        self.assertEqual(lines[-1], f"Z {len(held) + len(failed):04x} {len(failed):04x}")
        # The numbers of a failure.
        self.assertEqual(failed[1].split()[3:], ["00e9", "000000ff", "00000016", "000000e9"])
        self.assertEqual(failed[0].split()[3:], ["0000", "ffff0000", "12350000", "12345678"])
        # The line is that of the source.
        text = source_lines(SOURCE, "abi")
        for line in held + failed:
            clause, number = line.split()[1:3]
            self.assertRegex(text[int(number) - 1], re.escape(clause) + r"\b")

    def test_hi_prints_on_com1(self):
        with subprocess.Popen(command("hi", "-serial", "stdio"), stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL) as qemu:
            try:
                self.assertEqual(qemu.stdout.read(3), b"Hi\n")
            finally:
                qemu.kill()

    def test_halt_halts(self):
        with subprocess.Popen(command("halt", "-monitor", "stdio"), stdout=subprocess.PIPE,
                              stdin=subprocess.PIPE, text=True) as qemu:
            try:
                # The monitor is asked until the machine has come so far.
                for _ in range(1000):
                    qemu.stdin.write("info registers\n")
                    qemu.stdin.flush()
                    for answer in qemu.stdout:
                        if "HLT=" in answer:
                            break
                    if "HLT=1" in answer:
                        break
                self.assertRegex(answer, r"EIP=0000fff1.*HLT=1")
            finally:
                qemu.kill()


class Devices(unittest.TestCase):
    maxDiff = None

    def test_deviates_as_listed(self):
        deviations = Deviations(self, SOURCE, "qemu", run, (1, 3))
        version = subprocess.run([QEMU, "--version"], capture_output=True, text=True,
                                 check=True).stdout.split()[3]
        if not version.startswith(deviations.known["version"] + "."):
            self.skipTest(f"QEMU {version}; the deviations are those of " +
                          deviations.known["version"])
        deviations.check(4)  # they sleep for most of their time

    def test_a_new_one_and_one_that_is_gone_are_seen(self):
        said = "G x 1\n- uart.lsr_oe 1 03fd 000000ff 00000001 00000000\nZ 0001 0001\n"
        found = deviations_of(SOURCE, "uart_line_status", said)
        key = next(iter(found))
        self.assertEqual(key[0], "uart.lsr_oe")
        self.assertEqual(complaints("g", {key}, set(), [found]), [])
        self.assertEqual(len(complaints("g", set(), set(), [found])), 1)
        self.assertIn("new", complaints("g", set(), set(), [found, found])[0])
        self.assertEqual(complaints("g", set(), set(), [found, {}]), [])  # not in every run
        self.assertIn("no longer", complaints("g", {("a", "b")}, set(), [{}])[0])
        self.assertEqual(complaints("g", {key}, set(), [{}, found]), [])
        self.assertEqual(complaints("g", set(), {key}, [found]), [])
        self.assertEqual(complaints("g", set(), {key}, [{}]), [])


if __name__ == "__main__":
    if shutil.which(QEMU) is None:
        print(QEMU + " is not installed")
        sys.exit(77)
    which = {"abi": "Abi", "devices": "Devices"}[sys.argv[3]]
    program = unittest.main(argv=[sys.argv[0], which], verbosity=2, exit=False)
    if not program.result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if program.result.skipped else 0)
