/*
 * Speaks the xenstore wire protocol (xen/io/xs_wire.h) from a script and prints a transcript.
 *
 *   probe SOCKET [PTY ...] < script     one process in the control domain; each PTY is the console
 *                                       of a guest, 1, 2 and so on, that runs `probe -g`
 *   probe -g DEVICE                     in a guest: performs the lines that come on its console
 *
 * A line is `WHO VERB ARGUMENT`: WHO is a letter a to f for a socket of its own, or the number of a
 * guest, followed by `:NAME` inside a transaction. In arguments | is NUL, {x*9} nine x, {i} the
 * count of `until`, which repeats its request until an error comes and leaves out the events; `!`
 * is a command for the shell. Values of the host (generations, transaction ids) never reach the
 * transcript.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

struct header { uint32_t type, req_id, tx_id, len; };
static const char *const verbs[] = {
    "control", "ls", "read", "perms", "watch", "unwatch", "begin", "end", "introduce", "release",
    "home", "write", "mkdir", "rm", "chmod", "event", "error", "known", "resume", "target",
    "restrict", "reset", "part", "unknown",
};
enum { BEGIN = 6, HOME = 10, EVENT = 15, ERROR = 16, PART = 22, VERBS = 24 };

struct transaction { char name[16]; uint32_t id; };
struct connection {
    int fd;
    const char *who;
    int is_guest;
    struct transaction open[32];
};
static char last[4200];
static int last_length;

static int read_all(int fd, void *to, int length)
{
    int got = 0;
    while (got < length) {
        struct pollfd p = { fd, POLLIN, 0 };
        if (poll(&p, 1, 8000) <= 0) return 0;
        int n = read(fd, (char *)to + got, length - got);
        if (n <= 0) return 0;
        got += n;
    }
    return 1;
}

static void show(FILE *out, const char *before, const char *bytes, int length)
{
    fputs(before, out);
    if (length > 0 && bytes[length - 1] == 0) length--;
    for (int i = 0; i < length; i++) {
        unsigned char c = bytes[i];
        int run = 1;
        while (i + run < length && bytes[i + run] == bytes[i]) run++;
        if (run > 9) { fprintf(out, "{%c*%d}", c, run); i += run - 1; }
        else if (c == 0) fputc('|', out);
        else if (c < 33 || c > 126) fprintf(out, "\\x%02x", c);
        else fputc(c, out);
    }
    fputc('\n', out);
}

/* Takes messages up to the reply; 0 when the connection ended. */
static int await_reply(struct connection *c, FILE *out, int quiet)
{
    for (;;) {
        struct header h;
        char payload[4200];
        if (!read_all(c->fd, &h, sizeof h) || h.len > 4096 || !read_all(c->fd, payload, h.len)) {
            last_length = sprintf(last, "!closed");
            return 0;
        }
        if (h.type == EVENT && quiet) continue;
        if (h.type == EVENT) {
            char before[40];
            sprintf(before, "  * %s ", c->who);
            show(out, before, payload, h.len);
            continue;
        }
        last[0] = '!';
        last_length = h.len + (h.type == ERROR);
        memcpy(last + (h.type == ERROR), payload, h.len);
        return 1;
    }
}

static void later_events(struct connection *c, FILE *out, int wait_ms)
{
    struct pollfd p = { c->fd, POLLIN, 0 };
    while (poll(&p, 1, wait_ms) > 0) {
        struct header h;
        char payload[4200], before[40];
        if (!read_all(c->fd, &h, sizeof h) || !read_all(c->fd, payload, h.len)) return;
        sprintf(before, "  * %s ", c->who);
        if (h.type == EVENT && out) show(out, before, payload, h.len);
    }
}

static int expand(const char *from, char *to, int count)
{
    int length = 0;
    while (*from && length < 70000) {
        int times, used = 0;
        char what;
        if (sscanf(from, "{%c*%d}%n", &what, &times, &used) == 2 && used) {
            while (times-- > 0 && length < 70000) to[length++] = what;
            from += used;
        } else if (!strncmp(from, "{i}", 3)) {
            length += sprintf(to + length, "%d", count);
            from += 3;
        } else {
            to[length++] = *from == '|' ? 0 : *from;
            from++;
        }
    }
    return length;
}

static struct transaction *named(struct connection *c, const char *name, int make)
{
    for (int i = 0; i < 32; i++)
        if (!strcmp(c->open[i].name, name)) return &c->open[i];
    for (int i = 0; make && i < 32; i++)
        if (!c->open[i].name[0]) { snprintf(c->open[i].name, 16, "%s", name); return &c->open[i]; }
    return 0;
}

