#!/usr/bin/env python3
"""VMX under Bochs: bochs_test.py SOURCE_TREE IMAGE_DIR NASM

guests/virt_vmx.asm as the BIOS of a Bochs whose processor has VMX: every clause holds, and
assembled with the control of a clause (-DCONTROL=n) that clause fails and no other. The cases of
suites/vmx.cc have the controls in their order. The flat form, which is that of the cases, gets its
control in EBX from a loader.
Exit 77 where Bochs is not installed, or has no VMX, or no display that needs neither a screen nor a
port that others could reach.
"""

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

BOCHS = "bochs"
MODEL = "corei7_sandy_bridge_2600k"
MODEL_WITHOUT = "athlon64_venice"
# A Bochs of a busy host; one that is alone ends in half a second.
SECONDS = 120
SOURCE, IMAGES, NASM = sys.argv[1:4]

CONFIG = """\
display_library: {display}
config_interface: textconfig
cpu: model={model}, count=1, ips=50000000, reset_on_triple_fault=0
memory: guest=16, host=16
romimage: file={rom}, address=0xffff0000, options=none
port_e9_hack: enabled=1
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
boot: floppy
log: {log}
panic: action=fatal
error: action=ignore
info: action=ignore
"""

# The flat form at address 0, started as the mini-VMM starts it.
LOADER = """\
        bits    16
        incbin  "{flat}"
        times   0xff00-($-$$) db 0
        cld
        mov     ax, 0xf000
        mov     ds, ax
        xor     ax, ax
        mov     es, ax
        mov     si, ax
        mov     di, ax
        mov     cx, 0x8000
        rep     movsw
        mov     ebx, {number}
        jmp     0:0
        times   0xfff0-($-$$) db 0
        jmp     0xf000:0xff00
        times   0x10000-($-$$) db 0
"""


def displays():
    """(library, command before bochs): nogui, or the built-in VNC server, which listens on a port
    and so gets a network of its own."""
    yield "nogui", []
    for alone in (["unshare", "-r", "-n"], ["unshare", "-n"]):
        if shutil.which("unshare") and subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL,
                                                      check=False).returncode == 0:
            yield 'rfb, options="timeout=0"', alone
            return


def said_by(process):
    """What it says up to the guest's last line, a panic, its end, or the time limit."""
    said, until = b"", time.monotonic() + SECONDS
    while time.monotonic() < until and not re.search(rb"^Z .*\n|>>PANIC<<.*\n", said, re.MULTILINE):
        if select.select([process.stdout], [], [], 1)[0]:
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                break
            said += more
    return said.decode("ascii", "replace")


def boot(rom, display, before, model=MODEL):
    with tempfile.TemporaryDirectory() as directory:
        config = os.path.join(directory, "bochsrc")
        with open(config, "w", encoding="ascii") as file:
            file.write(CONFIG.format(display=display, model=model, rom=rom,
                                     log=os.path.join(directory, "log")))
        # The guest halts for ever: Bochs is ended by its id. Where it has its debugger, that waits
        # for a command to go on.
        with subprocess.Popen([*before, BOCHS, "-q", "-f", config], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              cwd=directory) as process:
            try:
                try:
                    process.stdin.write(b"c\n")
                    process.stdin.flush()
                except BrokenPipeError:
                    pass
                return said_by(process)
            finally:
                process.kill()


def report(said):
    """The guest's lines, from G to Z, without what Bochs says and what comes behind the end."""
    whole = re.search(r"^G .*?^Z .*?$|^G .*", said, re.MULTILINE | re.DOTALL)
    lines = whole.group(0).splitlines() if whole else []
    return [line.strip() for line in lines if re.match(r"[G+?MZ-] ", line)]


def assemble(source, rom, *options):
    subprocess.run([NASM, "-f", "bin", "-Werror", *options, "-o", rom, source], check=True)


def firmware(directory, number):
    rom = os.path.join(directory, "rom")
    assemble(os.path.join(SOURCE, "guests", "virt_vmx.asm"), rom, "-DFIRMWARE",
             f"-DCONTROL={number}", f"-I{SOURCE}/guests/include/")
    return rom


def flat(directory, number):
    source = os.path.join(directory, "loader.asm")
    with open(source, "w", encoding="ascii") as file:
        file.write(LOADER.format(flat=os.path.join(IMAGES, "virt_vmx.bin"), number=number))
    rom = os.path.join(directory, "rom")
    assemble(source, rom)
    return rom


def names(lines, sign):
    return {line.split()[1] for line in lines if line.startswith(sign + " ")}


def lacks_vmx(lines):
    """The guest ends at once, and CPUID's bit is really clear."""
    return (len(lines) == 3 and lines[1].startswith("- virt.vmx_cpuid ") and
            int(lines[1].split()[-1], 16) & 1 << 5 == 0)


class Vmx(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        with open(os.path.join(SOURCE, "suites", "vmx.cc"), encoding="ascii") as cases:
            self.clauses = re.findall(r'Row\{"(virt\.\w+)"', cases.read())
        self.assertGreaterEqual(len(self.clauses), 57)

    def first(self):
        """The report of the image as it is built, and the display with which it came."""
        said = ""
        for display, before in displays():
            said = boot(os.path.join(IMAGES, "virt_vmx.rom"), display, before)
            if "not available" not in said:
                break
        else:
            self.skipTest("this Bochs has no display that a test may use")
        if "PANIC" in said and MODEL in said:
            self.skipTest(f"this Bochs has no {MODEL}")
        return report(said), said, (display, before)

    def test_each_clause_holds_and_fails_in_its_control_alone(self):
        lines, said, how = self.first()
        self.assertTrue(lines, said)
        self.assertEqual(lines[0], "G virt_vmx 1", said)
        if lacks_vmx(lines):
            self.skipTest("this Bochs has no VMX")
        self.assertEqual([line for line in lines if line[0] in "-?"], [], said)
        self.assertEqual(names(lines, "+"), set(self.clauses))
        other = report(boot(os.path.join(IMAGES, "virt_vmx.rom"), *how, model=MODEL_WITHOUT))
        self.assertTrue(lacks_vmx(other), other)
        self.assertEqual(lines[-1], f"Z {len(lines) - 2:04x} 0000")

        def control(form, number):
            with tempfile.TemporaryDirectory() as directory:
                got = report(boot(form(directory, number), *how))
            return got, names(got, "-")

        last = len(self.clauses)
        tries = [(firmware, number) for number in range(1, last + 2)]
        tries += [(flat, number) for number in (0, 1, last, last + 1)]
        with ThreadPoolExecutor(4) as pool:
            done = pool.map(lambda arguments: control(*arguments), tries)
            for (form, number), (got, failures) in zip(tries, done):
                with self.subTest(form=form.__name__, control=number):
                    # 0, and one that nobody has, take nothing away.
                    taken = self.clauses[number - 1:number] if number else []
                    self.assertEqual(failures, set(taken))
                    self.assertEqual(names(got, "+") | failures, set(self.clauses))
                    self.assertRegex(got[-1], "^Z ")  # it went on to its end


if __name__ == "__main__":
    if shutil.which(BOCHS) is None:
        print(BOCHS + " is not installed")
        sys.exit(77)
    program = unittest.main(argv=[sys.argv[0]], verbosity=2, exit=False)
    if not program.result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if program.result.skipped else 0)
