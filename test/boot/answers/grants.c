/*
 * grant_table_op: sizes, mapping and copying of what was not granted, versions.
 */
#include "guest.h"

enum { MAP_GRANT_REF = 0, UNMAP_GRANT_REF, SETUP_TABLE, COPY = 5, QUERY_SIZE, SET_VERSION = 8 };
enum { PERMIT_ACCESS = 1, ACCEPT_TRANSFER = 2, READONLY = 4 };

#define NOT_SET 77 /* A status that no call gives. */
#define grant_op(operation, op) call(GRANT_TABLE_OP, operation, (long)&(op), 1)

static void setup_table(u32 frames)
{
  static u64 list[8192];
  struct {
    u16 dom, pad;
    u32 nr_frames;
    int16_t status;
    u64 frame_list;
  } op = { SELF, 0, frames, NOT_SET, (u64)list };
  long answer = grant_op(SETUP_TABLE, op);
  say("setup_table frames %d = %d status %d first %x\n", (long)frames, answer, (long)op.status,
      list[0]);
}

static void query_size(u16 domain)
{
  struct {
    u16 dom, pad;
    u32 nr_frames, max_nr_frames;
    int16_t status;
  } op = { domain, 0, 0, 0, NOT_SET };
  long answer = grant_op(QUERY_SIZE, op);
  say("query_size domain %D = %d frames %d of %d status %d\n", domain, answer,
      (long)op.nr_frames, (long)op.max_nr_frames, (long)op.status);
}

static void map_grant(u32 flags, u16 domain, u32 ref, u64 address)
{
  struct {
    u64 host_addr;
    u32 flags, ref;
    u16 dom;
    int16_t status;
    u32 handle;
    u64 dev_bus_addr;
  } op = { address, flags, ref, domain, NOT_SET, 0, 0 };
  long answer = grant_op(MAP_GRANT_REF, op);
  say("map_grant_ref flags %d domain %D ref %x address %x = %d status %d\n", (long)flags, domain,
      (u64)ref, address, answer, (long)op.status);
}

static void unmap_grant(u32 handle)
{
  struct {
    u64 host_addr, dev_bus_addr;
    u32 handle;
    int16_t status;
  } op = { ROOM, 0, handle, NOT_SET };
  long answer = grant_op(UNMAP_GRANT_REF, op);
  say("unmap_grant_ref handle %x = %d status %d\n", (u64)handle, answer, (long)op.status);
}

struct copy_end {
  u64 frame_or_ref;
  u16 domid, offset;
};
struct copy {
  struct copy_end source, dest;
  u16 len, flags;
  int16_t status;
};

/* A frame of the guest's own that is copied into the next; or no frame, and an unused reference. */
static void copy_grant(u32 flags, u16 from, u16 to, int own, u16 length)
{
  struct copy op = {
    { own ? FRAME : NO_FRAME, from, 0 }, { own ? FRAME + 1 : 8, to, 0 }, length, flags, NOT_SET,
  };
  long answer = grant_op(COPY, op);
  say("copy flags %d from %D %x to %D %x length %d = %d status %d\n", (long)flags, from,
      op.source.frame_or_ref, to, op.dest.frame_or_ref, (long)length, answer, (long)op.status);
}

/*
 * Copies between a frame and what the guest grants itself, by entries that permit it or not. What
 * an entry's flags are then is printed, too.
 */
static void copy_own(void)
{
  static const struct entry {
    u16 flags, domid;
    u32 frame;
  } entries[] = {
    { PERMIT_ACCESS, OWN_NUMBER, FRAME }, { PERMIT_ACCESS | READONLY, OWN_NUMBER, FRAME },
    { PERMIT_ACCESS, DOM0, FRAME }, { PERMIT_ACCESS, SELF, FRAME }, { 0, OWN_NUMBER, FRAME },
    { ACCEPT_TRANSFER, OWN_NUMBER, FRAME }, { PERMIT_ACCESS, OWN_NUMBER, NO_FRAME },
  };
  enum { FIRST = 16, TABLE = SPOT + 8 };
  add_to_physmap(SELF, GRANT_TABLE, 0, TABLE);
  volatile struct entry *table = (void *)((u64)TABLE << 12);
  for (unsigned i = 0; i < LENGTH(entries); i++) {
    for (u16 flags = 1; flags < 4; flags++) {
      table[FIRST + i] = entries[i];
      struct copy op = {
        { flags & 1 ? FIRST + i : FRAME + 1, SELF, 0 },
        { flags & 2 ? FIRST + i : FRAME + 1, SELF, 0 }, 100, flags, NOT_SET,
      };
      long answer = grant_op(COPY, op);
      say("copy own flags %d entry %d for %D of %x = %d status %d flags %d\n", (long)flags,
          (long)entries[i].flags, entries[i].domid, (u64)entries[i].frame, answer,
          (long)op.status, (long)table[FIRST + i].flags);
    }
  }
  remove_from_physmap(TABLE);
}

static void grant_version(u32 version)
{
  u32 op = version;
  long answer = grant_op(SET_VERSION, op);
  say("set_version %d = %d version %d\n", (long)version, answer, (long)op);
}

void grants(void)
{
  static const u32 sizes[] = { 0, 1, 2, 19, 36, 53, 64, 65, 5000 };
  for (unsigned i = 0; i < LENGTH(sizes); i++) setup_table(sizes[i]);
  query_size(SELF);
  query_size(DOM0);
  query_size(STRANGER);

  for (u32 flags = 0; flags < 32; flags++) {
    map_grant(flags, SELF, 8, ROOM);
    map_grant(flags, SELF, 0xffffff, ROOM);
    map_grant(flags, STRANGER, 8, ROOM);
    map_grant(flags, SELF, 8, ROOM + 1);
  }
  unmap_grant(5);
  unmap_grant(0xffffffff);
  for (int i = 0; i < 64; i++) {
    copy_grant(i >> 4, i & 1 ? SELF : DOM0, i & 2 ? SELF : DOM0, i & 4, i & 8 ? 5000 : 100);
  }
  copy_own();
  grant_version(0);
  grant_version(3);
  grant_version(2);
  grant_version(1);
}
