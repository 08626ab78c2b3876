/*
 * Runs kernels of the image natively: maps it where it is linked to be, and calls its second entry.
 *
 *   native IMAGE SIZE time KERNEL ROUNDS ...    prints checksum and CPU seconds, a line each
 *   native IMAGE SIZE count KERNEL ROUNDS       prints checksum and instructions executed
 *
 * Instructions are counted by single-stepping; a repeated string instruction counts once.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define BASE 0x100000ul
#define RUN (BASE + 16)

typedef unsigned long (*run_function)(unsigned long kernel, unsigned long rounds);

static void load(const char *path, unsigned long size)
{
    unsigned long pages = (size + 4095) & -4096ul;
    char *image = mmap((void *)BASE, pages, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    int file = open(path, O_RDONLY);
    if (image != (char *)BASE || file < 0) {
        perror(path);
        exit(1);
    }
    for (long at = 0, count; (count = read(file, image + at, pages - at)) > 0;)
        at += count;
    close(file);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int measure(int count, char **values)
{
    run_function run = (run_function)RUN;
    for (int i = 0; i + 1 < count; i += 2) {
        unsigned long kernel = strtoul(values[i], 0, 0), rounds = strtoul(values[i + 1], 0, 0);
        double start = cpu_seconds();
        unsigned long sum = run(kernel, rounds);
        printf("%016lx %.6f\n", sum, cpu_seconds() - start);
    }
    return 0;
}

static volatile unsigned long instructions, last;

static void trap(int signal, siginfo_t *info, void *context)
{
    unsigned long rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)signal;
    (void)info;
    if (rip >= BASE && rip < BASE + 0x1000000 && rip != last)
        instructions++;
    last = rip;
}

static int count(unsigned long kernel, unsigned long rounds)
{
    struct sigaction action = { .sa_sigaction = trap, .sa_flags = SA_SIGINFO };
    sigaction(SIGTRAP, &action, 0);
    __asm__ volatile("pushfq; orq $0x100, (%rsp); popfq");
    unsigned long sum = ((run_function)RUN)(kernel, rounds);
    __asm__ volatile("pushfq; andq $~0x100, (%rsp); popfq");
    printf("%016lx %lu\n", sum, instructions);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 1;
    load(argv[1], strtoul(argv[2], 0, 0));
    if (!strcmp(argv[3], "time"))
        return measure(argc - 4, argv + 4);
    return count(strtoul(argv[4], 0, 0), strtoul(argv[5], 0, 0));
}
