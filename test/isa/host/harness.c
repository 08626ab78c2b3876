/*
 * Runs single instructions on the host CPU: cases come on standard input, final states go to
 * standard output. layout.ts describes both; they have the same size.
 *
 * The instruction stands in a page of INT3, so that whatever comes after it traps; whichever
 * signal comes, its handler takes the state and returns to `leave`. Everything lies below 2 GiB,
 * so that 32-bit addresses reach it.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define CODE 0x10000000ul
#define CODE_PAGES 2
#define ENTRY (CODE + 0x1000)
#define DATA 0x20000000ul
#define PAGE 4096
#define WINDOW 512
#define WINDOW_AT (DATA + PAGE - WINDOW)
#define GS_BASE 0x1000
#define FX 416
#define HIGH 256
/* Where XSAVE's standard form has its header, and the upper halves of vector registers. */
#define HEADER_AT 512
#define HIGH_AT 576

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
uint64_t saved_rsp;
uint64_t entry = ENTRY;
/* Linux's 32-bit user code segment; data and stack are flat. */
struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) far_entry = { ENTRY, 0x23 };
static uint8_t state_area[HIGH_AT + HIGH] __attribute__((aligned(64)));
static int has_avx;
void enter(const struct test_case *test, const void *fx);
void enter_legacy(const struct test_case *test, const void *fx);
void leave(void);

__asm__(
  ".text\n.globl enter\nenter:\n"
  "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
  "mov %rsp, saved_rsp(%rip)\n"
  "fxrstor64 (%rsi)\n"
  "pushq 128(%rdi)\npopfq\n"
  "mov 0(%rdi), %rax\nmov 8(%rdi), %rcx\nmov 16(%rdi), %rdx\nmov 24(%rdi), %rbx\n"
  "mov 32(%rdi), %rsp\nmov 40(%rdi), %rbp\nmov 48(%rdi), %rsi\n"
  "mov 64(%rdi), %r8\nmov 72(%rdi), %r9\nmov 80(%rdi), %r10\nmov 88(%rdi), %r11\n"
  "mov 96(%rdi), %r12\nmov 104(%rdi), %r13\nmov 112(%rdi), %r14\nmov 120(%rdi), %r15\n"
  "mov 56(%rdi), %rdi\n"
  "jmp *entry(%rip)\n"
  ".globl enter_legacy\nenter_legacy:\n"
  "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
  "mov %rsp, saved_rsp(%rip)\n"
  "fxrstor64 (%rsi)\n"
  "mov $0x2b, %eax\nmov %eax, %ds\nmov %eax, %es\n"
  "pushq 128(%rdi)\npopfq\n"
  "mov 0(%rdi), %eax\nmov 8(%rdi), %ecx\nmov 16(%rdi), %edx\nmov 24(%rdi), %ebx\n"
  "mov 32(%rdi), %esp\nmov 40(%rdi), %ebp\nmov 48(%rdi), %esi\nmov 56(%rdi), %edi\n"
  "mov $0, %r8d\nmov $0, %r9d\nmov $0, %r10d\nmov $0, %r11d\n"
  "mov $0, %r12d\nmov $0, %r13d\nmov $0, %r14d\nmov $0, %r15d\n"
  "ljmp *far_entry(%rip)\n"
  ".globl leave\nleave:\n"
  "fninit\n"
  "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

/* Indexes of RAX RCX RDX RBX RSP RBP RSI RDI R8.. in the signal's registers. */
static const int order[16] = {
  REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
  REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

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
  /* Back to the program's own state. */
  regs[REG_RIP] = (greg_t)leave;
  regs[REG_RSP] = saved_rsp;
  regs[REG_EFL] = 0x202;
  regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffffll) | 0x33;
  uc->uc_mcontext.fpregs->mxcsr = 0x1f80;
  uc->uc_mcontext.fpregs->swd = 0;
  uc->uc_mcontext.fpregs->cwd = 0x37f;
}

static void *map(uintptr_t address, size_t size, int protection) {
  void *at = mmap((void *)address, size, protection,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != (void *)address) {
    perror("mmap");
    exit(2);
  }
  return at;
}

static int read_all(void *to, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = read(0, (char *)to + done, size - done);
    if (got <= 0) return 0;
    done += got;
  }
  return 1;
}

static void write_all(const void *from, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t put = write(1, (const char *)from + done, size - done);
    if (put <= 0) exit(3);
    done += put;
  }
}

/* Into the registers' upper halves; the rest of the state comes with FXRSTOR. */
static void load_high(void) {
  state_area[HEADER_AT] = 4;
  __asm__ volatile("xrstor %0" : : "m"(state_area), "a"(4), "d"(0));
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
  if (test->legacy) enter_legacy(test, state_area);
  else enter(test, state_area);
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
  static uint8_t alternate[1 << 16];
  has_avx = __builtin_cpu_supports("avx");
  stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
  sigaltstack(&stack, NULL);
  struct sigaction action = { .sa_sigaction = take };
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS };
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    sigaction(signals[i], &action, NULL);
  }
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
