#!/usr/bin/env python3
"""The command line of ringfence, as its users meet it: bad input, help, pipes, reports, exit codes.

usage: command_line.py [TestClass...]     with $RINGFENCE_BIN, the directory of the programs.
Cases that a host cannot run are skipped there; everything else runs everywhere.
"""
import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RINGFENCE = os.path.abspath(
    os.path.join(os.environ.get("RINGFENCE_BIN", ROOT / "build/release/bin"), "ringfence"))
MALFORMED = sorted((ROOT / "suites/data/policies/malformed").glob("*.json"))
CHECK_SCHEMA = [sys.executable, "-B", str(ROOT / "reports/check_schema.py")]
COMMANDS = ["run", "list", "doctor", "explain", "diff", "policy", "policy show", "policy check",
            "policy list", "plan", "spawn", "trace", "kernels", "vm", "vm run",
            "kernels run", "kernels exec", "completion"]
USAGE = 64
# Quick cases that need nothing but the right to make a decoy host.
SOME = ["uts.hostname", "pid.signal_host_process"]


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="ringfence-cli-")
        self.addCleanup(self.directory.cleanup)
        self.here = pathlib.Path(self.directory.name)

    def ringfence(self, *args, **options):
        # Colour and width must not depend on who runs the tests.
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
        return subprocess.run([RINGFENCE, *map(str, args)], cwd=self.here, text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, env=environment,
                              timeout=120, **options)

    def files(self):
        return sorted(str(p.relative_to(self.here)) for p in self.here.rglob("*"))

    def refuses(self, args, *words):
        """Exit 64, one line on standard error with all of `words`, nothing else, nothing created."""
        before = self.files()
        done = self.ringfence(*args)
        said = f"{' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}"
        self.assertEqual(done.returncode, USAGE, said)
        self.assertEqual(len(done.stderr.splitlines()), 1, said)
        self.assertTrue(done.stderr.startswith("ringfence"), said)
        self.assertEqual(done.stdout, "", said)
        for word in words:
            self.assertIn(word, done.stderr, said)
        self.assertEqual(self.files(), before, said)
        return done.stderr

    def write(self, name, content):
        path = self.here / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return name

    def cases(self, name):
        records = map(json.loads, (self.here / name).read_text().splitlines())
        return [r for r in records if r["type"] == "case"]

    def profile(self, name="docker-default"):
        shown = self.ringfence("policy", "show", name)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        return json.loads(shown.stdout)

    def run_some(self, *args):
        done = self.ringfence("run", *SOME, *args)
        if done.returncode == 4:
            self.skipTest("no case can run on this host")
        return done


