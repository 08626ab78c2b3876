/* The rows of each file, and what they share. */
#include "../../kernels/guest/kernels.h"

extern const struct kernel integer_rows[], memory_rows[], float_rows[], avx2_rows[], system_rows[],
    code_rows[];

/* The next of a fixed sequence of numbers that look random. */
static inline u64 next(u64 *seed)
{
    *seed = *seed * 6364136223846793005 + 1442695040888963407;
    return *seed >> 33;
}

/* Ends the program: what the row needs of the kernel has failed. */
_Noreturn void fail(const char *what);

/* For `condition`s that never fail on a sound machine. */
static inline void require(int condition, const char *what)
{
    if (!condition)
        fail(what);
}
