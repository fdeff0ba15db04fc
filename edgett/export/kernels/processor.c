/* What the processor has: SIMD in 32 bits with an FPU; no FPU at all. */
#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__thumb2__)
#define NAME_DSP 1
#else
#define NAME_DSP 0
#endif
#ifndef NAME_FIXED
#if (defined(__arm__) && !defined(__ARM_FP)) || (defined(__riscv) && !defined(__riscv_flen))
#define NAME_FIXED 1
#else
#define NAME_FIXED 0
#endif
#endif
/* Of functions that would have too few registers inside of others. */
#if defined(__GNUC__)
#define NAME_APART __attribute__((noinline))
#else
#define NAME_APART
#endif
