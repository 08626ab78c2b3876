/*
 * What a guest does with AVX, AVX2, F16C and FMA: computes, and keeps vector registers while other
 * processes and signal handlers use them. What it prints is the same on every processor that has
 * them.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 400
#define PROCESSES 3

static uint64_t seed = 88172645463325252u;

static uint64_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static uint64_t mixed(uint64_t sum, const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  for (size_t i = 0; i < size; i++) sum = (sum ^ at[i]) * 0x100000001b3u;
  return sum;
}

/* Loads all sixteen registers, does a system call, and stores them. */
static void through_kernel(const __m256i *from, __m256i *to, long number) {
  __asm__ volatile(
    "vmovdqu 0(%1), %%ymm0\nvmovdqu 32(%1), %%ymm1\nvmovdqu 64(%1), %%ymm2\n"
    "vmovdqu 96(%1), %%ymm3\nvmovdqu 128(%1), %%ymm4\nvmovdqu 160(%1), %%ymm5\n"
    "vmovdqu 192(%1), %%ymm6\nvmovdqu 224(%1), %%ymm7\nvmovdqu 256(%1), %%ymm8\n"
    "vmovdqu 288(%1), %%ymm9\nvmovdqu 320(%1), %%ymm10\nvmovdqu 352(%1), %%ymm11\n"
    "vmovdqu 384(%1), %%ymm12\nvmovdqu 416(%1), %%ymm13\nvmovdqu 448(%1), %%ymm14\n"
    "vmovdqu 480(%1), %%ymm15\n"
    "syscall\n"
    "mov $20000, %%ecx\n1: dec %%ecx\njnz 1b\n"
    "vmovdqu %%ymm0, 0(%2)\nvmovdqu %%ymm1, 32(%2)\nvmovdqu %%ymm2, 64(%2)\n"
    "vmovdqu %%ymm3, 96(%2)\nvmovdqu %%ymm4, 128(%2)\nvmovdqu %%ymm5, 160(%2)\n"
    "vmovdqu %%ymm6, 192(%2)\nvmovdqu %%ymm7, 224(%2)\nvmovdqu %%ymm8, 256(%2)\n"
    "vmovdqu %%ymm9, 288(%2)\nvmovdqu %%ymm10, 320(%2)\nvmovdqu %%ymm11, 352(%2)\n"
    "vmovdqu %%ymm12, 384(%2)\nvmovdqu %%ymm13, 416(%2)\nvmovdqu %%ymm14, 448(%2)\n"
    "vmovdqu %%ymm15, 480(%2)\n"
    : "+a"(number) : "r"(from), "r"(to)
    : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
      "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
  __m256i ones = _mm256_set1_epi8(number);
  __asm__ volatile("vmovdqa %0, %%ymm0\nvmovdqa %0, %%ymm7\nvmovdqa %0, %%ymm15\n"
                   : : "x"(ones) : "xmm0", "xmm7", "xmm15");
  alarms++;
}

/* Not zero when registers were not what they had been. */
static int hold(int process) {
  __m256i before[16], after[16];
  int wrong = 0; /* Rounds. */
  seed += process;
  struct sigaction action = { .sa_handler = on_alarm };
  sigaction(SIGALRM, &action, NULL);
  struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
  setitimer(ITIMER_REAL, &often, NULL);
  for (int round = 0; round < ROUNDS || alarms < 3; round++) {
    uint64_t *word = (uint64_t *)before;
    for (int i = 0; i < 64; i++) word[i] = next();
    through_kernel(before, after, 24 /* sched_yield */);
    if (memcmp(before, after, sizeof before) != 0) wrong++;
  }
  return wrong != 0;
}

static int holds_in_processes(void) {
  int failed = 0;
  for (int process = 0; process < PROCESSES; process++) {
    if (fork() == 0) _exit(hold(process));
  }
  for (int process = 0; process < PROCESSES; process++) {
    int status;
    wait(&status);
    if (status != 0) failed++;
  }
  return failed;
}

static uint64_t integers(void) {
  uint64_t sum = 0xcbf29ce484222325u;
  uint8_t bytes[4096], other[4096] = { 0 };
  for (int i = 0; i < 4096; i += 8) memcpy(bytes + i, &(uint64_t){ next() }, 8);
  for (int i = 0; i + 64 <= 4096; i += 7) {
    __m256i a = _mm256_loadu_si256((const void *)(bytes + i));
    __m256i b = _mm256_loadu_si256((const void *)(bytes + i + 32));
    __m256i c = _mm256_add_epi16(_mm256_maddubs_epi16(a, b), _mm256_shuffle_epi8(b, a));
    c = _mm256_xor_si256(c, _mm256_permutevar8x32_epi32(a, b));
    c = _mm256_sllv_epi32(c, _mm256_and_si256(b, _mm256_set1_epi32(31)));
    c = _mm256_add_epi64(c, _mm256_permute4x64_epi64(_mm256_mul_epu32(a, b), 0x1b));
    int mask = _mm256_movemask_epi8(_mm256_cmpgt_epi8(a, b));
    __m256i places = _mm256_and_si256(b, _mm256_set1_epi32(1023));
    c = _mm256_add_epi32(c, _mm256_i32gather_epi32((const int *)bytes, places, 2));
    _mm256_maskstore_epi32((int *)(other + i), a, c);
    sum = mixed(sum, &c, sizeof c) ^ mask;
    sum = mixed(sum, other + i, 32) + (uint64_t)_mm256_extract_epi64(c, 3);
  }
  return sum;
}

static uint64_t floats(void) {
  uint64_t sum = 0xcbf29ce484222325u;
  __m256d x = _mm256_set_pd(0.1, 1e-3, 3.25, 1e10);
  __m256 y = _mm256_set_ps(1, 2.5f, 1e-6f, 7, 0.3f, 9, 11, 1e5f);
  for (int i = 0; i < 2000; i++) {
    __m256d k = _mm256_set1_pd((double)(next() >> 20) * 1e-12);
    __m256 l = _mm256_set1_ps((float)(next() >> 44) * 1e-5f);
    x = _mm256_fmadd_pd(x, k, _mm256_div_pd(_mm256_set1_pd(1), _mm256_add_pd(x, k)));
    y = _mm256_fnmadd_ps(y, l, _mm256_sqrt_ps(_mm256_add_ps(_mm256_mul_ps(y, y), l)));
    __m128i halves = _mm256_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT);
    y = _mm256_blendv_ps(y, _mm256_cvtph_ps(halves), _mm256_cmp_ps(y, l, _CMP_NLE_UQ));
    y = _mm256_min_ps(y, _mm256_set1_ps(1e6f));
    x = _mm256_blendv_pd(x, k, _mm256_cmp_pd(x, _mm256_set1_pd(1e9), _CMP_GT_OQ));
    sum = mixed(mixed(sum, &x, sizeof x), &y, sizeof y);
  }
  return sum;
}

