#include <string.h>

/* Products in float32. Weights come in fours of columns, side by side for each input; so do columns that are left. */
typedef struct {
    const float *input, *weights, *bias; /* bias: 0 where there is none */
    float *output;
    int32_t step, left, run, jump, columns; /* in bytes; columns that come by fours */
    int32_t groups, rest;                   /* inputs: fours of them, and what is left */
    int32_t others;                         /* columns that are left */
} NAME_float_task;

#if defined(__GNUC__) && defined(__ARM_FEATURE_FMA) && defined(__thumb2__)
#define NAME_FUSE(x, a, b, c, d) \
    "vfma.f32 s0, " x ", " a "\n vfma.f32 s1, " x ", " b "\n vfma.f32 s2, " x ", " c "\n vfma.f32 s3, " x ", " d "\n"
#define NAME_PUT(number) \
    "vstr " number ", [r4]\n add r4, r4, r5\n subs r6, #1\n itt eq\n addeq r4, r4, r8\n moveq r6, r7\n" \
    "subs r9, #1\n beq 7f\n"

/* Columns of a row by fours; at least four. */
static NAME_APART void NAME_fours(const NAME_float_task *task) {
    register const NAME_float_task *in_r0 __asm__("r0") = task;
    __asm__ volatile(
        "push {r0, r4-r11}\n"
        "vpush {s16-s23}\n"
        "mov r12, r0\n"
        "ldr r1, [r12, #4]\n"
        "ldr r2, [r12, #8]\n"
        "add r3, r12, #12\n"
        "ldmia r3, {r4-r9}\n"
        /* In memory: output, step, left, run, jump, columns. */
        "1: ldr r0, [r12]\n"
        "ldr r10, [r12, #36]\n"
        "ldr r11, [r12, #40]\n"
        "cbz r2, 6f\n"
        "vldmia r2!, {s0-s3}\n"
        "b 8f\n"
        "6: vmov.f32 s0, #1.0\n vsub.f32 s0, s0, s0\n"
        "vmov.f32 s1, s0\n vmov.f32 s2, s0\n vmov.f32 s3, s0\n"
        "8: cmp r10, #0\n"
        "beq 3f\n"
        "2: vldmia r0!, {s4-s7}\n"
        "vldmia r1!, {s8-s23}\n" NAME_FUSE("s4", "s8", "s9", "s10", "s11") NAME_FUSE("s5", "s12", "s13", "s14", "s15")
        NAME_FUSE("s6", "s16", "s17", "s18", "s19") NAME_FUSE("s7", "s20", "s21", "s22", "s23")
        "subs r10, #1\n"
        "bne 2b\n"
        "3: cmp r11, #0\n"
        "beq 5f\n"
        "4: vldmia r0!, {s4}\n"
        "vldmia r1!, {s8-s11}\n" NAME_FUSE("s4", "s8", "s9", "s10", "s11")
        "subs r11, #1\n"
        "bne 4b\n"
        "5: subs r6, #4\n"
        "blt 9f\n"
        "vstr s0, [r4]\n add r4, r4, r5\n vstr s1, [r4]\n add r4, r4, r5\n"
        "vstr s2, [r4]\n add r4, r4, r5\n vstr s3, [r4]\n add r4, r4, r5\n"
        "itt eq\n addeq r4, r4, r8\n moveq r6, r7\n"
        "subs r9, #4\n"
        "bne 1b\n"
        "b 7f\n"
        "9: add r6, #4\n" NAME_PUT("s0") NAME_PUT("s1") NAME_PUT("s2") NAME_PUT("s3")
        "b 1b\n"
        "7: vpop {s16-s23}\n"
        "pop {r0, r4-r11}\n"
        : "+r"(in_r0)
        :
        : "r1", "r2", "r3", "r12", "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10",
          "s11", "s12", "s13", "s14", "s15");
}
#else
#if NAME_VECTORS
typedef float NAME_floats __attribute__((vector_size(16)));
#endif

/* Columns of a row by fours. */
static void NAME_fours(const NAME_float_task *task) {
    const float *w = task->weights;
    int32_t left = task->left, place = 0;
    for (int32_t column = 0; column < task->columns; column += 4) {
        const float *x = task->input;
#if NAME_VECTORS
        NAME_floats even = {0.0f, 0.0f, 0.0f, 0.0f}, odd = even, p, q, r, s;
        for (int32_t i = task->groups; i > 0; --i, x += 4, w += 16) {
            memcpy(&p, w, sizeof p);
            memcpy(&q, w + 4, sizeof q);
            memcpy(&r, w + 8, sizeof r);
            memcpy(&s, w + 12, sizeof s);
            even += x[0] * p;
            odd += x[1] * q;
            even += x[2] * r;
            odd += x[3] * s;
        }
        for (int32_t i = task->rest; i > 0; --i, ++x, w += 4) {
            memcpy(&p, w, sizeof p);
            even += *x * p;
        }
        const NAME_floats sums = even + odd;
#else
        float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
        for (int32_t i = 4 * task->groups + task->rest; i > 0; --i, ++x, w += 4) {
            a += *x * w[0];
            b += *x * w[1];
            c += *x * w[2];
            d += *x * w[3];
        }
        const float sums[4] = {a, b, c, d};
#endif
        for (int32_t k = 0; k < 4; ++k) {
            task->output[place] = task->bias ? sums[k] + task->bias[column + k] : sums[k];
            place += task->step / 4;
            if (--left == 0) {
                place += task->jump / 4;
                left = task->run;
            }
        }
    }
}
#endif

/* All columns of a row. */
static void NAME_float_row(const NAME_float_task *task) {
    const int32_t inner = 4 * task->groups + task->rest, others = task->others;
    if (task->columns > 0) {
        NAME_fours(task);
    }
    for (int32_t k = 0; k < others; ++k) {
        const int32_t column = task->columns + k;
        const float *w = task->weights + task->columns * inner + k;
        float sum = 0.0f;
        for (int32_t i = 0; i < inner; ++i, w += others) {
            sum += task->input[i] * *w;
        }
        task->output[(column * task->step + column / task->run * task->jump) / 4] =
            task->bias ? sum + task->bias[column] : sum;
    }
}
