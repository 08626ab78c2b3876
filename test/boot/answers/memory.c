/*
 * memory_op: reservations and the physical map.
 */
#include "guest.h"

enum {
  INCREASE_RESERVATION = 0, DECREASE_RESERVATION, POPULATE_PHYSMAP = 6, ADD_TO_PHYSMAP_BATCH = 23,
};
/* One space more than there are; and instead of a space, what is there is removed. */
enum { SPACES = 7, REMOVE = 100 };

struct reservation {
  u64 extents, count;
  u32 order, flags;
  u16 domid;
};

static void reservations(void)
{
  u64 block = BLOCK;
  /* Where larger ones may be had, Xen's memory may all the same be in too small pieces. */
  static const u32 orders[] = { 0, 3, 10, 11 };
  for (unsigned i = 0; i < LENGTH(orders); i++) {
    u32 order = orders[i];
    struct reservation op = { (u64)&block, 1, order, 0, SELF };
    say("decrease_reservation order %d = %d\n", (long)order,
        ask(MEMORY_OP, DECREASE_RESERVATION, op));
    say("populate_physmap order %d = %d\n", (long)order,
        ask(MEMORY_OP, POPULATE_PHYSMAP, op));
    say("increase_reservation order %d = %d\n", (long)order,
        ask(MEMORY_OP, INCREASE_RESERVATION, op));
  }

  u64 frames[] = { FRAME, FRAME + 1, 0xfffffffffff, FRAME + 2 };
  struct reservation op = { (u64)frames, 4, 0, 0, SELF };
  say("decrease_reservation third is no frame = %d\n", ask(MEMORY_OP, DECREASE_RESERVATION, op));
  say("populate_physmap third is no frame = %d\n", ask(MEMORY_OP, POPULATE_PHYSMAP, op));
  op.extents = NOWHERE;
  say("populate_physmap list is not there = %d\n", ask(MEMORY_OP, POPULATE_PHYSMAP, op));
  op.extents = (u64)frames;
  op.count = 1l << 40;
  say("populate_physmap more than a hypercall takes = %d\n", ask(MEMORY_OP, POPULATE_PHYSMAP, op));
  op.count = 1;
  op.flags = 0x7f << 8;
  say("populate_physmap on node 126 = %d\n", ask(MEMORY_OP, POPULATE_PHYSMAP, op));
  op.flags = 1 << 16;
  say("populate_physmap on demand = %d\n", ask(MEMORY_OP, POPULATE_PHYSMAP, op));
}

static void physmap(void)
{
  static const u16 domains[] = { OWN_NUMBER, SELF };
  for (u32 space = 0; space < SPACES; space++) {
    for (int i = 0; i < 2; i++) {
      long answer = add_to_physmap(domains[i], space, space == GRANT_TABLE ? 0 : 0x10, SPOT);
      say("add_to_physmap space %d domain %D = %d\n", (long)space, domains[i], answer);
    }
  }
  static const u64 removed[] = { SPOT, SPOT, 0xffffffffff };
  for (unsigned i = 0; i < LENGTH(removed); i++) {
    say("remove_from_physmap %x time %d = %d\n", removed[i], (long)i,
        remove_from_physmap(removed[i]));
  }
}

/* Pages of Xen's that a domain may have in its physical map: shared_info, and its grant table. */
static void own_pages(void)
{
  static const struct place {
    u32 space;
    u64 index, gpfn;
  } places[] = {
    { SHARED_INFO, 0, SPOT }, { SHARED_INFO, 1, SPOT }, { SHARED_INFO, 0, SPOT + 1 },
    { SHARED_INFO, 0, SPOT },
    { GRANT_TABLE, 0, SPOT + 2 }, { GRANT_TABLE, 0, SPOT + 2 }, { GRANT_TABLE, 0, SPOT + 3 },
    { REMOVE, 0, SPOT + 2 }, { GRANT_TABLE, 0, SPOT + 3 },
    { GRANT_TABLE, 1, SPOT + 3 }, { GRANT_TABLE, 0, SPOT + 4 }, { GRANT_TABLE, 0, SPOT + 3 },
    { GRANT_TABLE, 1, SPOT + 5 }, { SHARED_INFO, 0, SPOT + 5 }, { GRANT_TABLE, 1, SPOT + 6 },
    { GRANT_TABLE, 63, SPOT + 9 }, { GRANT_TABLE, 64, SPOT + 10 },
    { GRANT_TABLE, 1l << 31, SPOT + 10 },
  };
  for (unsigned i = 0; i < LENGTH(places); i++) {
    struct place p = places[i];
    if (p.space == REMOVE) {
      say("own pages step %d remove_from_physmap %x = %d\n", (long)i, p.gpfn,
          remove_from_physmap(p.gpfn));
    } else {
      say("own pages step %d add_to_physmap space %d index %x at %x = %d\n", (long)i,
          (long)p.space, p.index, p.gpfn, add_to_physmap(SELF, p.space, p.index, p.gpfn));
    }
  }
}

/* Three pages, of which the second is nowhere; `foreign` is whose they are, in one of the spaces. */
static void batch(u32 space, u16 foreign)
{
  u64 indices[] = { 0, 99, 1 }, frames[] = { SPOT + 16, SPOT + 17, SPOT + 18 };
  int errors[] = { 77, 77, 77 };
  struct {
    u16 domid, space, size, foreign;
    u64 indices, frames, errors;
  } op = { SELF, space, 3, foreign, (u64)indices, (u64)frames, (u64)errors };
  long answer = ask(MEMORY_OP, ADD_TO_PHYSMAP_BATCH, op);
  say("add_to_physmap_batch space %d of domain %D = %d errors %d %d %d\n", (long)space, foreign,
      answer, (long)errors[0], (long)errors[1], (long)errors[2]);
}

void memory(void)
{
  reservations();
  physmap();
  own_pages();
  static const u16 foreigners[] = { DOM0, OWN_NUMBER, STRANGER, SELF };
  for (u32 space = 0; space < SPACES; space++)
    for (unsigned i = 0; i < LENGTH(foreigners); i++) batch(space, foreigners[i]);
}
