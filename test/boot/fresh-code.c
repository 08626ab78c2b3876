/*
 * Code that a translator has no use for: hot for a moment in ever other pages or in ever the same
 * one, and switched between 64- and 32-bit code. Prints what the code computed.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, DATA_PAGES = 16, STEPS = 30 };
enum { CODE_SEGMENT_32 = 0x23, DATA_SEGMENT = 0x2b };

static uint8_t *data;

static uint8_t *fresh(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return at;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t count)
{
	memcpy(at, bytes, count);
	return at + count;
}

static uint8_t *put_word(uint8_t *at, uint32_t value)
{
	return put(at, &value, sizeof value);
}

/* A loop that adds words of DATA_PAGES pages at edi; the same bytes in 64- and in 32-bit code. */
static uint8_t *put_loop(uint8_t *at, uint32_t factor, uint32_t seed, uint32_t times)
{
	uint8_t *loop = at = put_word(put(at, "\xb9", 1), times);	/* mov ecx, times */
	for (uint32_t i = 0; i < STEPS; i++) {
		at = put_word(put(at, "\x69\xc0", 2), factor);		/* imul eax, eax, factor */
		at = put_word(put(at, "\x05", 1), seed);		/* add eax, seed */
		at = put_word(put(at, "\x03\x87", 2), i % DATA_PAGES * PAGE);	/* add eax, [edi + ...] */
		at = put_word(put(at, "\x01\x87", 2), i % DATA_PAGES * PAGE);	/* add [edi + ...], eax */
	}
	at = put(at, "\x83\xe9\x01\x0f\x85", 5);			/* sub ecx, 1; jnz loop */
	return put_word(at, loop - at - 4);
}

static uint32_t call(const uint8_t *code, uint32_t value)
{
	__asm__ volatile("call *%1" : "+a"(value) : "r"(code), "D"(data) : "rcx", "cc", "memory");
	return value;
}

/* As call, for 32-bit code that ends in a far return, which needs a stack below 4 GiB. */
static uint32_t call_32(const uint8_t *code, uint8_t *stack, uint32_t value)
{
	struct { uint32_t offset; uint16_t segment; } __attribute__((packed)) to = {
		(uint32_t)(uintptr_t)code, CODE_SEGMENT_32 };
	__asm__ volatile("xchg %1, %%rsp; lcall *(%2); xchg %1, %%rsp"
			 : "+a"(value), "+r"(stack) : "r"(&to), "D"(data) : "rcx", "cc", "memory");
	return value;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	uint32_t count = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	uint32_t times = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
	uint32_t value = 1;

	data = fresh(DATA_PAGES * PAGE);
	if (strcmp(how, "pages") == 0) {
		uint8_t *code = fresh((size_t)count * PAGE);
		for (uint32_t i = 0; i < count; i++)
			put(put_loop(code + (size_t)i * PAGE, 2 * i + 3, i, times), "\xc3", 1);
		for (uint32_t i = 0; i < count; i++)
			value = call(code + (size_t)i * PAGE, value);
	} else if (strcmp(how, "again") == 0) {
		uint8_t *code = fresh(PAGE);
		for (uint32_t i = 0; i < count; i++) {
			put(put_loop(code, 2 * i + 3, i, times), "\xc3", 1);
			value = call(code, value);
		}
	} else if (strcmp(how, "modes") == 0) {
		uint8_t *code = fresh(3 * PAGE);
		__asm__ volatile("mov %0, %%ds" : : "r"(DATA_SEGMENT));
		put(put_loop(code, 5, 7, times), "\xc3", 1);
		put(put_loop(code + PAGE, 9, 11, times), "\xcb", 1);
		for (uint32_t i = 0; i < count; i++)
			value = call_32(code + PAGE, code + 3 * PAGE, call(code, value));
	} else {
		fprintf(stderr, "fresh-code pages|again|modes COUNT TIMES\n");
		return 2;
	}
	printf("%08x\n", value);
	return 0;
}
