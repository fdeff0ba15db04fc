/* What the processor has: SIMD in 32 bits with an FPU; no FPU at all. */
#ifndef NAME_DSP
#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__thumb2__) && \
    !defined(__ARM_BIG_ENDIAN)
#define NAME_DSP 1
#else
#define NAME_DSP 0
#endif
#endif
/* Helium: vectors of 16 bytes on Cortex-M, with floats. */
#if defined(__GNUC__) && defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE + 0 & 2) && NAME_DSP
#define NAME_MVE 1
#else
#define NAME_MVE 0
#endif
/* Vectors of 64-bit Arm, of which some have dot products of four bytes. */
#if defined(__GNUC__) && defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)
#define NAME_NEON 1
#else
#define NAME_NEON 0
#endif
/* Thumb-2 without those, as a Cortex-M3 has it. */
#if defined(__GNUC__) && defined(__thumb2__) && !NAME_DSP && !defined(__ARM_BIG_ENDIAN)
#define NAME_THUMB 1
#else
#define NAME_THUMB 0
#endif
#ifndef NAME_FIXED
#if (defined(__arm__) && !defined(__ARM_FP)) || (defined(__riscv) && !defined(__riscv_flen))
#define NAME_FIXED 1
#else
#define NAME_FIXED 0
#endif
#endif
/* Whether the first byte of a word is its lowest, as far as the compiler tells. */
#ifndef NAME_LITTLE
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NAME_LITTLE 1
#else
#define NAME_LITTLE 0
#endif
#endif
/* Registers of four numbers, for compilers that have a type for them. */
#if defined(__has_builtin) && NAME_LITTLE && !defined(NAME_VECTORS)
#if (defined(__aarch64__) || defined(__ARM_NEON) || defined(__SSE2__)) && __has_builtin(__builtin_shufflevector)
#define NAME_VECTORS 1
#endif
#endif
#ifndef NAME_VECTORS
#define NAME_VECTORS 0
#endif
/* Whether two rows at once take fewer instructions than each alone. */
#define NAME_PAIRS (!NAME_MVE && !NAME_NEON && (NAME_DSP || !NAME_VECTORS))

/* Functions that are there once: inside of others they would have too few registers, and take more flash. What a single
 * caller gives them is no constant either, or a kernel would take other instructions in another model. */
#if defined(__clang__)
#define NAME_APART __attribute__((noinline))
#elif defined(__GNUC__) && __GNUC__ >= 8
#define NAME_APART __attribute__((noipa))
#elif defined(__GNUC__)
#define NAME_APART __attribute__((noinline, noclone))
#else
#define NAME_APART
#endif
/* A pointer to a word, for what copies its bytes. */
#if defined(__GNUC__)
#define NAME_ALIGNED(pointer) __builtin_assume_aligned(pointer, 4)
#else
#define NAME_ALIGNED(pointer) (pointer)
#endif

/* Functions that some models or some processors have no use for. */
#if defined(__GNUC__)
#define NAME_SPARE __attribute__((unused))
#else
#define NAME_SPARE
#endif

/* Functions that are inside of each that calls them, for a constant that it gives them. */
#if defined(__GNUC__)
#define NAME_INSIDE static inline __attribute__((always_inline, unused))
#else
#define NAME_INSIDE static inline
#endif