class BadInput(CommandLine):
    def test_policies(self):
        self.write("cut.json", json.dumps(self.profile(), indent=2)[:1000])
        wrong = self.profile()
        wrong["process"]["noNewPrivileges"] = "yes"
        self.write("type.json", wrong)
        unknown = self.profile()
        unknown["process"]["capabilities"]["bounding"].append("CAP_SYS_ADMINN")
        self.write("capability.json", unknown)
        malformed = self.profile()
        malformed["linux"]["seccomp"]["syscalls"][0]["names"].append("not a name")
        self.write("syscall.json", malformed)
        other = self.profile()
        other["linux"]["seccomp"]["architectures"] = ["SCMP_ARCH_AARCH64"]
        self.write("other.json", other)
        for command in (["run", "--policy"], ["policy", "check"], ["plan"], ["policy", "show"]):
            self.refuses([*command, "missing.json"], "missing.json", "no such", "docker-default")
            self.refuses([*command, "cut.json"], "cut.json:", "JSON")
            self.refuses([*command, "type.json"], "type.json", "/process/noNewPrivileges", "string")
            self.refuses([*command, "capability.json"], "/process/capabilities/bounding/",
                         "CAP_SYS_ADMINN", "did you mean CAP_SYS_ADMIN?")
            self.refuses([*command, "syscall.json"], "/linux/seccomp/syscalls/0/names/",
                         "not a name", "letters, digits and underscores")
            self.refuses([*command, "other.json"], "/linux/seccomp/architectures",
                         "SCMP_ARCH_X86_64")
            self.refuses([*command, "docker-defualt"], "docker-defualt",
                         "did you mean docker-default?")
            self.refuses([*command, "/"], "Is a directory")
        self.refuses(["spawn", "--policy", "cut.json", "--", "true"], "cut.json:")

    def test_every_malformed_policy(self):
        self.assertGreaterEqual(len(MALFORMED), 74)
        for path in MALFORMED:
            for command in (["run", "--policy"], ["policy", "check"], ["plan"]):
                said = self.refuses([*command, path], path.name)
                where = re.search(re.escape(path.name) + r":(\d+:\d+|\d+|\s*/\S*| )", said)
                self.assertTrue(where, said)

    def test_a_report_is_not_created_for_a_policy_that_cannot_be_read(self):
        for path in MALFORMED[:5]:
            self.refuses(["run", "--report", "jsonl=out.jsonl", "--policy", path], path.name)

    def test_rootfs(self):
        self.refuses(["run", "--policy", "none", "--rootfs", "nowhere"], "--rootfs", "nowhere",
                     "directory")
        self.refuses(["plan", "none", "--rootfs", "nowhere"], "--rootfs", "nowhere", "directory")
        self.refuses(["spawn", "--rootfs", "nowhere", "--", "true"], "--rootfs", "nowhere")
        self.write("file", "")
        self.refuses(["run", "--policy", "none", "--rootfs", "file"], "--rootfs", "directory")
        self.refuses(["run", "--rootfs", "/tmp"], "--rootfs", "--policy")

    def test_names(self):
        self.refuses(["run", "uts.hostnam"], "uts.hostnam", "did you mean 'uts.hostname'?")
        self.refuses(["run", "uts.hostname", "quite.different/*"], "quite.different/*",
                     "ringfence list")
        self.refuses(["list", "uts.hostnam"], "did you mean 'uts.hostname'?")
        self.refuses(["runn"], "unknown command 'runn'", "did you mean 'run'?")
        self.refuses(["policy", "shw", "none"], "did you mean 'show'?", "ringfence policy --help")
        self.refuses(["run", "--jbos", "3"], "--jbos", "did you mean '--jobs'?",
                     "ringfence run --help")
        self.refuses(["run", "--jbos=3"], "did you mean '--jobs'?")
        self.refuses(["--job", "3"], "--job")
        self.refuses(["run", "--suite", "fulll"], "--suite", "fulll", "default", "full")
        self.refuses(["completion", "bsh"], "bsh", "bash", "zsh", "fish")
        self.refuses(["doctor", "extra"], "extra")

    def test_values(self):
        self.refuses(["run", "--jobs", "0"], "--jobs", "0", "1", "4096")
        self.refuses(["run", "--jobs", "many"], "--jobs", "many", "1", "4096")
        self.refuses(["run", "--timeout", "0"], "--timeout", "0.01")
        for number in ("nan", "-nan", "NaN"):
            self.refuses(["run", "--timeout", number], "--timeout", "must be a number")
        self.refuses(["run", "--min-held", "-1"], "--min-held", "-1")
        self.refuses(["run", "--seed", "x"], "--seed", "x")
        for shard in ("3/2", "0/2", "x", "1", "1/", "1/2x", "-1/2"):
            self.refuses(["run", "--shard", shard], "--shard", shard, "I/N with 1 <= I <= N")
        self.refuses(["run", "--require", "kvmm"], "kvmm", "did you mean kvm?")
        self.refuses(["run", "--require", "root,kvmm"], "kvmm")
        self.refuses(["run", "--require", ","], "--require", "no facility")
        self.refuses(["run", "-q", "-v"], "--quiet", "--verbose")
        self.refuses(["run", "--expect-skips", "nowhere"], "--expect-skips", "nowhere",
                     "GLOB REASON")
        self.write("skips.txt", "limit.* needs:cgroup2\nonly-a-glob\n")
        self.refuses(["run", "--expect-skips", "skips.txt"], "skips.txt:2", "GLOB REASON")

    def test_a_variable_that_is_empty_is_no_default(self):
        for option in ("--policy", "--rootfs", "--expect-skips", "--shard", "--require", "--report"):
            self.refuses(["run", option, ""], option)

    def test_reports(self):
        self.refuses(["run", "--report", "junt=x"], "junt", "did you mean 'junit'?", "jsonl", "ktap")
        self.refuses(["run", "--report", "jsonl"], "jsonl", "FORMAT=PATH")
        self.refuses(["run", "--report", "jsonl="], "FORMAT=PATH")
        self.refuses(["run", "--report", "jsonl=no/such/x"], "no/such/x", "ENOENT",
                     "a path that can be written")
        self.refuses(["run", "--report", "jsonl=/"], "EISDIR")
        # The good one before the bad one is not left behind, whatever is bad.
        for bad in (["--report", "bogus=b"], ["--report", "junit=no/such/x"], ["--jobs", "0"],
                    ["--require", "kvmm"], ["no.such.case"], ["--report", "ktap=out.jsonl"]):
            self.refuses(["run", "--report", "jsonl=out.jsonl", *bad])
        # A report that was there before stays as it was.
        self.write("old.jsonl", "precious\n")
        self.refuses(["run", "--report", "jsonl=old.jsonl", "--report", "bogus=b"])
        self.assertEqual((self.here / "old.jsonl").read_text(), "precious\n")

    def test_missing_arguments(self):
        self.refuses([], "subcommand")
        self.refuses(["policy"], "subcommand", "ringfence policy --help")
        self.refuses(["policy", "show"], "policy", "ringfence policy show --help")
        self.refuses(["spawn"], "command")
        self.refuses(["plan"], "policy")
        self.refuses(["explain", "x"], "case")
        self.refuses(["diff", "x"], "new")
        self.refuses(["trace"], "-- CMD", "--pid PID", "--container ID")

    def test_trace(self):
        self.refuses(["trace", "--contaner", "x"], "did you mean '--container'?")
        self.refuses(["trace", "--pid", "1", "--container", "x"], "--pid", "--container")
        self.refuses(["trace", "--pid", "0"], "--pid")
        self.refuses(["trace", "--pid", "1", "--", "true"], "-- CMD", "--pid PID")
        self.refuses(["trace", "--container", ""], "--container")
        self.refuses(["trace", "--container", "no-such-container"], "no-such-container",
                     "/run/runc")

    def test_kernels(self):
        self.refuses(["kernels"], "subcommand")
        self.refuses(["kernels", "rum"], "did you mean 'run'?", "ringfence kernels --help")
        self.refuses(["kernels", "run"], "--kernel")
        self.refuses(["kernels", "exec", "--kernel", "running"], "command")
        run = ["kernels", "run", *SOME]
        self.refuses([*run, "--kernel", "no/such/vmlinuz"], "--kernel", "no/such/vmlinuz",
                     "debian:PATTERN")
        self.write("vmlinuz", "text\n")
        self.refuses([*run, "--kernel", "vmlinuz"], "vmlinuz", "neither a bzImage")
        (self.here / "empty").mkdir()
        self.refuses([*run, "--kernel", "empty"], "empty", "no kernel in this directory")
        self.write("linux.deb", "!<arch>\n")
        self.refuses([*run, "--kernel", "linux.deb"], "linux.deb")
        # A setting of a machine does not go with the running kernel.
        running = [*run, "--kernel", "running"]
        self.refuses([*running, "--axis", "cpus=1|2"], "--axis", "running")
        self.refuses([*running, "--axis", "cpus"], "--axis", "NAME=VALUE")
        self.refuses([*running, "--sysctl", "kernel.x=1"], "--sysctl", "running")
        self.refuses([*running, "--sysctl", "kernel.x"], "--sysctl", "NAME=VALUE")
        self.refuses([*running, "--vmm", "xen"], "--vmm", "qemu-kvm", "qemu-tcg")
        self.refuses([*running, "--memory", "1"], "--memory")
        self.refuses([*running, "--report", "jsn=x"], "did you mean 'jsonl'?")
        self.refuses(["kernels", "run", "uts.hostnam", "--kernel", "running"],
                     "did you mean 'uts.hostname'?")
        self.refuses(["kernels", "exec", "--kernel", "running", "--kernel", "running", "true"],
                     "2 kernels", "one --kernel")

    def test_result_files(self):
        self.refuses(["explain", "nowhere", "uts.hostname"], "nowhere", "ENOENT")
        self.refuses(["diff", "nowhere", "nowhere"], "nowhere", "ENOENT")
        self.write("bad.jsonl", '{"type": "header"\n')
        self.refuses(["explain", "bad.jsonl", "uts.hostname"], "bad.jsonl:1")
        self.refuses(["diff", "bad.jsonl", "bad.jsonl"], "bad.jsonl:1")
        sample = ROOT / "reports/testdata/sample.jsonl"
        self.refuses(["explain", sample, "limit.pidss"], "did you mean 'limit.pids'?")


