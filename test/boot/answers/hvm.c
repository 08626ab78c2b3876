/*
 * hvm_op: parameters, upcall vectors and types of memory.
 */
#include "guest.h"

enum { GET_MEM_TYPE = 15, SET_EVTCHN_UPCALL_VECTOR = 23 };
enum { CALLBACK_IRQ = 0 };

static long set_param(u32 index, u64 value)
{
  struct hvm_param op = { SELF, 0, index, value };
  return ask(HVM_OP, SET_PARAM, op);
}

static void parameters(void)
{
  /* Not of callback_irq, and of what a guest may choose for itself. */
  static const struct {
    u32 index;
    u64 value;
  } wishes[] = {
    { CALLBACK_IRQ, 0x12 }, { 4, 1 }, { 10, 1 }, { 14, 0 }, { 14, 3 }, { 14, 5 },
    { 19, 0 }, { 19, 1 }, { 19, 2 }, { 24, 0 }, { 34, 0 }, { 34, 0x1000 },
    { 35, 0 }, { 35, 1 }, { 36, 0 }, { 36, 4 }, { 36, 5 }, { 36, 8 },
  };
  enum { LAST = 39, VM86_TSS = 15, VM86_TSS_SIZED = 37 };
  u64 value;

  for (u32 i = 0; i <= LAST; i++) {
    long answer = get_param(i, &value);
    say("get_param %d = %d value %x\n", (long)i, answer, value);
  }
  for (u32 i = 0; i <= LAST; i++) {
    if (i == CALLBACK_IRQ || i == VM86_TSS || i == VM86_TSS_SIZED) continue;
    get_param(i, &value);
    say("set_param %d same = %d\n", (long)i, set_param(i, value));
  }
  for (unsigned i = 0; i < LENGTH(wishes); i++) {
    say("set_param %d value %x = %d\n", (long)wishes[i].index, wishes[i].value,
        set_param(wishes[i].index, wishes[i].value));
  }
}

static void upcall_vectors(void)
{
  static const struct vector {
    u32 vcpu;
    u8 vector;
  } ops[] = { { 0, 0 }, { 0, 5 }, { 1, 0 }, { 1, 0x40 } };
  for (unsigned i = 0; i < LENGTH(ops); i++) {
    struct vector op = ops[i];
    say("set_evtchn_upcall_vector vcpu %d vector %x = %d\n", (long)op.vcpu, (u64)op.vector,
        ask(HVM_OP, SET_EVTCHN_UPCALL_VECTOR, op));
  }
}

static void memory_types(void)
{
  static const u64 frames[] = { 0, SPOT, 0xfee00, 0xfeff8, 0xffffffffffff };
  for (unsigned i = 0; i < LENGTH(frames); i++) {
    struct {
      u16 domid, type, pad[2];
      u64 pfn;
    } op = { SELF, 99, { 0, 0 }, frames[i] };
    long answer = ask(HVM_OP, GET_MEM_TYPE, op);
    say("get_mem_type %x = %d type %d\n", op.pfn, answer, (long)op.type);
  }
}

void hvm(void)
{
  parameters();
  upcall_vectors();
  memory_types();
}
