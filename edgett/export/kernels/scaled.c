#include <string.h>

#if NAME_FIXED
static NAME_APART int32_t NAME_scaled_as_written(int32_t sum, float scale, int32_t zero) {
#else
NAME_SPARE static int8_t NAME_scaled(int32_t sum, float scale, int32_t zero) {
#endif
    return NAME_rounded((float)sum * scale, zero);
}

/* A sum in steps of `scale` as a code: the product is rounded to float32, and that to a whole number.
 *
 * Without an FPU it is an integer product: 31 bits of the scale times the sum, the point behind the upper 32 bits. That
 * gives the same code unless rounding to float32 comes to a half: so near to one it is calculated as it is written. */
#if NAME_FIXED
typedef struct {
    float scale;
    int32_t bits;
    uint32_t down, up, limit; /* where the point is, and sums from -2^24 on that may be taken so */
} NAME_factor;

NAME_INSIDE NAME_factor NAME_factor_of(float scale) {
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    const uint32_t down = 125 - (bits >> 23);
    NAME_factor factor = {scale, (int32_t)((bits << 8 | 0x80000000u) >> 1), down & 31, ~down & 31,
                          down > 31 ? 0 : 1u << 25};
#if defined(__GNUC__)
    __asm__("" : "+r"(factor.bits)); /* a product of a number of which no sign is known is one instruction */
#endif
    return factor;
}

NAME_INSIDE int32_t NAME_scaled_by(int32_t sum, NAME_factor factor, int32_t zero) {
    const int64_t product = (int64_t)sum * factor.bits;
    const int32_t upper = (int32_t)(product >> 32);
    const uint32_t rest = (uint32_t)product >> factor.down | (uint32_t)upper << 1 << factor.up;
    if ((uint32_t)sum + (1u << 24) >= factor.limit || rest + 0x80010000u <= 0x20000u) {
        return NAME_scaled_as_written(sum, factor.scale, zero);
    }
    int32_t code = (upper >> factor.down) + (int32_t)(rest >> 31) + zero;
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
