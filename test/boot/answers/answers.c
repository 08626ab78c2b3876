/*
 * A guest that makes hypercalls, most of them wrong, and prints how each is answered: lines
 * "KEY = ANSWER", where the key says in words what was called.
 *
 * A sweep makes every call with every sub-operation and five patterns of arguments; then come
 * calls with better arguments. What stops the guest is left out, and so is what differs from host
 * to host: times, sizes of the machine, who built Xen.
 */
#include <stdarg.h>
#include "guest.h"

enum { ADD_TO_PHYSMAP = 7, REMOVE_FROM_PHYSMAP = 15 };
enum { CONSOLE_PFN = 17, CONSOLE_EVTCHN = 18 };

static u8 hypercall_page[4096] __attribute__((aligned(4096)));

long call(long number, long a, long b, long c)
{
  register long d __asm__("r10") = 0, e __asm__("r8") = 0;
  long answer;
  __asm__ volatile("call *%[stub]"
                   : "=a"(answer), "+D"(a), "+S"(b), "+d"(c), "+r"(d), "+r"(e)
                   : [stub] "r"(hypercall_page + 32 * number)
                   : "rcx", "r9", "r11", "memory");
  return answer;
}

long get_param(u32 index, u64 *value)
{
  struct hvm_param op = { SELF, 0, index, 0 };
  long answer = ask(HVM_OP, GET_PARAM, op);
  *value = op.value;
  return answer;
}

long add_to_physmap(u16 domain, u32 space, u64 index, u64 gpfn)
{
  struct {
    u16 domid, size;
    u32 space;
    u64 index, gpfn;
  } op = { domain, 0, space, index, gpfn };
  return ask(MEMORY_OP, ADD_TO_PHYSMAP, op);
}

long remove_from_physmap(u64 gpfn)
{
  struct {
    u16 domid;
    u64 gpfn;
  } op = { SELF, gpfn };
  return ask(MEMORY_OP, REMOVE_FROM_PHYSMAP, op);
}

/* The console: xen/include/public/io/console.h. */
static struct {
  char in[1024], out[2048];
  volatile u32 in_cons, in_prod, out_cons, out_prod;
} *ring;
static u32 console_port;

enum { SCHEDOP_yield = 0, SCHEDOP_shutdown = 2, EVTCHNOP_send = 4 };

static void notify(void) { ask(EVENT_CHANNEL_OP, EVTCHNOP_send, console_port); }

static void put(char c)
{
  while (ring->out_prod - ring->out_cons >= sizeof ring->out) {
    notify();
    call(SCHED_OP, SCHEDOP_yield, 0, 0);
  }
  ring->out[ring->out_prod % sizeof ring->out] = c;
  __asm__ volatile("" ::: "memory");
  ring->out_prod++;
}

static void put_number(u64 n, int base)
{
  char digits[20];
  int count = 0;
  do digits[count++] = "0123456789abcdef"[n % base];
  while (n /= base);
  while (count) put(digits[--count]);
}

static void put_string(const char *s)
{
  while (*s) put(*s++);
}

/* A line's end is told to the console. */
void say(const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  for (const char *f = format; *f; f++) {
    if (*f == '\n') {
      put('\r');
      put('\n');
      notify();
    } else if (*f != '%') {
      put(*f);
    } else if (*++f == 'd') {
      long n = va_arg(arguments, long);
      if (n < 0) put('-');
      put_number(n < 0 ? -n : n, 10);
    } else if (*f == 'x') {
      put_number(va_arg(arguments, u64), 16);
    } else if (*f == 'b') {
      u8 byte = va_arg(arguments, int);
      put_number(byte >> 4, 16);
      put_number(byte & 15, 16);
    } else if (*f == 's') {
      put_string(va_arg(arguments, const char *));
    } else if (*f == 'D') {
      int domain = va_arg(arguments, int);
      if (domain == SELF) put_string("self");
      else put_number(domain, 10);
    }
  }
  va_end(arguments);
}

static void open_console(void)
{
  u64 value;
  get_param(CONSOLE_PFN, &value);
  ring = (void *)(value << 12);
  get_param(CONSOLE_EVTCHN, &value);
  console_port = value;
}

static void fill_hypercall_page(void)
{
  u32 leaf = 0x40000002, msr;
  __asm__ volatile("cpuid" : "+a"(leaf), "=b"(msr) : : "ecx", "edx");
  u64 page = (u64)hypercall_page;
  __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)page), "d"((u32)(page >> 32)) : "memory");
}

void answers(void)
{
  fill_hypercall_page();
  open_console();
  sweep();
  hvm();
  domains();
  grants();
  memory();
  events();
  processors();
  say("That is all.\n");
  while (ring->out_cons != ring->out_prod) call(SCHED_OP, SCHEDOP_yield, 0, 0);
  u32 poweroff = 0;
  ask(SCHED_OP, SCHEDOP_shutdown, poweroff);
}
