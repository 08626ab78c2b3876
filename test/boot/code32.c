/*
 * A program without a C library that is compiled for 32 and for 64 bits, and prints the same: sums
 * over loops, calls, strings, floats, and what lies behind a segment of its own.
 */
typedef unsigned int u32;
typedef unsigned long long u64;

static u32 words[4096];

struct local {
    u32 first, second;
} local = { 17, 0x9e3779b9 };

#ifdef __i386__
static int call(int number, long a, long b, long c)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

enum { WRITE = 4, EXIT = 1, SET_THREAD_AREA = 243 };

/* Has GS begin at `local`, as C libraries have it for threads. */
static void segment(void)
{
    struct {
        u32 entry, base, limit, flags;
    } area = { -1, (u32)&local, 0xfffff, 0x51 };
    call(SET_THREAD_AREA, (long)&area, 0, 0);
    __asm__ volatile("movw %w0, %%gs" : : "r"(area.entry * 8 + 3));
}

static u32 second(void)
{
    u32 value;
    __asm__ volatile("movl %%gs:4, %0" : "=r"(value));
    return value;
}
#else
static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

enum { WRITE = 1, EXIT = 60 };

static void segment(void) {}
static u32 second(void) { return ((volatile struct local *)&local)->second; }
#endif

static void print(const char *name, u64 value)
{
    char line[32];
    u32 length = 0;
    while (*name)
        line[length++] = *name++;
    line[length++] = ' ';
    for (int shift = 60; shift >= 0; shift -= 4)
        line[length++] = "0123456789abcdef"[value >> shift & 15];
    line[length++] = '\n';
    call(WRITE, 1, (long)line, length);
}

static u64 mix(u64 sum, u32 value)
{
    return (sum ^ value) * 0x100000001b3;
}

static u64 integers(void)
{
    u64 sum = 1;
    for (u32 round = 0; round < 60; round++)
        for (u32 i = 0; i < 4096; i++) {
            words[i] = words[i] * 1664525 + i + round;
            sum = mix(sum, words[i] >> (i & 31)) + (sum >> 29);
        }
    return sum;
}

__attribute__((noinline)) static u32 fibonacci(u32 n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static u64 strings(void)
{
    u64 sum = 1;
    for (u32 round = 1; round < 3000; round++) {
        char *to = (char *)words + round % 61, *from = (char *)(words + 2048);
        unsigned long count = 100 + round % 4000;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        to = (char *)(words + 2048) + round % 53;
        count = round % 1000;
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(round) : "memory");
        sum = mix(sum, words[round % 4096]);
    }
    return sum;
}

static u64 floats(void)
{
    double x = 0.5, y = 0.25;
    long double z = 1;
    for (u32 i = 0; i < 60000; i++) {
        x = x * 3.7 * (1 - x);
        y = y + x / (i + 1.0);
        z = z + y / (z + 1);
    }
    return (u64)(x * 1e9) ^ (u64)(y * 1e9) << 20 ^ (u64)(z * 1e6L);
}

static u64 behind(void)
{
    u64 sum = 0;
    for (u32 i = 0; i < 300000; i++)
        sum += second() ^ i;
    return sum;
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
    segment();
    print("integers", integers());
    print("calls", fibonacci(24));
    print("strings", strings());
    print("floats", floats());
    print("segment", behind());
    call(EXIT, 0, 0, 0);
    __builtin_unreachable();
}
