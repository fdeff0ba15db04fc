#include <string.h>

#if NAME_DSP
__attribute__((unused)) /* products do it by themselves there */
#endif
#if NAME_FIXED
static NAME_APART int8_t NAME_scaled_as_written(int32_t sum, float scale, int32_t zero) {
#else
static int8_t NAME_scaled(int32_t sum, float scale, int32_t zero) {
#endif
    return NAME_rounded((float)sum * scale, zero);
}

/* A sum in steps of `scale` as a code: the product is rounded to float32, and that to a whole number.
 *
 * Without an FPU it is an integer product: 31 bits of the scale times the sum, the point behind the upper 32 bits. That
 * gives the same code unless rounding to float32 comes to a half: so near to one it is calculated as it is written. */
#if NAME_FIXED
static int8_t NAME_scaled(int32_t sum, float scale, int32_t zero) {
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    const uint32_t shift = 125 - (bits >> 23);
    const int64_t product = (int64_t)sum * (int32_t)((bits << 8 | 0x80000000u) >> 1);
    const int32_t upper = (int32_t)(product >> 32);
    const uint32_t rest = (uint32_t)product >> (shift & 31) | (uint32_t)upper << 1 << (~shift & 31);
    if (shift > 31 || (uint32_t)sum + (1u << 24) > 1u << 25 || rest + 0x80010000u <= 0x20000u) {
        return NAME_scaled_as_written(sum, scale, zero);
    }
    const int32_t code = (upper >> shift) + (int32_t)(rest >> 31) + zero;
    return (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);
}
#endif
