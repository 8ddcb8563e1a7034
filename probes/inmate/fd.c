/* Attempts by descriptors that came from outside, and on terminals.
 * Sources: fcntl(2), fchdir(2), linkat(2), open_by_handle_at(2), ioctl_tty(2). */
#include <asm/ioctls.h>
#include <linux/poll.h>
#include <linux/stat.h>
#include <linux/uio.h>

#include "probes/inmate/registry.h"

/* COMMAND may have bits above the 32 that the kernel looks at (CVE-2019-10063). */
static long attempt_tiocsti(const struct rf_params* p) {
  const char* byte = param(p, 1);
  return decide(__NR_ioctl, param_number(p, 0), param_number_or(p, 2, TIOCSTI), byte);
}

static long attempt_tiocsctty(const struct rf_params* p) {
  const long fd = param_number(p, 0);
  sys(__NR_setsid); /* fails for who leads a group already; the ioctl then says so */
  return decide(__NR_ioctl, fd, TIOCSCTTY, param_number_or(p, 1, 0));
}

static void say_link(long fd) {
  struct rf_text link = {.size = 0};
  add_str(&link, "/proc/self/fd/");
  add_dec(&link, fd);
  char target[512];
  const long n = sys(__NR_readlinkat, AT_FDCWD, link.text, target, sizeof target);
  struct rf_text remark = {.size = 0};
  add_str(&remark, "fd ");
  add_dec(&remark, fd);
  if (n > 0) {
    add_str(&remark, " ");
    add_bytes(&remark, target, (size_t)n);
  }
  say_remark(remark.text);
}

/* What a descriptor gives without waiting: from its start where it has one. */
static long read_now(long fd) {
  char buffer[RF_SECRET_MAX];
  long n = decide(__NR_pread64, fd, buffer, sizeof buffer, 0);
  if (n == -ESPIPE) {
    struct pollfd poll = {.fd = (int)fd, .events = POLLIN};
    const struct { long seconds, nanoseconds; } at_once = {0, 0};
    if (sys(__NR_ppoll, &poll, 1, &at_once, 0, 0) != 1) return -EAGAIN;
    n = decide(__NR_read, fd, buffer, sizeof buffer);
  }
  if (n >= 0) say_bytes(buffer, (size_t)n);
  return n;
}

/* Any descriptor beyond the standard ones, the answer and the image is one too many. */
static long attempt_list_fds(const struct rf_params* p) {
  const long first = param_number_or(p, 0, RF_EXE_FD + 1);
  bool open[1024] = {false};
  long found = 0;
  for (long fd = first; fd >= 0 && fd < 1024; ++fd) {
    const long ret = sys(__NR_fcntl, fd, F_GETFD);
    open[fd] = ret >= 0;
    /* The first that is open decides; when none is, the last that is not. */
    if ((open[fd] && found++ == 0) || (fd == 1023 && found == 0)) {
      const long args[6] = {fd, F_GETFD};
      say_call(__NR_fcntl, ret, args);
    }
  }
  if (found == 0) return -EBADF;
  for (long fd = first; fd >= 0 && fd < 1024; ++fd) {
    if (!open[fd]) continue;
    say_link(fd);
    read_now(fd);
  }
  return found;
}

static long attempt_read_fd(const struct rf_params* p) { return read_now(param_number(p, 0)); }

static long attempt_write_fd(const struct rf_params* p) {
  const char* text = param(p, 1);
  return decide(__NR_write, param_number(p, 0), text, str_len(text));
}

static long attempt_fchdir_read(const struct rf_params* p) {
  const char* path = param(p, 1);
  while (*path == '/') ++path;
  const long ret = decide(__NR_fchdir, param_number(p, 0));
  return ret < 0 ? ret : read_path(path);
}

/* Gives the file of the descriptor that was passed in a name. */
static long attempt_link_fd(const struct rf_params* p) {
  return decide(__NR_linkat, RF_GIVEN_FD, "", AT_FDCWD, param(p, 0), AT_EMPTY_PATH);
}

/* The same for a file without a name on the target's own root mount, which the harness makes and
 * passes on demand (message F). */
static long attempt_link_passed(const struct rf_params* p) {
  if (sys(__NR_write, RF_ANSWER_FD, "F", 1) != 1) unable(EIO);
  char byte = 0;
  struct iovec iov = {&byte, 1};
  struct {
    size_t size; /* struct cmsghdr, socket(7) */
    int level, type, fd, padding;
  } control = {.fd = -1};
  struct {
    void* name; /* struct msghdr, recvmsg(2) */
    long name_size;
    struct iovec* iov;
    size_t iov_count;
    void* control;
    size_t control_size;
    long flags;
  } message = {.iov = &iov, .iov_count = 1, .control = &control, .control_size = sizeof control};
  const long n = sys(__NR_recvmsg, RF_ANSWER_FD, &message, 0);
  if (n < 0) unable(-n);
  if (control.fd < 0) unable(ENODEV);
  return decide(__NR_linkat, control.fd, "", AT_FDCWD, param(p, 0), AT_EMPTY_PATH);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/* A file by its handle, past every path and mount (the "shocker" attempt). */
static long attempt_open_by_handle(const struct rf_params* p) {
  const char* hex = param(p, 2);
  struct {
    uint32_t size;
    int32_t type;
    unsigned char bytes[128];
  } handle = {.type = (int32_t)param_number(p, 1)};
  for (; hex[0] != 0; hex += 2) {
    const int high = hex_digit(hex[0]);
    const int low = high < 0 ? -1 : hex_digit(hex[1]);
    if (low < 0 || handle.size == sizeof handle.bytes) unable(EINVAL);
    handle.bytes[handle.size++] = (unsigned char)(high << 4 | low);
  }
  const long mount = sys(__NR_openat, AT_FDCWD, param(p, 0), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (mount < 0) unable(-mount);
  const long fd = decide(__NR_open_by_handle_at, mount, &handle, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? fd : read_and_say(fd);
}

const struct attempt rf_fd_attempts[] = {
    {"tiocsti", attempt_tiocsti, "FD CHARACTER [COMMAND]"},
    {"tiocsctty", attempt_tiocsctty, "FD [FORCE]"},
    {"list_fds", attempt_list_fds, "[FIRST]: achieved when any is open"},
    {"read_fd", attempt_read_fd, "FD"},
    {"write_fd", attempt_write_fd, "FD TEXT"},
    {"fchdir_read", attempt_fchdir_read, "FD PATH"},
    {"link_fd", attempt_link_fd, "PATH: for RF_GIVEN_FD"},
    {"link_passed", attempt_link_passed, "PATH: for a file that the harness passes"},
    {"open_by_handle", attempt_open_by_handle, "MOUNT_DIR HANDLE_TYPE HANDLE_HEX"},
    {NULL, NULL, NULL},
};
