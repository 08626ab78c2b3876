/*
 * What is about the processor: sched_op, vcpu_op, timers, multicalls, vm_assist and
 * model-specific registers.
 */
#include "guest.h"

enum { SCHEDOP_poll = 3, SCHEDOP_watchdog = 6 };

static void timing(void)
{
  u32 port = 9999;
  struct {
    u64 ports;
    u32 nr_ports;
    u64 timeout;
  } op = { NOWHERE, 1, 1 };
  say("poll ports are not there = %d\n", ask(SCHED_OP, SCHEDOP_poll, op));
  op.nr_ports = 200;
  say("poll 200 ports = %d\n", ask(SCHED_OP, SCHEDOP_poll, op));
  op.nr_ports = 1;
  op.ports = (u64)&port;
  say("poll port 9999 = %d\n", ask(SCHED_OP, SCHEDOP_poll, op));
  op.nr_ports = 0;
  say("poll until a time that has passed = %d\n", ask(SCHED_OP, SCHEDOP_poll, op));
  for (long operation = 7; operation < 9; operation++) {
    u64 zeros[4] = { 0 };
    say("sched_op %d zeros = %d\n", operation, ask(SCHED_OP, operation, zeros));
  }
}

static void watchdogs(void)
{
  static const struct watchdog {
    u32 id, timeout;
  } ops[] = {
    { 0, 300 }, { 0, 301 }, { 0, 302 }, { 3, 300 }, { 1, 303 }, { 2, 0 }, { 2, 1 }, { 2, 304 },
    { 1, 0 }, { 1, 0 },
  };
  for (unsigned i = 0; i < LENGTH(ops); i++) {
    struct watchdog op = ops[i];
    say("watchdog step %d id %d for %d s = %d\n", (long)i, (long)op.id, (long)op.timeout,
        ask(SCHED_OP, SCHEDOP_watchdog, op));
  }
}

/* vcpu_op: vcpu 0's timers, and where it is shown. */
static void vcpus(void)
{
  enum { IS_UP = 3, PERIODIC = 6, STOP_PERIODIC, SINGLESHOT, STOP_SINGLESHOT, REGISTER_INFO };
  for (long vcpu = 0; vcpu < 3; vcpu++) {
    say("is_up vcpu %d = %d\n", vcpu, call(VCPU_OP, IS_UP, vcpu, 0));
  }
  static const u64 periods[] = { 0, 999999, 1000000, 1l << 49, 1l << 50, 1l << 61, 1l << 63 };
  for (unsigned i = 0; i < LENGTH(periods); i++) {
    u64 op = periods[i];
    say("set_periodic_timer %x = %d\n", op, call(VCPU_OP, PERIODIC, 0, (long)&op));
  }
  say("stop_periodic_timer = %d\n", call(VCPU_OP, STOP_PERIODIC, 0, 0));
  static const u64 times[] = { 0, 1, 1l << 49, 1l << 62, -1l };
  for (unsigned i = 0; i < LENGTH(times); i++) {
    for (u32 flags = 0; flags < 4; flags++) {
      struct {
        u64 time;
        u32 flags;
      } op = { times[i], flags };
      say("set_singleshot_timer %x flags %d = %d\n", op.time, (long)flags,
          call(VCPU_OP, SINGLESHOT, 0, (long)&op));
    }
    say("set_timer_op %x = %d\n", times[i], call(SET_TIMER_OP, times[i], 0, 0));
  }
  say("stop_singleshot_timer = %d\n", call(VCPU_OP, STOP_SINGLESHOT, 0, 0));

  static const struct place {
    u64 frame;
    u32 offset, pad;
  } places[] = {
    { FRAME + 24, 13, 0 }, { FRAME + 24, 4, 0 }, { FRAME + 24, 4096 - 56, 0 },
    { FRAME + 24, 4096 - 32, 0 }, { FRAME + 24, 4096, 0 }, { NO_FRAME, 13, 0 },
    { NO_FRAME, 0, 0 }, { FRAME + 24, 64, 0 }, { FRAME + 25, 0, 0 }, { FRAME + 25, 13, 0 },
  };
  for (unsigned i = 0; i < LENGTH(places); i++) {
    struct place op = places[i];
    say("register_vcpu_info frame %x offset %d = %d\n", op.frame, (long)op.offset,
        call(VCPU_OP, REGISTER_INFO, 0, (long)&op));
  }
}

static void multicalls(void)
{
  enum { PAGESIZE = 7, NOBODYS = 99 };
  struct {
    u64 op, result, args[6];
  } entries[] = {
    { XEN_VERSION, 77, { PAGESIZE, 0 } }, { XEN_VERSION, 77, { NOBODYS, 0 } },
    { NOBODYS, 77, { 0 } }, { MULTICALL, 77, { (u64)entries, 1 } },
    { EVENT_CHANNEL_OP, 77, { 4, NOWHERE } },
  };
  say("multicall 0 = %d\n", call(MULTICALL, (long)entries, 0, 0));
  say("multicall not there = %d\n", call(MULTICALL, NOWHERE, 1, 0));
  say("multicall 5 = %d\n", call(MULTICALL, (long)entries, LENGTH(entries), 0));
  for (unsigned i = 0; i < LENGTH(entries); i++) {
    say("multicall entry %d = %d\n", (long)i, (long)entries[i].result);
  }
}

static void assists(void)
{
  /* Operation 0 switches one on, 1 off. Those below 4 are on already, or change how code runs. */
  for (long type = 0; type < 12; type++) {
    for (long operation = type < 4 ? 1 : 0; operation < 3; operation++) {
      say("vm_assist %d type %d = %d\n", operation, type, call(VM_ASSIST, operation, type, 0));
    }
  }
}

static void model_specific_registers(void)
{
  static const struct {
    u32 first, last;
  } ranges[] = {
    { 0x1b, 0x1b }, { 0xfe, 0xfe }, { 0x174, 0x176 }, { 0x200, 0x20f }, { 0x250, 0x250 },
    { 0x258, 0x259 }, { 0x268, 0x26f }, { 0x2ff, 0x2ff }, { 0xc0000080, 0xc0000084 },
    { 0xc0000100, 0xc0000102 },
  };
  for (unsigned i = 0; i < LENGTH(ranges); i++) {
    for (u32 msr = ranges[i].first; msr <= ranges[i].last; msr++) {
      u32 low, high;
      __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
      say("msr %x = %x\n", (u64)msr, (u64)high << 32 | low);
    }
  }
}

void processors(void)
{
  timing();
  watchdogs();
  vcpus();
  multicalls();
  assists();
  model_specific_registers();
}
