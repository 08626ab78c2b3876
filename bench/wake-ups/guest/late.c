/*
 * How late timers are: waits for one time after the other, and prints by how many microseconds it
 * woke after each, and in a second line how many microseconds of CPU time each took of this process.
 *
 *   late COUNT GAP_MICROSECONDS
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 100000 };
static const int64_t second = 1000000000;
static int64_t late[MOST];

static int64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * second + time.tv_nsec;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 0;
    int64_t gap = argc > 2 ? atol(argv[2]) * 1000 : 0;
    if (count < 1 || count > MOST || gap < 1) return 2;
    int64_t spent = now(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < count; i++) {
        int64_t due = now(CLOCK_MONOTONIC) + gap;
        struct timespec until = { due / second, due % second };
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        late[i] = now(CLOCK_MONOTONIC) - due;
    }
    spent = now(CLOCK_PROCESS_CPUTIME_ID) - spent;
    for (long i = 0; i < count; i++) printf("%lld ", (long long)late[i] / 1000);
    printf("\n%.1f\n", (double)spent / 1000 / count);
    return 0;
}
