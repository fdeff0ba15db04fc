#if NAME_NEON
#include "arm_neon.h"

/* Four inputs times weights of four columns, 16 bytes, added to sums: without dot products each sum is in two parts. */
#if defined(__ARM_FEATURE_DOTPROD)
typedef int32x4_t NAME_parts;
#define NAME_NONE vdupq_n_s32(0)
#define NAME_ADD(parts, weights, inputs, k) parts = vdotq_laneq_s32(parts, vld1q_s8(weights), inputs, k)
#define NAME_WHOLE(parts) (parts)
#else
typedef int32x4x2_t NAME_parts;
#define NAME_NONE {{vdupq_n_s32(0), vdupq_n_s32(0)}}
#define NAME_ADD(parts, weights, inputs, k) \
    do { \
        const int8x16_t columns = vld1q_s8(weights); \
        const int8x16_t four = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(inputs), k)); \
        parts.val[0] = vpadalq_s16(parts.val[0], vmull_s8(vget_low_s8(columns), vget_low_s8(four))); \
        parts.val[1] = vpadalq_s16(parts.val[1], vmull_high_s8(columns, four)); \
    } while (0)
#define NAME_WHOLE(parts) vpaddq_s32(parts.val[0], parts.val[1])
#endif

/* The sums of four columns of one row. */
NAME_INSIDE int32x4_t NAME_sums(const NAME_task *task, const uint32_t **words) {
    const int8_t *x = task->input, *w = (const int8_t *)*words;
    int32x4_t sums = vreinterpretq_s32_s8(vld1q_s8(w));
    NAME_parts even = NAME_NONE, odd = NAME_NONE;
    int32_t groups = task->groups;
    w += 16;
    for (; groups >= 4; groups -= 4, x += 16, w += 64) {
        const int8x16_t inputs = vld1q_s8(x);
        NAME_ADD(even, w, inputs, 0);
        NAME_ADD(odd, w + 16, inputs, 1);
        NAME_ADD(even, w + 32, inputs, 2);
        NAME_ADD(odd, w + 48, inputs, 3);
    }
    for (; groups > 0; --groups, x += 4, w += 16) {
        int32_t four;
        memcpy(&four, x, sizeof four);
        const int8x16_t inputs = vreinterpretq_s8_s32(vdupq_n_s32(four));
        NAME_ADD(even, w, inputs, 0);
    }
    for (int32_t i = task->rest; i > 0; --i, ++x, w += 4) {
        int32_t four;
        memcpy(&four, w, sizeof four);
        const int8x8_t weights = vreinterpret_s8_s32(vdup_n_s32(four));
        sums = vmlaq_n_s32(sums, vmovl_s16(vget_low_s16(vmovl_s8(weights))), *x);
    }
    *words = (const uint32_t *)(const void *)w;
    return vaddq_s32(sums, vaddq_s32(NAME_WHOLE(even), NAME_WHOLE(odd)));
}

/* All columns of one row. */
static NAME_APART void NAME_one_row(NAME_task *task) {
    const uint32_t *w = task->weights;
    int8_t *output = task->output;
    int32_t left = task->left;
    for (int32_t columns = task->columns; columns > 0; columns -= 4, w += 4) {
        const int32x4_t sums = NAME_sums(task, &w);
        const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(sums), vreinterpretq_f32_u32(vld1q_u32(w)));
        const int32x4_t codes = vqaddq_s32(vcvtnq_s32_f32(scaled), vdupq_n_s32(task->zero));
        const int16x4_t half = vqmovn_s32(codes);
        const int8x8_t bound = vqmovn_s16(vcombine_s16(half, half));
        int8_t made[8];
        vst1_s8(made, bound);
        for (int32_t k = 0; k < 4 && k < columns; ++k) {
            *output = made[k];
            output += task->step;
            if (--left == 0) {
                output += task->jump;
                left = task->run;
            }
        }
    }
}
#endif
