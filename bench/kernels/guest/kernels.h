/* What the kernels and the bare program around them share. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

u64 run(u64 kernel, u64 rounds);
