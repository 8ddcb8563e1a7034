"""usage: program_test.py ringfence-suites: the options that its users rely on, against real runs."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

PROGRAM = sys.argv.pop()
SOME = "--gtest_filter=pid.signal*:uts.*:ipc.*"


def run(*args, **environment):
    return subprocess.run([PROGRAM, *args], text=True, capture_output=True, check=False,
                          env={**os.environ, **environment}, timeout=250)


class Program(unittest.TestCase):
    def test_lists_without_privileges(self):
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if os.geteuid() != 0:
            drop = []
        with tempfile.TemporaryDirectory() as copy:
            os.chmod(copy, 0o755)
            # The build directory need not be open to everybody.
            program = pathlib.Path(copy) / "ringfence-suites"
            program.write_bytes(pathlib.Path(PROGRAM).read_bytes())
            program.chmod(0o755)
            listed = subprocess.run([*drop, program, "--gtest_list_tests"], text=True,
                                    capture_output=True, check=False, cwd="/")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        suites = [line for line in listed.stdout.splitlines() if not line.startswith(" ")]
        self.assertIn("pid.", suites)
        self.assertIn("seccomp.", suites)
        self.assertIn("  signal_host_process", listed.stdout)
        self.assertEqual(listed.stdout, run("--gtest_list_tests").stdout)

    def test_full_has_more(self):
        default = run("--gtest_list_tests").stdout.splitlines()
        full = run("--gtest_list_tests", "--full").stdout.splitlines()
        self.assertLessEqual(set(default), set(full))

    def test_filter_and_xml(self):
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out) / "report.xml"
            ran = run(SOME, f"--gtest_output=xml:{path}")
            self.assertEqual(ran.returncode, 0, ran.stdout)
            cases = list(ElementTree.parse(path).getroot().iter("testcase"))
        run_cases = [c for c in cases if c.get("status") == "run"]
        self.assertGreater(len(run_cases), 2)
        for case in run_cases:
            self.assertIn(case.get("classname"), {"pid", "uts", "ipc"})
            properties = {p.get("name"): p.get("value") for p in case.iter("property")}
            self.assertIn(properties["verdict"], {"held", "skipped"}, properties)
            self.assertTrue(properties["expected_layer"])
            suite, rest = properties["id"].split(".", 1)
            self.assertEqual((suite, rest.replace(".", "_")), (case.get("classname"), case.get("name")))
            if properties["verdict"] == "held":
                self.assertEqual(properties["decided_by"], properties["expected_layer"])
                self.assertTrue(properties["control"] and properties["liveness"])

    def test_shuffle_keeps_the_verdicts(self):
        plain = run(SOME)
        shuffled = run(SOME, "--gtest_shuffle", "--gtest_random_seed=7")
        self.assertEqual(plain.returncode, 0, plain.stdout)
        self.assertEqual(shuffled.returncode, 0, shuffled.stdout)
        for mark in ("OK", "SKIPPED"):
            self.assertEqual(sorted(self.ended(plain, mark)), sorted(self.ended(shuffled, mark)))

    @staticmethod
    def ended(ran, mark):
        return [line.split("]", 1)[1].split("(")[0].strip() for line in ran.stdout.splitlines()
                if line.startswith("[") and line.split("]")[0].strip("[ ") == mark and "(" in line]

    def test_shards_are_a_partition(self):
        whole = run(SOME)
        parts = []
        for index in range(3):
            part = run(SOME, GTEST_TOTAL_SHARDS="3", GTEST_SHARD_INDEX=str(index))
            self.assertEqual(part.returncode, 0, part.stdout)
            parts += self.ended(part, "OK") + self.ended(part, "SKIPPED")
        self.assertEqual(sorted(parts), sorted(self.ended(whole, "OK") + self.ended(whole, "SKIPPED")))

    def test_a_policy_that_does_not_hold_fails(self):
        ran = run("--policy", "none", "--gtest_filter=pid.signal_host_process")
        if self.ended(ran, "SKIPPED"):
            self.skipTest("cases cannot run here")
        self.assertEqual(ran.returncode, 1, ran.stdout)
        self.assertIn("breached (goal_seen)", ran.stdout)
        self.assertIn("killed by SIGKILL", ran.stdout)
        self.assertIn("Failure", ran.stdout)

    def test_a_policy_that_holds_passes(self):
        ran = run("--policy=docker-default", SOME)
        self.assertEqual(ran.returncode, 0, ran.stdout)

    def test_bad_input(self):
        for args, words in (
                (["--polcy", "none"], "did you mean '--policy'"),
                (["--policy"], "--policy: a FILE"),
                (["--policy="], "--policy: a FILE"),
                (["--policy", "docker-defualt"], "docker-default"),
                (["--policy", "/no/such/file.json"], "/no/such/file.json"),
                (["word"], "unknown option 'word'")):
            ran = run(*args)
            self.assertEqual(ran.returncode, 64, args)
            self.assertIn(words, ran.stderr)
            self.assertEqual(len(ran.stderr.splitlines()), 1, ran.stderr)
            self.assertEqual(ran.stdout, "")

        # GoogleTest itself answers a misspelt option of its own with its help.
        ran = run("--gtest_fliter=x")
        self.assertEqual(ran.returncode, 64)
        self.assertIn("did you mean '--gtest_filter", ran.stderr)

    def test_help(self):
        ran = run("--help")
        self.assertEqual(ran.returncode, 0)
        for option in ("--gtest_filter", "--gtest_shuffle", "--policy", "--full"):
            self.assertIn(option, ran.stdout)


if __name__ == "__main__":
    unittest.main()
