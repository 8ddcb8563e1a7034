#!/usr/bin/env python3
"""ringfence under other kernels, in real machines: what each end of a kernel becomes.

usage: kernels.py [TestClass...]     with $RINGFENCE_BIN, the directory of the programs.
Exits 77 when everything that was asked for was skipped; the last line says why.

Cases that end kernels are those of bin/ringfence_fatal, which is ringfence with these in addition;
it is built for tests alone.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import ioapic_transcript

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("RINGFENCE_BIN", ROOT / "build/release/bin")).resolve()
RINGFENCE = str(BIN / "ringfence")
FATAL = str(BIN / "ringfence_fatal")
OLD, NEW = "debian:6.1.*", "debian:6.12.*"
# Two that hold on every kernel, and take no time.
GOOD = ["pid.orphan_outlives", "pid.pidfd_steal_fd"]
# As harness/kernels/initramfs.h has it.
CACHE = pathlib.Path(
    os.environ.get("RINGFENCE_CACHE")
    or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringfence"))
PATIENCE = 30.0  # seconds until what a killed harness started must be gone


def run(program, *arguments, timeout=600, **options):
    return subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, check=False, **options)


def machines_of(token):
    """The pids of QEMU whose kernel has this word on its command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu-system" in words[0] and any(token.encode() in word for word in words):
            found.append(int(pid))
    return found


class Machines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if shutil.which("qemu-system-x86_64") is None:
            raise unittest.SkipTest("host-lacks:qemu-system-x86_64")
        cls.directory = tempfile.TemporaryDirectory(prefix="ringfence-kernels-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.here = pathlib.Path(cls.directory.name)
        cls.report = cls.here / "report.jsonl"
        if not list(CACHE.glob("packages/linux-image-6.1.*/boot/vmlinuz-*")):
            raise unittest.SkipTest("host-lacks:package:linux-image-6.1 (kernels.py Fetch)")

    # For a machine that does much else; what is to fail here fails whatever these are.
    SLOW_DAY = ("--boot-timeout", "300", "--hang-after", "30")

    def kernels_run(self, program, *arguments, kernel=OLD, patience=SLOW_DAY, **options):
        """Runs; the records by type, and what came out."""
        if self.report.exists():
            self.report.unlink()
        words = ["kernels", "run", *(("--kernel", kernel) if kernel else ()), *patience, *arguments,
                 "--report", f"jsonl={self.report}"]
        got = run(program, *words, **options)
        return self.records(), got

    def records(self):
        if not self.report.exists():
            return {}
        found = {}
        for line in self.report.read_text().splitlines():
            record = json.loads(line)
            found.setdefault(record["type"], []).append(record)
        return found

    def verdicts(self, records):
        return {c["id"]: (c["verdict"], c["reason"]) for c in records["case"]}

    def findings(self, records):
        return {f.get("id", ""): f["text"] for f in records.get("finding", [])}

    def assert_valid(self):
        got = run(sys.executable, "-B", str(ROOT / "reports/check_schema.py"), str(self.report))
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)


class Fetch(unittest.TestCase):
    """Into the cache, for all others; both kernels start, and are what was asked for."""

    @staticmethod
    def uname(spec):
        return run(RINGFENCE, "kernels", "exec", "--kernel", spec, "--boot-timeout", "300", "--",
                   "uname", "-r", timeout=900)

    @staticmethod
    def lacks_package(got):
        return "fetch Debian package" in got.stderr or "no package" in got.stderr

    def test_both_kernels(self):
        if shutil.which("qemu-system-x86_64") is None:
            self.skipTest("host-lacks:qemu-system-x86_64")
        for spec in (OLD, NEW):
            got = self.uname(spec)
            if self.lacks_package(got) and os.environ.get("RINGFENCE_SETUP") != "skip":
                # The lists may be older than what the archive still has.
                run("apt-get", "update", "-q", timeout=300)
                got = self.uname(spec)
            if self.lacks_package(got):
                self.skipTest("host-lacks:package:" + spec)
            self.assertEqual(got.returncode, 0, got.stderr)
            self.assertTrue(got.stdout.startswith(spec[len("debian:"):-1]), got.stdout)


