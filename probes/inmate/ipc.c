/* Attempts on System V IPC, POSIX message queues and the UTS names.
 * Sources: shmget(2), semget(2), msgrcv(2), mq_open(3), sethostname(2), setdomainname(2). */
#include <linux/ipc.h>
#include <linux/mqueue.h>
#include <linux/msg.h>
#include <linux/sem.h>
#include <linux/shm.h>

#include "probes/inmate/registry.h"

static long attempt_sethostname(const struct rf_params* p) {
  const char* name = param(p, 0);
  return decide(__NR_sethostname, name, str_len(name));
}

static long attempt_setdomainname(const struct rf_params* p) {
  const char* name = param(p, 0);
  return decide(__NR_setdomainname, name, str_len(name));
}

static long attempt_shm_read(const struct rf_params* p) {
  size_t size = (size_t)param_number_or(p, 1, 64);
  if (size > RF_SECRET_MAX) size = RF_SECRET_MAX;
  const long id = decide(__NR_shmget, param_number(p, 0), 0, 0);
  if (id < 0) return id;
  const long at = decide(__NR_shmat, id, 0, SHM_RDONLY);
  if (at < 0 && at > -4096) return at;
  say_bytes((const void*)at, size);
  return 0;
}

static long attempt_shm_write(const struct rf_params* p) {
  const char* text = param(p, 1);
  const long id = decide(__NR_shmget, param_number(p, 0), 0, 0);
  if (id < 0) return id;
  const long at = decide(__NR_shmat, id, 0, 0);
  if (at < 0 && at > -4096) return at;
  memcpy((void*)at, text, str_len(text));
  return 0;
}

static long attempt_sem_get(const struct rf_params* p) {
  return decide(__NR_semget, param_number(p, 0), 0, 0);
}

static long attempt_sem_set(const struct rf_params* p) {
  const long id = decide(__NR_semget, param_number(p, 0), 0, 0);
  return id < 0 ? id : decide(__NR_semctl, id, 0, SETVAL, param_number(p, 1));
}

/* As sem_post(3) does it: the first word of a file that is mapped. */
static long attempt_sem_post(const struct rf_params* p) {
  const long fd = decide_open(param(p, 0), O_RDWR, 0);
  if (fd < 0) return fd;
  const long at = sys(__NR_mmap, 0, 4096, 3 /* read, write */, 1 /* shared */, fd, 0);
  if (at < 0 && at > -4096) unable(-at);
  __atomic_fetch_add((uint32_t*)at, 1, __ATOMIC_SEQ_CST);
  return 0;
}

/* A copy where the kernel can give one (CONFIG_CHECKPOINT_RESTORE), else the message itself. */
static long attempt_msgq_read(const struct rf_params* p) {
  struct {
    long type;
    char text[RF_SECRET_MAX];
  } message = {.type = 0};
  const long id = decide(__NR_msgget, param_number(p, 0), 0);
  if (id < 0) return id;
  const long size = sizeof message.text;
  long n = decide(__NR_msgrcv, id, &message, size, 0, MSG_COPY | IPC_NOWAIT | MSG_NOERROR);
  if (n == -ENOSYS) n = decide(__NR_msgrcv, id, &message, size, 0, IPC_NOWAIT | MSG_NOERROR);
  if (n >= 0) say_bytes(message.text, (size_t)n);
  return n;
}

static long attempt_mq_read(const struct rf_params* p) {
  const char* name = param(p, 0);
  if (*name == '/') ++name; /* the slash is the library's, not the kernel's */
  const long queue = decide(__NR_mq_open, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, 0);
  if (queue < 0) return queue;
  static char message[65536]; /* at least the queue's mq_msgsize, or EMSGSIZE */
  const long n = decide(__NR_mq_timedreceive, queue, message, sizeof message, 0, 0);
  if (n >= 0) say_bytes(message, (size_t)n);
  return n;
}

const struct attempt rf_ipc_attempts[] = {
    {"sethostname", attempt_sethostname, "NAME"},
    {"setdomainname", attempt_setdomainname, "NAME"},
    {"shm_read", attempt_shm_read, "KEY [LENGTH]"},
    {"shm_write", attempt_shm_write, "KEY TEXT"},
    {"sem_get", attempt_sem_get, "KEY"},
    {"sem_set", attempt_sem_set, "KEY VALUE"},
    {"sem_post", attempt_sem_post, "PATH: of a POSIX semaphore"},
    {"msgq_read", attempt_msgq_read, "KEY"},
    {"mq_read", attempt_mq_read, "NAME"},
    {NULL, NULL, NULL},
};
