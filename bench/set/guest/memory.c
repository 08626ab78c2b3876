/*
 * Memory: blocks as the C library moves them, string instructions, many pages, accesses that lie
 * across lines and pages, locked operations, and the allocator.
 */
#include <stdlib.h>
#include <string.h>
#include "rows.h"

static u8 from[1 << 20], to[1 << 20];

/* The C library chooses its code by what the CPU has, so systems may run different ones. */

static u64 copy(u64 rounds)
{
    u64 sum = 0;
    while (rounds--)
        for (u64 size = 16; size <= sizeof from; size *= 4) {
            for (u64 at = 0; at < 1 << 16; at += 1 << 14) {
                u64 room = sizeof from - at, length = size < room ? size : room;
                memset(from + at, (u8)(rounds + size), length);
                memcpy(to + at, from + at, length);
                memmove(to, to + at, length);
            }
            sum = sum * 31 + to[size - 1] + (memcmp(from, to, size) != 0);
        }
    return sum;
}

/* Repeated string instructions that compare and search, and move words. */

static u64 scan(u64 rounds)
{
    u64 sum = 0;
    memset(from, 7, 1 << 14);
    memset(to, 7, 1 << 14);
    while (rounds--)
        for (u64 size = 16; size <= 1 << 14; size *= 4) {
            void *a = from, *b = to;
            u64 count = size, other = size - 1 - (rounds & 7);
            u8 byte = rounds | 8;
            from[other] = byte;
            __asm__ volatile("cmp %%eax, %%eax; repe cmpsb" : "+S"(a), "+D"(b), "+c"(count)
                             : : "memory", "cc");
            sum = sum * 31 + count;
            b = from;
            count = size;
            __asm__ volatile("repne scasb" : "+D"(b), "+c"(count) : "a"(byte) : "memory", "cc");
            sum = sum * 31 + count;
            a = from;
            b = to + (1 << 15);
            count = size / 8;
            __asm__ volatile("rep movsq" : "+S"(a), "+D"(b), "+c"(count) : : "memory");
            from[other] = 7;
        }
    return sum;
}

/* One access to a page, over 16 MiB: more pages than most TLBs hold. */

static u64 pages(u64 rounds)
{
    u64 count = 4096, sum = 0, at = 0;
    u8 *memory = malloc(count << 12);
    require(memory != 0, "malloc");
    memset(memory, 1, count << 12);
    while (rounds--)
        for (u32 i = 0; i < count; i++) {
            u8 *byte = memory + (at << 12) + (i & 4095);
            sum += *byte;
            *byte = sum;
            at = (at * 5 + 4099) % count;
        }
    free(memory);
    return sum;
}

/* Words at odd addresses, some across two lines, some across two pages. */

static u64 unaligned(u64 rounds)
{
    u64 sum = 0;
    while (rounds--)
        for (u32 at = 1; at + 8 < 1 << 16; at += 61) {
            u64 word;
            memcpy(&word, from + at, 8);
            word = word * 3 + at;
            memcpy(from + at, &word, 8);
            memcpy(&word, from + (at & -4096u) + 4091, 8);
            sum = sum * 31 + word;
        }
    return sum;
}

/* A matrix by columns and rows, in words: a stride of 2 KiB. */

static u64 transpose(u64 rounds)
{
    static u64 matrix[256][256];
    u64 sum = 0;
    for (u32 i = 0; i < 256 * 256; i++)
        matrix[i >> 8][i & 255] = i * 2654435761;
    while (rounds--) {
        for (u32 i = 0; i < 256; i++)
            for (u32 j = 0; j < i; j++) {
                u64 old = matrix[i][j];
                matrix[i][j] = matrix[j][i] + 1;
                matrix[j][i] = old;
            }
        sum = sum * 31 + matrix[rounds & 255][17];
    }
    return sum;
}

/* Locked operations, as locks and counters use them. */

static u64 atomic(u64 rounds)
{
    static u64 counter, word;
    u64 sum = 0;
    counter = word = 0;
    while (rounds--)
        for (u32 i = 0; i < 1024; i++) {
            sum += __atomic_fetch_add(&counter, i, __ATOMIC_SEQ_CST);
            u64 old = word;
            __atomic_compare_exchange_n(&word, &old, old * 5 + i, 0,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
            sum ^= __atomic_exchange_n(&word, old + 1, __ATOMIC_SEQ_CST);
            __atomic_or_fetch(&counter, 1, __ATOMIC_SEQ_CST);
        }
    return sum;
}

/* The allocator: blocks of many sizes, freed in another order; a tree's insertions. */

struct leaf { struct leaf *less, *more; u64 key; };

static u64 allocate(u64 rounds)
{
    static struct leaf *all[1024];
    u64 seed = 7, sum = 0;
    while (rounds--) {
        struct leaf *root = 0;
        for (u32 i = 0; i < 1024; i++) {
            struct leaf *leaf = malloc(sizeof *leaf + (next(&seed) & 127)), **place = &root;
            require(leaf != 0, "malloc");
            *leaf = (struct leaf){ 0, 0, next(&seed) };
            while (*place) {
                place = leaf->key < (*place)->key ? &(*place)->less : &(*place)->more;
                sum++;
            }
            *place = all[i] = leaf;
        }
        for (u32 i = 0; i < 1024; i++)
            free(all[i * 77 & 1023]);
    }
    return sum;
}

const struct kernel memory_rows[] = {
    { "copy", copy }, { "scan", scan }, { "pages", pages }, { "unaligned", unaligned },
    { "transpose", transpose }, { "atomic", atomic }, { "allocate", allocate }, { 0, 0 },
};
