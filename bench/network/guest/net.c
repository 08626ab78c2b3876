/*
 * TCP between guests, and between a guest and the host: bytes one way, or round trips of one byte.
 *
 *   net serve PORT                             serves connections, one after the other
 *   net send|receive|echo ADDRESS PORT COUNT   bytes, or round trips
 *
 * A client says what it wants in nine bytes: s, r or e, and the count, the lowest byte first.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 16];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void put(int fd, const char *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t part = write(fd, bytes + done, count - done);
        if (part <= 0) fail("write");
        done += part;
    }
}

static void get(int fd, char *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t part = read(fd, bytes + done, count - done);
        if (part <= 0) fail("read");
        done += part;
    }
}

static void pass(int fd, uint64_t count, int out)
{
    while (count > 0) {
        size_t part = count < sizeof buffer ? count : sizeof buffer;
        if (out) put(fd, buffer, part);
        else get(fd, buffer, part);
        count -= part;
    }
}

static void answer(int fd)
{
    char wish[9];
    uint64_t count;
    get(fd, wish, sizeof wish);
    memcpy(&count, wish + 1, sizeof count);
    if (wish[0] == 'r') pass(fd, count, 1);
    if (wish[0] == 's') pass(fd, count, 0);
    if (wish[0] != 'e') put(fd, wish, 1);
    for (; wish[0] == 'e' && count > 0; count--) {
        get(fd, buffer, 1);
        put(fd, buffer, 1);
    }
}

static void ask(int fd, char what, uint64_t count)
{
    char wish[9] = { what };
    memcpy(wish + 1, &count, sizeof count);
    put(fd, wish, sizeof wish);
    if (what == 's') pass(fd, count, 1);
    if (what == 'r') pass(fd, count, 0);
    for (; what == 'e' && count > 0; count--) {
        put(fd, buffer, 1);
        get(fd, buffer, 1);
    }
    // Until the other end has all.
    if (what != 'e') get(fd, buffer, 1);
}

int main(int argc, char **argv)
{
    struct sockaddr_in place = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (argc == 3 && !strcmp(argv[1], "serve")) {
        place.sin_port = htons(atoi(argv[2]));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (void *)&place, sizeof place) || listen(fd, 4)) fail("listen");
        for (;;) {
            int client = accept(fd, 0, 0);
            if (client < 0) fail("accept");
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            answer(client);
            close(client);
        }
    }
    if (argc != 5 || inet_pton(AF_INET, argv[2], &place.sin_addr) != 1) return 1;
    place.sin_port = htons(atoi(argv[3]));
    if (connect(fd, (void *)&place, sizeof place)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ask(fd, argv[1][0], strtoull(argv[4], 0, 0));
    puts("done");
    return 0;
}