class Help(CommandLine):
    def options(self, command):
        """The long options of a command, from what completion offers."""
        script = self.ringfence("completion", "bash").stdout
        found = re.search(rf'^    {command.replace(" ", ":")}\) words="(.*)" ;;$', script, re.M)
        return [w for w in found.group(1).split() if w.startswith("--")] if found else []

    def test_every_command_explains_itself(self):
        for command in COMMANDS:
            done = self.ringfence(*command.split(), "--help")
            self.assertEqual(done.returncode, 0, command)
            self.assertEqual(done.stderr, "")
            self.assertIn(f"ringfence {command}", done.stdout)
            for option in self.options(command):
                self.assertIn(option, done.stdout, command)
            self.assertEqual(self.ringfence(*command.split(), "-h").stdout, done.stdout)
        self.assertGreater(len(self.options("run")), 12)
        self.assertGreater(len(self.options("kernels run")), 12)

    def test_the_list_of_commands_is_complete(self):
        shown = self.ringfence("--help")
        self.assertEqual(shown.returncode, 0)
        section = shown.stdout.split("Subcommands:")[1].split("\n\n")[0]
        names = re.findall(r"^  (\S+)", section, re.M)
        self.assertEqual(sorted(names), sorted(c for c in COMMANDS if " " not in c))
        self.assertIn("64 usage", self.ringfence("run", "--help").stdout)

    def test_version(self):
        shown = self.ringfence("--version")
        self.assertEqual(shown.returncode, 0)
        self.assertRegex(shown.stdout, r"^ringfence \d+\.\d+\.\d+\n$")


