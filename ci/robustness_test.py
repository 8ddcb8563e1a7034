#!/usr/bin/env python3
"""What real runs of the real program leave behind, and whether they disturb one another.

    robustness_test.py RINGFENCE kill|repeat|together|shuffle|interrupt|user|user_subuid|no_userns [COUNT]

Each check runs in a private world (pid, mount, net and ipc namespaces, its own /tmp, /run and
/dev/shm), so that what is compared before and after is nobody else's. Only the cgroup hierarchies
are the host's; groups there are told apart by the pid namespace in their names. Needs root; exit 77
without it.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_reports  # noqa: E402

WORLD = "RINGFENCE_TEST_WORLD"
PROGRAM = "/mnt/ringfence"
SEED = 20
PATIENCE = 10.0  # seconds until what a killed run started must be gone


def fail(message):
    print("FAILED:", message)
    sys.exit(1)


def check(condition, message):
    if not condition:
        fail(message)


# ---- The world


def enter_world():
    """Runs this script again as pid 1 of namespaces of its own."""
    os.environ[WORLD] = "1"
    os.execvp("unshare", ["unshare", "-p", "-m", "-n", "-i", "--fork", "--kill-child", "--mount-proc",
                          sys.executable, "-B", *sys.argv])


def build_world(program):
    subprocess.run(["mount", "-t", "tmpfs", "world", "/mnt"], check=True)
    os.chmod("/mnt", 0o777)
    shutil.copy(program, PROGRAM)
    os.chdir("/mnt")
    for place in ("/tmp", "/run", "/dev/shm"):
        subprocess.run(["mount", "-t", "tmpfs", "world", place], check=True)
        os.chmod(place, 0o1777)


def processes():
    """All but this one, with start time and name; zombies of ours are reaped first."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/stat") as file:
                    text = file.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = text[text.rindex(")") + 2:].split()
            found[int(name)] = (fields[19], text[text.index("(") + 1:text.rindex(")")])
    return found


def cgroup_points():
    with open("/proc/self/mountinfo") as file:
        return sorted({line.split()[4] for line in file if " - cgroup" in line})


def groups():
    """Groups that runs in this pid namespace made, wherever in a hierarchy: on v2 below their own."""
    inode = str(os.stat("/proc/self/ns/pid").st_ino)
    found = []
    for point in cgroup_points():
        for directory, names, _ in os.walk(point):
            for name in names:
                parts = name.split("-")
                if parts[0] == "ringfence" and len(parts) == 4 and parts[2] == inode:
                    found.append(f"{directory}/{name}")
    return sorted(found)


def lines(path, keep=lambda line: True):
    with open(path) as file:
        return sorted(line for line in file if keep(line))


def snapshot():
    files = {}
    for place in ("/tmp", "/run", "/dev/shm"):
        files[place] = sorted(os.path.join(d, n) for d, ds, fs in os.walk(place) for n in ds + fs)
    return {
        "processes": processes(),
        "mounts": lines("/proc/self/mountinfo"),
        "groups": groups(),
        "interfaces": sorted(line.split(":")[0].strip() for line in lines("/proc/net/dev")),
        "sockets": sorted(line.split()[7] for line in lines("/proc/net/unix")
                          if len(line.split()) > 7),
        "sysv": [lines(f"/proc/sysvipc/{kind}") for kind in ("shm", "sem", "msg")],
        "keys": lines("/proc/keys", lambda line: "ringfence" in line),
        "hostname": os.uname().nodename,
        "files": files,
    }


def key_ids(shot):
    return {line.split()[0] for line in shot["keys"]}


def check_same(before, after, when):
    """Keys take a moment: the kernel collects them when nobody has them any more. They are those of
    all processes of this user, so only one that stays counts."""
    end = time.monotonic() + PATIENCE
    new = key_ids(after) - key_ids(before)
    while new and time.monotonic() < end:
        time.sleep(0.01)
        new &= key_ids(snapshot())
    check(not new, f"{when}: keys stay: {new}")
    for what, value in before.items():
        if what == "keys":
            continue
        check(after[what] == value, f"{when}: {what} were {value}, are {after[what]}")


def await_quiet(when):
    end = time.monotonic() + PATIENCE
    while processes():
        check(time.monotonic() < end, f"{when}: alive after {PATIENCE} s: {processes()}")
        time.sleep(0.005)


# ---- Runs


def start(*args, prefix=(), stdout=subprocess.DEVNULL):
    return subprocess.Popen([*prefix, PROGRAM, "run", *args], stdin=subprocess.DEVNULL,
                            stdout=stdout, stderr=subprocess.PIPE, text=True)


