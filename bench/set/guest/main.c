/*
 * The benchmark program of the guest and of the host: each row is a fixed amount of work.
 *
 *   bench ROW ROUNDS          runs it, and prints its checksum, or `none` if the CPU lacks AVX2
 *   bench list                prints the names of the rows
 *   bench exit CODE           ends
 *   bench cpu PID             prints the CPU nanoseconds of a process and all its threads
 *   bench time COMMAND ...    runs a command; its CPU nanoseconds go to the standard error
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "rows.h"

static const struct kernel *const tables[] = {
    kernels, integer_rows, memory_rows, float_rows, avx2_rows, system_rows, code_rows,
};
#define TABLES (sizeof tables / sizeof tables[0])

void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int list(void)
{
    for (u32 i = 0; i < TABLES; i++)
        for (const struct kernel *row = tables[i]; row->name; row++)
            puts(row->name);
    return 0;
}

static int cpu(const char *pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(atoi(pid), &clock) || clock_gettime(clock, &t))
        fail(pid);
    printf("%ld\n", t.tv_sec * 1000000000 + t.tv_nsec);
    return 0;
}

static int time_command(char **command)
{
    int status;
    struct rusage usage;
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        fail(command[0]);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) < 0)
        fail("wait4");
    long seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
    long microseconds = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    fprintf(stderr, "%ld\n", seconds * 1000000000 + microseconds * 1000);
    return status ? 1 : 0;
}

static int run_row(const char *name, u64 rounds)
{
    for (u32 i = 0; i < TABLES; i++)
        for (const struct kernel *row = tables[i]; row->name; row++)
            if (!strcmp(row->name, name)) {
                if (tables[i] == avx2_rows && !__builtin_cpu_supports("avx2"))
                    puts("none");
                else
                    printf("%016lx\n", row->run(rounds));
                return 0;
            }
    fprintf(stderr, "there is no row %s\n", name);
    return 1;
}

int main(int count, char **words)
{
    if (count == 2 && !strcmp(words[1], "list"))
        return list();
    if (count == 3 && !strcmp(words[1], "exit"))
        return atoi(words[2]);
    if (count == 3 && !strcmp(words[1], "cpu"))
        return cpu(words[2]);
    if (count > 2 && !strcmp(words[1], "time"))
        return time_command(words + 2);
    if (count == 3)
        return run_row(words[1], strtoul(words[2], 0, 0));
    fputs("bench ROW ROUNDS\n", stderr);
    return 1;
}
