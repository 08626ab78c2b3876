/* Runs floating-point operations on the host CPU for float.test.ts: cases on standard input as
 * { u32 op, mxcsr; u64 a, b }, answers on standard output as { u64 result, flags }. When an
 * unmasked exception was raised, bit 8 of flags is set and the result means nothing. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

struct query { uint32_t op, mxcsr; uint64_t a, b; };
struct answer { uint64_t result, flags; };

static volatile uint32_t raised;

static void on_fpe(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)number; (void)info;
    raised = (uc->uc_mcontext.fpregs->mxcsr & 63) | 256;
    uc->uc_mcontext.fpregs->mxcsr = 0x1f80;
}

#define BINARY(name, move, mnemonic) \
    case name: asm volatile(move " %1, %%xmm0\n\t" move " %2, %%xmm1\n\t" \
        "ldmxcsr %3\n\t" mnemonic " %%xmm1, %%xmm0\n\t" "stmxcsr %4\n\t" "ldmxcsr %5\n\t" \
        move " %%xmm0, %0" : "=r"(r) : "r"(a), "r"(b), "m"(q->mxcsr), "m"(after), "m"(quiet) \
        : "xmm0", "xmm1", "memory"); break
#define TO_INTEGER(name, move, mnemonic, reg) \
    case name: asm volatile(move " %1, %%xmm0\n\t" "ldmxcsr %2\n\t" mnemonic " %%xmm0, %" reg "0\n\t" \
        "stmxcsr %3\n\t" "ldmxcsr %4" : "=r"(r) : "r"(a), "m"(q->mxcsr), "m"(after), "m"(quiet) \
        : "xmm0", "memory"); break
#define FROM_INTEGER(name, move, mnemonic, reg) \
    case name: asm volatile("ldmxcsr %2\n\t" "pxor %%xmm0, %%xmm0\n\t" mnemonic " %" reg "1, %%xmm0\n\t" \
        "stmxcsr %3\n\t" "ldmxcsr %4\n\t" move " %%xmm0, %0" : "=r"(r) : "r"(a), "m"(q->mxcsr), \
        "m"(after), "m"(quiet) : "xmm0", "memory"); break
#define COMPARE(name, move, mnemonic) \
    case name: asm volatile(move " %2, %%xmm0\n\t" move " %3, %%xmm1\n\t" "ldmxcsr %4\n\t" \
        mnemonic " %%xmm1, %%xmm0\n\t" "setp %b0\n\t" "setc %b1\n\t" "setz %h1\n\t" \
        "stmxcsr %5\n\t" "ldmxcsr %6" \
        : "=&Q"(p), "=&Q"(cz) : "r"(a), "r"(b), "m"(q->mxcsr), "m"(after), "m"(quiet) \
        : "xmm0", "xmm1", "memory", "cc"); \
        r = (p & 1) ? 0 : (cz & 1) ? 1 : (cz & 256) ? 2 : 3; break
#define ROUND(imm) BINARY(32 + imm, "movq", "roundss $" #imm ","); \
                   BINARY(48 + imm, "movq", "roundsd $" #imm ",")

static void run(const struct query *q, struct answer *answer)
{
    uint64_t a = q->a, b = q->b, r = 0, p = 0, cz = 0;
    static uint32_t after, quiet = 0x1f80;
    raised = 0;
    switch (q->op) {
    BINARY(0, "movq", "addss"); BINARY(1, "movq", "addsd");
    BINARY(2, "movq", "subss"); BINARY(3, "movq", "subsd");
    BINARY(4, "movq", "mulss"); BINARY(5, "movq", "mulsd");
    BINARY(6, "movq", "divss"); BINARY(7, "movq", "divsd");
    BINARY(8, "movq", "sqrtss"); BINARY(9, "movq", "sqrtsd");
    BINARY(10, "movq", "minss"); BINARY(11, "movq", "minsd");
    BINARY(12, "movq", "maxss"); BINARY(13, "movq", "maxsd");
    BINARY(14, "movq", "cvtss2sd"); BINARY(15, "movq", "cvtsd2ss");
    FROM_INTEGER(16, "movq", "cvtsi2ss", "k"); FROM_INTEGER(17, "movq", "cvtsi2sd", "k");
    FROM_INTEGER(18, "movq", "cvtsi2ss", "q"); FROM_INTEGER(19, "movq", "cvtsi2sd", "q");
    TO_INTEGER(20, "movq", "cvtss2si", "k"); TO_INTEGER(21, "movq", "cvtsd2si", "k");
    TO_INTEGER(22, "movq", "cvtss2si", "q"); TO_INTEGER(23, "movq", "cvtsd2si", "q");
    TO_INTEGER(24, "movq", "cvttss2si", "k"); TO_INTEGER(25, "movq", "cvttsd2si", "k");
    TO_INTEGER(26, "movq", "cvttss2si", "q"); TO_INTEGER(27, "movq", "cvttsd2si", "q");
    COMPARE(28, "movq", "ucomiss"); COMPARE(29, "movq", "ucomisd");
    COMPARE(30, "movq", "comiss"); COMPARE(31, "movq", "comisd");
    ROUND(0); ROUND(1); ROUND(2); ROUND(3); ROUND(4); ROUND(5); ROUND(6); ROUND(7);
    ROUND(8); ROUND(9); ROUND(10); ROUND(11); ROUND(12); ROUND(13); ROUND(14); ROUND(15);
    BINARY(64, "movq", "rcpss"); BINARY(66, "movq", "rsqrtss");
    }
    answer->result = r;
    answer->flags = raised ? raised : after & 63;
}

int main(void)
{
    static struct query queries[4096];
    static struct answer answers[4096];
    struct sigaction action = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO | SA_NODEFER };
    size_t count;
    sigaction(SIGFPE, &action, 0);
    while ((count = fread(queries, sizeof *queries, 4096, stdin)) > 0) {
        for (size_t i = 0; i < count; i++)
            run(&queries[i], &answers[i]);
        fwrite(answers, sizeof *answers, count, stdout);
    }
    return 0;
}
