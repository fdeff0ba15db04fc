#include <math.h>

/* The nearest whole number, of two the even one, plus a zero point, within int8. */
static int8_t NAME_rounded(float value, int32_t zero) {
#if NAME_DSP
    int32_t code;
    __asm__("vcvtr.s32.f32 %1, %1\n vmov %0, %1\n qadd %0, %0, %2\n ssat %0, #8, %0"
            : "=&r"(code), "+t"(value)
            : "r"(zero));
    return (int8_t)code;
#else
    const float near = value < -1000.0f ? -1000.0f : value > 1000.0f ? 1000.0f : value;
#if defined(__GNUC__) && defined(__aarch64__)
    int32_t code;
    __asm__("fcvtns %w0, %s1" : "=r"(code) : "w"(near)); /* or a call */
    code += zero;
#else
    const int32_t code = (int32_t)lrintf(near) + zero;
#endif
    return (int8_t)(code < -128 ? -128 : code > 127 ? 127 : code);
#endif
}