class ManPage(CommandLine):
    PAGE = ROOT / "docs/ringfence.1"

    def test_names_every_command_and_option(self):
        # \- and \& are roff's own spelling.
        text = self.PAGE.read_text().replace("\\-", "-").replace("\\&", "")
        macros = re.sub(r"\bFl -", "--", re.sub(r"\bFl (?=\w)", "-", text))
        for command in COMMANDS:
            self.assertRegex(text, rf"\b{command}\b", command)
            shown = self.ringfence(*command.split(), "--help").stdout
            for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", shown)) - {"--help"}:
                self.assertIn(option, macros, f"{command} {option} is not in the man page")
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", macros):
            known = any(option in self.ringfence(*c.split(), "--help").stdout for c in COMMANDS)
            self.assertTrue(known or option in {"--version", "--help"},
                            f"the man page has {option}, which no command knows")

    def test_names_every_profile_format_and_exit_code(self):
        text = self.PAGE.read_text().replace("\\-", "-")
        for line in self.ringfence("policy", "list").stdout.splitlines():
            self.assertIn(line.split()[0], text)
        for word in ("jsonl", "junit", "ktap", "live", "bash", "zsh", "fish", "held", "breached",
                     "unproven", "skipped", "broken"):
            self.assertIn(word, text)
        for code in ("0", "1", "2", "3", "4", "64"):
            self.assertIn(f".It {code}\n", text)

    def test_is_well_formed(self):
        if shutil.which("mandoc"):
            lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", self.PAGE], text=True,
                                  capture_output=True, check=False)
        elif shutil.which("groff"):
            lint = subprocess.run(["groff", "-mdoc", "-ww", "-z", self.PAGE], text=True,
                                  capture_output=True, check=False)
        else:
            self.skipTest("neither mandoc nor groff is here")
        self.assertEqual(lint.stdout + lint.stderr, "")


