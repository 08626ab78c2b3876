/*
 * Floating point: x87, scalar and packed SSE2, conversions, AVX2. Only operations that IEEE 754
 * rounds exactly, so that all systems give the same bits; nothing of the mathematical library,
 * which chooses its code by what the CPU has.
 */
#include <immintrin.h>
#include <string.h>
#include "rows.h"

static u64 bits_of(double value)
{
    u64 bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Matrices of 64 by 64 doubles. */

static double a[64][64], b[64][64], c[64][64];

static u64 matmul(u64 rounds)
{
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++) {
            a[i][j] = (i * 3 + j) % 17 * 0.125;
            b[i][j] = (i + j * 5) % 13 * 0.25 - 1;
            c[i][j] = 0;
        }
    while (rounds--)
        for (int i = 0; i < 64; i++)
            for (int j = 0; j < 64; j++) {
                double sum = 0;
                for (int k = 0; k < 64; k++)
                    sum += a[i][k] * b[k][j];
                c[i][j] = c[i][j] * 0.5 + sum;
            }
    return bits_of(c[5][7]) + bits_of(c[63][1]);
}

/* The Mandelbrot set in scalar doubles, and in the x87's long doubles. */

#define MANDELBROT(name, type)                                                    \
    static u64 name(u64 rounds)                                                   \
    {                                                                             \
        u64 sum = 0;                                                              \
        while (rounds--)                                                          \
            for (int py = 0; py < 24; py++)                                       \
                for (int px = 0; px < 24; px++) {                                 \
                    type cx = px * (type)0.125 - 2, cy = py * (type)0.125 - 1;    \
                    type x = 0, y = 0;                                            \
                    int n = 0;                                                    \
                    for (; n < 50 && x * x + y * y < 4; n++) {                    \
                        type t = x * x - y * y + cx;                              \
                        y = 2 * x * y + cy;                                       \
                        x = t;                                                    \
                    }                                                             \
                    sum = sum * 31 + n;                                           \
                }                                                                 \
        return sum;                                                               \
    }

MANDELBROT(mandelbrot, double)
MANDELBROT(x87, long double)

/* Numbers of all kinds into one another. */

static u64 convert(u64 rounds)
{
    u64 seed = 9, sum = 0;
    while (rounds--)
        for (int i = 0; i < 512; i++) {
            int number = next(&seed);
            double real = number * 0.75;
            float small = (float)real;
            sum = sum * 31 + (u64)(long)real + (u64)(long)(small * 3.0f);
            sum += (u32)(int)(small - real) + (real > small);
        }
    return sum;
}

/* Samples of sound, as it were, through a filter: four and eight floats at a time. */

#define SAMPLES 4096

static float samples[SAMPLES + 8];

static void make_samples(void)
{
    u64 seed = 8;
    for (u32 i = 0; i < SAMPLES + 8; i++)
        samples[i] = (int)(next(&seed) & 1023) * 0.25f - 100;
}

static u64 sum_of(const float *values, u32 count)
{
    u64 sum = 0;
    for (u32 i = 0; i < count; i++)
        sum = sum * 31 + bits_of(values[i]);
    return sum;
}

static u64 floats(u64 rounds)
{
    const __m128 half = _mm_set1_ps(0.5f), one = _mm_set1_ps(1);
    __m128 sum = _mm_setzero_ps();
    float result[4];
    u64 checksum = 0;
    make_samples();
    while (rounds--) {
        for (u32 i = 0; i < SAMPLES; i += 4) {
            __m128 here = _mm_loadu_ps(samples + i), there = _mm_loadu_ps(samples + i + 1);
            __m128 mean = _mm_mul_ps(_mm_add_ps(here, there), half);
            __m128 more = _mm_cmplt_ps(sum, mean);
            __m128 chosen = _mm_or_ps(_mm_and_ps(more, mean), _mm_andnot_ps(more, here));
            __m128 scale = _mm_add_ps(_mm_mul_ps(mean, mean), one);
            sum = _mm_add_ps(_mm_mul_ps(sum, half), _mm_div_ps(chosen, scale));
            sum = _mm_max_ps(sum, _mm_sqrt_ps(_mm_shuffle_ps(scale, scale, 0x1b)));
        }
        _mm_storeu_ps(result, sum);
        checksum = checksum * 31 + sum_of(result, 4);
    }
    return checksum;
}

