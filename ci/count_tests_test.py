"""Tests of count_tests.py: above all, that a run in which nothing ran is no success."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import count_tests  # noqa: E402 (the path comes first)

JUNIT = '<?xml version="1.0"?><testsuite name="t">{}</testsuite>'
PASSED = '<testcase name="a" classname="a" time="0.1" status="run"/>'
FAILED = '<testcase name="b" status="fail"><failure message=""/></testcase>'
SKIPPED = '<testcase name="c" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/></testcase>'
DISABLED = '<testcase name="d" status="disabled"/>'
MISSING = '<testcase name="e" status="notrun"><skipped message="Unable to find executable"/></testcase>'
STRANGE = '<testcase name="f" status="levitating"/>'


class CountTests(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, name, text):
        path = os.path.join(self.directory.name, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def count(self, *cases, steps=None):
        arguments = ["--junit", self.file("r.xml", JUNIT.format("".join(cases)))]
        if steps is not None:
            arguments += ["--steps", self.file("steps.tsv", steps)]
        return self.run_main(arguments)

    def run_main(self, arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = count_tests.main(arguments)
        return code, out.getvalue().splitlines()

    def test_all_passed(self):
        self.assertEqual(self.count(PASSED, PASSED), (0, ["2 passed, 0 failed, 0 skipped"]))

    def test_one_failed(self):
        code, lines = self.count(PASSED, FAILED)
        self.assertEqual(code, 1)
        self.assertEqual(lines, ["failed: b", "1 passed, 1 failed, 0 skipped"])

    def test_skipped_and_disabled_do_not_fail(self):
        code, lines = self.count(PASSED, SKIPPED, DISABLED)
        self.assertEqual(code, 0)
        self.assertEqual(lines[-1], "1 passed, 0 failed, 2 skipped")

    def test_nothing_ran(self):
        code, lines = self.count()
        self.assertEqual(code, 1)
        self.assertEqual(lines[-1], "0 passed, 0 failed, 0 skipped")

    def test_all_skipped(self):
        code, lines = self.count(SKIPPED)
        self.assertEqual(code, 1)
        self.assertEqual(lines[-1], "0 passed, 0 failed, 1 skipped")

    def test_missing_program_is_a_failure(self):
        code, lines = self.count(PASSED, MISSING)
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_unknown_state_is_a_failure(self):
        code, lines = self.count(PASSED, STRANGE)
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_steps_are_added(self):
        code, lines = self.count(PASSED, steps="lint\tpassed\nother\tskipped\n\n")
        self.assertEqual((code, lines[-1]), (0, "2 passed, 0 failed, 1 skipped"))
        code, lines = self.count(PASSED, steps="build\tfailed\ncut off")
        self.assertEqual((code, lines[-1]), (1, "1 passed, 2 failed, 0 skipped"))

    def test_missing_file(self):
        code, lines = self.run_main(["--junit", os.path.join(self.directory.name, "none.xml")])
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_cut_off_file(self):
        path = self.file("cut.xml", '<?xml version="1.0"?><testsuite><testcase name="a"')
        code, lines = self.run_main(["--junit", path])
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_no_input_at_all(self):
        code, lines = self.run_main([])
        self.assertEqual((code, lines[-1]), (1, "0 passed, 0 failed, 0 skipped"))

    def test_what_ctest_really_writes(self):
        """The states as the installed ctest writes them, not as we believe it does."""
        tests = self.file(
            "CTestTestfile.cmake",
            'add_test(good "/bin/true")\n'
            'add_test(bad "/bin/false")\n'
            'add_test(none "/no/such/program")\n'
            'add_test(by_code "/bin/sh" "-c" "exit 77")\n'
            'set_tests_properties(by_code PROPERTIES SKIP_RETURN_CODE 77)\n'
            'add_test(by_text "/bin/echo" "[  SKIPPED ]")\n'
            'set_tests_properties(by_text PROPERTIES SKIP_REGULAR_EXPRESSION "SKIPPED")\n'
            'add_test(off "/bin/true")\n'
            'set_tests_properties(off PROPERTIES DISABLED TRUE)\n'
            'add_test(slow "/bin/sleep" "5")\n'
            'set_tests_properties(slow PROPERTIES TIMEOUT 1)\n'
            'add_test(killed "/bin/sh" "-c" "kill -SEGV $$")\n')
        result = os.path.join(self.directory.name, "ctest.xml")
        subprocess.run(["ctest", "--test-dir", os.path.dirname(tests), "-j", "4",
                        "--output-junit", result], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        states = dict(count_tests.read_junit(result))
        self.assertEqual(states, {
            "good": "passed", "bad": "failed", "none": "failed", "by_code": "skipped",
            "by_text": "skipped", "off": "skipped", "slow": "failed", "killed": "failed"})


if __name__ == "__main__":
    unittest.main()