static int ask(struct connection *c, int verb, const char *name, const char *text, int count,
               FILE *out, int quiet)
{
    static char payload[71000];
    struct transaction *t = *name ? named(c, name, verb == BEGIN) : 0;
    struct header h = { verb == 23 ? 99 : verb, 7, 0, 0 };
    h.len = expand(text, payload, count);
    h.tx_id = verb == BEGIN ? 0 : t ? t->id : *name ? atoi(name) : 0;
    char *message = malloc(sizeof h + h.len);
    memcpy(message, &h, sizeof h);
    memcpy(message + sizeof h, payload, h.len);
    int sent = write(c->fd, message, sizeof h + h.len);
    free(message);
    if (sent != (int)(sizeof h + h.len)) {
        last_length = sprintf(last, "!not sent: %s", sent < 0 ? strerror(errno) : "short");
        return 0;
    }
    if (!await_reply(c, out, quiet)) return 0;
    if (verb == BEGIN && last[0] != '!') {
        last[last_length] = 0;
        if (t) t->id = strtoul(last, 0, 10);
        last_length = sprintf(last, "begun");
    }
    if (verb == PART && last[0] != '!') {
        int skip = strnlen(last, last_length) + 1;
        memmove(last, last + skip, last_length -= skip);
        last[last_length++] = 0;
    }
    return 1;
}

static void perform(struct connection *c, const char *name, const char *line, FILE *out)
{
    char verb[20] = "";
    int used = 0, until = !strncmp(line, "until ", 6);
    if (until) line += 6;
    sscanf(line, "%19s%n", verb, &used);
    const char *rest = line[used] == ' ' ? line + used + 1 : line + used;
    int type = 0;
    while (type < VERBS && strcmp(verbs[type], verb)) type++;
    int count = 0;
    do {
        ask(c, type, name, rest, count++, out, until);
    } while (until && last[0] != '!' && count < 3000);
    if (until) later_events(c, NULL, 200);
    if (until) fprintf(out, "  after %d", count - 1);
    show(out, until ? " " : "  ", last, last_length);
}

static void guest(const char *device)
{
    char line[8000];
    struct connection c = { open(device, O_RDWR), getenv("WHO"), 1, { { "", 0 } } };
    printf("%%%%ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        char name[20] = "";
        int used = 0;
        line[strcspn(line, "\r\n")] = 0;
        if (line[0] != '>') continue;
        sscanf(line + 1, "%19s%n", name, &used);
        if (strcmp(name, "events")) perform(&c, name[0] == '-' ? "" : name, line + used + 2, stdout);
        later_events(&c, stdout, 100);
        printf("%%%%done\n");
        fflush(stdout);
    }
}

static void relay(FILE *pty, const char *line)
{
    static char answer[9000];
    dprintf(fileno(pty), ">%s\n", line);
    while (fgets(answer, sizeof answer, pty)) {
        answer[strcspn(answer, "\r\n")] = 0;
        if (!strcmp(answer, "%%done")) return;
        if (!strncmp(answer, "  ", 2)) puts(answer);
    }
}

static int dial(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) { perror(path); exit(1); }
    return fd;
}

int main(int argc, char **argv)
{
    static struct connection sockets[6];
    static FILE *guests[9];
    static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
    char line[8000];
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc == 3 && !strcmp(argv[1], "-g")) { guest(argv[2]); return 0; }
    for (int i = 2; i < argc; i++) {
        struct termios raw;
        int fd = open(argv[i], O_RDWR | O_NOCTTY);
        tcgetattr(fd, &raw);
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
        guests[i - 1] = fdopen(fd, "r");
    }
    while (fgets(line, sizeof line, stdin)) {
        char who = line[0], name[20] = "";
        int used = 1;
        line[strcspn(line, "\n")] = 0;
        puts(line);
        if (!who || who == '#' || who == ' ') continue;
        if (who == '!' && system(line + 1) < 0) return 1;
        if (who == '!') who = '9';
        if (line[1] == ':') { sscanf(line + 2, "%19s", name); used = 2 + strlen(name); }
        if (who == '9') {
            sleep(1);
        } else if (isdigit(who)) {
            char sent[8100];
            snprintf(sent, sizeof sent, "%s %s", *name ? name : "-", line + used + 1);
            relay(guests[who - '0'], sent);
        } else {
            struct connection *c = &sockets[who - 'a'];
            if (!c->fd) { c->fd = dial(argv[1]); c->who = names[who - 'a']; }
            if (!strcmp(line + used + 1, "close")) { close(c->fd); memset(c, 0, sizeof *c); }
            else perform(c, name, line + used + 1, stdout);
            if (!strncmp(last, "!closed", 7)) { close(c->fd); memset(c, 0, sizeof *c); last[0] = 0; }
        }
        for (int i = 0; i < 6; i++)
            if (sockets[i].fd) later_events(&sockets[i], stdout, argc > 2 ? 60 : 20);
        for (int i = 1; i < 9; i++)
            if (guests[i] && i != who - '0') relay(guests[i], "events");
    }
    return 0;
}
