/*
 * The bare program around the kernels, for QEMU and our processor: its command line lists pairs of
 * a kernel's number and rounds; for each it sends `B`, runs the kernel, and sends `E` and the
 * checksum through the debug port. It ends with a write to QEMU's exit port.
 */
#include "kernels.h"

#define DEBUG_PORT 0xe9
#define EXIT_PORT 0xf4

static void send(u8 byte)
{
    __asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"((unsigned short)DEBUG_PORT));
}

static const char *number(const char *text, u64 *value)
{
    while (*text == ' ')
        text++;
    for (*value = 0; *text >= '0' && *text <= '9'; text++)
        *value = *value * 10 + (*text - '0');
    return text;
}

/* The start info's command line is the u64 at offset 24. */
void main(const u64 *start_info)
{
    const char *text = (const char *)start_info[3];
    while (*text) {
        u64 kernel, rounds;
        text = number(text, &kernel);
        text = number(text, &rounds);
        while (*text && (*text < '0' || *text > '9'))
            text++;
        send('B');
        u64 sum = run(kernel, rounds);
        send('E');
        for (int shift = 60; shift >= 0; shift -= 4)
            send("0123456789abcdef"[sum >> shift & 15]);
        send('\n');
    }
    __asm__ volatile("outb %0, %1" : : "a"((u8)0), "Nd"((unsigned short)EXIT_PORT));
}
