/*
 * Domains that are not there, or are no domains (DOMID_IO and its like), named to calls that take
 * one.
 */
#include "guest.h"

static void name(u16 domain)
{
  struct {
    u16 domid, more[7];
    u64 rest[4];
  } op = { domain, { 0 }, { 0 } };
  static const struct {
    const char *name;
    long number, operation;
  } uses[] = {
    { "current_reservation", MEMORY_OP, 3 }, { "maximum_gpfn", MEMORY_OP, 14 },
    { "add_to_physmap", MEMORY_OP, 7 }, { "remove_from_physmap", MEMORY_OP, 15 },
    { "memory_map", MEMORY_OP, 13 }, { "acquire_resource", MEMORY_OP, 28 },
    { "alloc_unbound", EVENT_CHANNEL_OP, 6 }, { "bind_interdomain", EVENT_CHANNEL_OP, 0 },
    { "status", EVENT_CHANNEL_OP, 5 }, { "reset", EVENT_CHANNEL_OP, 10 },
    { "get_param", HVM_OP, GET_PARAM }, { "get_mem_type", HVM_OP, 15 },
    { "remote_shutdown", SCHED_OP, 4 },
  };
  for (unsigned i = 0; i < LENGTH(uses); i++) {
    op.domid = domain;
    say("%s of domain %x = %d\n", uses[i].name, (u64)domain,
        ask(uses[i].number, uses[i].operation, op));
  }
  struct {
    u64 extents, count;
    u32 order, flags;
    u16 domid;
  } reservation = { 0, 0, 0, 0, domain };
  static const struct {
    const char *name;
    long operation;
  } changes[] = { { "increase_reservation", 0 }, { "decrease_reservation", 1 },
                  { "populate_physmap", 6 }, { "claim_pages", 24 } };
  for (unsigned i = 0; i < LENGTH(changes); i++) {
    say("%s of domain %x = %d\n", changes[i].name, (u64)domain,
        ask(MEMORY_OP, changes[i].operation, reservation));
  }
}

void domains(void)
{
  static const u16 numbers[] = {
    9, 0x7fef, 0x7ff1, 0x7ff2, 0x7ff3, 0x7ff4, 0x7ff5, 0x7fff, 0x8000, 0xffff,
  };
  for (unsigned i = 0; i < LENGTH(numbers); i++) name(numbers[i]);
}
