#if NAME_MVE
#include "arm_mve.h"

/* The sums of four columns of one row. */
NAME_INSIDE int32x4_t NAME_sums(const NAME_task *task, const uint32_t **words) {
    const uint32_t *w = *words;
    const int8_t *x = task->input;
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 4), 4);
    int32x4_t left = vreinterpretq_s32_u32(vldrwq_u32(w));
    int32_t a = 0, b = 0, c = 0, d = 0, groups = task->groups;
    w += 4;
    for (; groups >= 4; groups -= 4, x += 16, w += 16) {
        const int8x16_t inputs = vldrbq_s8(x);
        const uint32x4x4_t four = vld4q_u32(w);
        a = vmladavaq_s8(a, inputs, vreinterpretq_s8_u32(four.val[0]));
        b = vmladavaq_s8(b, inputs, vreinterpretq_s8_u32(four.val[1]));
        c = vmladavaq_s8(c, inputs, vreinterpretq_s8_u32(four.val[2]));
        d = vmladavaq_s8(d, inputs, vreinterpretq_s8_u32(four.val[3]));
    }
    if (groups > 0) {
        const mve_pred16_t some = vctp32q((uint32_t)groups);
        const int8x16_t inputs = vldrbq_z_s8(x, vctp8q(4 * (uint32_t)groups));
        a = vmladavaq_s8(a, inputs, vreinterpretq_s8_u32(vldrwq_gather_offset_z_u32(w, apart, some)));
        b = vmladavaq_s8(b, inputs, vreinterpretq_s8_u32(vldrwq_gather_offset_z_u32(w + 1, apart, some)));
        c = vmladavaq_s8(c, inputs, vreinterpretq_s8_u32(vldrwq_gather_offset_z_u32(w + 2, apart, some)));
        d = vmladavaq_s8(d, inputs, vreinterpretq_s8_u32(vldrwq_gather_offset_z_u32(w + 3, apart, some)));
        x += 4 * groups;
        w += 4 * groups;
    }
    for (int32_t i = task->rest; i > 0; --i, ++x, ++w) {
        left = vmlaq_n_s32(left, vldrbq_s32((const int8_t *)w), *x);
    }
    *words = w;
    const int32x4_t found = {a, b, c, d};
    return vaddq_s32(left, found);
}

/* All columns of one row. */
static NAME_APART void NAME_one_row(NAME_task *task) {
    const uint32_t *w = task->weights;
    const int32_t step = task->step, zero = task->zero;
    const uint32x4_t places = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step);
    int8_t *output = task->output;
    int32_t left = task->left;
    for (int32_t columns = task->columns; columns > 0; columns -= 4, w += 4) {
        const int32x4_t sums = NAME_sums(task, &w);
        const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(sums), vreinterpretq_f32_u32(vldrwq_u32(w)));
        const int32x4_t codes = vqaddq_n_s32(vcvtnq_s32_f32(scaled), zero);
        const int32x4_t bound = vminq_s32(vmaxq_s32(codes, vdupq_n_s32(-128)), vdupq_n_s32(127));
        if (left >= 4 && columns >= 4) {
            vstrbq_scatter_offset_s32(output, places, bound);
            output += 4 * step;
            left -= 4;
            if (left == 0) {
                output += task->jump;
                left = task->run;
            }
            continue;
        }
        int32_t made[4];
        vstrwq_s32(made, bound);
        for (int32_t k = 0; k < 4 && k < columns; ++k) {
            *output = (int8_t)made[k];
            output += step;
            if (--left == 0) {
                output += task->jump;
                left = task->run;
            }
        }
    }
}
#endif