CASES = []


def run(*args, prefix=()):
    process = start(*args, prefix=prefix)
    complaints = process.communicate()[1]
    return process.returncode, complaints


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def verdicts(path):
    records = read(path)
    check(records[0]["type"] == "header", f"{path}: begins with {records[0]['type']}")
    check(records[-1]["type"] == "summary", f"{path}: ends with {records[-1]['type']}")
    return {r["id"]: (r["verdict"], r["reason"], r["decided_by"])
            for r in records if r["type"] == "case"}


def each_kind():
    """The default suite, and some of what takes longer: limits of groups, and guests."""
    if not CASES:
        listed = subprocess.run([PROGRAM, "list", "--suite", "default", "--ids"], text=True,
                                capture_output=True, check=True).stdout.split()
        check(len(listed) > 100, f"hardly any cases: {listed}")
        CASES.extend(listed + ["limit.pids.fork_bomb", "limit.memory.anon", "limit.rlimit.*",
                               "uart.dlab_overlay", "cpu.mode_long"])
    return CASES


def full_run(path, *args, prefix=()):
    code, complaints = run(*each_kind(), "--report", f"jsonl={path}", *args, prefix=prefix)
    check(code == 0, f"exit {code}: {complaints} {bad(path)}")
    return verdicts(path)


def bad(path):
    return {i: v for i, v in verdicts(path).items() if v[0] not in ("held", "skipped")}


# ---- Checks


def kill(count):
    """SIGKILL at random moments; the janitor of the next start takes all that is left. A moment is
    a place in the report, so that it does not depend on the machine how many come in mid-run: one
    in ten is before the first record, in the start; the others are just after a record."""
    chance = random.Random(SEED)
    began = time.monotonic()
    first = start(*each_kind(), "--jobs", "4", "--report", "jsonl=-", stdout=subprocess.PIPE)
    first.stdout.readline()
    start_up = time.monotonic() - began
    records = len(first.stdout.readlines())
    check(records > 100 and first.wait() == 0, f"a whole run: {records} records")
    first.stdout.close()
    first.stderr.close()
    before = snapshot()
    check(not before["groups"] and not before["processes"], f"not clean at the start: {before}")
    busy = left = 0
    for i in range(count):
        when = f"kill {i}"
        process = start(*each_kind(), "--jobs", "4", "--report", "jsonl=-",
                        stdout=subprocess.PIPE)
        if i % 10 == 0:
            time.sleep(chance.uniform(0, start_up))
        else:
            for _ in range(chance.randint(1, records - 8)):
                process.stdout.readline()
            time.sleep(chance.uniform(0, 0.003))
        busy += len(processes()) > 1
        process.kill()
        process.stdout.close()
        process.stderr.close()
        process.wait()
        await_quiet(when)
        left += bool(groups())
        code, complaints = run("pid.signal_host_process")
        check(code == 0, f"{when}: the run after it: exit {code}: {complaints}")
        check_same(before, snapshot(), when)
    print(f"{count} kills, {busy} with processes at work, {left} that left groups")
    check(busy > count / 2, "most kills came when nothing was at work")
    check(left > count / 4, "hardly a kill left a group, so the janitor had nothing to do")


def repeat(count):
    full_run("/mnt/plain.jsonl")
    before = snapshot()
    for i in range(count):
        full_run("/mnt/plain.jsonl")
        check_same(before, snapshot(), f"run {i}")


def together(count):
    """Two at once: in one pid namespace, and in two that share the cgroup hierarchies."""
    reference = full_run("/mnt/plain.jsonl")
    before = snapshot()
    apart = ("unshare", "-p", "-m", "--fork", "--kill-child", "--mount-proc")
    for i in range(count):
        for prefix in ((), apart):
            files = [f"/mnt/{n}.jsonl" for n in range(2)]
            pair = [start(*each_kind(), "--report", f"jsonl={path}", prefix=p)
                    for path, p in zip(files, ((), prefix))]
            # Starts, and so janitors, while both are at work.
            janitors = 0
            while any(p.poll() is None for p in pair):
                code, complaints = run("pid.signal_host_process", prefix=prefix)
                check(code == 0, f"round {i}: exit {code}: {complaints}")
                janitors += 1
            for path, process in zip(files, pair):
                complaints = process.communicate()[1]
                check(process.returncode == 0,
                      f"round {i}: exit {process.returncode}: {complaints} {bad(path)}")
                check(verdicts(path) == reference, f"round {i}: other verdicts than alone")
                os.remove(path)
            check(janitors > 1, "no janitor came in between")
            check_same(before, snapshot(), f"round {i}")


