#if NAME_DSP
typedef struct {
    const int8_t *input;
    int8_t *output;
    int32_t stride, pairs, start;
    uint32_t outer[3];     /* the first and the third weight of each row of the window */
    uint32_t middle, last; /* the second of the first and of the second row; that of the third */
    int32_t others, step;  /* numbers that come one by one, and how far the window goes for each */
    float scale;
    int32_t zero;
} NAME_threes_task;

/* A row of numbers that a 3x3 window sees: first two at a time, one input apart. Of four inputs SXTB16 makes 0 and 2,
 * and 1 and 3: the first two are for the outer weights of one number, the others for those of the next. */
static NAME_APART void NAME_threes(const NAME_threes_task *task) {
    register const NAME_threes_task *in_r0 __asm__("r0") = task;
#define NAME_SEEN(from) "ldr r12, [" from "]\n sxtb16 lr, r12\n sxtb16 r12, r12, ror #8\n"
    __asm__ volatile(
        "push {r0, r4-r11, lr}\n"
        "vldr s2, [r0, #48]\n"
        "ldr r11, [r0, #52]\n"
        "vmov s3, r11\n"
        "ldmia r0, {r0-r9}\n"
        "cmp r3, #0\n"
        "beq 2f\n"
        "1:\n" NAME_SEEN("r0")
        "smlad r10, lr, r5, r4\n smlad r11, r12, r5, r4\n smlabb r10, r12, r8, r10\n smlatb r11, lr, r8, r11\n"
        NAME_SEEN("r0, r2")
        "smlad r10, lr, r6, r10\n smlad r11, r12, r6, r11\n smlabt r10, r12, r8, r10\n smlatt r11, lr, r8, r11\n"
        NAME_SEEN("r0, r2, lsl #1")
        "smlad r10, lr, r7, r10\n smlad r11, r12, r7, r11\n smlabb r10, r12, r9, r10\n smlatb r11, lr, r9, r11\n"
        "add r0, #2\n"
        "vmov s0, s1, r10, r11\n"
        "vcvt.f32.s32 s0, s0\n vcvt.f32.s32 s1, s1\n vmul.f32 s0, s0, s2\n vmul.f32 s1, s1, s2\n"
        "vcvtr.s32.f32 s0, s0\n vcvtr.s32.f32 s1, s1\n"
        "vmov r10, r11, s0, s1\n"
        "vmov r12, s3\n"
        "qadd r10, r10, r12\n qadd r11, r11, r12\n ssat r10, #8, r10\n ssat r11, #8, r11\n"
        "strb r10, [r1], #1\n strb r11, [r1], #1\n"
        "subs r3, #1\n"
        "bne 1b\n"
        "2: ldr r12, [sp]\n"
        "ldrd r3, r11, [r12, #40]\n"
        "cmp r3, #0\n"
        "beq 4f\n"
        "3:\n" NAME_SEEN("r0") "smlad r10, lr, r5, r4\n smlabb r10, r12, r8, r10\n"
        NAME_SEEN("r0, r2") "smlad r10, lr, r6, r10\n smlabt r10, r12, r8, r10\n"
        NAME_SEEN("r0, r2, lsl #1") "smlad r10, lr, r7, r10\n smlabb r10, r12, r9, r10\n"
        "add r0, r0, r11\n"
        "vmov s0, r10\n"
        "vcvt.f32.s32 s0, s0\n vmul.f32 s0, s0, s2\n vcvtr.s32.f32 s0, s0\n"
        "vmov r10, s0\n"
        "vmov r12, s3\n"
        "qadd r10, r10, r12\n ssat r10, #8, r10\n"
        "strb r10, [r1], #1\n"
        "subs r3, #1\n"
        "bne 3b\n"
        "4: pop {r0, r4-r11, lr}\n"
        : "+r"(in_r0)
        :
        : "r1", "r2", "r3", "r12", "cc", "memory", "s0", "s1", "s2", "s3");
}
#endif

/* output = input * weights, a window for each channel. `plane` takes a channel with its padding, so that the output may
 * be where the input is. `starts` have the zero point of the input in them. */
static NAME_APART void NAME_depthwise_int8(const int8_t *input, int8_t *output, int8_t *plane, const int8_t *weights,
                                           const int32_t *starts, const float *scales, const NAME_window *w) {
    const int32_t down = (w->out_height - 1) * w->down + (w->rows - 1) * w->row_apart + 1;
    const int32_t across = (w->out_width - 1) * w->across + (w->columns - 1) * w->column_apart + 1;
    const int32_t rows = w->rows, columns = w->columns, width = w->out_width, step = w->across, zero = w->zero;
    const int32_t apart = w->column_apart, stride = across * w->row_apart;
    const int32_t threes = NAME_DSP && rows == 3 && columns == 3 && apart == 1;
    for (int32_t c = 0; c < w->images * w->channels; ++c, input += w->height * w->width) {
        const int32_t channel = c % w->channels;
        const int8_t *weight = weights + channel * rows * columns;
        const int32_t start = starts[channel];
        const float scale = scales[channel];
        NAME_plane_int8(input, plane, w, down, across);
        for (int32_t row = 0; row < w->out_height; ++row, output += width) {
            const int8_t *from = plane + row * w->down * across;
#if NAME_DSP
            if (threes) {
                const int32_t pairs = step == 1 ? width / 2 : 0;
                NAME_threes_task task = {from, output, stride, pairs, start, {0, 0, 0}, 0, 0,
                                         width - 2 * pairs, step, scale, zero};
                for (int32_t k = 0; k < 3; ++k) {
                    task.outer[k] = (uint16_t)weight[3 * k] | (uint32_t)weight[3 * k + 2] << 16;
                }
                task.middle = (uint16_t)weight[1] | (uint32_t)weight[4] << 16;
                task.last = (uint16_t)weight[7];
                NAME_threes(&task);
            }
#endif
            for (int32_t column = threes ? width : 0; column < width; ++column) {
                const int8_t *tap = weight, *x = from + column * step;
                int32_t sum = start;
                for (int32_t ky = rows; ky > 0; --ky, x += stride) {
                    const int8_t *at = x;
                    for (int32_t kx = columns; kx > 0; --kx, at += apart) {
                        sum += *at * *tap++;
                    }
                }
                output[column] = NAME_scaled(sum, scale, zero);
            }
        }
    }
}