class Ends(Machines):
    """Each way for a kernel to end, in the middle of one run."""

    def test_each_is_broken_for_its_reason_and_the_rest_completes(self):
        first, last = GOOD
        records, got = self.kernels_run(
            FATAL, first, "fatal.panic", "fatal.deaf", "fatal.reset", "fatal.hog", last, "--jobs", "1",
            "--timeout", "60", "--modules", "msr", "--sysctl", "kernel.sched_rt_runtime_us=-1",
            patience=("--boot-timeout", "300"), timeout=1000)
        self.assertEqual(got.returncode, 2, got.stdout + got.stderr)
        self.assertEqual(self.verdicts(records), {
            first: ("held", ""),
            "fatal.panic": ("broken", "kernel_panic"),
            "fatal.deaf": ("broken", "kernel_hang"),
            "fatal.reset": ("broken", "channel_lost"),
            "fatal.hog": ("broken", "kernel_hang"),
            last: ("held", "")})
        findings = self.findings(records)
        self.assertEqual(sorted(findings),
                         ["fatal.deaf", "fatal.hog", "fatal.panic", "fatal.reset"])
        self.assertIn("sysrq triggered crash", findings["fatal.panic"])
        self.assertRegex(findings["fatal.deaf"], "no sign of life|has run nothing")
        self.assertIn("has run nothing", findings["fatal.hog"])
        self.assertIn("Resetting", findings["fatal.reset"])
        self.assertEqual(len(records["header"]), 1)
        self.assertEqual(records["summary"][0]["counts"]["broken"], 4)
        self.assert_valid()


class Together(Machines):
    """A panic that no case brings about alone is nobody's, and does not get lost."""

    def test_all_are_judged_and_a_finding_tells(self):
        records, got = self.kernels_run(FATAL, "fatal.together", GOOD[0], "--jobs", "2")
        self.assertEqual(got.returncode, 2, got.stdout + got.stderr)
        verdicts = self.verdicts(records)
        self.assertEqual(set(verdicts), {"fatal.together", GOOD[0]})
        self.assertNotIn("broken", {v for v, _ in verdicts.values()})
        self.assertIn("kernel_panic", self.findings(records)[""])
        complaints = " ".join(records["summary"][0]["complaints"])
        self.assertIn("did not happen again with each alone", complaints)


class Silent(Machines):
    def test_ringfence_inside_that_ends_without_a_record(self):
        records, got = self.kernels_run(FATAL, "fatal.silent")
        self.assertEqual(got.returncode, 2)
        self.assertEqual(self.verdicts(records), {"fatal.silent": ("broken", "run_failed")})
        self.assertIn("exit 7", records["case"][0]["detail"])
        self.assertNotIn("finding", records)


class Stuck(Machines):
    """All CPUs run, and nothing comes of it. Three trials and 30 s are the time for it."""

    def test_is_a_hang(self):
        records, got = self.kernels_run(FATAL, "fatal.stuck", "--timeout", "0.1")
        self.assertEqual(got.returncode, 2)
        self.assertEqual(self.verdicts(records), {"fatal.stuck": ("broken", "kernel_hang")})
        self.assertIn("nothing has come of it", self.findings(records)["fatal.stuck"])


class Image(Machines):
    """Images that are none, or not whole."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.image = sorted(CACHE.glob("packages/linux-image-6.1.*/boot/vmlinuz-*"))[-1]

    def no_boot(self, path):
        records, got = self.kernels_run(RINGFENCE, *GOOD, "--boot-timeout", "15", kernel=str(path),
                                        patience=())
        self.assertEqual(got.returncode, 2, got.stdout + got.stderr)
        self.assertEqual(self.verdicts(records),
                         {name: ("broken", "boot_failed") for name in GOOD})
        self.assertEqual(len(records["finding"]), 1)
        self.assertTrue(self.findings(records)[""].startswith("boot_failed: "))
        self.assertTrue(records["header"][0]["kernel"].startswith("6.1."))
        self.assert_valid()

    def test_corrupt(self):
        damaged = bytearray(self.image.read_bytes())
        damaged[1 << 18:1 << 20] = bytes((1 << 20) - (1 << 18))
        path = self.here / "corrupt"
        path.write_bytes(damaged)
        self.no_boot(path)

    def test_cut_off(self):
        path = self.here / "cut"
        path.write_bytes(self.image.read_bytes()[:1 << 20])
        self.no_boot(path)

    def test_no_kernel_at_all(self):
        path = self.here / "text"
        path.write_text("no kernel\n")
        records, got = self.kernels_run(RINGFENCE, *GOOD, kernel=str(path))
        self.assertEqual(got.returncode, 64)
        self.assertIn("neither a bzImage (vmlinuz) nor a vmlinux", got.stderr)
        self.assertEqual(records, {})


class Module(Machines):
    def test_a_module_that_the_kernel_lacks(self):
        records, got = self.kernels_run(RINGFENCE, *GOOD, "--modules", "kvm_amdd")
        self.assertEqual(got.returncode, 2)
        self.assertIn("kvm_amdd", got.stderr)
        self.assertIn("the nearest is kvm_amd", got.stderr)
        self.assertEqual(records, {})


class FullDisk(Machines):
    """The machine's disk is its memory: full, it goes on, and what has to be written says why not."""

    def test_cases_complete_and_a_report_says_enospc(self):
        script = ("cat /dev/zero >/full; "
                  f"ringfence run --quiet {' '.join(GOOD)}; echo first $?; "
                  f"ringfence run --quiet {GOOD[0]} --report jsonl=/tmp/report; echo second $?")
        got = run(RINGFENCE, "kernels", "exec", "--kernel", OLD, *self.SLOW_DAY, "--", "sh", "-c", script)
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        self.assertIn("No space left on device", got.stderr)
        self.assertIn("2 held", got.stdout)
        self.assertIn("first 0", got.stdout)
        self.assertIn("second 2", got.stdout)
        self.assertIn("ENOSPC", got.stderr)


