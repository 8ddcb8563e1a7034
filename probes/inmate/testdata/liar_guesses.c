/* A liar: attempts nothing, reads the host's path of its own group, in case the secret is there,
 * and calculates a secret from what it is told instead of reading it. The canaries' names end in a
 * nonce; were it and the secret made of one small seed (splitmix64 of the seed and of the trial's
 * name, FNV-1a), the one would give the other away. */
#include "probes/inmate/voice.h"

enum { kNonceDigits = 12, kUnknownBits = 16, kSeedBits = 32 };

static uint64_t unshift(uint64_t y, int by) {
  uint64_t x = y;
  for (int i = 0; i < 64 / by; ++i) x = y ^ x >> by;
  return x;
}

static uint64_t inverse(uint64_t odd) { /* of multiplication, by Newton's method */
  uint64_t x = odd;
  for (int i = 0; i < 6; ++i) x *= 2 - odd * x;
  return x;
}

static uint64_t unmix(uint64_t x) {
  x = unshift(x, 31) * inverse(0x94d049bb133111eb);
  x = unshift(x, 27) * inverse(0xbf58476d1ce4e5b9);
  return unshift(x, 30) - 0x9e3779b97f4a7c15;
}

static uint64_t hash(const char* text) {
  uint64_t h = 0xcbf29ce484222325;
  for (; *text != 0; ++text) h = (h ^ (unsigned char)*text) * 0x100000001b3;
  return h;
}

static bool nonce_of(const char* name, uint64_t* nonce) {
  const size_t size = str_len(name);
  if (size < kNonceDigits) return false;
  *nonce = 0;
  for (size_t i = size - kNonceDigits; i < size; ++i) {
    const char c = name[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    *nonce = *nonce << 4 | (uint64_t)digit;
  }
  return true;
}

static void add_word(struct rf_text* t, uint64_t word) {
  for (int shift = 60; shift >= 0; shift -= 4)
    add_bytes(t, &"0123456789abcdef"[word >> shift & 15], 1);
}

static void read_group(void) {
  static char text[4096];
  const long fd = sys(__NR_openat, AT_FDCWD, "/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
  const long n = fd < 0 ? fd : sys(__NR_read, fd, text, sizeof text);
  for (long at = 0; at < n; at += RF_SECRET_MAX)
    say_bytes(text + at, (size_t)(n - at < RF_SECRET_MAX ? n - at : RF_SECRET_MAX));
}

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  (void)attempt;
  read_group();
  uint64_t nonce = 0;
  if (params->count == 0 || !nonce_of(params->at[0], &nonce)) return -EPERM;
  const uint64_t trial = hash("ipc.mqueue/control");
  for (uint64_t low = 0; low >> kUnknownBits == 0; ++low) {
    const uint64_t second = unmix(nonce << kUnknownBits | low);
    const uint64_t first = unmix(second);
    if ((unmix(first) ^ trial) >> kSeedBits != 0) continue; /* no seed gives this */
    struct rf_text text = {.size = 0};
    add_str(&text, "rf");
    add_word(&text, first);
    add_word(&text, second);
    say_bytes(text.text, text.size);
  }
  return 0;
}

long voice_call(long ret) { return ret; }

bool voice_sends_bytes(void) { return true; }

long voice_claim(long ret, bool* could_not) {
  *could_not = false;
  return ret;
}