class Pipes(CommandLine):
    def test_a_reader_that_goes_away(self):
        for command in ("list", "policy show docker-default", "doctor", "plan hardened --syscalls"):
            shell = (f"set -o pipefail; '{RINGFENCE}' {command} 2>err | head -n 1 >out; "
                     "echo ${PIPESTATUS[0]}")
            done = subprocess.run(["bash", "-c", shell], cwd=self.here, text=True,
                                  capture_output=True, check=False, timeout=60)
            self.assertIn(done.stdout, ("0\n", "141\n"), f"{command}: {done.stdout}")
            self.assertEqual((self.here / "err").read_text(), "", command)
            self.assertEqual(len((self.here / "out").read_text().splitlines()), 1, command)

    def test_a_policy_that_was_shown_is_read_again(self):
        for line in self.ringfence("policy", "list").stdout.splitlines():
            name = line.split()[0]
            shown = self.ringfence("policy", "show", name)
            if shown.returncode == 2 and name == "podman-default":
                continue  # the containers package is not installed
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.write("policy.json", shown.stdout)
            checked = self.ringfence("policy", "check", "policy.json")
            self.assertEqual(checked.returncode, 0, checked.stderr)
            self.assertIn("a valid policy", checked.stdout)
            self.assertNotIn("warning", checked.stdout + checked.stderr)

    def test_list(self):
        ids = self.ringfence("list", "--ids").stdout.split()
        self.assertEqual(ids, sorted(ids))
        self.assertGreater(len(ids), 40)
        self.assertEqual(self.ringfence("list", "--ids", "pid.*").stdout.split(),
                         [i for i in ids if i.startswith("pid.")])
        full = self.ringfence("list").stdout
        for case in ids:
            self.assertIn(case, full)

    def test_doctor_json(self):
        done = self.ringfence("doctor", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLessEqual({"can", "facts"}, set(json.loads(done.stdout)))


class Reports(CommandLine):
    def valid(self, path):
        checked = subprocess.run([*CHECK_SCHEMA, path], text=True, capture_output=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]

    def test_jsonl_on_standard_output(self):
        done = self.run_some("--report", "jsonl=-")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.write("out.jsonl", done.stdout)
        records = self.valid(self.here / "out.jsonl")
        self.assertEqual(records[0]["type"], "header")
        self.assertEqual(records[-1]["type"], "summary")
        self.assertEqual(sorted(r["id"] for r in records if r["type"] == "case"), sorted(SOME))
        self.assertIn("held", done.stderr)  # the console

    def test_three_formats_at_once_and_a_glob_after_them(self):
        reports = ["--report", "jsonl=a.jsonl", "--report", "junit=b.xml", "--report", "ktap=c.ktap"]
        done = self.ringfence("run", *reports, *SOME)
        if done.returncode == 4:
            self.skipTest("no case can run on this host")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.valid(self.here / "a.jsonl")
        self.assertIn("<testsuite", (self.here / "b.xml").read_text())
        self.assertTrue((self.here / "c.ktap").read_text().startswith("KTAP version 1"))
        for place in ("a.jsonl", "b.xml", "c.ktap"):
            self.assertIn(place, done.stdout)

    def test_without_the_ebpf_witness_everything_runs_and_says_so(self):
        done = self.run_some("--no-ebpf", "--report", "jsonl=weak.jsonl")
        self.assertEqual(done.returncode, 0, done.stderr)
        note = "no eBPF witness (not_asked_for): verdicts rest on weaker evidence"
        self.assertEqual(done.stdout.count(note), 1, done.stdout)
        records = [json.loads(line) for line in (self.here / "weak.jsonl").read_text().splitlines()]
        self.assertEqual(records[0]["facts"]["witness"], "absent: not_asked_for")
        self.assertEqual(records[-1]["notes"], [note])
        for record in records[1:-1]:
            says = [w["says"] for w in record["witnesses"] if w["name"] == "ebpf"]
            self.assertEqual(says, ["absent: not_asked_for"], record["id"])

    def test_doctor_shows_the_ladder(self):
        text = self.ringfence("doctor").stdout
        for hook in ("enter", "exit", "cap", "signal"):
            self.assertRegex(text, rf"(?m)^  (yes|no )  {hook} ")
        rungs = json.loads(self.ringfence("doctor", "--json").stdout)["witness"]
        for rung in rungs:
            self.assertEqual(rung["loads"], rung["reason"] == "", rung)

    def test_explain_and_diff(self):
        held = self.run_some("--report", "jsonl=held.jsonl")
        self.assertEqual(held.returncode, 0, held.stderr)
        explained = self.ringfence("explain", "held.jsonl", SOME[0])
        self.assertEqual(explained.returncode, 0, explained.stderr)
        for word in (SOME[0], "held", "control", "confined", "liveness", "decided by"):
            self.assertIn(word, explained.stdout)
        followed = self.ringfence("explain", "--follow", "held.jsonl", SOME[0])
        self.assertEqual(followed.stdout, explained.stdout)
        self.refuses(["explain", "--follow", "held.jsonl", "no.such.case"], "ended without it")
        same = self.ringfence("diff", "held.jsonl", "held.jsonl")
        self.assertEqual(same.returncode, 0, same.stdout)
        breached = self.run_some("--policy", "none", "--report", "jsonl=none.jsonl")
        self.assertEqual(breached.returncode, 1)
        changed = self.ringfence("diff", "held.jsonl", "none.jsonl")
        self.assertEqual(changed.returncode, 1, changed.stdout)
        self.assertIn(SOME[0], changed.stdout)
        self.assertIn("breached", changed.stdout)
        as_json = self.ringfence("diff", "--json", "held.jsonl", "none.jsonl")
        self.assertEqual(as_json.returncode, 1)
        self.assertIn(SOME[0], json.dumps(json.loads(as_json.stdout)))

    def test_shards_cover_everything_once(self):
        seen = []
        for index in (1, 2, 3):
            done = self.ringfence("run", "pid.*", "--shard", f"{index}/3", "--report", "jsonl=s.jsonl")
            self.assertIn(done.returncode, (0, 4), done.stdout)
            self.valid(self.here / "s.jsonl")
            seen += [r["id"] for r in self.cases("s.jsonl")]
        self.assertEqual(sorted(seen), self.ringfence("list", "--ids", "pid.*").stdout.split())


class ExitCodes(CommandLine):
    def test_0_held(self):
        self.assertEqual(self.run_some().returncode, 0)

    def test_0_whatever_the_callers_priority(self):
        # Below 0 is for root alone.
        for nice in ("10", "-5")[:2 if os.geteuid() == 0 else 1]:
            done = subprocess.run(["nice", "-n", nice, RINGFENCE, "run", "cap.sys_nice"], text=True,
                                  capture_output=True, check=False, timeout=60)
            self.assertIn(done.returncode, (0, 4), done.stdout)

    def test_1_breached(self):
        done = self.run_some("--policy", "none")
        self.assertEqual(done.returncode, 1, done.stdout)

    def test_1_one_layer_less(self):
        weak = self.profile()
        weak["linux"]["namespaces"] = [n for n in weak["linux"]["namespaces"] if n["type"] != "uts"]
        weak.pop("hostname", None)
        bounding = weak["process"]["capabilities"]
        for kind in bounding:
            if kind != "ambient":
                bounding[kind].append("CAP_SYS_ADMIN")
        weak["linux"].pop("seccomp")
        self.write("weak.json", weak)
        done = self.run_some("--policy", "weak.json", "--report", "jsonl=out.jsonl")
        self.assertEqual(done.returncode, 1, done.stdout)
        verdicts = {r["id"]: r["verdict"] for r in self.cases("out.jsonl")}
        self.assertEqual(verdicts, {"uts.hostname": "breached", "pid.signal_host_process": "held"})

    def test_0_a_bundle_by_its_relative_path(self):
        # Its root and what it binds are where the bundle is, whoever asks from where.
        bundle = self.profile()
        bundle["annotations"].pop("ringfence.root.fresh")
        bundle["root"]["path"] = "rootfs"
        bundle["mounts"].append({"destination": "/data", "type": "bind", "source": "data",
                                 "options": ["bind", "ro"]})
        for name in ("rootfs", "data"):
            (self.here / "bundle" / name).mkdir(parents=True)
        self.write("bundle/config.json", bundle)
        done = self.run_some("--policy", "bundle/config.json")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("does not exist", done.stdout)

    def test_2_unproven(self):
        # Everything is denied but what brings the inmate in and lets it answer. So nothing
        # benign works, either, and a denial proves nothing.
        deny = self.profile("none")
        deny["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["execve", "execveat", "exit", "exit_group", "write", "read",
                                    "sendto", "recvfrom"], "action": "SCMP_ACT_ALLOW"}]}
        self.write("deny.json", deny)
        done = self.run_some("--policy", "deny.json")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("unproven", done.stdout)

    def test_2_a_facility_is_missing(self):
        facts = json.loads(self.ringfence("doctor", "--json").stdout)["facts"]
        missing = [f["name"] for f in facts if not f["available"] and not f.get("info")]
        if not missing:
            self.skipTest("this host has everything")
        done = self.run_some("--require", missing[0])
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn(missing[0], done.stdout)

    def test_3_fewer_held_than_asked_for(self):
        done = self.run_some("--min-held", "9999")
        self.assertEqual(done.returncode, 3, done.stdout)

    def test_3_a_skip_that_is_not_listed(self):
        self.write("none.txt", "# no skip is expected\n")
        self.write("all.txt", "* *\n")
        report = self.ringfence("run", "--report", "jsonl=all.jsonl")
        skipped = [r["id"] for r in self.cases("all.jsonl") if r["verdict"] == "skipped"]
        if report.returncode == 4 or not skipped:
            self.skipTest("nothing is skipped here, or nothing runs")
        done = self.run_some(skipped[0], "--expect-skips", "none.txt")
        self.assertEqual(done.returncode, 3, done.stdout)
        self.assertIn(skipped[0], done.stdout)
        done = self.run_some(skipped[0], "--expect-skips", "all.txt")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_4_nothing_ran(self):
        done = self.ringfence("run", "uts.hostname", "--shard", "2/2")
        self.assertEqual(done.returncode, 4, done.stdout)

    def test_64_usage(self):
        self.refuses(["run", "--nonsense"], "--nonsense")

    def test_2_reports_that_cannot_be_written_to_the_end(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        done = self.run_some("--report", "jsonl=/dev/full")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("ENOSPC", done.stderr)


class Spawn(CommandLine):
    def test_says_what_of_the_policy_it_does_not_carry_out(self):
        policy = self.profile("none")
        policy["process"]["apparmorProfile"] = "docker-default"
        self.write("policy.json", policy)
        for command in (["spawn", "--policy", "policy.json", "--", "/bin/true"],):
            done = self.ringfence(*command)
            self.assertIn("policy.json: /process/apparmorProfile: read, not carried out", done.stderr)


    def test_runs_hooks_only_on_demand(self):
        policy = self.profile("none")
        policy["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo ran >> {self.here}/log"]}],
                           "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "echo oh >&2; exit 3"]}]}
        self.write("policy.json", policy)
        done = self.ringfence("spawn", "--policy", "policy.json", "--", "/bin/true")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("policy.json: /hooks: read, not carried out (--hooks runs them)", done.stderr)
        self.assertFalse((self.here / "log").exists())
        self.assertNotIn("hook", self.ringfence("plan", "policy.json").stdout)

        self.assertIn("hook.createRuntime:0", self.ringfence("plan", "--hooks", "policy.json").stdout)
        self.assertFalse((self.here / "log").exists())
        done = self.ringfence("spawn", "--policy", "policy.json", "--hooks", "--", "/bin/true")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "ringfence: warning: hook /hooks/poststop/0: /bin/sh: exit 3: oh\n")
        self.assertEqual((self.here / "log").read_text(), "ran\n")

    def terminal(self, **fields):
        policy = self.profile("none")
        policy["process"].update({"terminal": True, **fields})
        self.write("policy.json", policy)
        return ["spawn", "--policy", "policy.json", "--", "/bin/sh", "-c"]

    def test_joins_pipes_to_a_terminal(self):
        command = [RINGFENCE, *self.terminal(consoleSize={"height": 12, "width": 34}),
                   "stty size; stty -echo; while read line; do echo got $line; done; exit 7"]
        done = subprocess.run(command, cwd=self.here, input="one\ntwo\n", text=True, capture_output=True,
                              check=False, timeout=60)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("12 34", done.stdout)
        self.assertIn("got one\ngot two\n", done.stdout)  # text mode makes \n of the terminal's \r\n

    def test_does_not_wait_for_who_is_left_behind(self):
        started = time.monotonic()
        done = self.ringfence(*self.terminal(), "(trap '' HUP; sleep 30) & echo said")
        self.assertIn("said", done.stdout)
        self.assertLess(time.monotonic() - started, 20)

    def test_joins_a_terminal_and_leaves_it_as_it_was(self):
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 21, 43, 0, 0))
        before = termios.tcgetattr(theirs)
        program = subprocess.Popen([RINGFENCE, *self.terminal(), "stty size; read line; echo got $line; tty"],
                                   cwd=self.here, stdin=theirs, stdout=theirs, stderr=theirs)
        said = b""
        os.write(ours, b"word\r")
        while b"/dev/pts/" not in said:
            self.assertTrue(select.select([ours], [], [], 30)[0], said)
            said += os.read(ours, 4096)
        self.assertEqual(program.wait(30), 0)
        self.assertIn(b"21 43\r\n", said)
        self.assertIn(b"got word\r\n", said)
        self.assertEqual(termios.tcgetattr(theirs), before)
        os.close(theirs)


