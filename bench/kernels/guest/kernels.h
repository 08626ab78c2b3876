/* What the kernels and the programs around them share. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

/* A piece of work that returns the same checksum for the same rounds wherever it is run. */
struct kernel { const char *name; u64 (*run)(u64 rounds); };

/* Ends with a nameless one. */
extern const struct kernel kernels[];

u64 run(u64 kernel, u64 rounds);
