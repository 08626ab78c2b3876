/*
 * Integer work of user programs, beside what the bare kernels do: branches, indirect calls,
 * division, sorting, hashing, and the C library's own code.
 */
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"

#define COUNT 4096

/* Branches that depend on data: binary search among numbers. */

static u64 branches(u64 rounds)
{
    static u32 numbers[COUNT];
    u64 seed = 1, sum = 0;
    for (u32 i = 0; i < COUNT; i++)
        numbers[i] = i * 7 + (next(&seed) & 3);
    while (rounds--)
        for (u32 i = 0; i < COUNT; i++) {
            u32 wanted = next(&seed) % (COUNT * 7), low = 0, high = COUNT;
            while (low < high) {
                u32 middle = (low + high) / 2;
                /* The barriers keep the compiler from a conditional move. */
                if (numbers[middle] < wanted) {
                    __asm__ volatile("");
                    low = middle + 1;
                } else {
                    __asm__ volatile("");
                    high = middle;
                }
            }
            sum = sum * 31 + low;
        }
    return sum;
}

/* Calls through pointers, by data. */

static __attribute__((noinline)) u64 op_add(u64 a, u64 b) { return a + b; }
static __attribute__((noinline)) u64 op_subtract(u64 a, u64 b) { return a - b * 3; }
static __attribute__((noinline)) u64 op_xor(u64 a, u64 b) { return a ^ b << 7; }
static __attribute__((noinline)) u64 op_rotate(u64 a, u64 b) { return (a << 13 | a >> 51) + b; }
static __attribute__((noinline)) u64 op_multiply(u64 a, u64 b) { return a * (b | 1); }
static __attribute__((noinline)) u64 op_swap(u64 a, u64 b) { return __builtin_bswap64(a) + b; }
static __attribute__((noinline)) u64 op_and(u64 a, u64 b) { return a + (a & b); }
static __attribute__((noinline)) u64 op_choose(u64 a, u64 b) { return a > b ? a - b : b - a; }

static u64 (*const operations[8])(u64, u64) = {
    op_add, op_subtract, op_xor, op_rotate, op_multiply, op_swap, op_and, op_choose,
};

static u64 indirect(u64 rounds)
{
    u64 seed = 2, sum = 0;
    while (rounds--)
        for (u32 i = 0; i < COUNT; i++) {
            u64 number = next(&seed);
            sum = operations[number >> 20 & 7](sum, number);
        }
    return sum;
}

/* Division and multiplication to 128 bits: greatest common divisors, powers modulo a prime. */

static u64 divide(u64 rounds)
{
    const u64 prime = 0xffffffffffffffc5;
    u64 seed = 3, sum = 0;
    while (rounds--)
        for (u32 i = 0; i < 64; i++) {
            u64 a = next(&seed) | 1, b = next(&seed) | 1;
            while (b) {
                u64 rest = a % b;
                a = b;
                b = rest;
            }
            u64 base = next(&seed) * next(&seed), power = 1;
            for (u64 exponent = sum | 1; exponent; exponent >>= 4) {
                if (exponent & 1)
                    power = (unsigned __int128)power * base % prime;
                base = (unsigned __int128)base * base % prime;
            }
            sum = sum * 31 + a + power;
        }
    return sum;
}

/* The C library's sort with a function that compares. */

static int compare(const void *a, const void *b)
{
    u32 left = *(const u32 *)a, right = *(const u32 *)b;
    return left < right ? -1 : left > right;
}

static u64 quicksort(u64 rounds)
{
    static u32 numbers[COUNT];
    u64 seed = 4, sum = 0;
    while (rounds--) {
        for (u32 i = 0; i < COUNT; i++)
            numbers[i] = next(&seed);
        qsort(numbers, COUNT, sizeof numbers[0], compare);
        for (u32 i = 0; i < COUNT; i += 64)
            sum = sum * 31 + numbers[i];
    }
    return sum;
}

/* CRC-32 by a table, a byte at a time: loads whose addresses depend on the last one. */

static u64 crc(u64 rounds)
{
    static u32 table[256];
    static u8 text[COUNT];
    u64 seed = 5;
    u32 sum = ~0u;
    for (u32 i = 0; i < 256; i++) {
        u32 entry = i;
        for (int bit = 0; bit < 8; bit++)
            entry = entry & 1 ? entry >> 1 ^ 0xedb88320 : entry >> 1;
        table[i] = entry;
    }
    for (u32 i = 0; i < COUNT; i++)
        text[i] = next(&seed);
    while (rounds--)
        for (u32 i = 0; i < COUNT; i++)
            sum = sum >> 8 ^ table[(sum ^ text[i]) & 255];
    return sum;
}

/* Queens on a board by sets of bits: recursion, and tests of single bits. */

static __attribute__((noinline)) u64 place(u32 columns, u32 left, u32 right, u32 all)
{
    u64 found = 0;
    if (columns == all)
        return 1;
    for (u32 free = all & ~(columns | left | right); free; free &= free - 1) {
        u32 here = free & -free;
        found += place(columns | here, (left | here) << 1, (right | here) >> 1, all);
    }
    return found;
}

static u64 queens(u64 rounds)
{
    u64 sum = 0;
    while (rounds--)
        sum = sum * 31 + place(0, 0, 0, 255);
    return sum;
}

/* 16-bit and 8-bit arithmetic with flags: additions of decimal numbers digit by digit. */

static u64 decimal(u64 rounds)
{
    static u8 a[256], b[256];
    u64 sum = 0;
    b[0] = 1;
    while (rounds--)
        for (int n = 0; n < 16; n++) {
            u8 carry = 0;
            for (u32 i = 0; i < sizeof a; i++) {
                u8 digit = a[i] + b[i] + carry;
                carry = digit > 9;
                a[i] = b[i];
                b[i] = carry ? digit - 10 : digit;
            }
            sum = sum * 31 + b[n] + carry;
        }
    return sum;
}

/* Numbers to text and back by the C library. */

static u64 format(u64 rounds)
{
    u64 seed = 6, sum = 0;
    char text[80], *end;
    while (rounds--)
        for (int i = 0; i < 16; i++) {
            long number = next(&seed);
            int length = snprintf(text, sizeof text, "%ld %08lx %s", -number, sum, "words");
            sum = sum * 31 + length + strtol(text, &end, 10);
            sum += strtoul(end, 0, 16);
        }
    return sum;
}

const struct kernel integer_rows[] = {
    { "branches", branches }, { "indirect", indirect }, { "divide", divide },
    { "quicksort", quicksort }, { "crc", crc }, { "queens", queens }, { "decimal", decimal },
    { "format", format }, { 0, 0 },
};
