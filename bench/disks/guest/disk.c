/*
 * Reads or writes a block device past the guest's cache, in blocks one after the other or at random
 * places, by one process or several at once; prints a checksum of what was read.
 *
 *   disk PATH read|write sequential|random BLOCK_BYTES COUNT PROCESSES
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t seed;

static uint64_t next(uint64_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % limit;
}

static uint64_t work(char **argv, uint64_t process)
{
    int writes = !strcmp(argv[2], "write"), is_random = !strcmp(argv[3], "random");
    uint64_t block = strtoull(argv[4], 0, 0), count = strtoull(argv[5], 0, 0);
    int fd = open(argv[1], O_DIRECT | (writes ? O_WRONLY : O_RDONLY));
    uint64_t blocks, sum = 0, *buffer;
    if (fd < 0 || posix_memalign((void **)&buffer, 4096, block)) exit(1);
    blocks = lseek(fd, 0, SEEK_END) / block;
    for (uint64_t i = 0; i < block / 8; i++) buffer[i] = i * 0x9e3779b97f4a7c15u + 1;
    seed = process + 1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = (is_random ? next(blocks) : (process * count + i) % blocks) * block;
        ssize_t done = writes ? pwrite(fd, buffer, block, at) : pread(fd, buffer, block, at);
        if (done != (ssize_t)block) exit(2);
        sum += writes ? at : buffer[0] ^ buffer[block / 8 - 1];
    }
    if (writes && fsync(fd)) exit(3);
    return sum;
}

int main(int argc, char **argv)
{
    int processes = argc == 7 ? atoi(argv[6]) : 0, status, bad = 0;
    uint64_t sum = 0, part;
    int ends[2];
    if (processes < 1 || pipe(ends)) return 1;
    for (int i = 0; i < processes; i++) {
        if (fork() == 0) {
            part = work(argv, i);
            return write(ends[1], &part, sizeof part) != sizeof part;
        }
    }
    while (wait(&status) > 0) bad |= status;
    for (int i = 0; !bad && i < processes && read(ends[0], &part, sizeof part) > 0; i++) sum += part;
    printf("%s %016llx\n", bad ? "failed" : "sum", (unsigned long long)sum);
    return bad != 0;
}
