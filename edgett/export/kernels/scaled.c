#include <string.h>

#if !NAME_FIXED
NAME_SPARE static int8_t NAME_scaled(int32_t sum, float scale, int32_t zero) {
    return NAME_rounded((float)sum * scale, zero);
}
#endif

/* A sum in steps of `scale` as a code: the product is rounded to float32, and that to a whole number.
 *
 * Without an FPU it is an integer product: 31 bits of the scale times the sum, the point `down` places up in the upper 32
 * bits. That gives the same code unless rounding to float32 comes to a half, and for a code below 2^8 it goes no further
 * than 2^-15. So what the upper bits tell to be 2^-down or less from a half is looked at more closely, with the lower
 * bits; and calculated as it is written where these leave it open, or sums do not fit float32. */
#if NAME_FIXED
typedef struct {
    float scale;
    int32_t bits;
    uint32_t down, mask, near; /* the point; what is behind it; the lower of two of these that are next to a half */
} NAME_factor;

NAME_INSIDE NAME_factor NAME_factor_of(float scale) {
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    const uint32_t down = 125 - (bits >> 23);
    uint32_t most = down > 14 ? 0 : (1u << down) - 1;
#if defined(__GNUC__)
    __asm__("" : "+r"(most)); /* or there are two ways to go on */
#endif
    const NAME_factor factor = {scale, (int32_t)((bits << 8 | 0x80000000u) >> 1), down, most, most >> 1};
    return factor;
}

/* The upper 32 bits of a product. */
NAME_INSIDE int32_t NAME_upper(int32_t a, int32_t b) {
#if defined(__GNUC__) && defined(__riscv_mul) && __riscv_xlen == 32
    int32_t upper;
    __asm__("mulh %0, %1, %2" : "=r"(upper) : "r"(a), "r"(b)); /* or more, where signs are known */
    return upper;
#else
    return (int32_t)((int64_t)a * b >> 32);
#endif
}

static NAME_APART int32_t NAME_scaled_nearly(int32_t sum, float scale, int32_t zero, uint32_t down) {
    const int64_t product = (int64_t)sum * NAME_factor_of(scale).bits;
    const int32_t upper = (int32_t)(product >> 32);
    const uint32_t rest = (uint32_t)product >> (down & 31) | (uint32_t)upper << 1 << (~down & 31);
    if (down > 31 || (uint32_t)sum + (1u << 24) >= 1u << 25 || rest + 0x80010000u <= 0x20000u) {
        return NAME_rounded((float)sum * scale, zero);
    }
    const int32_t code = (upper >> down) + (int32_t)(rest >> 31) + zero;
    return code < -128 ? -128 : code > 127 ? 127 : code;
}

NAME_INSIDE int32_t NAME_scaled_by(int32_t sum, NAME_factor factor, int32_t zero) {
    const int32_t upper = NAME_upper(sum, factor.bits);
    if (((uint32_t)upper & factor.mask) - factor.near <= 1) {
        return NAME_scaled_nearly(sum, factor.scale, zero, factor.down);
    }
    int32_t code = ((upper + (int32_t)factor.near + 1) >> factor.down) + zero;
#if NAME_THUMB
    __asm__("ssat %0, #8, %0" : "+r"(code));
    return code;
#else
    return code < -128 ? -128 : code > 127 ? 127 : code;
#endif
}

NAME_SPARE static int8_t NAME_scaled(int32_t sum, float scale, int32_t zero) {
    return (int8_t)NAME_scaled_by(sum, NAME_factor_of(scale), zero);
}
#else
typedef float NAME_factor;
#define NAME_factor_of(scale) (scale)
#define NAME_scaled_by NAME_scaled
#endif
