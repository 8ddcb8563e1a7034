#!/usr/bin/env python3
"""Guests as firmware under QEMU's emulation: qemu_test.py SOURCE_TREE IMAGE_DIR abi

abi   the probe ABI reports what holds and what does not, `hi` prints, `halt` halts.
Exit 77 where QEMU is not installed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

QEMU = "qemu-system-x86_64"
SOURCE, IMAGES = sys.argv[1:3]


def command(image, *options):
    return [QEMU, "-accel", "tcg", "-cpu", "qemu64,-apic", "-nodefaults", "-display", "none",
            "-bios", os.path.join(IMAGES, image + ".rom"), *options]


def run(image, serial=False):
    """(exit status, what the guest said). A guest that does not end is ended after 60 seconds."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "out")
        where = ["-serial", "file:" + out] if serial else ["-debugcon", "file:" + out]
        status = subprocess.run(
            command(image, "-device", "isa-debug-exit,iobase=0xf4,iosize=1", *where),
            timeout=60, stdin=subprocess.DEVNULL, check=False).returncode
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
        with open(os.path.join(SOURCE, "guests", "abi.asm"), encoding="ascii") as source:
            text = source.read().splitlines()
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


if __name__ == "__main__":
    if shutil.which(QEMU) is None:
        print(QEMU + " is not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], {"abi": "Abi"}[sys.argv[3]]], verbosity=2)
