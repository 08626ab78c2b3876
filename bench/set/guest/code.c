/*
 * Code that a program writes: much of it once, the same place again and again, an immediate patched
 * between calls, and the same under W^X, where pages are either writable or executable.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include "rows.h"

#define PAGE 4096ul

typedef u32 (*function)(u32 value);

static u8 *map(u64 size)
{
    u8 *memory = mmap(0, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    require(memory != MAP_FAILED, "mmap");
    return memory;
}

static void put(u8 **at, u8 opcode, u8 modrm, u32 immediate)
{
    (*at)[0] = opcode;
    (*at)[1] = modrm;
    memcpy(*at + 2, &immediate, 4);
    *at += 6;
}

#define IMMEDIATE_AT 4

/* Writes a function of a handful of instructions, and returns its end. */
static u8 *write_function(u8 *at, u32 number, u32 operations)
{
    *at++ = 0x89; /* mov %edi, %eax */
    *at++ = 0xf8;
    put(&at, 0x81, 0xc0, number); /* add $number, %eax */
    while (operations--) {
        number = number * 1664525 + 1013904223;
        put(&at, 0x81, number & 1 << 20 ? 0xf0 : 0xc0, number); /* xor or add */
        put(&at, 0x69, 0xc0, number | 1); /* imul $odd, %eax, %eax */
    }
    *at++ = 0xc3;
    return at;
}

static u32 call(u8 *code, u32 value)
{
    /* What was written must be in memory before it is run. */
    __asm__ volatile("" : : : "memory");
    return ((function)code)(value);
}

/* Many functions, each called twice, in pages that are new each round. */

static u64 fresh(u64 rounds)
{
    enum { COUNT = 64, ROOM = 128 };
    u32 sum = 0;
    while (rounds--) {
        u8 *code = map(COUNT * ROOM);
        for (u32 i = 0; i < COUNT; i++)
            write_function(code + i * ROOM, rounds * COUNT + i, 3 + i % 6);
        for (u32 i = 0; i < 2 * COUNT; i++)
            sum = call(code + i % COUNT * ROOM, sum);
        munmap(code, COUNT * ROOM);
    }
    return sum;
}

/* Another function in the same place each round, called in a loop. */

static u64 rewrite(u64 rounds)
{
    u32 sum = 0;
    u8 *code = map(PAGE);
    while (rounds--) {
        write_function(code, rounds, 8);
        for (int i = 0; i < 100; i++)
            sum = call(code, sum);
    }
    munmap(code, PAGE);
    return sum;
}

/* One immediate of a function is patched before each call. */

static u64 patch(u64 rounds)
{
    u32 sum = 0;
    u8 *code = map(PAGE);
    write_function(code, 1, 8);
    while (rounds--) {
        u32 immediate = rounds;
        memcpy(code + IMMEDIATE_AT, &immediate, 4);
        sum = call(code, sum);
    }
    munmap(code, PAGE);
    return sum;
}

/* Data that changes beside code in the same page. */

static u64 beside(u64 rounds)
{
    u32 sum = 0;
    u8 *code = map(PAGE);
    u32 *data = (u32 *)(code + PAGE / 2);
    write_function(code, 1, 8);
    while (rounds--) {
        sum = call(code, sum) + *data;
        *data = sum;
    }
    munmap(code, PAGE);
    return sum;
}

static u64 protect(u64 rounds)
{
    u32 sum = 0;
    u8 *code = map(PAGE);
    while (rounds--) {
        require(!mprotect(code, PAGE, PROT_READ | PROT_WRITE), "mprotect");
        write_function(code, rounds, 8);
        require(!mprotect(code, PAGE, PROT_READ | PROT_EXEC), "mprotect");
        for (int i = 0; i < 100; i++)
            sum = call(code, sum);
    }
    munmap(code, PAGE);
    return sum;
}

const struct kernel code_rows[] = {
    { "fresh", fresh }, { "rewrite", rewrite }, { "patch", patch }, { "beside", beside },
    { "protect", protect }, { 0, 0 },
};
