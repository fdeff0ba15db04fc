#if NAME_DSP
typedef struct {
    const int8_t *input;
    int8_t *output;
    int32_t stride, pairs, start;
    uint32_t outer[3];     /* the first and the third weight of each row of the window */
    uint32_t middle, last; /* the second of the first and of the second row; that of the third */
    int32_t others, step;  /* numbers that come one by one, and how far the window goes for each */
    float scale;
    int32_t zero, width; /* the width is that of a row of outputs */
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

/* Two neighbouring rows, two numbers of each at a time; the upper half of r9 counts. */
static NAME_APART void NAME_threes_twice(const NAME_threes_task *task) {
    register const NAME_threes_task *in_r0 __asm__("r0") = task;
#define NAME_ABOVE(row, half, middle) \
    "smlad r10, lr, " row ", r10\n smlad r11, r12, " row ", r11\n" \
    "smlab" half " r10, r12, " middle ", r10\n smlat" half " r11, lr, " middle ", r11\n"
#define NAME_BELOW(row, half, middle) \
    "smlad r3, lr, " row ", r3\n smlad r4, r12, " row ", r4\n" \
    "smlab" half " r3, r12, " middle ", r3\n smlat" half " r4, lr, " middle ", r4\n"
#define NAME_SCALED(a) "vcvt.f32.s32 " a ", " a "\n vmul.f32 " a ", " a ", s8\n vcvtr.s32.f32 " a ", " a "\n"
#define NAME_CODED(a) "qadd " a ", " a ", r12\n ssat " a ", #8, " a "\n"
    __asm__ volatile(
        "push {r4-r11, lr}\n"
        "vldr s8, [r0, #48]\n"
        "ldrd r10, r11, [r0, #52]\n"
        "vmov s6, s7, r10, r11\n"
        "ldmia r0, {r0-r9}\n"
        "vmov s4, s5, r4, r4\n"
        "sub r3, #1\n"
        "orr r9, r9, r3, lsl #16\n"
        "1: vmov r10, r11, s4, s5\n vmov r3, r4, s4, s5\n"
        NAME_SEEN("r0") NAME_ABOVE("r5", "b", "r8")
        NAME_SEEN("r0, r2") NAME_ABOVE("r6", "t", "r8") NAME_BELOW("r5", "b", "r8")
        NAME_SEEN("r0, r2, lsl #1") NAME_ABOVE("r7", "b", "r9") NAME_BELOW("r6", "t", "r8")
        "add lr, r0, r2\n"
        NAME_SEEN("lr, r2, lsl #1") NAME_BELOW("r7", "b", "r9")
        "add r0, #2\n"
        "vmov s0, s1, r10, r11\n vmov s2, s3, r3, r4\n"
        NAME_SCALED("s0") NAME_SCALED("s1") NAME_SCALED("s2") NAME_SCALED("s3")
        "vmov r10, r11, s0, s1\n vmov r3, r4, s2, s3\n vmov r12, lr, s6, s7\n"
        NAME_CODED("r10") NAME_CODED("r11") NAME_CODED("r3") NAME_CODED("r4")
        "strb r3, [r1, lr]\n strb r10, [r1], #1\n strb r4, [r1, lr]\n strb r11, [r1], #1\n"
        "subs r9, #65536\n"
        "bcs 1b\n"
        "pop {r4-r11, lr}\n"
        : "+r"(in_r0)
        :
        : "r1", "r2", "r3", "r12", "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8");
}

/* A channel: two rows at a time where the window moves by one, and what that leaves. */
static void NAME_threes_channel(const int8_t *plane, int8_t *output, const int8_t *weight, int32_t start, float scale,
                                int32_t across, const NAME_window *w) {
    const int32_t width = w->out_width, pairs = w->across == 1 ? width / 2 : 0;
    const int32_t twos = pairs > 0 && w->down == 1 && w->row_apart == 1 ? w->out_height / 2 * 2 : 0;
    NAME_threes_task task = {plane, output, across * w->row_apart, pairs, start, {0, 0, 0}, 0, 0,
                             width - 2 * pairs, w->across, scale, w->zero, width};
    for (int32_t k = 0; k < 3; ++k) {
        task.outer[k] = (uint16_t)weight[3 * k] | (uint32_t)weight[3 * k + 2] << 16;
    }
    task.middle = (uint16_t)weight[1] | (uint32_t)weight[4] << 16;
    task.last = (uint16_t)weight[7];
    for (int32_t row = 0; row < twos; row += 2) {
        task.input = plane + row * across;
        task.output = output + row * width;
        NAME_threes_twice(&task);
    }
    for (int32_t row = 0; row < w->out_height; ++row) {
        const int32_t done = row < twos ? 2 * pairs : 0;
        if (done < width) {
            task.pairs = done > 0 ? 0 : pairs;
            task.input = plane + row * w->down * across + done;
            task.output = output + row * width + done;
            NAME_threes(&task);
        }
    }
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
#if NAME_DSP
    const int32_t threes = rows == 3 && columns == 3 && apart == 1;
#endif
    for (int32_t c = 0; c < w->images * w->channels; ++c, input += w->height * w->width) {
        const int32_t channel = c % w->channels;
        const int8_t *weight = weights + channel * rows * columns;
        const int32_t start = starts[channel];
        const float scale = scales[channel];
        NAME_plane_int8(input, plane, w, down, across);
#if NAME_DSP
        if (threes) {
            NAME_threes_channel(plane, output, weight, start, scale, across, w);
            output += w->out_height * width;
            continue;
        }
#endif
        for (int32_t row = 0; row < w->out_height; ++row, output += width) {
            const int8_t *from = plane + row * w->down * across;
            for (int32_t column = 0; column < width; ++column) {
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
