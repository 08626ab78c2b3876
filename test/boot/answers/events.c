/*
 * event_channel_op: binding, using and closing ports.
 */
#include "guest.h"

enum {
  BIND_INTERDOMAIN = 0, BIND_VIRQ, CLOSE = 3, SEND, STATUS, ALLOC_UNBOUND, BIND_IPI, BIND_VCPU,
  UNMASK, INIT_CONTROL = 11, EXPAND_ARRAY, SET_PRIORITY,
};

static void bindings(void)
{
  for (u32 virq = 0; virq < 26; virq++) {
    for (u32 vcpu = 0; vcpu < 2; vcpu++) {
      struct {
        u32 virq, vcpu, port;
      } op = { virq, vcpu, 0 };
      say("bind_virq %d vcpu %d = %d\n", (long)virq, (long)vcpu,
          ask(EVENT_CHANNEL_OP, BIND_VIRQ, op));
    }
  }
  for (u32 vcpu = 0; vcpu < 3; vcpu++) {
    u32 op[] = { vcpu, 0 };
    say("bind_ipi vcpu %d = %d\n", (long)vcpu, ask(EVENT_CHANNEL_OP, BIND_IPI, op));
  }
}

static void use_port(const char *kind, u32 port)
{
  struct {
    u16 dom, pad;
    u32 port, status, vcpu, of, rest;
  } op = { SELF, 0, port, 99, 99, 99, 0 };
  long answer = ask(EVENT_CHANNEL_OP, STATUS, op);
  say("%s %d status = %d %d vcpu %d of %d\n", kind, (long)port, answer, (long)op.status,
      (long)op.vcpu, (long)(u16)op.of);

  static const struct {
    const char *name;
    int operation;
    u32 value;
  } uses[] = {
    { "set_priority 3", SET_PRIORITY, 3 }, { "set_priority 99", SET_PRIORITY, 99 },
    { "bind_vcpu 0", BIND_VCPU, 0 }, { "bind_vcpu 7", BIND_VCPU, 7 }, { "unmask", UNMASK, 0 },
    { "send", SEND, 0 }, { "close", CLOSE, 0 }, { "close again", CLOSE, 0 },
  };
  for (unsigned i = 0; i < LENGTH(uses); i++) {
    u32 use[] = { port, uses[i].value };
    say("%s %d %s = %d\n", kind, (long)port, uses[i].name,
        ask(EVENT_CHANNEL_OP, uses[i].operation, use));
  }
}

static u32 allocate_unbound(u16 domain, u16 remote)
{
  struct {
    u16 dom, remote_dom;
    u32 port;
  } op = { domain, remote, 0 };
  long answer = ask(EVENT_CHANNEL_OP, ALLOC_UNBOUND, op);
  say("alloc_unbound domain %D for %D = %d port %d\n", domain, remote, answer, (long)op.port);
  return op.port;
}

static u32 bind_interdomain(const char *when, u16 remote, u32 port)
{
  struct {
    u16 remote_dom, pad;
    u32 remote_port, local_port;
  } op = { remote, 0, port, 0 };
  long answer = ask(EVENT_CHANNEL_OP, BIND_INTERDOMAIN, op);
  say("bind_interdomain %s domain %D port %d = %d port %d\n", when, remote, (long)port, answer,
      (long)op.local_port);
  return op.local_port;
}

/* Both ends of a channel are the guest's own; `port` is to be the one. */
static void own_channel(u32 port)
{
  bind_interdomain("before", SELF, port + 1);
  u32 other = bind_interdomain("first", SELF, port);
  bind_interdomain("again", SELF, port);
  use_port("binding port", other);
  bind_interdomain("after", SELF, port);
  use_port("bound port", port);
}

/* The queues of FIFO event channels, which a domain cannot leave again. */
static void fifo(void)
{
  static const struct control {
    u64 frame;
    u32 offset, vcpu;
    u8 link_bits, pad[7];
  } controls[] = {
    { FRAME + 16, 0, 1, 0, { 0 } }, { FRAME + 16, 4, 0, 0, { 0 } },
    { FRAME + 16, 4096 - 64, 0, 0, { 0 } }, { FRAME + 16, 4096, 0, 0, { 0 } },
    { NO_FRAME, 0, 0, 0, { 0 } }, { FRAME + 16, 64, 0, 0, { 0 } }, { FRAME + 17, 0, 0, 0, { 0 } },
  };
  for (unsigned i = 0; i < LENGTH(controls); i++) {
    struct control op = controls[i];
    long answer = ask(EVENT_CHANNEL_OP, INIT_CONTROL, op);
    say("init_control vcpu %d frame %x offset %d = %d link_bits %d\n", (long)op.vcpu, op.frame,
        (long)op.offset, answer, (long)op.link_bits);
  }
  static const u64 arrays[] = { NO_FRAME, FRAME + 18, FRAME + 19 };
  for (unsigned i = 0; i < LENGTH(arrays); i++) {
    u64 op = arrays[i];
    say("expand_array %x = %d\n", op, ask(EVENT_CHANNEL_OP, EXPAND_ARRAY, op));
  }
  for (u32 priority = 0; priority < 18; priority++) {
    for (u32 port = 0; port < 4; port += 3) {
      u32 op[] = { port, priority };
      say("fifo port %d set_priority %d = %d\n", (long)port, (long)priority,
          ask(EVENT_CHANNEL_OP, SET_PRIORITY, op));
    }
  }
}

void events(void)
{
  static const u16 domains[] = { DOM0, OWN_NUMBER, STRANGER, SELF };
  static const u16 remotes[] = { DOM0, 9, SELF };
  enum { FIRST = 3, LAST = 24 };
  bindings();
  use_port("port", 0);
  /* Those below are the toolstack's. */
  for (u32 port = FIRST; port <= LAST; port++) use_port("port", port);
  for (int d = 0; d < 4; d++)
    for (u32 port = 0; port < 3; port++) bind_interdomain("early", domains[d], port);
  u32 unbound = 0;
  for (int d = 0; d < 4; d++)
    for (int r = 0; r < 3; r++) unbound = allocate_unbound(domains[d], remotes[r]);
  own_channel(unbound);
  fifo();
}