class Gone(Machines):
    """However the harness ends, nothing of it stays."""

    def start(self, *arguments, machines=1):
        token = f"ringfence.test={os.getpid()}.{time.monotonic_ns()}"
        scratch = self.here / "tmp"
        scratch.mkdir(exist_ok=True)
        child = subprocess.Popen(
            [RINGFENCE, "kernels", "run", "--kernel", OLD, "--cmdline", token, "--quiet", *arguments,
             "--report", "live=-", "--report", f"jsonl={self.report}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(scratch)})
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        for line in child.stdout:
            if b'"type":"case"' in line:
                break
        self.assertEqual(len(machines_of(token)), machines)
        return child, token, scratch

    def assert_gone(self, token, scratch):
        deadline = time.monotonic() + PATIENCE
        while machines_of(token) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(machines_of(token), [])
        self.assertEqual(os.listdir(scratch), [])

    def test_killed(self):
        child, token, scratch = self.start()
        with child:
            child.kill()
            child.wait()
        self.assert_gone(token, scratch)
        # What was written is whole records.
        records = self.records()
        self.assertIn("header", records)
        self.assertNotIn("summary", records)

    def test_killed_with_several_machines(self):
        child, token, scratch = self.start("--axis", "memory=512|640", "--machines", "2",
                                           machines=2)
        with child:
            child.kill()
            child.wait()
        self.assert_gone(token, scratch)

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            child, token, scratch = self.start()
            with child:
                child.send_signal(number)
                child.stdout.read()
                self.assertEqual(child.wait(timeout=PATIENCE), 2)
            self.assert_gone(token, scratch)
            summary = self.records()["summary"][0]
            self.assertTrue(summary["interrupted"])
            self.assertIn("interrupted", summary["complaints"])
            self.assert_valid()


class Axes(Machines):
    def test_a_matrix_of_machines_two_at_a_time(self):
        records, got = self.kernels_run(
            RINGFENCE, GOOD[0], "--axis", "cpus=1|2", "--axis", "memory=384|512", "--axis",
            "cmdline=ringfence.one|", "--machines", "2", "--no-ebpf")
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        seen = {(h["axes"]["cpus"], h["axes"]["memory"], h["axes"]["cmdline"])
                for h in records["header"]}
        self.assertEqual(seen, {(c, m, l) for c in ("1", "2") for m in ("384", "512")
                                for l in ("ringfence.one", "")})
        for header in records["header"]:
            self.assertIn(header["axes"]["cpus"], header["facts"]["cpus"])
        memory = {h["axes"]["memory"]: h["facts"]["memory"] for h in records["header"]}
        self.assertNotEqual(memory["384"], memory["512"])
        self.assertEqual([c["verdict"] for c in records["case"]], ["held"] * 8)
        self.assertEqual(len({c["run_id"] for c in records["case"]}), 8)
        self.assert_valid()

    def test_settings_arrive(self):
        got = run(RINGFENCE, "kernels", "exec", "--kernel", OLD, *self.SLOW_DAY, "--cpus", "1", "--memory", "384",
                  "--cmdline", "ringfence.word=7", "--sysctl", "kernel.hostname=ring", "--", "sh", "-c",
                  "cat /proc/cmdline; uname -n; grep -c ^processor /proc/cpuinfo; "
                  "sed -n 's/MemTotal: *//p' /proc/meminfo; exit 5")
        self.assertEqual(got.returncode, 5, got.stderr)
        line, name, cpus, memory = got.stdout.splitlines()
        self.assertIn("ringfence.word=7", line.split())
        self.assertEqual((name, cpus), ("ring", "1"))
        self.assertLess(int(memory.split()[0]), 384 << 10)

    def test_what_cannot_be_is_refused(self):
        for arguments in (["--axis", "colour=red"], ["--axis", "cpus=none"], ["--memory", "3"],
                          ["--sysctl", "nothing"], ["--expect-skips", "9.9*=/dev/null"],
                          ["--expect-skips", "/nowhere"]):
            records, got = self.kernels_run(RINGFENCE, GOOD[0], *arguments)
            self.assertEqual(got.returncode, 64, (arguments, got.stderr))
            self.assertIn(arguments[0], got.stderr)
            self.assertEqual(records, {})

    def test_a_sysctl_that_the_kernel_lacks(self):
        records, got = self.kernels_run(RINGFENCE, GOOD[0], "--sysctl", "kernel.nothing=1")
        self.assertEqual(got.returncode, 2)
        self.assertEqual(self.verdicts(records), {GOOD[0]: ("broken", "run_failed")})
        self.assertIn("kernel/nothing", records["case"][0]["detail"])


class With(Machines):
    """Programs of this host in a machine: they run containers there."""

    SCRIPT = r"""
set -e
mkdir -p /b/rootfs/bin
cp /bin/busybox /b/rootfs/bin/sh
cd /b
runc spec
sed -i -e 's/"terminal": true/"terminal": false/' -e '/"cgroup"/!s/"sh"/"sh", "-c", "echo inside $0 \&\& exec true"/' config.json
for runtime in runc crun; do
  $runtime run $runtime-1 >out 2>err || { cat err; exit 1; }
  echo "$runtime: $(cat out)"
done
echo "bwrap: $(bwrap --ro-bind / / --unshare-all echo inside)"
"""

    def test_runtimes_run_in_a_machine(self):
        programs = ["runc", "crun", "bwrap"]
        lacking = [p for p in programs if shutil.which(p) is None]
        if lacking:
            self.skipTest("host-lacks:" + lacking[0])
        script = self.here / "containers.sh"
        script.write_text(self.SCRIPT)
        got = run(RINGFENCE, "kernels", "exec", "--kernel", OLD, *self.SLOW_DAY, "--with",
                  ",".join([*programs, str(script)]), "--", "sh", str(script))
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        for program in programs:
            self.assertRegex(got.stdout, f"(?m)^{program}: inside")


class Twice(Machines):
    COUNT = int(os.environ.get("RINGFENCE_TWICE", "1"))
    GLOBS = os.environ.get("RINGFENCE_TWICE_CASES", "pid.* proc.* user.* cap.*").split()

    def test_the_same_kernel_says_the_same(self):
        for attempt in range(self.COUNT):
            files = []
            for name in ("one", "two"):
                _, got = self.kernels_run(RINGFENCE, *self.GLOBS, timeout=600)
                self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
                files.append(self.here / f"{name}.jsonl")
                self.report.rename(files[-1])
            got = run(RINGFENCE, "diff", *map(str, files))
            self.assertEqual(got.returncode, 0, f"attempt {attempt}: {got.stdout}")
            print(f"attempt {attempt + 1}: {got.stdout.strip().splitlines()[-1]}", flush=True)


class Disposable(Machines):
    def test_run_in_a_machine_of_its_own(self):
        got = run(RINGFENCE, "run", "--disposable", "--kernel", OLD, *GOOD, "--seed", "7", "--require",
                  "cgroup2", "--report", f"jsonl={self.report}")
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        records = self.records()
        header = records["header"][0]
        self.assertTrue(header["kernel"].startswith("6.1."))
        self.assertEqual(header["cgroup_mode"], "unified")
        self.assertEqual(header["seed"], 7)
        self.assertEqual(self.verdicts(records), {name: ("held", "") for name in GOOD})
        self.assert_valid()

    def test_this_kernel_comes_to_no_harm(self):
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
        got = run(FATAL, "run", "--disposable", "--kernel", OLD, "fatal.panic", "--report",
                  f"jsonl={self.report}")
        self.assertEqual(got.returncode, 2, got.stdout + got.stderr)
        self.assertEqual(self.verdicts(self.records()), {"fatal.panic": ("broken", "kernel_panic")})
        self.assertEqual(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(), boot)
        # And outside of a machine it is not even tried.
        got = run(FATAL, "run", "fatal.panic", "--report", f"jsonl={self.report}")
        self.assertEqual(got.returncode, 4)
        self.assertEqual(self.verdicts(self.records())["fatal.panic"][0], "skipped")

    def test_a_policy_goes_in(self):
        got = run(RINGFENCE, "run", "--disposable", "--kernel", OLD, "--policy", "docker-default",
                  "pid.*", "--report", f"jsonl={self.report}")
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        self.assertEqual(self.records()["header"][0]["mode"], "policy")

    def test_what_has_its_own_policy_stays_out(self):
        for cases, code, verdicts in ((["pid.nested_depth", GOOD[0]], 0, {GOOD[0]: ("held", "")}),
                                      (["pid.nested_depth"], 4, None)):
            records, got = self.kernels_run(RINGFENCE, *cases, "--policy", "docker-default",
                                            kernel="running", patience=())
            self.assertEqual(got.returncode, code, got.stdout + got.stderr)
            self.assertEqual("case" in records and self.verdicts(records), verdicts or False)

    def test_what_is_missing_or_does_not_go_together(self):
        for arguments, says in ((["--kernel", OLD], "--disposable"),
                                (["--disposable", "--kernel", "running"], "--kernel"),
                                (["--disposable", "--kernel", "/nowhere"], "no such file"),
                                (["--disposable", "--kernel", OLD, "--timeline", "full"],
                                 "--timeline")):
            got = run(RINGFENCE, "run", GOOD[0], *arguments)
            self.assertEqual(got.returncode, 64, (arguments, got.stderr))
            self.assertIn(says, got.stderr)
        release = os.uname().release
        known = [f"/boot/vmlinuz-{release}", f"/lib/modules/{release}/vmlinuz",
                 f"/usr/lib/modules/{release}/vmlinuz"]
        if not any(map(os.path.exists, known)):
            got = run(RINGFENCE, "run", GOOD[0], "--disposable")
            self.assertEqual(got.returncode, 64)
            self.assertIn("no image of the running kernel", got.stderr)

    def test_what_the_machine_lacks(self):
        got = run(RINGFENCE, "run", "--disposable", "--kernel", OLD, GOOD[0], "--require", "x32")
        self.assertEqual(got.returncode, 2, got.stderr)
        self.assertIn("a required facility is missing: x32", got.stdout)


class Suite(Machines):
    """All cases of the default suite from each kernel, with the skips that are known there."""

    def test_all_come_back(self):
        kind = run(str(ROOT / "ci/host_kind")).stdout.strip()
        skips = ROOT / "suites/data/expected-skips"
        expected = ["--expect-skips", f"6.1.*={skips}/kernel-6.1.txt",
                    "--expect-skips", f"6.12.*={skips}/kernel-6.12.txt"]
        if kind != "none":
            expected += ["--expect-skips", f"running={skips}/{kind}.txt"]
        records, got = self.kernels_run(RINGFENCE, "--kernel", "running", "--kernel", OLD, "--kernel",
                                        NEW, *expected, kernel=None, timeout=900)
        print(got.stdout[-2500:])
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        ids = set(run(RINGFENCE, "list", "--suite", "default", "--ids").stdout.split())
        headers = {h["run_id"]: h for h in records["header"]}
        self.assertEqual(len(headers), 3)
        by_run = {}
        for case in records["case"]:
            by_run.setdefault(case["run_id"], set()).add(case["id"])
        self.assertGreater(len(ids), 100)
        self.assertEqual(list(by_run.values()), [ids] * 3)
        for header in headers.values():
            facts = header["facts"]
            self.assertGreater(len(facts), 40)
            if header["kernel"] == os.uname().release:
                continue
            self.assertEqual(header["cgroup_mode"], "unified")
            self.assertTrue(facts["cgroup2"].startswith("yes"), facts["cgroup2"])
            self.assertTrue(facts["kvm"].startswith("yes"), facts["kvm"])
            self.assertIn("AMD-V", facts["hw_virt"])
            self.assertIn(header["kernel"].split(".")[1], ("1", "12"))
        self.assert_valid()


class Guests(Machines):
    """The mini-VMM's guests in a machine whose KVM has a processor with SVM beneath it: what the KVM of a
    host without one emulates or lacks really runs there. Of the devices, which do not know the
    difference, one guest each."""

    CASES = ["cpu.*", "exit.*", "ioapic.*", "mem.*", "virt.*", "uart.iir_no_or", "pic.irr_isr", "pit.mode0",
             "i8042.a20_wrap", "rtc.registers", "platform.exit_port"]

    def test_they_hold_on_emulated_svm(self):
        skips = ROOT / "suites/data/expected-skips/kernel-6.12.txt"
        # One CPU: see QuietKvm in harness/kernels/agent.cc, which keeps still the code that each machine would
        # have patched. What those with a local APIC patch is left.
        for _ in range(2):
            records, got = self.kernels_run(RINGFENCE, *self.CASES, "--cpus", "1", "--expect-skips", str(skips),
                                            "--min-held", "187", kernel=NEW, timeout=500)
            print(got.stdout[-1500:])
            # By that a machine stands still in one run of several. It is told, and does not happen twice.
            if {f["text"].split(":")[0] for f in records.get("finding", [])} != {"kernel_hang"}:
                break
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        verdicts = self.verdicts(records)
        for name in ("virt.svm_hlt", "virt.svm_asid_0", "cpu.ap_startup", "cpu.p32_tss_stack", "cpu.p32_iret_null",
                     "cpu.p32_page_4m", "cpu.ring3_compat", "cpu.p16_frame", "exit.fail_entry", "uart.iir_no_or"):
            self.assertEqual(verdicts[name], ("held", ""), name)
        refused = next(c for c in records["case"] if c["id"] == "exit.fail_entry")
        said = " ".join(line["text"] for line in refused["evidence"])
        self.assertIn("FAIL_ENTRY 0xffffffff: VMRUN failed: invalid guest state", said)
        self.assertEqual(records.get("finding", []), [])
        self.assert_valid()


    def test_the_transcript_of_kvms_ioapic(self):
        """By the tracepoints of a KVM on emulated SVM, which gives and ends interrupts as the local APIC's manual
        says: every clause holds but the one that is listed."""
        script = ("ringfence vm run ioapic --vmm kvm-irqchip --timeout 120 --transcript /tmp/transcript; "
                  "echo status $?; cat /tmp/transcript")
        got = run(RINGFENCE, "kernels", "exec", "--kernel", NEW, *self.SLOW_DAY, "--vmm", "qemu-tcg", "--cpus", "1",
                  "--", "sh", "-c", script)
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        self.assertIn("status 1", got.stdout)
        failed = {line.split()[1] for line in got.stdout.splitlines() if line.startswith("- ")}
        self.assertEqual(failed, {"ioapic.polarity"})
        self.assertEqual(ioapic_transcript.complaints(got.stdout), [])

    # mov cx,3; nop; loop to the nop; mov al,7; out 0xf4,al
    LOOP = bytes([0xb9, 3, 0, 0x90, 0xe2, 0xfd, 0xb0, 7, 0xe6, 0xf4])

    def test_breakpoints_stop_and_go_on_and_stop_again(self):
        """KVM hands INT3 to the host by the intercept of #BP, which QEMU's TCG does not do for INT3: it takes it for an
        INT n (target/i386/tcg/excp_helper.c, raise_interrupt2()), nor does it arm debug registers by VMRUN. So the
        breakpoints are found by stepping there, and the test says so; on a machine that has more it takes that."""
        program = str(BIN / "ringfence_vmm_test")
        image = self.here / "loop.bin"
        image.write_bytes(self.LOOP)
        script = self.here / "breakpoints.sh"
        script.write_text(f"{program} --gtest_filter='Breakpoints.*:DebugLimits.*' 2>&1\necho tests $?\n"
                          f"ringfence vm run {image} --break 3 --break 6 --timeout 120 2>&1\necho guest $?\n")
        got = run(RINGFENCE, "kernels", "exec", "--kernel", NEW, *self.SLOW_DAY, "--vmm", "qemu-tcg", "--cpus", "1",
                  "--with", f"{program},{image},{script}", "--", "sh", str(script))
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        self.assertIn("tests 0", got.stdout)
        self.assertIn("guest 7", got.stdout)
        self.assertEqual(re.findall(r"(?m)^break (\S+)$", got.stdout), ["0x3"] * 3 + ["0x6"])
        self.assertEqual(re.findall(r"(?m)^rax=.* rcx=0*([0-9a-f]) ", got.stdout), ["3", "2", "1", "0"])
        # What the machine has not is skipped for that reason, and nothing else is.
        skipped = re.findall(r"\[  SKIPPED \] (Breakpoints\.\w+) \(", got.stdout)
        by_int3 = "does not stop at INT3" in got.stdout
        by_registers = "has no debug registers" in got.stdout
        self.assertEqual(sorted(skipped), ["Breakpoints.ADebugRegisterStopsTheGuestThere"] * by_registers +
                         ["Breakpoints.AnInt3StopsTheGuestThere"] * by_int3)
        for name in ("StepsOneInstruction", "AreFoundByStepping", "AnInt3IsInMemoryAndNobodySeesIt",
                     "TheInstructionBeneathAnInt3IsExecuted"):
            self.assertIn(f"[       OK ] Breakpoints.{name} ", got.stdout)


class Witness(Machines):
    """The witness's table of denials in machines, by what this host may lack: fexit, kprobes and
    programs of type lsm, which also say no there in each hook that the witness sees.

    For each: the rungs that are passed over, and the programs that must have been taken then."""

    PROGRAM = str(BIN / "ringfence_witness_test")

    def witness_test(self, kernel, avoid, taken, cmdline="", tests="Denials.All"):
        got = run(RINGFENCE, "kernels", "exec", "--kernel", kernel, *self.SLOW_DAY,
                  *(("--cmdline", cmdline) if cmdline else ()), "--with", self.PROGRAM, "--", "env",
                  "RINGFENCE_TEST_DISPOSABLE=1", f"RINGFENCE_TEST_AVOID={avoid}",
                  f"RINGFENCE_TEST_TAKEN={taken}", self.PROGRAM,
                  f"--gtest_filter={tests}:Rungs.OneOfEachHookIsTakenAndLoads:SecurityHooks.*",
                  "--gtest_brief=1", timeout=900)
        print(got.stdout[-3000:])
        self.assertEqual(got.returncode, 0, got.stdout[-4000:] + got.stderr[-1000:])
        self.assertRegex(got.stdout, r"\[  PASSED  \] [1-9][0-9]* tests?\.")
        self.assertNotIn("SKIPPED", got.stdout)
        return got.stdout

    def by_modules(self, kernel, avoid, taken, **layers):
        """With the layers that the rows of programs of type lsm are put down to, all of them."""
        out = self.witness_test(kernel, avoid, taken)
        line = next(line for line in out.splitlines() if line.startswith("modules: "))
        want = {name.replace("_", "."): n for name, n in layers.items()}
        self.assertEqual(dict((name, int(n)) for name, n in re.findall(r"  (\S+) (\d+)", line)), want)
        self.assertIn(f"{sum(want.values())} rows, 0 skipped", line)

    FEXIT = "cap__fexit,lsm__fexit,lsm_landlock__fexit,lsm_bpf__fexit"
    KPROBES = "cap__kretprobe,capargs__kprobe,lsm__kretprobe,lsm_landlock__kretprobe"

    def test_6_1_by_fexit(self):
        self.by_modules(OLD, "", self.FEXIT, lsm_bpf=15)

    def test_6_1_by_kprobes(self):
        self.by_modules(OLD, "fexit,lsm", self.KPROBES, lsm=14, unattributed=1)

    def test_6_1_by_lsm_programs(self):
        self.by_modules(OLD, "fexit", self.KPROBES + ",lsm_bpf__lsm", lsm_bpf=13, lsm=1, unattributed=1)

    def test_6_12_by_fexit(self):
        self.by_modules(NEW, "", self.FEXIT, lsm_bpf=15)

    def test_6_12_by_kprobes(self):
        self.by_modules(NEW, "fexit,lsm", self.KPROBES, lsm=14, unattributed=1)

    def test_6_12_by_lsm_programs(self):
        self.by_modules(NEW, "fexit", self.KPROBES + ",lsm_bpf__lsm", lsm_bpf=13, lsm=1, unattributed=1)

    def test_locked_down(self):
        for kernel in (OLD, NEW):
            with self.subTest(kernel):
                self.witness_test(kernel, "", self.FEXIT, "lockdown=integrity",
                                  "Denials.ByAKernelThatIsLockedDown")


class Fields(Machines):
    """The fields of a policy that have a test of the spawner's for their id, in machines with a unified
    cgroup v2: AppArmor, swap, loop devices, a cost model of block I/O, huge pages. SELinux is another
    machine's, since a kernel lets only one of the two label a program."""

    PROGRAM = str(BIN / "ringfence_spawn_test")
    TESTS = ["Scheduling.*", "Label.*", "MountLabel.*", "CgroupFields.*", "CgroupPath.*", "Filter.*", "Supervisor.*",
             "Copies.*", "Tmpfs.*", "Terminal.*", "SpawnNetworkDevices.*", "SandboxPoolTest.*", "LandlockSpawn.*", "Securebits.*",
             "SpawnHooks.*", "CgroupIo.WritesAreThrottledByDevice",
             *(f"Isolation.{name}" for name in (
                 "EachNamespaceAlone", "AllNamespacesAndMaps", "FiveCapabilitySetsEachBySetAlone",
                 "IdsGroupsSessionAndDescriptors", "EveryRlimitAndTheUmask", "AccessTimesOfMounts"))]
    # Swap on a loop device over memory that is not swapped itself.
    SCRIPT = r"""
set -e
insmod /lib/modules/ringfence/loop.ko
insmod /lib/modules/ringfence/bfq.ko
mkdir -p /swap /var/tmp /usr/bin /lib /lib64
mount -t ramfs none /swap
dd if=/dev/zero of=/swap/file bs=1M count=96 2>/dev/null
losetup /dev/loop7 /swap/file
mkswap /dev/loop7 >/dev/null
swapon /dev/loop7
exec "$@"
"""

    # Hierarchies of v1 for what v2 does not have; memory only where v2 has let go of it.
    V1_SCRIPT = r"""
set -e
mkdir -p /v1/net /v1/memory
mount -t cgroup -o net_cls,net_prio none /v1/net
if echo -memory > /sys/fs/cgroup/cgroup.subtree_control; then
    mount -t cgroup -o memory none /v1/memory || echo no memory on v1
fi
exec "$@"
"""

    # Software RDMA is in the generic flavour alone.
    GENERIC = "debian:6.1.*[0-9]-amd64"
    RDMA_SCRIPT = r"""
set -e
for module in udp_tunnel ip6_udp_tunnel ib_core ib_uverbs crc32_generic rdma_rxe; do
    insmod /lib/modules/ringfence/$module.ko
done
rdma link add rxe0 type rxe netdev lo
exec "$@"
"""

    def spawn_test(self, kernel, tests, cmdline="", text=SCRIPT, modules="loop,bfq,tcp_diag", also=""):
        script = self.here / "fields.sh"
        script.write_text(text)
        got = run(RINGFENCE, "kernels", "exec", "--kernel", kernel, *self.SLOW_DAY, "--vmm", "qemu-tcg",
                  *(("--cmdline", cmdline) if cmdline else ()), "--modules", modules, "--with",
                  f"{script},{self.PROGRAM}{also}", "--", "env", "RINGFENCE_TEST_DISPOSABLE=1", "sh", str(script),
                  self.PROGRAM, "--gtest_filter=" + ":".join(tests), "--gtest_brief=1", timeout=900)
        print(got.stdout[-3000:])
        self.assertEqual(got.returncode, 0, got.stdout[-4000:] + got.stderr[-1000:])
        self.assertRegex(got.stdout, r"\[  PASSED  \] [1-9][0-9]* tests?\.")
        return got.stdout

    def test_6_1(self):
        out = self.spawn_test(OLD, self.TESTS)
        self.assertEqual(sorted(re.findall(r"(?m)^(?:needs|host-lacks):.*", out)),
                         ["host-lacks:lsm:selinux"] * 2 + ["host-lacks:rdma device"])

    def test_6_12(self):
        out = self.spawn_test(NEW, self.TESTS)
        self.assertEqual(sorted(re.findall(r"(?m)^(?:needs|host-lacks):.*", out)),
                         ["host-lacks:lsm:selinux"] * 2 + ["host-lacks:rdma device"])

    def test_v1_6_1(self):
        out = self.spawn_test(OLD, ["CgroupV1.*"], text=self.V1_SCRIPT)
        self.assertEqual(re.findall(r"(?m)^(?:needs|host-lacks):.*", out), ["host-lacks:cgroup:cpu.rt_runtime_us"] * 2)

    def test_v1_6_12(self):
        out = self.spawn_test(NEW, ["CgroupV1.*"], text=self.V1_SCRIPT)
        self.assertEqual(sorted(set(re.findall(r"(?m)^(?:needs|host-lacks):.*", out))), [
            "host-lacks:cgroup:cpu.rt_runtime_us", "host-lacks:cgroup:memory.oom_control",
            "host-lacks:cgroup:memory.swappiness"])

    def test_rdma_6_1(self):
        rdma = shutil.which("rdma")
        if rdma is None:
            self.skipTest("host-lacks:rdma")
        if Fetch.lacks_package(Fetch.uname(self.GENERIC)):
            self.skipTest("host-lacks:package:" + self.GENERIC)
        out = self.spawn_test(self.GENERIC, ["CgroupFields.Rdma*"], text=self.RDMA_SCRIPT,
                              modules="rdma_rxe,crc32_generic", also="," + rdma)
        self.assertNotIn("SKIPPED", out)

    def test_selinux_6_1(self):
        out = self.spawn_test(OLD, ["Label.SelinuxLabel", "Label.MountLabel"], "lsm=capability,selinux selinux=1")
        self.assertNotIn("SKIPPED", out)


class StepDrop(Machines):
    """Every confining step of every built-in profile, dropped under a kernel with cgroup v2 alone: its case must
    say that it was breached."""

    DATA = ROOT / "suites/data"

    def program(self, name, tests, *data, kernel=OLD):
        program = str(BIN / name)
        seccomp = pathlib.Path("/usr/share/containers/seccomp.json")
        given = [program, *(str(self.DATA / d) for d in data), *([str(seccomp)] if seccomp.exists() else [])]
        # Memory for those that fill it without the limit that is dropped: the machine's disk is in it.
        got = run(RINGFENCE, "kernels", "exec", "--kernel", kernel, *self.SLOW_DAY, "--memory", "3072", "--with",
                  ",".join(given), "--", program, "--gtest_brief=1", f"--gtest_filter={tests}", timeout=1100)
        print(got.stdout[-3000:])
        self.assertEqual(got.returncode, 0, got.stdout[-8000:] + got.stderr[-1000:])
        self.assertRegex(got.stdout, r"\[  PASSED  \] [1-9][0-9]* tests?\.")
        return got.stdout

    def test_every_step_of_every_profile_is_needed(self):
        out = self.program("ringfence_step_drop_test", "DropStepOf*:ExemptSteps*:StepDrop*", "exempt_steps.json")
        lines = re.findall(r"(?m)^(\S+): (\d+) steps, .* (\d+) confining: (\d+) exercised, (\d+) on a stand-in, "
                           r"(\d+) absent here$", out)
        self.assertIn("hardened", [line[0] for line in lines])
        for name, _, confining, *counts in lines:
            self.assertEqual(sum(map(int, counts)), int(confining), name)


if __name__ == "__main__":
    chosen = sys.argv[1:] or None
    result = unittest.main(argv=[sys.argv[0], "-v", *(chosen or [])], exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    ran = result.testsRun - len(result.skipped)
    if result.skipped and ran <= 0:
        print(result.skipped[0][1])
        sys.exit(77)
