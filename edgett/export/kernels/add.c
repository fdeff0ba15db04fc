/* output = input + other in int8; the `period` numbers of `other` repeat. */
typedef struct {
    int32_t count, period, zero, other_zero, out_zero;
    float scale, other_scale, out_scale;
} NAME_sum;

#if NAME_DSP
/* Fours of numbers, `count` of them. SXTAB16 takes codes less their zero points, 0 and 2 of four, then 1 and 3. */
static NAME_APART void NAME_add_fours(const int8_t *input, const int8_t *other, int8_t *output, int32_t count,
                                      const NAME_sum *sum) {
    register const int8_t *one __asm__("r0") = input;
    register const int8_t *two __asm__("r1") = other;
    register int8_t *to __asm__("r2") = output;
    register int32_t left __asm__("r3") = count;
    register const NAME_sum *given __asm__("r12") = sum;
#define NAME_LESS(zero) "rsb " zero ", " zero ", #0\n pkhbt " zero ", " zero ", " zero ", lsl #16\n"
#define NAME_TERMS(word, even, odd, zero, a, b, c, d) \
    "sxtab16 " even ", " zero ", " word "\n sxtab16 " odd ", " zero ", " word ", ror #8\n" \
    "vmov " a ", " b ", " even ", " odd "\n asr " even ", #16\n asr " odd ", #16\n" \
    "vmov " c ", " d ", " even ", " odd "\n vcvt.f32.s16 " a ", " a ", #0\n vcvt.f32.s16 " b ", " b ", #0\n" \
    "vcvt.f32.s32 " c ", " c "\n vcvt.f32.s32 " d ", " d "\n"
/* VMLA rounds the product, then the sum. */
#define NAME_ADDED(a, b) \
    "vmul.f32 " a ", " a ", s8\n vmla.f32 " a ", " b ", s9\n vdiv.f32 " a ", " a ", s10\n" \
    "vadd.f32 " a ", " a ", s11\n vcvtr.s32.f32 " a ", " a "\n"
    __asm__ volatile(
        "push {r4-r9}\n"
        "ldmia r12!, {r4-r8}\n"
        "vldmia r12, {s8-s10}\n"
        "vmov s11, r8\n vcvt.f32.s32 s11, s11\n"
        NAME_LESS("r6") NAME_LESS("r7")
        "1: ldr r5, [r0], #4\n ldr r9, [r1], #4\n"
        NAME_TERMS("r5", "r4", "r5", "r6", "s0", "s1", "s2", "s3")
        NAME_TERMS("r9", "r8", "r9", "r7", "s4", "s5", "s6", "s7")
        NAME_ADDED("s0", "s4") NAME_ADDED("s1", "s5") NAME_ADDED("s2", "s6") NAME_ADDED("s3", "s7")
        "vmov r4, r5, s0, s1\n vmov r8, r9, s2, s3\n"
        "ssat r4, #8, r4\n ssat r5, #8, r5\n ssat r8, #8, r8\n ssat r9, #8, r9\n"
        "strb r4, [r2], #1\n strb r5, [r2], #1\n strb r8, [r2], #1\n strb r9, [r2], #1\n"
        "subs r3, #1\n"
        "bne 1b\n"
        "pop {r4-r9}\n"
        : "+r"(one), "+r"(two), "+r"(to), "+r"(left), "+r"(given)
        :
        : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11");
}
#endif

static void NAME_add(const int8_t *input, int8_t *output, const int8_t *other, const NAME_sum *sum) {
    const int32_t zero = sum->zero, other_zero = sum->other_zero, period = sum->period;
    const float scale = sum->scale, other_scale = sum->other_scale, out_scale = sum->out_scale;
    const float out_zero = (float)sum->out_zero;
    for (int32_t left = sum->count; left > 0; left -= period) {
        const int8_t *add = other;
        int32_t i = period;
#if NAME_DSP
        const int32_t fours = period / 4;
        if (fours > 0) {
            NAME_add_fours(input, add, output, fours, sum);
            input += 4 * fours;
            add += 4 * fours;
            output += 4 * fours;
            i -= 4 * fours;
        }
#endif
        for (; i > 0; --i) {
            float one = (float)(*input++ - zero) * scale;
            float two = (float)(*add++ - other_zero) * other_scale;
#if NAME_DSP
            __asm__("" : "+t"(one), "+t"(two)); /* or the compiler fuses a product and the sum */
#endif
            *output++ = NAME_rounded((one + two) / out_scale + out_zero, 0);
        }
    }
}
