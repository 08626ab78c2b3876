/*
 * Runs single instructions on the host CPU: cases come on standard input, final states go to
 * standard output. layout.ts describes both; they have the same size.
 *
 * The instruction stands in a page of INT3, so that whatever comes after it traps; whichever
 * signal comes, its handler takes the state and returns to `leave`. Everything lies below 2 GiB,
 * so that 32-bit addresses reach it.
 */
#include "harness.h"

#define CODE 0x10000000ul
#define CODE_PAGES 2
#define ENTRY (CODE + 0x1000)
#define DATA 0x20000000ul
#define WINDOW 512
#define WINDOW_AT (DATA + PAGE - WINDOW)
#define GS_BASE 0x1000

struct test_case {
  uint64_t gpr[16];
  uint64_t flags;
  uint32_t length;
  /* 32-bit code, in a compatibility segment. */
  uint32_t legacy;
  uint8_t code[16];
  uint8_t fx[FX];
  uint8_t high[HIGH];
  uint8_t window[WINDOW];
};

struct outcome {
  uint64_t gpr[16];
  uint64_t flags;
  uint64_t rip;
  int32_t vector;
  uint32_t error;
  /* Something outside the window was written. */
  uint32_t stray;
  uint32_t pad;
  uint8_t fx[FX];
  uint8_t high[HIGH];
  uint8_t window[WINDOW];
};

_Static_assert(sizeof(struct test_case) == 1344, "case");
_Static_assert(sizeof(struct outcome) == 1344, "outcome");

static struct outcome result;

static void take(int signal_number, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  greg_t *regs = uc->uc_mcontext.gregs;
  (void)signal_number;
  (void)info;
  for (int i = 0; i < 16; i++) result.gpr[i] = regs[order[i]];
  result.flags = regs[REG_EFL];
  result.rip = regs[REG_RIP];
  result.vector = regs[REG_TRAPNO];
  result.error = regs[REG_ERR];
  const uint8_t *state = (const uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(result.fx, state, FX);
  /* What is in its initial state was perhaps not stored. */
  if (has_avx && state[HEADER_AT] & 4) memcpy(result.high, state + HIGH_AT, HIGH);
  go_back(uc);
}

static void run(const struct test_case *test) {
  uint8_t *code = (uint8_t *)ENTRY;
  uint8_t *window = (uint8_t *)WINDOW_AT;
  memcpy(code, test->code, test->length);
  memcpy(window, test->window, WINDOW);
  memset(state_area, 0, sizeof state_area);
  memcpy(state_area, test->fx, FX);
  memcpy(state_area + HIGH_AT, test->high, HIGH);
  if (has_avx) load_high();
  memset(&result, 0, sizeof result);
  enter_at(ENTRY, test->legacy, test);
  /* The INT3 behind the instruction means that all went well. */
  if (result.vector == 3 && result.rip != ENTRY + 1) {
    result.vector = -1;
    result.rip -= 1;
  }
  memcpy(result.window, window, WINDOW);
  const uint8_t *page = (const uint8_t *)DATA;
  if (page[0] != 0 || memcmp(page, page + 1, PAGE - WINDOW - 1) != 0) {
    result.stray = 1;
    memset((void *)DATA, 0, PAGE);
  }
  memset(code, 0xcc, 16);
}

int main(void) {
  has_avx = __builtin_cpu_supports("avx");
  handle(take);
  map(CODE, CODE_PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
  memset((void *)CODE, 0xcc, CODE_PAGES * PAGE);
  map(DATA - PAGE, PAGE, PROT_NONE);
  map(DATA, PAGE, PROT_READ | PROT_WRITE);
  map(DATA + PAGE, PAGE, PROT_NONE);
  syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);

  uint32_t count;
  while (read_all(&count, 4)) {
    struct test_case *tests = malloc(count * sizeof *tests);
    struct outcome *outcomes = malloc(count * sizeof *outcomes);
    if (!read_all(tests, count * sizeof *tests)) return 4;
    for (uint32_t i = 0; i < count; i++) {
      run(&tests[i]);
      outcomes[i] = result;
    }
    write_all(outcomes, count * sizeof *outcomes);
    free(tests);
    free(outcomes);
  }
  return 0;
}