/* The C library's string functions, which choose their AVX2 forms by CPUID. */
static uint64_t strings(void) {
  uint64_t sum = 0;
  char text[1024], copy[1100] = { 0 };
  for (int i = 0; i < 1023; i++) text[i] = 'a' + next() % 20;
  text[1023] = 0;
  for (int start = 0; start < 200; start++) {
    size_t length = next() % 700;
    char *at = copy + start % 64;
    memcpy(at, text + start, length);
    at[length] = 0;
    memmove(at + next() % 9, at, length);
    int order = memcmp(at, text + start, length);
    sum = sum * 31 + strlen(at) + (order > 0) + 2 * (order < 0);
    const char *found = memchr(text + start, 'a' + start % 22, length);
    sum = sum * 31 + (found ? found - text : -1);
    found = strchr(text + start, 'a' + start % 22);
    sum = sum * 31 + (found ? found - text : -1);
    memset(at, start, length / 2);
    sum = mixed(sum, copy, 700);
  }
  return sum;
}

int main(void) {
  printf("v3 %d\n", __builtin_cpu_supports("x86-64-v3") != 0);
  printf("integers %016lx\n", integers());
  printf("floats %016lx\n", floats());
  printf("strings %016lx\n", strings());
  fflush(stdout);
  printf("failed %d\n", holds_in_processes());
  return 0;
}
