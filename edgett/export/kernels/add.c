/* output = input + other in int8; the `period` numbers of `other` repeat. */
typedef struct {
    int32_t count, period, zero, other_zero, out_zero;
    float scale, other_scale, out_scale;
} NAME_sum;

static void NAME_add(const int8_t *input, int8_t *output, const int8_t *other, const NAME_sum *sum) {
    const int32_t zero = sum->zero, other_zero = sum->other_zero;
    const float scale = sum->scale, other_scale = sum->other_scale, out_scale = sum->out_scale;
    const float out_zero = (float)sum->out_zero;
    for (int32_t begun = 0; begun < sum->count; begun += sum->period, input += sum->period, output += sum->period) {
        for (int32_t i = 0; i < sum->period; ++i) {
            float one = (float)(input[i] - zero) * scale;
            float two = (float)(other[i] - other_zero) * other_scale;
#if NAME_DSP
            __asm__("" : "+t"(one), "+t"(two)); /* or the compiler fuses a product and the sum */
#endif
            output[i] = NAME_rounded((one + two) / out_scale + out_zero, 0);
        }
    }
}
