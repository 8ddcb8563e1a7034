#!/usr/bin/env python3
"""ringfence vm run as its users meet it: debuggers, transcripts, other machines.

usage: vm.py [TestClass...]     with $RINGFENCE_BIN, the directory of the programs.
Exit 77 where the host lacks what every chosen test needs.
"""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import ioapic_transcript

ROOT = pathlib.Path(__file__).resolve().parents[2]
RINGFENCE = os.path.abspath(
    os.path.join(os.environ.get("RINGFENCE_BIN", ROOT / "build/release/bin"), "ringfence"))
PATIENCE = 120  # seconds, for a machine that does much else


class Vm(unittest.TestCase):
    def setUp(self):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("host-lacks:kvm")
        self.directory = tempfile.TemporaryDirectory(prefix="ringfence-vm-")
        self.addCleanup(self.directory.cleanup)
        self.here = pathlib.Path(self.directory.name)

    def image(self, code):
        path = self.here / "image.bin"
        path.write_bytes(bytes(code))
        return path

    def run_vm(self, *words, program="vm"):
        return subprocess.run([RINGFENCE, program, *(["run"] if program == "vm" else []),
                               *map(str, words)], cwd=self.here, text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)

    def start(self, *words, stdin=subprocess.DEVNULL):
        process = subprocess.Popen([RINGFENCE, "vm", "run", *map(str, words)], cwd=self.here,
                                   stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        self.addCleanup(self.reap, process)
        return process

    @staticmethod
    def reap(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def start_gdb_server(self, *words, place="0"):
        """(process, what to give to target remote)."""
        process = self.start(*words, "--gdb", place)
        for line in process.stderr:
            found = re.search(r"target remote (\S+)$", line)
            if found:
                return process, found.group(1)
        self.fail(f"no address: {process.communicate()}")


class Gdb(Vm):
    """Debian's gdb, as it comes."""

    def gdb(self, address, *commands):
        if shutil.which("gdb") is None:
            self.skipTest("host-lacks:gdb")
        words = ["gdb", "-nx", "-batch", "-ex", "set confirm off", "-ex",
                 f"target remote {address}"]
        for command in commands:
            words += ["-ex", command]
        done = subprocess.run(words, cwd=self.here, text=True, check=False, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, capture_output=True)
        return done.stdout + done.stderr

    def ends(self, process):
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    # xor ax,ax; inc ax; inc ax; inc ax; mov [0x600],ax; out 0xf4,al
    COUNT = [0x31, 0xc0, 0x40, 0x40, 0x40, 0xa3, 0x00, 0x06, 0xe6, 0xf4]

    def test_breakpoints_steps_registers_and_memory_in_real_mode(self):
        process, address = self.start_gdb_server(self.image(self.COUNT))
        self.assertRegex(address, r"^127\.0\.0\.1:\d+$")
        said = self.gdb(address, "x/2i $pc", "break *4", "hbreak *5", "continue", "print $eax",
                        "set $eax = 40", "stepi", "print $eax", "print $pc", "stepi",
                        "x/1xh 0x600", "set {char}0x600 = 7", "x/1xh 0x600", "print $cr0",
                        "continue")
        self.assertIn("xor    %ax,%ax", said)  # 16-bit code
        self.assertIn("Breakpoint 1, 0x00000004", said)
        for line in ("$1 = 2", "$2 = 41", "$3 = (void (*)()) 0x5", "0x600:\t0x0029",
                     "0x600:\t0x0007", "$4 = 16"):
            self.assertIn(line, said)
        self.assertIn("exited with code 051", said)  # 41 in octal, from the guest's AL
        self.assertEqual(self.ends(process)[0], 41)

    def test_long_mode_over_a_unix_socket(self):
        process, address = self.start_gdb_server("cpu_long", place="./socket")
        self.assertEqual(address, "./socket")
        said = self.gdb(address, "show architecture", "stepi", "stepi", "print/x $rsp",
                        "set $r15 = 0x1122334455667788", "print/x $r15", "print/x $efer",
                        "set $r15 = 0", "detach")
        self.assertIn("i386:x86-64", said)
        for line in ("$1 = 0x1000", "$2 = 0x1122334455667788", "$3 = 0x500"):
            self.assertIn(line, said)
        status, out, _ = self.ends(process)  # without gdb, to its end
        self.assertRegex(out, r"\nZ [0-9a-f]{4} [0-9a-f]{4}\n$")
        self.assertIn(status, (0, 1))
        self.assertFalse((self.here / "socket").exists())

    def test_the_firmware_form_has_its_code_where_gdb_looks(self):
        process, address = self.start_gdb_server("hi", "--firmware")
        said = self.gdb(address, "x/1i $pc", "stepi", "print/x $pc", "kill")
        self.assertIn("0xfffffff0:\tljmp   $0xf000,$0x0", said)
        self.assertIn("$1 = 0xf0000", said)
        status, out, err = self.ends(process)
        self.assertEqual((status, out), (2, ""))
        self.assertIn("ended by gdb", err)

    def test_a_guest_that_dies_can_still_be_looked_at(self):
        # ud2 without a handler: a triple fault
        process, address = self.start_gdb_server(self.image([0x0f, 0x0b]), "--set", "mode=long")
        said = self.gdb(address, "continue", "print $cs", "continue")
        self.assertIn("SIGABRT", said)
        self.assertIn("$1 = 40", said)
        self.assertIn("exited with code 02", said)
        status, _, err = self.ends(process)
        self.assertEqual(status, 2)
        self.assertIn("the guest ended: ", err)

    def test_more_breakpoints_than_debug_registers(self):
        process, address = self.start_gdb_server(self.image([0x90] * 16 + [0xb0, 9, 0xe6, 0xf4]))
        said = self.gdb(address, *(f"break *{at}" for at in range(2, 13, 2)), *["continue"] * 7)
        for number, at in enumerate(range(2, 13, 2), 1):
            self.assertIn(f"Breakpoint {number}, {at:#010x}", said)
        self.assertIn("exited with code 011", said)
        self.assertEqual(self.ends(process)[0], 9)

    def test_the_fifth_debug_register_is_refused(self):
        process, address = self.start_gdb_server(self.image([0x90] * 16 + [0xf4]))
        said = self.gdb(address, *(f"hbreak *{at}" for at in range(2, 7)), "continue", "kill")
        self.assertIn("Could not insert hardware breakpoint", said)
        self.ends(process)


class GdbProtocol(Vm):
    """What gdb does only now and then, by hand."""

    def connect(self, address):
        host, port = address.rsplit(":", 1)
        client = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def frame(payload):
        return f"${payload}#{sum(payload.encode()) % 256:02x}".encode()

    def packet(self, client):
        """The next packet's payload, past acknowledgements."""
        data = b""
        while not re.search(rb"#..$", data):
            piece = client.recv(1)
            self.assertTrue(piece, f"closed behind {data}")
            data += piece
        client.sendall(b"+")
        return data[data.index(b"$") + 1:-3].decode()

    def ask(self, client, payload):
        client.sendall(self.frame(payload))
        return self.packet(client)

    SPIN = [0xeb, 0xfe]

    def test_ctrl_c_stops_a_guest_that_spins(self):
        process, address = self.start_gdb_server(self.image(self.SPIN))
        client = self.connect(address)
        client.sendall(self.frame("c"))
        for _ in range(3):
            client.sendall(b"\x03")
            self.assertEqual(self.packet(client), "T02thread:1;")
            client.sendall(self.frame("c"))
        client.sendall(b"\x03")
        self.assertEqual(self.packet(client), "T02thread:1;")
        client.sendall(self.frame("k"))
        self.assertEqual(process.wait(timeout=PATIENCE), 2)

    def test_ctrl_c_stops_a_guest_that_sleeps(self):
        # sti; hlt; jmp: nothing will wake it
        process, address = self.start_gdb_server(self.image([0xfb, 0xf4, 0xeb, 0xfd]))
        client = self.connect(address)
        client.sendall(self.frame("c"))
        client.sendall(b"\x03")
        self.assertEqual(self.packet(client), "T02thread:1;")
        client.sendall(self.frame("k"))
        self.assertEqual(process.wait(timeout=PATIENCE), 2)

    def test_damaged_packets_are_asked_for_again(self):
        _, address = self.start_gdb_server(self.image(self.SPIN))
        client = self.connect(address)
        client.sendall(b"$?#00")
        self.assertEqual(client.recv(1), b"-")
        client.sendall(self.frame("?"))
        self.assertEqual(client.recv(1), b"+")
        first = b""
        while not re.search(rb"#..$", first):
            first += client.recv(1)
        client.sendall(b"-")
        self.assertEqual(self.packet(client), "T05thread:1;")
        client.sendall(self.frame("k"))

    def test_the_guest_waits_for_the_next_gdb(self):
        process, address = self.start_gdb_server(self.image(self.SPIN))
        client = self.connect(address)
        self.assertEqual(self.ask(client, "P8=34120000"), "OK")
        client.close()
        client = self.connect(address)
        self.assertEqual(self.ask(client, "p8"), "34120000")
        client.sendall(self.frame("k"))
        self.assertEqual(process.wait(timeout=PATIENCE), 2)

    def test_nobody_comes(self):
        done = self.run_vm(self.image(self.SPIN), "--gdb", "0", "--timeout", "0.2")
        self.assertEqual(done.returncode, 2)
        self.assertIn("ETIMEDOUT", done.stderr)

    def test_the_time_of_the_guest_stands_still(self):
        process, address = self.start_gdb_server("pit_access")
        client = self.connect(address)
        for _ in range(20):
            client.sendall(self.frame("s"))
            self.assertEqual(self.packet(client), "T05thread:1;")
        client.sendall(self.frame("D"))
        self.assertEqual(self.packet(client), "OK")
        out, _ = process.communicate(timeout=PATIENCE)
        plain = self.run_vm("pit_access")
        self.assertEqual(out, plain.stdout)


class Debug(Vm):
    COUNT = Gdb.COUNT

    def test_break_and_step(self):
        done = self.run_vm(self.image(self.COUNT), "--break", "0x3", "--step", "2")
        self.assertEqual(done.returncode, 3)
        lines = done.stderr.splitlines()
        self.assertEqual(lines[0], "break 0x3")
        self.assertTrue(lines[1].startswith("rax=0000000000000001 "), lines[1])
        self.assertEqual([line.strip() for line in lines[-2:]],
                         ["0x3: inc ax", "0x4: inc ax"])

    def test_a_break_in_a_loop_is_met_each_time(self):
        # mov cx,3; nop; loop -3; mov al,0; out 0xf4,al
        done = self.run_vm(self.image([0xb9, 3, 0, 0x90, 0xe2, 0xfd, 0xb0, 0, 0xe6, 0xf4]),
                           "--break", "3")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("break 0x3\n"), 3)

    def test_step_from_the_begin(self):
        done = self.run_vm(self.image(self.COUNT), "--step", "3")
        self.assertEqual([line.strip() for line in done.stderr.splitlines()],
                         ["0x0: xor ax, ax", "0x2: inc ax", "0x3: inc ax"])
        self.assertEqual(done.returncode, 3)

    def test_registers_at_the_end(self):
        done = self.run_vm(self.image(self.COUNT), "--registers")
        self.assertEqual(done.returncode, 3)
        self.assertIn("rax=0000000000000003 ", done.stderr)
        self.assertIn("out 0x00f4 1 0x3", done.stderr)

    def test_registers_on_sigquit(self):
        process = self.start(self.image([0xb8, 0x34, 0x12, 0xe6, 0xe9, 0xeb, 0xfe]),
                             "--timeout", str(PATIENCE))
        self.assertTrue(select.select([process.stdout], [], [], PATIENCE)[0])  # it runs
        process.send_signal(signal.SIGQUIT)
        said = ""
        while "code:" not in said:
            said += process.stderr.readline()
        self.assertIn("rax=0000000000001234 ", said)
        self.assertIsNone(process.poll())

    def test_bad_input(self):
        image = self.image(self.COUNT)
        for words, said in ((["--gdb", "10.0.0.1:1"], "loopback"),
                            (["--gdb", "0", "--break", "1"], "--gdb"),
                            (["--gdb", "0", "--vmm", "qemu"], "only of our own VMM"),
                            (["--break", "x"], "hexadecimal")):
            done = self.run_vm(image, *words)
            self.assertEqual(done.returncode, 64, words)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(said, done.stderr)
        (self.here / "taken").touch()
        done = self.run_vm(image, "--gdb", "./taken")
        self.assertEqual(done.returncode, 2)
        self.assertIn("EADDRINUSE", done.stderr)
        self.assertTrue((self.here / "taken").exists())


class Irqchip(Vm):
    """KVM's own interrupt controllers and timer. What they do: guests.kvm_devices."""

    def test_a_guest_that_halts_for_good_ends(self):
        # By a HLT with interrupts off, which is no exit there; not by the budget.
        done = self.run_vm("halt", "--vmm", "kvm-irqchip", "--timeout", str(PATIENCE / 2))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = self.run_vm("hi", "--vmm", "kvm-irqchip", "--timeout", str(PATIENCE / 2))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "Hi\n", ""))

    def test_one_that_waits_for_ever_is_ended_by_its_budget(self):
        image = self.image([0xfb, 0xf4, 0xeb, 0xfd])  # sti; hlt; jmp
        done = self.run_vm(image, "--vmm", "kvm-irqchip", "--timeout", "0.2")
        self.assertEqual(done.returncode, 2)
        self.assertIn("out_of_time", done.stderr)