def shuffle(count):
    reference = full_run("/mnt/first.jsonl", "--jobs", "2")
    orders = set()
    alone = 0
    for i in range(count):
        path = "/mnt/shuffled.jsonl"
        jobs = (1, 2, 8)[i % 3]
        now = full_run(path, "--shuffle", "--seed", str(i), "--jobs", str(jobs))
        check(now == reference, f"seed {i}: {set(now.items()) ^ set(reference.items())}")
        # With more jobs than one the order is that of the ends, and differs by itself.
        if jobs == 1:
            orders.add(tuple(now))
            alone += 1
        diff = subprocess.run([PROGRAM, "diff", "/mnt/first.jsonl", path], text=True,
                              capture_output=True, check=False)
        check(diff.returncode == 0, f"seed {i}: {diff.stdout}{diff.stderr}")
    check(len(orders) == alone, f"{alone} seeds, {len(orders)} orders: nothing was shuffled")


def interrupt(count):
    """Ctrl-C: exit 2 within 2 s, a complete report, nothing left."""
    chance = random.Random(SEED)
    began = time.monotonic()
    full_run("/mnt/plain.jsonl", "--jobs", "4")
    length = time.monotonic() - began
    os.remove("/mnt/plain.jsonl")
    before = snapshot()
    interrupted = 0
    for i in range(count):
        path = "/mnt/report.jsonl"
        sign = signal.SIGINT if i % 2 == 0 else signal.SIGTERM
        process = start(*each_kind(), "--jobs", "4", "--report", f"jsonl={path}")
        end = time.monotonic() + PATIENCE
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, length * 0.7))
        process.send_signal(sign)
        sent = time.monotonic()
        complaints = process.communicate()[1]
        took = time.monotonic() - sent
        check_same({**before, "files": None}, {**snapshot(), "files": None}, f"interrupt {i}")
        records = read(path)
        os.remove(path)
        summary = records[-1]
        check(summary["type"] == "summary", f"interrupt {i}: the report has no end")
        if not summary["interrupted"]:
            check(process.returncode == 0, f"interrupt {i}: exit {process.returncode}")
            continue  # it was over
        interrupted += 1
        check(process.returncode == 2, f"interrupt {i}: exit {process.returncode}: {complaints}")
        check(summary["exit_code"] == 2, f"interrupt {i}: the report says {summary['exit_code']}")
        check(took < 2, f"interrupt {i}: {took:.2f} s")
        for record in records:
            if record["type"] == "case" and record["verdict"] not in ("held", "skipped"):
                check(record["reason"] == "interrupted", f"interrupt {i}: {record}")
        with open("/mnt/read.jsonl", "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        diff = subprocess.run([PROGRAM, "diff", "/mnt/read.jsonl", "/mnt/read.jsonl"],
                              capture_output=True, text=True, check=False)
        check(diff.returncode == 0, f"interrupt {i}: not readable: {diff.stderr}")
    check(interrupted > count / 2, "most runs were over before the interrupt")


def guest_cases():
    """Those of the mini-VMM: a guest is confined by its machine, whatever its user may do."""
    listed = subprocess.run([PROGRAM, "list"], text=True, capture_output=True, check=True).stdout
    lines = [line.split() for line in listed.splitlines() if line and not line[0].isspace()]
    found = {words[0] for words in lines if words[1] in ("device", "kernel")}
    check(len(found) > 50, f"hardly any guests: {found}")
    return found


