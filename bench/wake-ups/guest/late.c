/*
 * How late timers are: waits for one time after the other, and prints by how many microseconds it
 * woke after each.
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

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * second + time.tv_nsec;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 0;
    int64_t gap = argc > 2 ? atol(argv[2]) * 1000 : 0;
    if (count < 1 || count > MOST || gap < 1) return 2;
    for (long i = 0; i < count; i++) {
        int64_t due = now() + gap;
        struct timespec until = { due / second, due % second };
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        late[i] = now() - due;
    }
    for (long i = 0; i < count; i++) printf("%lld ", (long long)late[i] / 1000);
    putchar('\n');
    return 0;
}
