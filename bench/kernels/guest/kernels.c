/*
 * The benchmark kernels: small pieces of work in C without a library, each of which runs a number
 * of equal rounds and returns a checksum that must be the same wherever it is run.
 *
 * The image is compiled once; the same bytes run natively, under QEMU and under our processor.
 */
#include "kernels.h"

/* A bytecode interpreter: a switch, branches that nobody can predict, small loads. */

enum { PUSH, ADD, SUB, MUL, DUP, JNZ, JMP, LOAD, STORE, AND, SHR, XOR, HALT };

/* do { v0 = v0 & 1 ? 3 * v0 + 1 : v0 >> 1; v1 += v0 ^ v2; } while (v0 - 1); */
static const u8 program[] = {
    LOAD, 0, PUSH, 1, AND, JNZ, 14,
    LOAD, 0, PUSH, 1, SHR, JMP, 22,
    LOAD, 0, PUSH, 3, MUL, PUSH, 1, ADD,
    DUP, STORE, 0, LOAD, 2, XOR, LOAD, 1, ADD, STORE, 1,
    LOAD, 0, PUSH, 1, SUB, JNZ, 0, HALT,
};

static u64 interpret(u64 n)
{
    u64 stack[16], vars[3] = { n, 0, n };
    u64 *sp = stack;
    const u8 *pc = program;
    for (;;) {
        switch (*pc++) {
        case PUSH: *sp++ = *pc++; break;
        case ADD: sp--; sp[-1] += sp[0]; break;
        case SUB: sp--; sp[-1] -= sp[0]; break;
        case MUL: sp--; sp[-1] *= sp[0]; break;
        case DUP: sp[0] = sp[-1]; sp++; break;
        case JNZ: pc = *--sp ? program + *pc : pc + 1; break;
        case JMP: pc = program + *pc; break;
        case LOAD: *sp++ = vars[*pc++]; break;
        case STORE: vars[*pc++] = *--sp; break;
        case AND: sp--; sp[-1] &= sp[0]; break;
        case SHR: sp--; sp[-1] >>= sp[0]; break;
        case XOR: sp--; sp[-1] ^= sp[0]; break;
        case HALT: return vars[1];
        }
    }
}

static u64 bytecode(u64 rounds)
{
    u64 sum = 0;
    while (rounds--)
        for (u64 n = 2; n < 40; n++)
            sum = sum * 31 + interpret(n);
    return sum;
}

/* A tight loop of integer arithmetic in registers. */

static u64 mix(u64 rounds)
{
    u64 x = 0x9e3779b97f4a7c15, y = 1;
    while (rounds--)
        for (int i = 0; i < 8000; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            y = y * 0x2545f4914f6cdd1d + x;
            y = y << 29 | y >> 35;
        }
    return x ^ y;
}

/* SHA-256's compression function: rotations, additions, a message schedule in memory. */

static const u32 sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32 rotate(u32 x, int n) { return x >> n | x << (32 - n); }

