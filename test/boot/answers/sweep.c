/*
 * Every hypercall with every sub-operation and some patterns of arguments. -ENOSYS is not printed.
 */
#include "guest.h"

/* Names of calls, and their highest sub-operations; those without a name are called by number. */
static const struct {
  const char *name;
  long last;
} calls[LAST_CALL + 1] = {
  [7] = { "platform_op", 0 },
  [MEMORY_OP] = { "memory_op", 43 },
  [SET_TIMER_OP] = { "set_timer_op", 0 },
  [XEN_VERSION] = { "xen_version", 43 },
  [18] = { "console_io", 43 },
  [GRANT_TABLE_OP] = { "grant_table_op", 43 },
  [VM_ASSIST] = { "vm_assist", 43 },
  [VCPU_OP] = { "vcpu_op", 43 },
  [SCHED_OP] = { "sched_op", 43 },
  [EVENT_CHANNEL_OP] = { "event_channel_op", 43 },
  [33] = { "physdev_op", 43 },
  [HVM_OP] = { "hvm_op", 43 },
  [35] = { "sysctl", 0 },
  [36] = { "domctl", 0 },
};

/*
 * A struct of zeros, of ones, or of DOMID_SELF and 1, and a count of one; one that is not there;
 * and one of zeros as the third argument, as vcpu_op wants it, while the second is 0.
 */
enum pattern { ZERO, ONES, OWN, BAD, THIRD, PATTERNS };
static const char *const patterns[] = { "zero", "ones", "self", "bad", "third" };

/* So much of the struct is filled and looked at; some calls write more. */
enum { LOOKED_AT = 256 };
static u8 buffer[4096] __attribute__((aligned(4096)));

static void prepare(enum pattern pattern)
{
  for (int i = 0; i < LOOKED_AT; i++) buffer[i] = pattern == ONES ? 0xff : 0;
  if (pattern == OWN) {
    buffer[0] = SELF & 0xff;
    buffer[1] = SELF >> 8;
    buffer[4] = 1;
  }
}

static int stops_or_harms(long number, long op, enum pattern pattern)
{
  switch (number) {
    case MULTICALL:
    case IRET:
    case 6: return 1; /* sched_op_compat */
    case SCHED_OP: return op < 9; /* block, shutdown, poll; see processors.c */
    case VCPU_OP: return op == 2; /* down */
    case HVM_OP: return op == SET_PARAM && pattern == OWN;
    case EVENT_CHANNEL_OP: return op == 10; /* reset: the console's port, too */
    default: return 0;
  }
}

static int is_the_hosts_own(long number, long op)
{
  switch (number) {
    case MEMORY_OP: return op == 2; /* maximum_ram_page */
    case XEN_VERSION: return op == 10; /* build_id */
    case EVENT_CHANNEL_OP: return op == 2; /* bind_pirq: where it succeeds, ports are others */
    default: return 0;
  }
}

/* What is written may be the host's own where the answer is not. */
static int shows(long number, long op)
{
  switch (number) {
    case MEMORY_OP: return op != 9; /* memory_map */
    case XEN_VERSION: return op == 5 || op == 6 || op == 9;
    case VCPU_OP: return op != 4; /* get_runstate_info */
    case EVENT_CHANNEL_OP: return op != 5; /* status: another domain's port */
    case HVM_OP: return op != 10; /* get_time */
    default: return 1;
  }
}

/* Prints the span of bytes that the call has written, cut off where it is long. */
static void show_written(enum pattern pattern)
{
  static u8 now[LOOKED_AT];
  int first = LOOKED_AT, last = 0;
  for (int i = 0; i < LOOKED_AT; i++) now[i] = buffer[i];
  prepare(pattern);
  for (int i = 0; i < LOOKED_AT; i++) {
    if (now[i] == buffer[i]) continue;
    if (i < first) first = i;
    last = i;
  }
  if (first > last) return;
  say(", byte %d: ", (long)first);
  for (int i = first; i <= last && i < first + 32; i++) say("%b", now[i]);
}

static void try(long number, long op, enum pattern pattern)
{
  if (stops_or_harms(number, op, pattern) || is_the_hosts_own(number, op)) return;
  prepare(pattern);
  long struct_at = pattern == BAD ? NOWHERE : (long)buffer;
  long answer = pattern == THIRD ? call(number, op, 0, struct_at)
                                 : call(number, op, struct_at, 1);
  if (answer == -ENOSYS) return;
  if (calls[number].name) say("%s", calls[number].name);
  else say("hypercall %d", number);
  say(" %d %s = %d", op, patterns[pattern], answer);
  if (shows(number, op)) show_written(pattern);
  say("\n");
}

void sweep(void)
{
  for (long number = 0; number <= LAST_CALL; number++)
    for (long op = calls[number].last ? -1 : 0; op <= calls[number].last; op++)
      for (enum pattern pattern = 0; pattern < PATTERNS; pattern++) try(number, op, pattern);
}
