#!/usr/bin/env python3
"""ringfence run and trace with --probe: users' own BPF objects, the good and the bad ones.

usage: probe.py [TestClass...]     with $RINGFENCE_BIN, the directory of the programs.
Exits 77 when everything that was asked for was skipped; the last line says why.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RINGFENCE = os.path.abspath(
    os.path.join(os.environ.get("RINGFENCE_BIN", ROOT / "build/release/bin"), "ringfence"))
RECIPE = (ROOT / "docs/recipes/probe.md").read_text(encoding="utf-8")
SCHEMA = ROOT / "reports/schema/ringfence-trace-1.schema.json"
CASE = "uts.hostname"
FRAME = '#include "probes/bpf/probe.h"\nSEC("%s")\nint program(void* ctx) { %s }\n'


class Probe(unittest.TestCase):
    needs_bpf = True

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="ringfence-probe-")
        cls.addClassCleanup(cls.directory.cleanup)
        cls.here = pathlib.Path(cls.directory.name)
        cls.here.chmod(0o755)
        if subprocess.run(["clang", "--version"], capture_output=True, check=False).returncode != 0:
            raise unittest.SkipTest("needs:clang")
        if not cls.needs_bpf:
            return
        tried = cls.ringfence("trace", "--", "true")
        if tried.returncode == 2 and "eBPF" in tried.stderr:
            raise unittest.SkipTest("needs:bpf " + tried.stderr.splitlines()[0])

    @classmethod
    def ringfence(cls, *args, **options):
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
        return subprocess.run([RINGFENCE, *map(str, args)], cwd=cls.here, text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, env=environment,
                              timeout=120, **options)

    @classmethod
    def compile(cls, name, source, target="bpf"):
        """By the command of the recipe."""
        (cls.here / f"{name}.bpf.c").write_text(source, encoding="utf-8")
        command = re.search(r"^    (clang .*opens\.bpf\.o)$", RECIPE, re.M).group(1)
        command = command.replace("PREFIX/include/ringfence", str(ROOT)).replace("opens", name)
        command = command.replace("-target bpf", f"-target {target}")
        subprocess.run(command.split(), cwd=cls.here, check=True)
        return f"{name}.bpf.o"

    def refuses(self, name, *words):
        """Exit 64, one line with all of `words`, from run and from trace; no report, no command."""
        for args in (["run", CASE, "--report", "jsonl=new.jsonl", "--probe", name],
                     ["trace", "--probe", name, "--", "touch", "made"]):
            done = self.ringfence(*args)
            said = f"{args}: exit {done.returncode}\n{done.stderr}"
            self.assertEqual(done.returncode, 64, said)
            self.assertEqual(len(done.stderr.splitlines()), 1, said)
            self.assertTrue(done.stderr.startswith("ringfence: --probe: " + name), said)
            for word in words:
                self.assertIn(word, done.stderr, said)
            self.assertFalse((self.here / "new.jsonl").exists(), said)
            self.assertFalse((self.here / "made").exists(), said)


class Recipe(Probe):
    """docs/recipes/probe.md, as it is printed there."""

    def sources(self):
        blocks = re.findall(r"```c\n(.*?)```", RECIPE, re.S)
        self.assertEqual(len(blocks), 2)
        self.assertLessEqual(blocks[0].count("\n"), 15)
        return blocks

    def test_opens(self):
        name = self.compile("opens", self.sources()[0])
        done = self.ringfence("trace", "--probe", name, "--", "cat", "/etc/hostname")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r'cat\[\d+\] +opens: "/etc/hostname" +- +probe opens\n')
        shown = re.findall(r' opens: "', done.stderr)
        counted = re.search(r"counted by probes\n +(\d+)  opens: openat\n", done.stderr)
        self.assertTrue(counted, done.stderr)
        self.assertEqual(int(counted.group(1)), len(shown), "what trace itself opens is not counted")

    def test_opens_as_json(self):
        name = self.compile("opens", self.sources()[0])
        done = self.ringfence("trace", "--json", "--probe", name, "--", "cat", "/etc/hostname")
        records = [json.loads(line) for line in done.stderr.splitlines()]
        lines = [r for r in records if r["type"] == "probe"]
        self.assertIn('opens: "/etc/hostname"', [r["text"] for r in lines])
        self.assertTrue(all(r["probe"] == "opens" and r["comm"] == "cat" for r in lines), lines)
        self.assertEqual(records[-1]["probe_counts"],
                         [{"probe": "opens", "name": "openat", "count": len(lines)}])
        try:
            import jsonschema
        except ImportError:
            self.skipTest("needs:python3-jsonschema")
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        for record in records:
            validator.validate(record)

    def test_in_a_run_it_joins_the_timeline(self):
        name = self.compile("opens", self.sources()[0])
        case = re.search(r"^    ringfence run (\S+) --probe", RECIPE, re.M).group(1)
        done = self.ringfence("run", case, "--probe", name, "--report", "jsonl=r.jsonl")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        records = [json.loads(line) for line in (self.here / "r.jsonl").read_text().splitlines()]
        record = [r for r in records if r.get("id") == case][0]
        lines = [e for e in record["evidence"] if e["source"] == "probe"]
        told = [e for e in lines if "opens: opens: \"" in e["text"]]
        counted = [e for e in lines if "openat counted" in e["text"]]
        self.assertTrue(told and counted, lines)
        self.assertEqual(sum(int(e["text"].split()[-2]) for e in counted), len(told))
        self.assertFalse(any(e["decided"] for e in lines))
        explained = self.ringfence("explain", "r.jsonl", case)
        self.assertRegex(explained.stdout, r"probe +t1 opens: opens: \"")

    def test_what_trace_does_itself_is_not_counted(self):
        source = self.sources()[0].replace("257) return 0", "293) return 0")  # pipe2
        name = self.compile("pipes", source.replace('"openat"', '"pipe2"'))
        done = self.ringfence("trace", "--probe", name, "--", "true")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("pipe2", done.stderr)
        script = "import os; os.pipe()"
        done = self.ringfence("trace", "--probe", name, "--", sys.executable, "-c", script)
        self.assertIn("       1  pipes: pipe2\n", done.stderr)

    def test_a_function_of_a_program(self):
        name = self.compile("lines", self.sources()[1])
        done = self.ringfence("trace", "--probe", name, "--", "/bin/bash", "-c", "true")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"bash\[\d+\] +bash starts with arguments: 3 ")


class BadObjects(Probe):
    needs_bpf = False  # all of it is found before anything is loaded

    def test_no_object(self):
        self.refuses("nowhere.bpf.o", "No such file", "BPF object file")
        (self.here / "dir.bpf.o").mkdir()
        self.refuses("dir.bpf.o", "EISDIR")
        (self.here / "text.bpf.o").write_text("int x;\n")
        self.refuses("text.bpf.o", "no ELF object")
        self.refuses("/bin/true", "x86-64", "-target bpf")
        self.assertEqual(self.ringfence("run", "--probe", "").returncode, 64)
        self.assertEqual(self.ringfence("trace", "--probe=", "--", "true").returncode, 64)

    def test_endianness(self):
        self.refuses(self.compile("big", 'int x;\n', "bpfeb"), "big-endian")

    def test_programs(self):
        for section in ("xdp", "cgroup_skb/egress", "lsm/file_open", "fmod_ret/x", "iter/task",
                        "perf_event", "kprobe", "nonsense", "?raw_tp/sys_enter"):
            name = self.compile("kind", FRAME % (section, "return 0;"))
            self.refuses(name, f"section {section}:", "raw_tp/", "uprobe/")
        self.refuses(self.compile("none", '#include "probes/bpf/probe.h"\n'), "no program")
        self.refuses(self.compile("hurts", FRAME % ("raw_tp/sys_enter", "bpf_send_signal(9); return 0;")),
                     "section raw_tp/sys_enter", "bpf_send_signal")
        kfunc = ('#include "probes/bpf/probe.h"\nextern void bpf_rcu_read_lock(void) SEC(".ksyms");\n'
                 'SEC("tp_btf/sys_enter") int program(void* c) { bpf_rcu_read_lock(); return 0; }\n')
        self.refuses(self.compile("kfunc", kfunc), "section .ksyms", "bpf_rcu_read_lock")

    def test_without_the_header(self):
        alone = ('#define SEC(name) __attribute__((section(name), used))\n'
                 'SEC("raw_tp/sys_enter") int program(void* ctx) { return 0; }\n'
                 'char terms[] SEC("license") = "GPL";\n')
        self.refuses(self.compile("alone", alone), "section .maps", "rf_scopes", "probe.h")

    def test_cut_off(self):
        good = self.here / self.compile("whole", FRAME % ("raw_tp/sys_enter", "return 0;"))
        for size in (0, 3, 63, good.stat().st_size // 3, good.stat().st_size - 1):
            (self.here / "cut.bpf.o").write_bytes(good.read_bytes()[:size])
            self.refuses("cut.bpf.o")

    def test_with_no_ebpf(self):
        name = self.compile("fine", FRAME % ("raw_tp/sys_enter", "return 0;"))
        done = self.ringfence("run", CASE, "--no-ebpf", "--probe", name)
        self.assertEqual(done.returncode, 64)
        self.assertIn("--no-ebpf", done.stderr)

    def test_without_the_privilege_the_run_is_no_success(self):
        if os.geteuid() != 0:
            self.skipTest("needs:root")
        name = self.compile("fine", FRAME % ("raw_tp/sys_enter", "return 0;"))
        command = ["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin", RINGFENCE]
        done = subprocess.run([*command, "run", CASE, "--probe", name], cwd=self.here, text=True,
                              capture_output=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(f"--probe {name} (no eBPF witness", done.stdout)
        done = subprocess.run([*command, "trace", "--probe", name, "--", "true"], cwd=self.here,
                              text=True, capture_output=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 2)
        self.assertIn("needs eBPF", done.stderr)


class Refused(Probe):
    """Good objects that this kernel does not take: exit 2, nothing ran."""

    def refused(self, name, *words):
        for args in (["run", CASE, "--report", "jsonl=new.jsonl", "--probe", name],
                     ["trace", "--probe", name, "--", "touch", "made"]):
            done = self.ringfence(*args)
            said = f"{args}: exit {done.returncode}\n{done.stderr}"
            self.assertEqual(done.returncode, 2, said)
            for word in words:
                self.assertIn(word, done.stderr, said)
            self.assertFalse((self.here / "new.jsonl").exists(), said)
            self.assertFalse((self.here / "made").exists(), said)

    def test_by_the_verifier(self):
        body = "__u64 k = 1; __u64* v = bpf_map_lookup_elem(&rf_scopes, &k); return (int)*v;"
        self.refused(self.compile("careless", FRAME % ("raw_tp/sys_enter", body)),
                     "section raw_tp/sys_enter, program program", "verifier", "map_value_or_null")

    def test_for_want_of_the_hook(self):
        self.refused(self.compile("never", FRAME % ("raw_tp/rf_never", "return 0;")),
                     "section raw_tp/rf_never")

    def test_a_symbol_that_is_not_there_is_usage(self):
        name = self.compile("symbol", FRAME % ("uprobe//bin/bash:rf_never", "return 0;"))
        done = self.ringfence("run", CASE, "--probe", name)
        self.assertEqual(done.returncode, 64, done.stderr)
        self.assertIn("section uprobe//bin/bash:rf_never", done.stderr)


class CpuTime(Probe):
    """What `trace` says at its end of the time on CPU."""

    def cpu(self, script):
        done = self.ringfence("trace", "--json", "--", sys.executable, "-c", script)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stderr.splitlines()[-1])["cpu"]

    def test_user_kernel_and_sleep(self):
        spin = "import time\nwhile time.process_time() < 0.3: sum(range(20000))"
        user = self.cpu(spin)
        self.assertGreater(user["user_us"], 150000)
        self.assertGreater(user["user_us"], 3 * user["kernel_us"])
        kernel = self.cpu("import os, time\nwhile time.process_time() < 0.3: os.getrandom(1 << 22)")
        self.assertGreater(kernel["kernel_us"], 150000)
        self.assertGreater(kernel["kernel_us"], kernel["user_us"])
        sleeps = self.cpu("import time\ntime.sleep(0.3)")
        self.assertLess(sleeps["user_us"] + sleeps["kernel_us"], 150000)
        self.assertGreaterEqual(user["error_us"], 10000)

    def test_of_a_process_that_is_there(self):
        script = ("import sys, time\nsys.stdin.read(1)\n"
                  "while time.process_time() < 0.3: sum(range(20000))")
        with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as target:
            trace = subprocess.Popen([RINGFENCE, "trace", "--json", "--pid", str(target.pid)],
                                     stdout=subprocess.PIPE, text=True)
            first = trace.stdout.readline()
            self.assertIn('"trace"', first)
            time.sleep(0.2)
            target.stdin.write(b"g")
            target.stdin.close()
            rest, _ = trace.communicate(timeout=60)
        cpu = json.loads(rest.splitlines()[-1])["cpu"]
        self.assertGreater(cpu["user_us"], 150000)

    def test_as_text(self):
        done = self.ringfence("trace", "--", "true")
        self.assertRegex(done.stderr, r"time on CPU: user \S+ \S+, kernel .* \(sampled every ")


def main():
    names = sys.argv[1:]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames([f"__main__.{name}" for name in names]) if names else \
        loader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if not result.wasSuccessful():
        return 1
    if result.skipped and len(result.skipped) >= result.testsRun:
        print(result.skipped[-1][1])
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
