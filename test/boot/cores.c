/*
 * What processors promise one another, asked by two threads on two processors: the order of
 * accesses (litmus tests of the SDM, volume 3A, 8.2.3), locked instructions of all kinds, code that
 * another processor writes, reading beside updates, and waiting for one another in the kernel. Each line says how many
 * rounds there were and how many of them went wrong.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READS 100
#define LINE __attribute__((aligned(4096)))

typedef long (*half)(int self, long rounds);

static long rounds;
static volatile LINE uint64_t x;
static volatile LINE uint64_t y;
static volatile LINE int arrived[2];
static volatile uint64_t seen[2];

/* Both threads have come to round `n`. */
static void meet(int self, int n) {
  arrived[self] = n;
  while (arrived[!self] < n) __builtin_ia32_pause();
}

/* Stores are seen in their order: who sees the flag sees what was stored before. */
static long message(int self, long n) {
  long wrong = 0;
  if (self == 0) {
    for (long i = 1; i <= n; i++) {
      x = i;
      y = i;
    }
    return 0;
  }
  for (uint64_t flag = 0; flag < (uint64_t)n;) {
    flag = y;
    if (x < flag) wrong++;
  }
  return wrong;
}

/* A load does not pass the store before it over a fence: not both see nothing. */
static long storing(int self, long n, int kind) {
  long wrong = 0;
  volatile uint64_t *mine = self ? &y : &x, *other = self ? &x : &y;
  for (long i = 1; i <= n; i++) {
    *mine = 0;
    meet(self, 3 * i - 2);
    if (kind == 0) {
      *mine = 1;
      __asm__ volatile("mfence" ::: "memory");
    } else if (kind == 1) {
      uint64_t one = 1;
      __asm__ volatile("xchg %0, %1" : "+r"(one), "+m"(*mine) :: "memory");
    } else {
      *mine = 1;
      __asm__ volatile("lock orl $0, (%%rsp)" ::: "memory", "cc");
    }
    seen[self] = *other;
    meet(self, 3 * i - 1);
    if (self == 0 && seen[0] == 0 && seen[1] == 0) wrong++;
    meet(self, 3 * i);
  }
  return wrong;
}
static long storing_fence(int self, long n) { return storing(self, n, 0); }
static long storing_xchg(int self, long n) { return storing(self, n, 1); }
static long storing_lock(int self, long n) { return storing(self, n, 2); }

/* A store does not pass the load before it: not both see the other's store. */
static long loading(int self, long n) {
  long wrong = 0;
  volatile uint64_t *mine = self ? &y : &x, *other = self ? &x : &y;
  for (long i = 1; i <= n; i++) {
    *mine = 0;
    meet(self, 3 * i - 2);
    seen[self] = *other;
    *mine = 1;
    meet(self, 3 * i - 1);
    if (self == 0 && seen[0] == 1 && seen[1] == 1) wrong++;
    meet(self, 3 * i);
  }
  return wrong;
}

/* Counting with locked instructions: nothing is lost. */
static LINE unsigned char area[3 * 4096];
static volatile LINE uint64_t plain;

static long atomics(int self, long n) {
  uint8_t *bytes = area + 64;
  uint16_t *words = (uint16_t *)(area + 128);
  uint32_t *longs = (uint32_t *)(area + 192);
  uint64_t *quads = (uint64_t *)(area + 256), *lock = (uint64_t *)(area + 320);
  for (long i = 0; i < n; i++) {
    uint32_t one = 1;
    uint64_t old;
    unsigned char taken;
    __asm__ volatile("lock incb %0" : "+m"(*bytes) :: "cc");
    __asm__ volatile("lock addw $1, %0" : "+m"(*words) :: "cc");
    __asm__ volatile("lock xaddl %1, %0" : "+m"(*longs), "+r"(one) :: "cc");
    do old = *(volatile uint64_t *)quads;
    while (!__sync_bool_compare_and_swap(quads, old, old + 1));
    do __asm__ volatile("lock btsq %2, %0; setc %1" : "+m"(*lock), "=q"(taken)
                        : "r"((uint64_t)17) : "cc", "memory");
    while (taken && (__builtin_ia32_pause(), 1));
    plain = plain + 1;
    __asm__ volatile("lock btrq %1, %0" : "+m"(*lock) : "r"((uint64_t)17) : "cc", "memory");
  }
  meet(self, 1);
  if (self) return 0;
  return (*bytes != (uint8_t)(2 * n)) + (*words != (uint16_t)(2 * n))
    + (*longs != (uint32_t)(2 * n)) + (*quads != (uint64_t)(2 * n)) + (plain != (uint64_t)(2 * n));
}

/* Locked operands that are not aligned, one of them across pages; and of 16 bytes. */
static LINE struct { uint64_t low, high; } pair;

