/*
 * Runs whole programs of user code on the host CPU: programs come on standard input, final states go
 * to standard output; native-engine.ts describes both.
 *
 * What the kernel of machine.ts does for a program, signal handlers do here: the page of a fault
 * becomes usable, and software interrupts take pages away. Any other exception ends the program.
 */
#include "../../isa/host/harness.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#define CODE 0x10000000ul
#define CODE_PAGES 5
#define DATA 0x20000000ul
#define DATA_PAGES 8
#define STACK 0x20100000ul
#define STACK_PAGES 2
#define GS_BASE 0x1000
#define UNMAP 0x88
#define PROTECT 0x90
#define MOST_FAULTS 100
#define STATE (HIGH_AT + HIGH)

struct program {
  uint64_t gpr[16];
  uint64_t flags;
  uint64_t entry;
  uint64_t legacy;
  uint8_t xmm[256];
  uint8_t pad[104];
  uint8_t code[CODE_PAGES * PAGE];
  uint8_t data[DATA_PAGES * PAGE];
};

struct outcome {
  uint64_t gpr[16];
  uint64_t flags;
  uint64_t rip;
  int64_t vector;
  uint64_t pad;
  uint8_t state[STATE];
  uint8_t data[DATA_PAGES * PAGE];
  uint8_t stack[STACK_PAGES * PAGE];
};

_Static_assert(sizeof(struct program) == 512 + 13 * PAGE, "program");
_Static_assert(sizeof(struct outcome) == 992 + 10 * PAGE, "outcome");

static struct outcome result;
static int faults;
/* Of pages of data and stack: bit 0, present; bit 1, writable. */
static uint8_t rights[DATA_PAGES + STACK_PAGES];

static uintptr_t page_at(int page) {
  return page < DATA_PAGES ? DATA + page * PAGE : STACK + (page - DATA_PAGES) * PAGE;
}

static void set_rights(int page, int value) {
  rights[page] = value;
  int protection = !(value & 1) ? PROT_NONE : value & 2 ? PROT_READ | PROT_WRITE : PROT_READ;
  syscall(SYS_mprotect, page_at(page), PAGE, protection);
}

/* The number of a page of data or stack, or -1. */
static int page_of(uintptr_t address) {
  for (int page = 0; page < DATA_PAGES + STACK_PAGES; page++) {
    if (address - page_at(page) < PAGE) return page;
  }
  return -1;
}

/* Whether the program goes on after what the kernel would do about it. */
static int is_served(greg_t *regs) {
  if (regs[REG_TRAPNO] == 14) {
    int page = page_of(regs[REG_CR2]);
    if (page < 0 || ++faults > MOST_FAULTS) return 0;
    set_rights(page, 3);
    return 1;
  }
  /* The error code of INT says the vector. */
  int vector = regs[REG_ERR] >> 3;
  if (regs[REG_TRAPNO] != 13 || (regs[REG_ERR] & 7) != 2) return 0;
  if (vector >= UNMAP && vector < UNMAP + DATA_PAGES) {
    set_rights(vector - UNMAP, rights[vector - UNMAP] & ~1);
  } else if (vector >= PROTECT && vector < PROTECT + DATA_PAGES) {
    set_rights(vector - PROTECT, rights[vector - PROTECT] & ~2);
  } else {
    return 0;
  }
  regs[REG_RIP] += 2;
  return 1;
}

static void take(int signal_number, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  greg_t *regs = uc->uc_mcontext.gregs;
  (void)info;
  if (signal_number == SIGSEGV && is_served(regs)) return;
  for (int i = 0; i < 16; i++) result.gpr[i] = regs[order[i]];
  result.flags = regs[REG_EFL];
  result.rip = regs[REG_RIP];
  result.vector = signal_number == SIGSYS ? -1 : regs[REG_TRAPNO];
  const uint8_t *state = (const uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(result.state, state, HEADER_AT);
  /* What is in its initial state was perhaps not stored. */
  if (has_avx && state[HEADER_AT] & 4) memcpy(result.state + HIGH_AT, state + HIGH_AT, HIGH);
  go_back(uc);
}

/* A program that went astray must not call the system. */
static void allow_no_calls_of_programs(void) {
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CODE, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog rules = { sizeof filter / sizeof *filter, filter };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &rules)) {
    perror("seccomp");
    exit(2);
  }
}

static void run(const struct program *program) {
  for (int page = 0; page < DATA_PAGES + STACK_PAGES; page++) set_rights(page, 3);
  memcpy((void *)CODE, program->code, sizeof program->code);
  memcpy((void *)DATA, program->data, sizeof program->data);
  memset((void *)STACK, 0, STACK_PAGES * PAGE);
  memset(state_area, 0, sizeof state_area);
  state_area[0] = 0x7f;
  state_area[1] = 3;
  state_area[24] = 0x80;
  state_area[25] = 0x1f;
  memcpy(state_area + 160, program->xmm, sizeof program->xmm);
  if (has_avx) load_high();
  syscall(SYS_arch_prctl, ARCH_SET_GS, program->legacy ? 0 : GS_BASE);
  memset(&result, 0, sizeof result);
  faults = 0;
  enter_at(program->entry, program->legacy, program);
  for (int page = 0; page < DATA_PAGES + STACK_PAGES; page++) set_rights(page, 3);
  memcpy(result.data, (void *)DATA, sizeof result.data);
  memcpy(result.stack, (void *)STACK, sizeof result.stack);
}

int main(void) {
  static struct program program;
  has_avx = __builtin_cpu_supports("avx");
  handle(take);
  map(CODE, CODE_PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(DATA, DATA_PAGES * PAGE, PROT_READ | PROT_WRITE);
  map(STACK, STACK_PAGES * PAGE, PROT_READ | PROT_WRITE);
  allow_no_calls_of_programs();
  while (read_all(&program, sizeof program)) {
    run(&program);
    write_all(&result, sizeof result);
  }
  return 0;
}
