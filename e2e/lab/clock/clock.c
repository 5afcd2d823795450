// The wall clock of a process, set ahead or back: to be preloaded. CLOCK_OFFSET names a file with eight bytes, the
// nanoseconds to add, which may change at any time. Monotonic clocks are left alone.
//
// It is not libfaketime because that allocates memory in clock_gettime, which Redis's allocator calls to begin.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("CLOCK_OFFSET");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) abort();
  void *p = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (p == MAP_FAILED) abort();
  close(file);
  offset = p;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  long failed = syscall(SYS_clock_gettime, clock, t);
  if (failed || !offset || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
  const int64_t second = 1000000000;
  int64_t at = t->tv_sec * second + t->tv_nsec + *offset;
  t->tv_sec = at / second;
  t->tv_nsec = at % second;
  return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *t) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