static long wide(int self, long n) {
  uint64_t *split = (uint64_t *)(area + 1021), *across = (uint64_t *)(area + 4096 - 3);
  long wrong = 0;
  for (long i = 0; i < n; i++) {
    __asm__ volatile("lock incq %0" : "+m"(*split) :: "cc");
    __asm__ volatile("lock incq %0" : "+m"(*across) :: "cc");
    uint64_t low = pair.low, high = pair.high;
    unsigned char done = 0;
    while (!done) {
      __asm__ volatile("lock cmpxchg16b %0; setz %1"
                       : "+m"(pair), "=q"(done), "+a"(low), "+d"(high)
                       : "b"(low + 1), "c"(low + 1) : "cc", "memory");
      if (!done && low != high) wrong++;
    }
  }
  meet(self, 1);
  if (self) return wrong;
  return wrong + (*split != (uint64_t)(2 * n)) + (*across != (uint64_t)(2 * n))
    + (pair.low != (uint64_t)(2 * n)) + (pair.high != (uint64_t)(2 * n));
}

/* Code that another processor writes is executed as written once the processor has serialised. */
static unsigned char *code;

static long writing(int self, long n) {
  long wrong = 0;
  for (long i = 1; i <= n; i++) {
    if (self == 0) {
      unsigned char function[] = { 0xb8, 0, 0, 0, 0, 0xc3 };
      uint32_t value = i;
      memcpy(function + 1, &value, 4);
      memcpy(code + i % 7 * 16, function, sizeof function);
      x = i;
      while (y < (uint64_t)i) __builtin_ia32_pause();
    } else {
      while (x < (uint64_t)i) __builtin_ia32_pause();
      uint32_t a = 0, b, c = 0, d;
      __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) :: "memory");
      if (((int (*)(void))(code + i % 7 * 16))() != i) wrong++;
      y = i;
    }
  }
  return wrong;
}

/*
 * Read, copy, update: one thread reads without a lock or a fence, the other puts something new in
 * place of what is read, waits until nobody can have the old, and spoils it. The wait is the
 * kernel's own: membarrier(2) waits for a grace period of its RCU. On Xen that takes up to a second
 * while the reader computes, as Linux handles events, and so the ticks that would end it, inside a
 * reader's section of its own: 0.70 s in the mean of twenty on Xen 4.17, 0.79 s here, and 25 ms where
 * ticks are a local APIC's (QEMU).
 */
static volatile struct { uint64_t value, copy; } versions[2];
static volatile LINE int current;
/* Odd while the reader reads. */
static volatile LINE unsigned long section;
static volatile int is_over;

static int wait_for_readers(void) {
  unsigned long seen;
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)) return 1;
  seen = section;
  while (seen % 2 && section == seen) sched_yield();
  return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0;
}

static long updating(int self, long n) {
  long wrong = 0;
  if (self == 0) {
    while (!is_over) {
      section++;
      int version = current;
      for (int i = 0; i < READS; i++) {
        uint64_t value = versions[version].value;
        if (!value || versions[version].copy != value) wrong++;
      }
      section++;
    }
    return wrong;
  }
  for (long i = 1; i <= n; i++) {
    int old = current;
    versions[!old].value = versions[!old].copy = i;
    current = !old;
    if (wait_for_readers()) wrong++;
    versions[old].value = versions[old].copy = 0;
  }
  is_over = 1;
  return wrong;
}

/* Threads that wake one another. */
static int pipes[2][2];

static long waking(int self, long n) {
  char byte = 'x';
  for (long i = 0; i < n; i++) {
    if (self == 0 && write(pipes[0][1], &byte, 1) != 1) return 1;
    if (read(pipes[!self][0], &byte, 1) != 1) return 1;
    if (self == 1 && write(pipes[1][1], &byte, 1) != 1) return 1;
  }
  return 0;
}

struct part { half run; int self; long n, wrong; };

static void *carry_out(void *argument) {
  struct part *part = argument;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(part->self, &set);
  sched_setaffinity(0, sizeof set, &set);
  part->wrong = part->run(part->self, part->n);
  return 0;
}

static void ask(const char *name, half run, long n) {
  struct part parts[2] = { { run, 0, n, 0 }, { run, 1, n, 0 } };
  pthread_t threads[2];
  x = y = 0;
  arrived[0] = arrived[1] = 0;
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, carry_out, &parts[i]);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
  printf("%s %ld %ld\n", name, n, parts[0].wrong + parts[1].wrong);
  fflush(stdout);
}

int main(int count, char **words) {
  rounds = count > 1 ? atol(words[1]) : 10000;
  code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pipe(pipes[0]) || pipe(pipes[1])) return 1;
  ask("message passing", message, rounds * 20);
  ask("store buffering with mfence", storing_fence, rounds);
  ask("store buffering with xchg", storing_xchg, rounds);
  ask("store buffering with lock", storing_lock, rounds);
  ask("load buffering", loading, rounds);
  ask("locked counting", atomics, rounds * 5);
  ask("wide locked counting", wide, rounds / 20);
  ask("code of another", writing, rounds / 20);
  ask("waking", waking, rounds / 5);
  versions[0].value = versions[0].copy = rounds;
  ask("reading beside updates", updating, rounds / 100);
  return 0;
}