class Transcripts(Vm):
    def transcript(self, name, *words):
        self.run_vm(*words, "--transcript", name)
        self.assertTrue((self.here / name).exists())
        return name

    def diff(self, *words):
        done = self.run_vm(*words, program="diff")
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def needs_bpf(self):
        facts = json.loads(subprocess.run([RINGFENCE, "doctor", "--json"], capture_output=True, text=True,
                                          check=True, timeout=PATIENCE).stdout)
        if not next(f for f in facts["facts"] if f["name"] == "bpf")["available"]:
            self.skipTest("needs:bpf")

    def test_two_runs_are_the_same(self):
        one = self.transcript("one", "uart_fifo")
        two = self.transcript("two", "uart_fifo")
        status, said = self.diff(one, two)
        self.assertEqual(status, 0, said)
        self.assertIn("no divergence", said)

    def test_a_seeded_fault_is_found_with_its_line(self):
        right = self.transcript("right", "uart_registers")
        wrong = self.transcript("wrong", "uart_registers", "--fault", "uart.scr.write_ignored")
        status, said = self.diff(right, wrong)
        self.assertEqual(status, 1)
        self.assertRegex(said, r"first divergence, on the way to guests/uart_registers\.asm:\d+ "
                               r"\(uart\.readback\)")
        self.assertRegex(said, r"  before  .* in 0x03ff 1 0x55 uart\n   after  .* in 0x03ff 1 ")
        self.assertIn("right agrees with PC16550D", said)
        status, said = self.diff("--json", wrong, right)
        found = json.loads(said)
        self.assertEqual({j["agrees"] for j in found["judged"]}, {"after"})
        self.assertEqual({j["clause"] for j in found["judged"]}, {"uart.readback"})

    def test_of_qemu(self):
        if shutil.which("qemu-system-x86_64") is None:
            self.skipTest("host-lacks:qemu-system-x86_64")
        ours = self.transcript("ours", "uart_fifo", "--firmware")
        qemu = self.transcript("qemu", "uart_fifo", "--vmm", "qemu", "--timeout", str(PATIENCE))
        status, said = self.diff(ours, qemu)
        self.assertEqual(status, 1)
        # suites/data/deviations/qemu.json: the flush bits work without bit 0.
        self.assertRegex(said, r"\(uart\.fcr_enable\): ours agrees with PC16550D .*; qemu does not: "
                               "port 0x03fd, mask 0xff, expected 0x61, seen 0x60")

    def test_of_kvm(self):
        ours = self.transcript("ours", "pic_eoi", "--firmware")
        kvm = self.transcript("kvm", "pic_eoi", "--vmm", "kvm-irqchip")
        status, said = self.diff(ours, kvm)
        self.assertEqual(status, 1)
        # What the kernel answers is seen by eBPF, or by nobody. The first divergence may be another device's: time
        # is the host's there.
        seen = any(line.endswith(" pic") for line in (self.here / "kvm").read_text().splitlines())
        self.assertEqual("the PIC and the PIT are in one of them alone" in said, not seen)
        self.assertRegex(said, r"\(pic\.eoi\): ours agrees with 8259A .*; kvm does not: port 0x0020")

    def test_of_kvms_ioapic(self):
        """What the guest does to the kernel's I/O APIC, with its interrupts, and that against QEMU's."""
        self.needs_bpf()
        kvm = self.transcript("kvm", "ioapic", "--vmm", "kvm-irqchip")
        told = (self.here / kvm).read_text()
        given = " interrupt " in told  # not where KVM emulates
        self.assertEqual(ioapic_transcript.complaints(told, given), [])
        # Whatever one takes out of it is missed.
        for word in (" mmio_read 0xfec00010 ", " mmio_write 0xfec00010 ", " accepted ", " mmio_write 0xfee000b0 ",
                     *([" interrupt "] if given else [])):
            cut = "".join(line for line in told.splitlines(True) if word not in line)
            self.assertNotEqual(ioapic_transcript.complaints(cut, given), [], word)
        if shutil.which("qemu-system-x86_64") is None:
            return
        qemu = self.transcript("qemu", "ioapic", "--vmm", "qemu", "--timeout", str(PATIENCE))
        self.assertEqual(ioapic_transcript.register_writes(told),
                         ioapic_transcript.register_writes((self.here / qemu).read_text()))
        status, said = self.diff("--json", kvm, qemu)
        self.assertEqual(status, 1)
        found = json.loads(said)
        self.assertTrue(found["ioapic_compared"] and found["local_apic_compared"], said)
        # Each divergence is one that the lists have, with its source.
        lists = {name: json.loads((ROOT / f"suites/data/deviations/{name}.json").read_text()) for name in
                 ("kvm", "qemu")}
        known = {name: {d["clause"] for d in of["deviations"]} for name, of in lists.items()}
        self.assertIn("ioapic.version", {j["clause"] for j in found["judged"]})
        for judged in found["judged"]:
            self.assertIn(judged["clause"], known["qemu" if judged["agrees"] == "before" else "kvm"])
        self.assertEqual(found["judged"][0]["source"], "Intel 82093AA, 3.2.2")
        self.assertIn("0x170011", found["first"]["before"])
        self.assertIn("0x170020", found["first"]["after"])

    def test_bad_input(self):
        one = self.transcript("one", "hi")
        (self.here / "report").write_text("{}\n")
        (self.here / "cut").write_text((self.here / "one").read_text()[:60])
        for words, said in (([one, "missing"], "missing"), ([one, "report"], "report:1"),
                            ([one, "cut"], "cut:"), (["report", one], "report")):
            done = self.run_vm(*words, program="diff")
            self.assertIn(done.returncode, (2, 64), words)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if len(result.skipped) == result.testsRun else 0)