class Nested(CommandLine):
    """A sandbox in a sandbox, each by a spawner of its own: looked at from outside of both."""

    KINDS = ["pid", "mnt", "net", "uts", "ipc", "cgroup"]
    NS_GET_USERNS, NS_GET_PARENT = 0xb701, 0xb702

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs:root")
        self.here.chmod(0o755)  # root of an outer user namespace reads the inner policy

    def policy(self, name, profile, change):
        shown = self.ringfence("policy", "show", profile)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        policy = json.loads(shown.stdout)
        change(policy)
        return self.write(name, policy)

    def start(self, outer, inner, script):
        """Both spawners around a shell; waits for the line "up" that it says."""
        words = [RINGFENCE, "spawn", "--policy", outer, "--rootfs", "/", "--",
                 RINGFENCE, "spawn", "--policy", str(self.here / inner), "--rootfs", "/", "--",
                 "sh", "-c", script]
        process = subprocess.Popen(words, cwd=self.here, text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        said = ""
        for line in process.stdout:
            said += line
            if line == "up\n":
                return process, said
        self.fail(f"exit {process.wait()}: {said}")

    @staticmethod
    def status(pid):
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def descendants(self, pid):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield int(child)
                yield from self.descendants(child)

    def find(self, process):
        """The pids of the inner spawner and of the shell."""
        below = list(self.descendants(process.pid))
        self.assertEqual([len(self.status(pid)["NSpid"].split()) for pid in below], [2, 3], below)
        return below

    def namespace(self, pid, kind):
        descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def related(self, descriptor, request):
        other = fcntl.ioctl(descriptor, request)
        self.addCleanup(os.close, other)
        return other

    def assert_same(self, one, other):
        self.assertEqual(os.fstat(one).st_ino, os.fstat(other).st_ino)

    @staticmethod
    def group(pid, controller):
        """Where its group is, and the directory of it."""
        for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if controller not in controllers.split(",") and (number != "0" or controllers):
                continue
            for mount in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
                left, right = (part.split() for part in mount.split(" - "))
                v1 = right[0] == "cgroup" and controller in right[2].split(",")
                if v1 if controllers else right[0] == "cgroup2":
                    return path, left[4] + path
        return None, None

    def test_confined_by_both(self):
        def outer(policy):
            policy["linux"]["resources"] = {"pids": {"limit": 40}}
            policy["linux"]["seccomp"] = {
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": ["setpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}
            for granted in policy["process"]["capabilities"].values():
                if "CAP_CHOWN" in granted:
                    granted.remove("CAP_CHOWN")

        def inner(policy):  # wider than what is around it
            policy["linux"]["resources"] = {"pids": {"limit": 50}}

        script = ("renice -n 5 -p $$ >/dev/null 2>&1 && echo reniced; "
                  "i=0; while [ $i -lt 60 ]; do sleep 300 & i=$((i+1)); done 2>/dev/null; echo unlimited")
        process, said = self.start(self.policy("outer.json", "privileged", outer),
                                   self.policy("inner.json", "docker-default", inner),
                                   "echo up; read line; " + script)
        self.assertEqual(said, "up\n")
        spawner, target = self.find(process)
        # Around the inner pid namespace is the outer one, around that the host's.
        around = self.related(self.namespace(target, "pid"), self.NS_GET_PARENT)
        self.assert_same(around, self.namespace(spawner, "pid"))
        self.assert_same(self.related(around, self.NS_GET_PARENT), self.namespace("self", "pid"))
        for kind in self.KINDS:
            inodes = {os.fstat(self.namespace(pid, kind)).st_ino for pid in (target, spawner, "self")}
            self.assertEqual(len(inodes), 3, kind)
        # Two filters, and of capabilities what both policies give.
        status = self.status(target)
        self.assertEqual((status["Seccomp"], status.get("Seccomp_filters", "2")), ("2", "2"))
        self.assertEqual(int(status["CapBnd"], 16), 0xa80425fb & ~1)
        around, directory = self.group(spawner, "pids")
        self.assertIsNotNone(directory)
        self.assertTrue(self.group(target, "pids")[0].startswith(around + "/"))
        # Each limit of the outer one holds for who is in the inner one.
        process.stdin.write("\n")
        process.stdin.flush()
        said = process.stdout.read()
        self.assertNotIn("reniced", said)
        self.assertNotIn("unlimited", said)

    def test_what_the_outer_one_allows_is_there(self):
        """The control of the test above."""
        script = "echo up; renice -n 5 -p $$ >/dev/null 2>&1 && echo reniced"
        process, _ = self.start(self.policy("outer.json", "privileged", lambda policy: None),
                                self.policy("inner.json", "docker-default", lambda policy: None), script)
        self.assertIn("reniced", process.stdout.read())
        self.assertEqual(process.wait(), 0)

    def test_user_namespaces(self):
        def user(inside, count):
            def change(policy):
                linux = policy["linux"]
                linux["namespaces"] = [{"type": kind} for kind in ("user", "pid", "mount", "ipc", "uts")]
                linux["uidMappings"] = linux["gidMappings"] = [
                    {"containerID": 0, "hostID": inside, "size": count}]
                linux.pop("sysctl", None)
                policy["mounts"] = [{"destination": "/proc", "type": "proc", "source": "proc"}]
            return change

        process, _ = self.start(self.policy("outer.json", "privileged", user(100000, 65536)),
                                self.policy("inner.json", "privileged", user(1000, 500)),
                                "echo up; read map < /proc/self/uid_map; echo $map; read line")
        self.assertEqual(process.stdout.readline().split(), ["0", "1000", "500"])
        spawner, target = self.find(process)
        self.assertEqual(self.status(target)["Uid"].split(), ["101000"] * 4)
        own = self.namespace(target, "user")
        for kind in ("pid", "mnt", "ipc", "uts"):
            self.assert_same(self.related(self.namespace(target, kind), self.NS_GET_USERNS), own)
        around = self.related(own, self.NS_GET_PARENT)
        self.assert_same(around, self.namespace(spawner, "user"))
        self.assert_same(self.related(around, self.NS_GET_PARENT), self.namespace("self", "user"))

    def test_both_end_with_the_outer_spawner(self):
        process, _ = self.start(self.policy("outer.json", "privileged", lambda policy: None),
                                self.policy("inner.json", "docker-default", lambda policy: None),
                                "echo up; sleep 300")
        ends = [os.pidfd_open(pid) for pid in self.descendants(process.pid)]
        self.assertGreaterEqual(len(ends), 2)
        process.kill()
        for end in ends:
            self.addCleanup(os.close, end)
            self.assertTrue(select.select([end], [], [], 30)[0])


class Completion(CommandLine):
    def complete(self, *words):
        script = self.ringfence("completion", "bash").stdout
        self.write("ringfence.bash", script)
        line = " ".join(f"'{w}'" for w in words)
        # `ringfence list --ids` in the script finds the program by PATH.
        shell = (f". ./ringfence.bash; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _ringfence; "
                 'printf "%s\\n" "${COMPREPLY[@]}"')
        environment = {**os.environ, "PATH": f"{os.path.dirname(RINGFENCE)}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", shell], cwd=self.here, text=True, capture_output=True,
                              check=False, env=environment, timeout=30)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_bash(self):
        self.complete("ringfence", "")
        checked = subprocess.run(["bash", "-n", self.here / "ringfence.bash"], check=False)
        self.assertEqual(checked.returncode, 0)
        self.assertEqual(self.complete("ringfence", "ru"), ["run"])
        self.assertEqual(self.complete("ringfence", ""), self.complete("ringfence", ""))
        self.assertIn("--policy", self.complete("ringfence", "run", "--"))
        self.assertEqual(self.complete("ringfence", "run", "--pol"), ["--policy"])
        self.assertEqual(self.complete("ringfence", "run", "uts.hostn"), ["uts.hostname"])
        self.assertIn("docker-default", self.complete("ringfence", "run", "--policy", "doc"))
        self.assertEqual(self.complete("ringfence", "run", "--suite", "f"), ["full"])
        self.assertEqual(self.complete("ringfence", "policy", "sh"), ["show"])
        self.assertEqual(self.complete("ringfence", "kernels", "e"), ["exec"])
        self.assertEqual(self.complete("ringfence", "kernels", "run", "--ax"), ["--axis"])
        self.assertEqual(self.complete("ringfence", "kernels", "exec", "--ax"), [])
        self.assertEqual(self.complete("ringfence", "kernels", "run", "uts.hostn"),
                         ["uts.hostname"])
        self.assertEqual(self.complete("ringfence", "kernels", "run", "--kernel", "runn"),
                         ["running"])

    def test_the_other_shells(self):
        zsh = self.ringfence("completion", "zsh").stdout
        self.assertTrue(zsh.startswith("#compdef ringfence"))
        fish = self.ringfence("completion", "fish").stdout
        for command in (c for c in COMMANDS if " " not in c):
            self.assertIn(f" -a {command} ", fish)
        for shell, script in (("zsh", zsh), ("fish", fish)):
            if shutil.which(shell):
                self.write(f"script.{shell}", script)
                checked = subprocess.run([shell, "-n", self.here / f"script.{shell}"], check=False)
                self.assertEqual(checked.returncode, 0, shell)


if __name__ == "__main__":
    unittest.main()
