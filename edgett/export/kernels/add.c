/* output = input + other in int8; the `period` numbers of `other` repeat. */
typedef struct {
    int32_t count, period, zero, other_zero, out_zero;
    float scale, other_scale, out_scale;
} NAME_sum;

static void NAME_add(const int8_t *input, int8_t *output, const int8_t *other, const NAME_sum *sum) {
    const int32_t zero = sum->zero, other_zero = sum->other_zero, period = sum->period;
    const float scale = sum->scale, other_scale = sum->other_scale, out_scale = sum->out_scale;
    const float out_zero = (float)sum->out_zero;
    for (int32_t left = sum->count; left > 0; left -= period) {
        const int8_t *add = other;
        for (int32_t i = period; i > 0; --i) {
            float one = (float)(*input++ - zero) * scale;
            float two = (float)(*add++ - other_zero) * other_scale;
#if NAME_DSP
            __asm__("" : "+t"(one), "+t"(two)); /* or the compiler fuses a product and the sum */
#endif
            *output++ = NAME_rounded((one + two) / out_scale + out_zero, 0);
        }
    }
}
