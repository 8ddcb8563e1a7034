/* Attempts on the cgroup file system: out of one's own group, or its limits raised from inside.
 * Sources: cgroups(7), kernel Documentation/admin-guide/cgroup-v1/devices.rst. */
#include "probes/inmate/registry.h"

/* Writes `text` to the first of the files from `first` on that opens; what the last of them said.
 */
static long write_first(const struct rf_params* p, int first, const char* text) {
  long ret = -ENOENT;
  for (int i = first; i < p->count; ++i) {
    const long fd = decide_open(param(p, i), O_WRONLY, 0);
    if (fd < 0) {
      ret = worse(ret, fd);
      continue;
    }
    ret = sys(__NR_write, fd, text, str_len(text));
    const long args[6] = {fd, (long)text, (long)str_len(text)};
    say_call(__NR_write, ret, args);
    return ret;
  }
  return ret;
}

/* Mounts v2 and moves itself to the root of what it sees. */
static long attempt_cgroup_out(const struct rf_params* p) {
  const char* directory = param(p, 0);
  sys(__NR_mkdirat, AT_FDCWD, directory, 0755);
  long ret = decide(__NR_mount, "cgroup2", directory, "cgroup2", 0, 0);
  if (ret < 0) return ret;
  struct rf_text path = {.size = 0};
  add_str(&path, directory);
  add_str(&path, "/cgroup.procs");
  const long fd = decide_open(path.text, O_WRONLY, 0);
  if (fd < 0) return fd;
  ret = sys(__NR_write, fd, "0", 1);
  say_remark_number("write to cgroup.procs", ret);
  return ret;
}

static long attempt_raise_fork(const struct rf_params* p) {
  const long raised = write_first(p, 1, "max");
  const struct rf_crowd crowd = gather(param_number(p, 0));
  say_remark_number("children", crowd.made);
  claim(raised < 0 ? raised : crowd.ret < 0 ? crowd.ret : crowd.made);
  dismiss(crowd);
}

/* Allows itself every device, and opens one by a node of its own. */
static long attempt_allow_devices(const struct rf_params* p) {
  const char* node = param(p, 0);
  const long major = param_number(p, 1);
  const long minor = param_number(p, 2);
  const long raised = write_first(p, 3, "a");
  long ret = sys(__NR_mknodat, AT_FDCWD, node, 0020666 /* S_IFCHR */,
                 (minor & 0xff) | major << 8 | (minor & ~0xffL) << 12);
  if (ret < 0 && ret != -EEXIST) return ret;
  ret = decide_open(node, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  claim(raised < 0 ? raised : ret);
  sys(__NR_unlinkat, AT_FDCWD, node, 0);
  rf_exit(RF_EXIT_DONE);
}

const struct attempt rf_cgroup_attempts[] = {
    {"cgroup_out", attempt_cgroup_out, "DIR: where v2 is mounted"},
    {"raise_fork", attempt_raise_fork, "COUNT FILE...: max into the first that opens, then forks"},
    {"allow_devices", attempt_allow_devices,
     "NODE MAJOR MINOR FILE...: a into the first that opens, then opens the device"},
    {NULL, NULL, NULL},
};
