/*
 * What the files of this guest share: making hypercalls, and saying how they were answered.
 * The numbers and structs are those of xen/include/public.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum {
  MEMORY_OP = 12, MULTICALL = 13, SET_TIMER_OP = 15, XEN_VERSION = 17, GRANT_TABLE_OP = 20,
  VM_ASSIST = 21, IRET = 23, VCPU_OP = 24, SCHED_OP = 29, EVENT_CHANNEL_OP = 32, HVM_OP = 34,
  LAST_CALL = 63,
};
/* The guest is the first of its host. */
enum { SELF = 0x7ff0, DOM0 = 0, OWN_NUMBER = 1, STRANGER = 77 };
enum { ENOSYS = 38 };

/* An address that is not mapped. */
#define NOWHERE 0x700000000000
/* A frame that no domain has. */
#define NO_FRAME 0xfffffff
/* Frames and an address in the guest's memory that nothing else uses. */
enum { FRAME = 0x3000, BLOCK = 0x3800, SPOT = 0x3900 };
#define ROOM 0x3000000

long call(long number, long a, long b, long c);

/* A hypercall whose second argument is a struct, and whose third is 0. */
#define ask(number, operation, op) call(number, operation, (long)&(op), 0)

/* A parameter of the guest (hvm_op); 0 where the answer is an error. */
enum { SET_PARAM = 0, GET_PARAM = 1 };
struct hvm_param {
  u16 domid, pad;
  u32 index;
  u64 value;
};
long get_param(u32 index, u64 *value);

enum { SHARED_INFO = 0, GRANT_TABLE = 1 };
long add_to_physmap(u16 domain, u32 space, u64 index, u64 gpfn);
long remove_from_physmap(u64 gpfn);

/*
 * Prints to the console: %d takes a long, %x a u64, %b a byte, %s a string, %D the number of a
 * domain.
 */
void say(const char *format, ...);

void sweep(void);
void hvm(void);
void grants(void);
void memory(void);
void events(void);
void processors(void);
void domains(void);

#endif