AS_USER = ("setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "--inh-caps=-all")
HERE = os.path.dirname(os.path.abspath(__file__))
TWO_EXTENTS = [{"containerID": 0, "hostID": 1000, "size": 1},
               {"containerID": 1, "hostID": 200000, "size": 1000}]


def cover(path, content):
    """A file of the world's own in the place of the host's."""
    own = "/mnt/" + os.path.basename(path)
    with open(own, "w") as file:
        file.write(content)
    subprocess.run(["mount", "--bind", own, path], check=True)


def expected_skips():
    """The skips that are known of a user without root, where this kind of host is known."""
    kind = subprocess.run([f"{HERE}/host_kind"], env={**os.environ, "RINGFENCE_BIN": "/mnt"},
                          capture_output=True, text=True, check=True).stdout.strip()
    known = f"{HERE}/../suites/data/expected-skips/{kind}-user.txt"
    if not os.path.exists(known):
        return ()
    shutil.copy(known, "/mnt/skips.txt")
    return ("--expect-skips", "/mnt/skips.txt")


def spawn_two_extents():
    with open("/mnt/two.json", "w") as file:
        json.dump({"ociVersion": "1.0.2", "process": {"args": ["cat"], "cwd": "/"},
                   "root": {"path": "/"}, "annotations": {"ringfence.root.none": "true",
                   "ringfence.set_user": "false",
                   "ringfence.capabilities.unset":
                       "bounding,effective,permitted,inheritable,ambient"},
                   "linux": {"namespaces": [{"type": "user"}], "uidMappings": TWO_EXTENTS,
                             "gidMappings": TWO_EXTENTS}}, file)
    return subprocess.run([*AS_USER, PROGRAM, "spawn", "--policy", "/mnt/two.json", "--", "/bin/cat",
                           "/proc/self/uid_map"], capture_output=True, text=True, check=False)


def user(_):
    """As uid 1000 without newuidmap: its own id is all that it can map."""
    for helper in ("newuidmap", "newgidmap"):
        found = shutil.which(helper)
        if found:
            cover(found, "")
    as_user()
    tried = spawn_two_extents()
    check(tried.returncode != 0 and "subuid" in tried.stderr, f"two extents: {tried}")


def user_subuid(_):
    """As uid 1000 with newuidmap and ranges of its own."""
    if not shutil.which("newuidmap"):
        print("needs:subuid: no newuidmap")
        sys.exit(77)
    for file in ("/etc/subuid", "/etc/subgid"):
        cover(file, "1000:200000:65536\n")
        os.chmod("/mnt/" + os.path.basename(file), 0o644)
    as_user()
    tried = spawn_two_extents()
    check(tried.returncode == 0, f"two extents: {tried}")
    seen = [line.split() for line in tried.stdout.splitlines()]
    check(seen == [["0", "1000", "1"], ["1", "200000", "1000"]], f"two extents: {seen}")


def as_user():
    """As uid 1000: whatever can be done in user namespaces is held, all else says why not."""
    before = snapshot()
    path = "/mnt/user.jsonl"
    code, complaints = run("--suite", "full", "--report", f"jsonl={path}", *expected_skips(),
                           prefix=AS_USER)
    check(not bad(path), f"{bad(path)}")
    check(code == 0, f"exit {code}: {complaints}")
    found = verdicts(path)
    guests = guest_cases()
    held = [i for i, v in found.items() if v[0] == "held" and i not in guests]
    for name, (verdict, reason, _) in found.items():
        if verdict == "skipped":
            check(":" in reason or "<" in reason, f"{name}: skipped for {reason!r}")
    print(f"{len(held)} held, {len(found) - len(held)} skipped")
    check(len(held) >= 20, f"only {len(held)} held: {found}")
    check_same(before, snapshot(), "as a user")


def no_userns(_):
    before = snapshot()
    path = "/mnt/none.jsonl"
    others = ["/mnt/none.xml", "/mnt/none.ktap"]
    prefix = ("unshare", "-U", "-r", "sh", "-c",
              'echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" "$@"')
    guests = guest_cases()
    for extra, expected in (((), 4), (("--min-held", "1"), 3), (("--suite", "full"), None)):
        code, complaints = run("--report", f"jsonl={path}", "--report", f"junit={others[0]}",
                               "--report", f"ktap={others[1]}", *extra, prefix=prefix)
        found = verdicts(path)
        check(check_reports.main([path, *others]) == 0, "the reports disagree")
        for name, verdict in found.items():
            check(verdict[0] in (("skipped", "held") if name in guests else ("skipped",)),
                  f"{name}: {verdict}")
            check(verdict[0] != "skipped" or verdict[1], f"{name}: a skip without a reason")
        if expected is None:
            check(guests <= set(found), f"not run: {guests - set(found)}")
            expected = 0 if any(v[0] == "held" for v in found.values()) else 4
        check(code == expected, f"exit {code} instead of {expected}: {complaints}")
    check_same(before, snapshot(), "without user namespaces")


CHECKS = {"kill": (kill, 100), "repeat": (repeat, 20), "together": (together, 5),
          "shuffle": (shuffle, 30), "interrupt": (interrupt, 10), "user": (user, 1),
          "user_subuid": (user_subuid, 1), "no_userns": (no_userns, 1)}


def main():
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    if WORLD not in os.environ:
        enter_world()
    program, name = sys.argv[1:3]
    function, count = CHECKS[name]
    build_world(program)
    function(int(sys.argv[3]) if len(sys.argv) > 3 else count)


if __name__ == "__main__":
    main()
