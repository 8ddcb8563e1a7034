#!/usr/bin/env python3
"""ringfence trace on real processes and real containers.

usage: trace.py [TestClass...]     with $RINGFENCE_BIN, the directory of the programs.
Exits 77 when everything that was asked for was skipped; the last line says why.
"""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RINGFENCE = os.path.abspath(
    os.path.join(os.environ.get("RINGFENCE_BIN", ROOT / "build/release/bin"), "ringfence"))
SCHEMA = ROOT / "reports/schema/ringfence-trace-1.schema.json"
CONTAINERS_PROFILE = pathlib.Path("/usr/share/containers/seccomp.json")

# What the container does, by its first argument. Static and without threads.
PROGRAM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  long r = 0;
  if (!strcmp(what, "chroot")) {
    for (int i = 0; i < 3; ++i) r = chroot("/");
  } else if (!strcmp(what, "perf")) {
    for (int i = 0; i < 12; ++i) r = syscall(SYS_perf_event_open, 0, 0, -1, -1, 0);
  } else if (!strcmp(what, "write")) {
    r = open("/made", O_WRONLY | O_CREAT, 0600);
  } else if (!strcmp(what, "child")) {
    if (fork() == 0) _exit(chroot("/proc") != 0);
    wait(0);
  } else if (!strcmp(what, "quiet")) {
    (void)!open("/nowhere", O_RDONLY);
  } else if (!strcmp(what, "wait")) { /* for one byte, then is denied; each in a child, too */
    char byte;
    const pid_t pid = fork();
    if (pid > 0) puts("ready"), fflush(stdout);
    if (read(0, &byte, 1) < 0) return 1;
    r = chroot(pid == 0 ? "/proc" : "/sys");
    if (pid > 0) wait(0);
    else _exit(0);
  } else if (!strcmp(what, "storm")) { /* more than the ring has room for, after one byte */
    char byte;
    if (read(0, &byte, 1) < 0) return 1;
    for (int i = 0; i < 60000; ++i) (void)!chroot("/proc");
    puts("done");
  } else if (!strcmp(what, "signal")) {
    for (;;) pause();
  } else {
    return atoi(what);
  }
  if (r < 0) printf("%s: %s\n", what, strerror(errno));
  return r < 0 ? 3 : 0;
}
"""


class Trace(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="ringfence-trace-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.here = pathlib.Path(cls.directory.name)
        cls.rootfs = cls.here / "rootfs"
        for name in ("proc", "dev", "sys"):
            (cls.rootfs / name).mkdir(parents=True)
        cls.program = cls.rootfs / "program"
        source = cls.here / "program.c"
        source.write_text(PROGRAM)
        built = subprocess.run(["gcc", "-static", "-O1", "-o", cls.program, source], text=True,
                               capture_output=True, check=False)
        if built.returncode != 0:
            raise unittest.SkipTest("no static C program can be built: " + built.stderr[-200:])
        probe = cls.trace("--", cls.program, "0")
        if probe.returncode == 2 and "eBPF" in probe.stderr:
            raise unittest.SkipTest("needs:bpf " + probe.stderr.splitlines()[0])

    @classmethod
    def trace(cls, *args, **options):
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
        return subprocess.run([RINGFENCE, "trace", *map(str, args)], text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, cwd=cls.here,
                              env=environment, timeout=120, **options)

    def records(self, text):
        self.assertTrue(text.endswith("\n"), text)
        records = [json.loads(line) for line in text.splitlines()]
        self.assertEqual(records[0]["type"], "trace")
        self.assertEqual(records[-1]["type"], "summary")
        return records

    def bundle(self, name, arguments, capabilities, seccomp=None, codes=(0, 3)):
        if not shutil.which("runc"):
            self.skipTest("needs:runc")
        directory = self.here / name
        directory.mkdir()
        subprocess.run(["runc", "spec", "--bundle", directory], check=True)
        config = json.loads((directory / "config.json").read_text())
        config["root"] = {"path": str(self.rootfs), "readonly": True}
        config["process"].update(terminal=False, args=["/program", *arguments])
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] = capabilities
        if seccomp:
            config["linux"]["seccomp"] = seccomp
        (directory / "config.json").write_text(json.dumps(config))
        plain = subprocess.run(["runc", "run", "--bundle", directory, f"rf-{os.getpid()}-{name}-0"],
                               text=True, capture_output=True, check=False,
                               stdin=subprocess.DEVNULL, timeout=120)
        # What the program itself says of it, without the trace.
        if plain.returncode not in codes:
            self.skipTest("runc does not work here: " + plain.stderr[-200:])
        return directory, plain

    def run_in(self, directory, name, *options):
        return self.trace(*options, "--", "runc", "run", "--bundle", directory,
                          f"rf-{os.getpid()}-{name}-1")


class Command(Trace):
    def test_the_exit_code_is_the_commands(self):
        for code in (0, 1, 42):
            done = self.trace("--", self.program, code)
            self.assertEqual(done.returncode, code, done.stderr)
        killed = self.trace("--", "/bin/sh", "-c", "kill -9 $$")
        self.assertEqual(killed.returncode, 128 + signal.SIGKILL)
        missing = self.trace("--", "/nowhere/program")
        self.assertEqual(missing.returncode, 127)
        self.assertIn("/nowhere/program", missing.stderr)
        self.assertEqual(self.trace("--", "/proc").returncode, 126)

    def test_the_streams_are_the_commands(self):
        done = self.trace("--", "/bin/sh", "-c", "echo out; echo err >&2")
        self.assertEqual(done.stdout, "out\n")
        self.assertIn("err\n", done.stderr)
        to_file = self.trace("-o", "trace.txt", "--", "/bin/sh", "-c", "echo err >&2")
        self.assertEqual(to_file.stderr, "err\n")
        self.assertIn("nothing was denied", (self.here / "trace.txt").read_text())

    def test_what_is_not_there_is_shown_on_demand_only(self):
        quiet = self.trace("--", self.program, "quiet")
        self.assertIn("nothing was denied", quiet.stderr)
        self.assertNotIn("/nowhere", quiet.stderr)
        everything = self.trace("--all", "--", self.program, "quiet")
        self.assertIn('"/nowhere", O_RDONLY) = ENOENT', everything.stderr)
        self.assertIn("nothing was denied", everything.stderr)

    def test_nothing_is_lost_and_no_one_else_is_seen(self):
        for _ in range(10):
            records = self.records(self.trace("--json", "--", self.program, "quiet").stderr)
            self.assertEqual(records[-1]["lost"], 0, records[-1])
            self.assertEqual(records[-1]["denials"], 0, records)

    def test_the_first_instruction_and_children_are_watched(self):
        drop = ["setpriv", "--bounding-set", "-sys_chroot", "--inh-caps", "-all"]
        if not shutil.which("setpriv"):
            self.skipTest("needs:setpriv")
        done = self.trace("--json", "--", *drop, self.program, "child")
        denials = [r for r in self.records(done.stderr) if r["type"] == "denial"]
        self.assertEqual([(d["operation"], d["layer"]) for d in denials],
                         [('chroot("/proc")', "cap.SYS_CHROOT")], done.stderr)

    def test_json_follows_the_schema(self):
        (self.here / "trace.jsonl").write_text(
            self.trace("--json", "--all", "--", self.program, "quiet").stderr)
        checked = subprocess.run(
            [sys.executable, "-B", ROOT / "reports/check_schema.py", "--schema", SCHEMA,
             self.here / "trace.jsonl"], text=True, capture_output=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_a_signal_goes_to_the_command_and_the_summary_follows(self):
        with subprocess.Popen([RINGFENCE, "trace", "--", self.program, "signal"], text=True,
                              stderr=subprocess.PIPE) as tracer:
            children = pathlib.Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children")
            until = time.monotonic() + 60
            while not children.read_text().strip() and time.monotonic() < until:
                time.sleep(0.01)
            tracer.send_signal(signal.SIGINT)
            _, said = tracer.communicate(timeout=60)
        self.assertEqual(tracer.returncode, 128 + signal.SIGINT, said)
        self.assertIn("nothing was denied", said)

    def test_what_was_lost_is_said(self):
        if not shutil.which("setpriv"):
            self.skipTest("needs:setpriv")
        drop = ["setpriv", "--bounding-set", "-sys_chroot", "--inh-caps", "-all"]
        with subprocess.Popen([RINGFENCE, "trace", "--", *drop, self.program, "storm"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as tracer:
            children = pathlib.Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children")
            until = time.monotonic() + 60
            while not children.read_text().strip() and time.monotonic() < until:
                time.sleep(0.01)
            # A tracer that does not read; the command goes on.
            tracer.send_signal(signal.SIGSTOP)
            tracer.stdin.write("x")
            tracer.stdin.close()
            self.assertEqual(tracer.stdout.readline(), "done\n")
            tracer.send_signal(signal.SIGCONT)
            said = tracer.stderr.read()
        self.assertEqual(tracer.returncode, 0, said)
        lost = re.search(r"(\d+) events lost: the list may be incomplete", said)
        seen = re.search(r"CAP_SYS_CHROOT \((\d+) denials", said)
        self.assertTrue(lost and seen, said)
        # Each refused call is two events at most: the check, and its end.
        self.assertGreaterEqual(int(lost[1]) + int(seen[1]), 60000, said)
        self.assertLess(int(seen[1]), 60000, said)

    def test_without_the_privilege_for_bpf(self):
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("needs:root")
        drop = ["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin", "--inh-caps", "-all"]
        done = subprocess.run([*drop, RINGFENCE, "trace", "--", self.program, "0"], text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("eBPF", done.stderr)
        self.assertIn("CAP_BPF", done.stderr)


class Present(Trace):
    """--pid and --container: what was there before the trace."""

    def ends_denied(self, child, scope):
        """Traces `scope`; lets the child and its child go on; the records."""
        with subprocess.Popen([RINGFENCE, "trace", "--json", *scope], text=True,
                              stdout=subprocess.PIPE) as tracer:
            # The first line comes when the scope is in force.
            self.assertTrue(select.select([tracer.stdout], [], [], 60)[0])
            first = tracer.stdout.readline()
            child.stdin.write("xx")
            child.stdin.close()
            child.wait(timeout=60)
            rest, _ = tracer.communicate(timeout=60)
        self.assertEqual(tracer.returncode, 0, first + rest)
        return self.records(first + rest)

    def test_a_process_and_the_children_that_it_has(self):
        if not shutil.which("setpriv"):
            self.skipTest("needs:setpriv")
        drop = ["setpriv", "--bounding-set", "-sys_chroot", "--inh-caps", "-all"]
        with subprocess.Popen([*drop, self.program, "wait"], text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as child:
            self.assertEqual(child.stdout.readline(), "ready\n")
            records = self.ends_denied(child, ["--pid", str(child.pid)])
        denials = sorted(r["operation"] for r in records if r["type"] == "denial")
        self.assertEqual(denials, ['chroot("/proc")', 'chroot("/sys")'], records)
        # Both were in read(2) when the trace began: no denial, and no loss.
        self.assertEqual(records[-1]["lost"], 0, records[-1])

    def test_a_container_of_runc(self):
        directory, _ = self.bundle("present", ["0"], [])
        config = json.loads((directory / "config.json").read_text())
        config["process"]["args"] = ["/program", "wait"]
        (directory / "config.json").write_text(json.dumps(config))
        name = f"rf-{os.getpid()}-present-1"
        with subprocess.Popen(["runc", "run", "--bundle", directory, name], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            self.assertEqual(child.stdout.readline(), "ready\n")
            records = self.ends_denied(child, ["--container", name])
        self.assertIn("state.json", records[0]["scope"])
        denials = sorted((r["operation"], r["layer"]) for r in records if r["type"] == "denial")
        self.assertEqual(denials, [('chroot("/proc")', "cap.SYS_CHROOT"),
                                   ('chroot("/sys")', "cap.SYS_CHROOT")], records)
        self.assertEqual(records[-1]["lost"], 0, records[-1])

    def test_what_is_not_there(self):
        missing = self.trace("--container", "no-such-container")
        self.assertEqual(missing.returncode, 64)
        self.assertIn("/run/runc", missing.stderr)
        gone = self.trace("--pid", "4194304")
        self.assertEqual(gone.returncode, 64)
        self.assertIn("4194304", gone.stderr)


class Runc(Trace):
    """The container's init leaves the groups of its parents; it is followed."""

    def test_names_the_missing_capability(self):
        directory, plain = self.bundle("chroot", ["chroot"], ["CAP_KILL"])
        self.assertEqual(plain.stdout, "chroot: Operation not permitted\n")
        done = self.run_in(directory, "chroot")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, r'program\[\d+\] +chroot\("/"\) = EPERM +cap\.SYS_CHROOT')
        self.assertIn("missing capability: CAP_SYS_CHROOT (3 denials: chroot)", done.stderr)
        self.assertNotIn("lost", done.stderr)
        self.assertEqual(done.stderr.count('chroot("/")'), 2)  # the first, and the count

    def test_a_capability_that_is_there_is_not_named(self):
        directory, plain = self.bundle("chroot-held", ["chroot"], ["CAP_SYS_CHROOT"])
        self.assertEqual(plain.returncode, 0, plain.stdout)
        done = self.run_in(directory, "chroot-held")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("CAP_SYS_CHROOT", done.stderr)

    def test_names_seccomp_for_the_containers_profile(self):
        if not CONTAINERS_PROFILE.exists():
            self.skipTest(f"host-lacks:path:{CONTAINERS_PROFILE}")
        shown = subprocess.run([RINGFENCE, "policy", "show", "podman-default"], text=True,
                               capture_output=True, check=False)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        seccomp = json.loads(shown.stdout)["linux"]["seccomp"]
        directory, plain = self.bundle("perf", ["perf"], ["CAP_KILL"], seccomp)
        self.assertEqual(plain.stdout, "perf: Operation not permitted\n")
        done = self.run_in(directory, "perf")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, r"program\[\d+\] +perf_event_open\(\) = EPERM +seccomp")
        self.assertIn("seccomp: perf_event_open (12)", done.stderr)
        self.assertNotIn("missing capability", done.stderr)
        # Without the filter the same call is not refused by one.
        bare, _ = self.bundle("perf-bare", ["perf"], ["CAP_KILL"])
        self.assertNotIn("seccomp:", self.run_in(bare, "perf-bare").stderr)

    def test_a_filter_that_kills_is_told_of_once(self):
        kills = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                 "syscalls": [{"names": ["perf_event_open"], "action": "SCMP_ACT_KILL"}]}
        code = 128 + signal.SIGSYS
        directory, _ = self.bundle("kill", ["perf"], ["CAP_KILL"], kills, (code,))
        done = self.run_in(directory, "kill")
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, r"perf_event_open\(\) = SIGSYS +seccomp")
        self.assertIn("seccomp: perf_event_open (1)\n", done.stderr)

    def test_names_the_read_only_root(self):
        directory, _ = self.bundle("write", ["write"], ["CAP_KILL"])
        done = self.run_in(directory, "write")
        self.assertIn("read-only mount: open", done.stderr)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    result = program.result
    if result.wasSuccessful() and result.skipped and \
            len(result.skipped) >= max(result.testsRun, 1):
        print(result.skipped[0][1])
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