static void sha_block(u32 *h, const u32 *data)
{
    u32 w[64];
    for (int i = 0; i < 16; i++)
        w[i] = data[i];
    for (int i = 16; i < 64; i++) {
        u32 s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        u32 s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
    for (int i = 0; i < 64; i++) {
        u32 s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        u32 t1 = k + s1 + ((e & f) ^ (~e & g)) + sha_k[i] + w[i];
        u32 s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        u32 t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        k = g; g = f; f = e; e = d + t1; d = c; c = b; b = a; a = t1 + t2;
    }
    h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += k;
}

static u64 sha(u64 rounds)
{
    u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    u32 data[16] = { 0 };
    while (rounds--)
        for (u32 i = 0; i < 16; i++) {
            data[i] = h[i & 7] ^ i;
            sha_block(h, data);
        }
    return (u64)h[0] << 32 | h[7];
}

/* The sieve of Eratosthenes over bytes: memory with long strides. */

static u8 composite[1 << 14];

static u64 sieve(u64 rounds)
{
    u64 sum = 0;
    while (rounds--) {
        for (u32 i = 0; i < sizeof composite; i++)
            composite[i] = 0;
        for (u32 i = 2; i * i < sizeof composite; i++)
            if (!composite[i])
                for (u32 j = i * i; j < sizeof composite; j += i)
                    composite[j] = 1;
        for (u32 i = 2; i < sizeof composite; i++)
            sum += composite[i] ? 0 : i;
    }
    return sum;
}

/* A list in random order through 512 KiB: loads that depend on each other, on many pages. */

struct node { struct node *next; u64 value; u64 pad[6]; };
static struct node nodes[8192];

static u64 chase(u64 rounds)
{
    u32 count = sizeof nodes / sizeof nodes[0];
    u64 sum = 0, at = 0;
    for (u32 i = 0; i < count; i++) {
        u64 to = (at * 5 + 4099) % count; /* a full period: the list is one ring */
        nodes[at].next = &nodes[to];
        nodes[at].value = i;
        at = to;
    }
    while (rounds--) {
        struct node *p = nodes;
        for (u32 i = 0; i < count; i++) {
            sum = sum * 3 + p->value;
            p = p->next;
        }
    }
    return sum;
}

/* A hash table with open addressing: multiplications, unpredictable branches and addresses. */

static u64 keys[8192];
static u32 counts[8192];

static u64 hash(u64 rounds)
{
    u64 sum = 0, seed = 12345;
    while (rounds--) {
        for (u32 i = 0; i < 8192; i++)
            keys[i] = counts[i] = 0;
        for (u32 i = 0; i < 8192; i++) {
            seed = seed * 6364136223846793005 + 1442695040888963407;
            u64 key = (seed >> 33) % 5000 + 1;
            u64 slot = key * 0x9e3779b97f4a7c15 >> 51;
            while (keys[slot] && keys[slot] != key)
                slot = (slot + 1) & 8191;
            keys[slot] = key;
            sum += ++counts[slot];
        }
    }
    return sum;
}

/* Calls and returns. */

static __attribute__((noinline)) u64 fib(u64 n)
{
    /* The volatile keeps the compiler from unfolding the recursion. */
    volatile u64 less = 2;
    if (n < 2)
        return n;
    u64 one = fib(n - 1);
    return one + fib(n - less);
}

static u64 calls(u64 rounds)
{
    u64 sum = 0;
    while (rounds--)
        sum += fib(18);
    return sum;
}

/* Strings byte by byte. */

static char text[4096], copy[4096];

static u64 bytes(u64 rounds)
{
    u64 sum = 0;
    for (u32 i = 0; i < 4095; i++)
        text[i] = 'a' + i * 7 % 23;
    while (rounds--)
        for (int n = 0; n < 4; n++) {
            char *to = copy;
            const char *from = text + n;
            while ((*to++ = *from++)) {
            }
            const char *a = copy, *b = text + n;
            while (*a && *a == *b) {
                a++;
                b++;
            }
            sum += a - copy;
        }
    return sum;
}

/* Blocks by REP MOVSB and REP STOSB. */

static u8 from[1 << 16], to[1 << 16];

static u64 blocks(u64 rounds)
{
    u64 sum = 0;
    while (rounds--)
        for (u64 size = 64; size <= sizeof from; size *= 4) {
            void *target = from, *source;
            u64 count = size;
            __asm__ volatile("rep stosb" : "+D"(target), "+c"(count)
                             : "a"((u8)(rounds + size)) : "memory");
            target = to;
            source = from;
            count = size;
            __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(count) : : "memory");
            sum = sum * 31 + to[size - 1];
        }
    return sum;
}

/* Scalar double precision: five bodies that attract each other. */

struct body { double x, y, z, vx, vy, vz, mass; };

static double square_root(double x)
{
    double root;
    __asm__("sqrtsd %1, %0" : "=x"(root) : "x"(x));
    return root;
}

static u64 bodies(u64 rounds)
{
    struct body b[5];
    for (int i = 0; i < 5; i++)
        b[i] = (struct body){ i * 1.5, i * i * 0.25, 2.0 - i, 0.1 * i, 0.2, -0.1 * i, 1.0 + i };
    while (rounds--)
        for (int step = 0; step < 40; step++) {
            for (int i = 0; i < 5; i++)
                for (int j = i + 1; j < 5; j++) {
                    double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
                    double d2 = dx * dx + dy * dy + dz * dz + 0.01;
                    double m = 0.001 / (d2 * square_root(d2));
                    b[i].vx -= dx * b[j].mass * m;
                    b[i].vy -= dy * b[j].mass * m;
                    b[i].vz -= dz * b[j].mass * m;
                    b[j].vx += dx * b[i].mass * m;
                    b[j].vy += dy * b[i].mass * m;
                    b[j].vz += dz * b[i].mass * m;
                }
            for (int i = 0; i < 5; i++) {
                b[i].x += 0.001 * b[i].vx;
                b[i].y += 0.001 * b[i].vy;
                b[i].z += 0.001 * b[i].vz;
            }
        }
    union { double d; u64 u; } result = { b[0].x + b[1].y + b[2].z + b[4].vx };
    return result.u;
}

/* Packed integers: comparisons, shifts and additions of 16 bytes at a time. */

typedef u8 v16 __attribute__((vector_size(16)));

static u64 packed(u64 rounds)
{
    v16 sum = { 0 }, *source = (v16 *)from;
    u64 result = 0;
    for (u32 i = 0; i < 4096; i++)
        from[i] = i * 13;
    while (rounds--) {
        for (int i = 0; i < 4; i++)
            for (u32 j = 0; j < 255; j++) {
                v16 a = source[j], b = source[j + 1];
                sum += (a > b) & (a ^ b);
                sum ^= a + (b << 1) + (sum >> 3);
            }
        for (int i = 0; i < 16; i++)
            result = result * 257 + sum[i];
    }
    return result;
}

const struct kernel kernels[] = {
    { "bytecode", bytecode }, { "mix", mix }, { "sha", sha }, { "sieve", sieve },
    { "chase", chase }, { "hash", hash }, { "calls", calls }, { "bytes", bytes },
    { "blocks", blocks }, { "bodies", bodies }, { "packed", packed }, { 0, 0 },
};

/* What the host process calls; 0 if there is no such kernel. */
u64 run(u64 kernel, u64 rounds)
{
    return kernel < sizeof kernels / sizeof kernels[0] - 1 ? kernels[kernel].run(rounds) : 0;
}
