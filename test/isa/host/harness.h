/*
 * What programs that run test code natively have in common: the ways into such code and back, memory
 * at fixed places, and whole reads and writes.
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

#define PAGE 4096
/* Of the FXSAVE image, what it says of registers. */
#define FX 416
#define HIGH 256
/* Where XSAVE's standard form has its header, and the upper halves of vector registers. */
#define HEADER_AT 512
#define HIGH_AT 576

uint64_t saved_rsp;
uint64_t entry;
/* Linux's 32-bit user code segment; data and stack are flat. */
struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) far_entry = { 0, 0x23 };
/* `registers` are 16 general ones and flags; what is entered gives control back by `leave`. */
void enter(const void *registers, const void *fx);
void enter_legacy(const void *registers, const void *fx);
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

static uint8_t state_area[HIGH_AT + HIGH] __attribute__((aligned(64)));
static int has_avx;

/* From a signal's handler back to the program and its own state. */
static void go_back(ucontext_t *uc) {
  greg_t *regs = uc->uc_mcontext.gregs;
  regs[REG_RIP] = (greg_t)leave;
  regs[REG_RSP] = saved_rsp;
  regs[REG_EFL] = 0x202;
  regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffffll) | 0x33;
  uc->uc_mcontext.fpregs->mxcsr = 0x1f80;
  uc->uc_mcontext.fpregs->swd = 0;
  uc->uc_mcontext.fpregs->cwd = 0x37f;
}

/* Has all signals of faults handled on a stack of their own. */
static void handle(void (*handler)(int, siginfo_t *, void *)) {
  static uint8_t alternate[1 << 16];
  stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
  sigaltstack(&stack, NULL);
  struct sigaction action = { .sa_sigaction = handler };
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  const int signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGSYS };
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    sigaction(signals[i], &action, NULL);
  }
}

static void enter_at(uintptr_t where, int legacy, const void *registers) {
  entry = where;
  far_entry.offset = where;
  if (legacy) enter_legacy(registers, state_area);
  else enter(registers, state_area);
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