#define AVX2 __attribute__((target("avx2")))

static AVX2 u64 floats_avx(u64 rounds)
{
    const __m256 half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1);
    __m256 sum = _mm256_setzero_ps();
    float result[8];
    u64 checksum = 0;
    make_samples();
    while (rounds--) {
        for (u32 i = 0; i < SAMPLES; i += 8) {
            __m256 here = _mm256_loadu_ps(samples + i), there = _mm256_loadu_ps(samples + i + 1);
            __m256 mean = _mm256_mul_ps(_mm256_add_ps(here, there), half);
            __m256 more = _mm256_cmp_ps(sum, mean, _CMP_LT_OS);
            __m256 chosen = _mm256_blendv_ps(here, mean, more);
            __m256 scale = _mm256_add_ps(_mm256_mul_ps(mean, mean), one);
            sum = _mm256_add_ps(_mm256_mul_ps(sum, half), _mm256_div_ps(chosen, scale));
            sum = _mm256_max_ps(sum, _mm256_sqrt_ps(_mm256_permute_ps(scale, 0x1b)));
        }
        _mm256_storeu_ps(result, sum);
        checksum = checksum * 31 + sum_of(result, 8);
    }
    return checksum;
}

/* Two doubles at a time: a polynomial. */

static u64 doubles(u64 rounds)
{
    double result[2];
    u64 checksum = 0;
    __m128d sum = _mm_setzero_pd();
    while (rounds--) {
        __m128d x = _mm_set_pd(0.25, -0.5);
        for (int i = 0; i < 2048; i++) {
            __m128d y = _mm_set1_pd(0.125);
            for (int power = 0; power < 6; power++)
                y = _mm_add_pd(_mm_mul_pd(y, x), _mm_set_pd(1, 0.75));
            sum = _mm_add_pd(_mm_mul_pd(sum, _mm_set1_pd(0.5)), y);
            x = _mm_add_pd(x, _mm_set1_pd(1.0 / 4096));
        }
        _mm_storeu_pd(result, sum);
        checksum = checksum * 31 + bits_of(result[0]) + bits_of(result[1]) * 7;
    }
    return checksum;
}

/* Packed integers of 32 bytes: comparisons, shifts, shuffles, sums of differences. */

static AVX2 u64 integers_avx(u64 rounds)
{
    const __m256i order = _mm256_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
                                           0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m256i sum = _mm256_setzero_si256();
    u64 result[4];
    make_samples();
    while (rounds--)
        for (u32 i = 0; i < SAMPLES; i += 8) {
            __m256i here = _mm256_loadu_si256((const __m256i *)(samples + i));
            __m256i there = _mm256_shuffle_epi8(here, order);
            __m256i more = _mm256_cmpgt_epi32(here, sum);
            __m256i mixed = _mm256_mullo_epi32(_mm256_xor_si256(there, sum), here);
            sum = _mm256_add_epi32(sum, _mm256_blendv_epi8(mixed, there, more));
            sum = _mm256_xor_si256(sum, _mm256_srlv_epi32(mixed, _mm256_srli_epi32(here, 27)));
            sum = _mm256_add_epi64(_mm256_permute4x64_epi64(sum, 0x39),
                                   _mm256_sad_epu8(here, there));
        }
    _mm256_storeu_si256((__m256i *)result, sum);
    return ((result[0] * 31 + result[1]) * 31 + result[2]) * 31 + result[3];
}

const struct kernel float_rows[] = {
    { "matmul", matmul }, { "mandelbrot", mandelbrot }, { "x87", x87 }, { "convert", convert },
    { "floats", floats }, { "doubles", doubles }, { 0, 0 },
};

const struct kernel avx2_rows[] = {
    { "floats-avx", floats_avx }, { "integers-avx", integers_avx }, { 0, 0 },
};
