/*
 * Paths through the guest's kernel: system calls, pipes, signals, processes, faults, mappings,
 * context switches, files in memory.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "rows.h"

#define PAGE 4096ul

static u64 getpid_row(u64 rounds)
{
    long first = syscall(SYS_getpid);
    u64 sum = 0;
    while (rounds--)
        sum += syscall(SYS_getpid) == first;
    return sum;
}

static u64 clock_row(u64 rounds)
{
    struct timespec now;
    long last = 0;
    u64 sum = 0;
    while (rounds--) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long time = now.tv_sec * 1000000000 + now.tv_nsec;
        sum += time >= last;
        last = time;
    }
    return sum;
}

static u64 read_row(u64 rounds)
{
    u8 bytes[64];
    u64 sum = 0;
    int file = open("/dev/zero", O_RDONLY);
    require(file >= 0, "/dev/zero");
    while (rounds--) {
        memset(bytes, 1, sizeof bytes);
        sum += read(file, bytes, sizeof bytes) + bytes[63];
    }
    close(file);
    return sum;
}

/* What the child does ends the program if it returns. */
static pid_t start(void)
{
    fflush(stdout);
    pid_t child = fork();
    require(child >= 0, "fork");
    return child;
}

static u64 wait_for(pid_t child)
{
    int status;
    require(waitpid(child, &status, 0) == child && WIFEXITED(status), "waitpid");
    return WEXITSTATUS(status);
}

/* A byte goes to another process and back: two context switches. */

static u64 pipe_row(u64 rounds)
{
    int there[2], back[2];
    u8 byte;
    u64 sum = 0;
    require(!pipe(there) && !pipe(back), "pipe");
    pid_t child = start();
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1) {
            byte++;
            require(write(back[1], &byte, 1) == 1, "write");
        }
        _exit(0);
    }
    close(there[0]);
    while (rounds--) {
        byte = rounds;
        require(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe");
        sum = sum * 31 + byte;
    }
    close(there[1]);
    close(back[0]);
    close(back[1]);
    return sum + wait_for(child);
}

static volatile u64 signals_seen;

static void on_signal(int number)
{
    signals_seen += number;
}

static u64 signals_row(u64 rounds)
{
    signals_seen = 0;
    signal(SIGUSR1, on_signal);
    while (rounds--)
        raise(SIGUSR1);
    signal(SIGUSR1, SIG_DFL);
    return signals_seen;
}

static u64 fork_row(u64 rounds)
{
    u64 sum = 0;
    while (rounds--) {
        pid_t child = start();
        if (child == 0)
            _exit(rounds & 127);
        sum = sum * 31 + wait_for(child);
    }
    return sum;
}

static u64 exec_row(u64 rounds)
{
    u64 sum = 0;
    char code[8];
    while (rounds--) {
        pid_t child = start();
        if (child == 0) {
            snprintf(code, sizeof code, "%lu", rounds & 127);
            execl("/proc/self/exe", "bench", "exit", code, (char *)0);
            fail("exec");
        }
        sum = sum * 31 + wait_for(child);
    }
    return sum;
}

static u8 *map(u64 size)
{
    u8 *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "mmap");
    return memory;
}

/* First touches of fresh pages; huge ones would make few faults of many. */

static u64 faults_row(u64 rounds)
{
    u64 sum = 0, count = 256;
    u8 *memory = map(count * PAGE);
    madvise(memory, count * PAGE, MADV_NOHUGEPAGE);
    while (rounds--) {
        for (u64 i = 0; i < count; i++) {
            memory[i * PAGE] = i;
            sum = sum * 31 + memory[i * PAGE] + memory[i * PAGE + 1] + 1;
        }
        madvise(memory, count * PAGE, MADV_DONTNEED);
    }
    munmap(memory, count * PAGE);
    return sum;
}

/* Mappings that come, change their protection, and go. */

static u64 mmap_row(u64 rounds)
{
    u64 sum = 0;
    while (rounds--) {
        u8 *memory = map(4 * PAGE);
        memory[PAGE] = rounds;
        require(!mprotect(memory, 2 * PAGE, PROT_READ), "mprotect");
        sum = sum * 31 + memory[PAGE];
        munmap(memory, 4 * PAGE);
    }
    return sum;
}

/* Two threads that wait for one another. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static u64 turn;

static void take_turns(u64 mine, u64 rounds)
{
    pthread_mutex_lock(&lock);
    while (rounds--) {
        while ((turn & 1) != mine)
            pthread_cond_wait(&changed, &lock);
        turn++;
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
}

static void *other_thread(void *rounds)
{
    take_turns(1, *(u64 *)rounds);
    return 0;
}

static u64 threads_row(u64 rounds)
{
    pthread_t thread;
    turn = 0;
    require(!pthread_create(&thread, 0, other_thread, &rounds), "pthread_create");
    take_turns(0, rounds);
    pthread_join(thread, 0);
    return turn;
}

/* Files made, written, read, looked at and removed. */

static u64 files_row(u64 rounds)
{
    char name[] = "/tmp/xenolith-bench-XXXXXX";
    int first = mkstemp(name);
    u64 sum = 0, value;
    struct stat status;
    require(first >= 0, name);
    close(first);
    while (rounds--) {
        int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        require(file >= 0, name);
        for (u64 i = 0; i < 8; i++)
            require(pwrite(file, &i, sizeof i, i * 1000) == sizeof i, "pwrite");
        require(pread(file, &value, sizeof value, 5000) == sizeof value, "pread");
        require(!stat(name, &status), "stat");
        close(file);
        require(!unlink(name), "unlink");
        sum = sum * 31 + value + status.st_size;
    }
    return sum;
}

const struct kernel system_rows[] = {
    { "getpid", getpid_row }, { "clock", clock_row }, { "read", read_row }, { "pipe", pipe_row },
    { "signals", signals_row }, { "fork", fork_row }, { "exec", exec_row },
    { "faults", faults_row }, { "mmap", mmap_row }, { "threads", threads_row },
    { "files", files_row }, { 0, 0 },
};
