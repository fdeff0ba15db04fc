#if !NAME_DSP && !NAME_NEON
#if NAME_THUMB
/* The sums of four columns, those of one row and then of the other; where the words of the columns end. A compiler has
 * too few registers for them. */
#define NAME_PART(load, at, one, two) \
    load " r12, [r1, #" at "]\n mla " one ", r12, r2, " one "\n mla " two ", r12, r3, " two "\n"
#define NAME_INPUT(first, second, last) \
    "ldrsb r3, [r0, lr]\n ldrsb r2, [r0], #1\n" NAME_PART("ldrsb", first, "r5", "r9") \
    NAME_PART("ldrsh", first, "r4", "r8") NAME_PART("ldrsb", second, "r7", "r11") \
    "ldrsh r12, [r1, #" second "]" last "\n mla r6, r12, r2, r6\n mla r10, r12, r3, r10\n"
/* A and S0 as both sums. */
#define NAME_SUMS(a, b) "sub r3, " a ", " b "\n mov " a ", " b "\n asr " b ", r3, #8\n"
static NAME_APART const uint32_t *NAME_sums_of_two(const NAME_task *task, const uint32_t *words, int32_t *sums) {
    register const NAME_task *in_r0 __asm__("r0") = task;
    register const uint32_t *in_r1 __asm__("r1") = words;
    register int32_t *in_r2 __asm__("r2") = sums;
    __asm__ volatile(
        "push {r2, r4-r11, lr}\n"
        "ldrd r12, r3, [r0, #44]\n"
        "add lr, r3, r12, lsl #2\n"
        "ldr r0, [r0]\n"
        "ldmia r1!, {r4-r7}\n"
        "sub r1, #2\n"
        "add r12, r1, r12, lsl #4\n"
        "push {r3, r12}\n"
        "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
        "cmp r1, r12\n"
        "beq 2f\n"
        "sub r12, r12, r1\n"
        "tst r12, #16\n"
        "bne 5f\n"
        "1:\n" NAME_INPUT("2", "6", "") NAME_INPUT("10", "14", "") NAME_INPUT("4", "8", "") NAME_INPUT("12", "16", "!")
        "5:\n" NAME_INPUT("2", "6", "") NAME_INPUT("10", "14", "") NAME_INPUT("4", "8", "") NAME_INPUT("12", "16", "!")
        "ldr r12, [sp, #4]\n"
        "cmp r1, r12\n"
        "bne 1b\n"
        "2: ldr r12, [sp]\n"
        "cmp r12, #0\n"
        "beq 4f\n"
        "3:\n" NAME_INPUT("2", "4", "!")
        "ldr r12, [sp]\n subs r12, #1\n str r12, [sp]\n"
        "bne 3b\n"
        "4: add sp, #8\n"
        "add r1, #2\n" NAME_SUMS("r4", "r5") NAME_SUMS("r6", "r7") NAME_SUMS("r8", "r9") NAME_SUMS("r10", "r11")
        "pop {r2}\n"
        "stmia r2, {r4-r11}\n"
        "pop {r4-r11, lr}\n"
        : "+r"(in_r0), "+r"(in_r1), "+r"(in_r2)
        :
        : "r3", "r12", "cc", "memory");
    return in_r1;
}

static NAME_APART const uint32_t *NAME_sums_of_one(const NAME_task *task, const uint32_t *words, int32_t *sums) {
    register const NAME_task *in_r0 __asm__("r0") = task;
    register const uint32_t *in_r1 __asm__("r1") = words;
    register int32_t *in_r2 __asm__("r2") = sums;
#define NAME_ALONE(first, second, last) \
    "ldrsb r2, [r0], #1\n ldrsb r12, [r1, #" first "]\n ldrsh r3, [r1, #" first "]\n" \
    "mla r5, r12, r2, r5\n mla r4, r3, r2, r4\n ldrsb r12, [r1, #" second "]\n ldrsh r3, [r1, #" second "]" last "\n" \
    "mla r7, r12, r2, r7\n mla r6, r3, r2, r6\n"
    __asm__ volatile(
        "push {r4-r8, lr}\n"
        "ldrd r8, lr, [r0, #44]\n"
        "ldr r0, [r0]\n"
        "ldmia r1!, {r4-r7}\n"
        "push {r2}\n"
        "sub r1, #2\n"
        "cmp r8, #0\n"
        "beq 2f\n"
        "1:\n" NAME_ALONE("2", "6", "") NAME_ALONE("10", "14", "") NAME_ALONE("4", "8", "") NAME_ALONE("12", "16", "!")
        "subs r8, #1\n"
        "bne 1b\n"
        "2: cmp lr, #0\n"
        "beq 4f\n"
        "3:\n" NAME_ALONE("2", "4", "!")
        "subs lr, #1\n"
        "bne 3b\n"
        "4: add r1, #2\n" NAME_SUMS("r4", "r5") NAME_SUMS("r6", "r7")
        "pop {r2}\n"
        "stmia r2, {r4-r7}\n"
        "pop {r4-r8, lr}\n"
        : "+r"(in_r0), "+r"(in_r1), "+r"(in_r2)
        :
        : "r3", "r12", "cc", "memory");
    return in_r1;
}
#endif

#if NAME_VECTORS
typedef int8_t NAME_bytes __attribute__((vector_size(4)));
typedef int32_t NAME_ints __attribute__((vector_size(16)));
#endif
#if !NAME_THUMB
/* The sums of four columns, those of one row and then of the other; where the words of the columns end. */
NAME_INSIDE const uint32_t *NAME_sums(const NAME_task *task, const uint32_t *words, int32_t *sums, const int32_t two) {
    const int8_t *x = task->input, *y = x + (two ? 4 * task->groups + task->rest : 0);
    const uint32_t *w = words + 4;
    int32_t a = (int32_t)words[0], b = (int32_t)words[1], c = (int32_t)words[2], d = (int32_t)words[3];
    int32_t e = a, f = b, g = c, h = d;
#if NAME_VECTORS
    NAME_ints all = {a, b, c, d};
    for (int32_t i = 4 * task->groups + task->rest; i > 0; --i, ++x, ++w) {
        NAME_bytes four;
        memcpy(&four, w, sizeof four);
        all += __builtin_convertvector(four, NAME_ints) * *x;
    }
    memcpy(sums, &all, sizeof all);
    (void)y, (void)e, (void)f, (void)g, (void)h;
#else
#if NAME_LITTLE
#define NAME_WEIGHT(input, column) ((const int8_t *)w)[4 * (input) + (column)]
#else
#define NAME_WEIGHT(input, column) (int8_t)(uint8_t)(w[input] >> 8 * (column))
#endif
#if defined(__GNUC__)
#define NAME_IN_ORDER __asm__ volatile("" : : : "memory") /* or all is loaded first, into more registers than there are */
#else
#define NAME_IN_ORDER (void)0
#endif
#define NAME_TAKE(k) \
    do { \
        const int32_t p = NAME_WEIGHT(k, 0), q = NAME_WEIGHT(k, 1), r = NAME_WEIGHT(k, 2), s = NAME_WEIGHT(k, 3); \
        a += x[k] * p; \
        b += x[k] * q; \
        c += x[k] * r; \
        d += x[k] * s; \
        if (two) { \
            e += y[k] * p; \
            f += y[k] * q; \
            g += y[k] * r; \
            h += y[k] * s; \
        } \
        NAME_IN_ORDER; \
    } while (0)
    for (int32_t i = task->groups; i > 0; --i, x += 4, y += 4, w += 4) {
        NAME_TAKE(0);
        NAME_TAKE(1);
        NAME_TAKE(2);
        NAME_TAKE(3);
    }
    for (int32_t i = task->rest; i > 0; --i, ++x, ++y, ++w) {
        NAME_TAKE(0);
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    if (two) {
        sums[4] = e, sums[5] = f, sums[6] = g, sums[7] = h;
    }
#endif
    return w;
}
#endif

/* All columns of one row, or of two that lie one behind the other. */
NAME_INSIDE void NAME_plain_rows(const NAME_task *task, const int32_t two) {
    const uint32_t *w = task->weights;
    const int32_t zero = task->zero, second = task->second, step = task->step;
    int8_t *output = task->output;
    int32_t left = task->left;
    for (int32_t column = 0; column < task->columns; column += 4, w += 4) {
        int32_t sums[8];
#if NAME_THUMB
        w = two ? NAME_sums_of_two(task, w, sums) : NAME_sums_of_one(task, w, sums);
#else
        w = NAME_sums(task, w, sums, two);
#endif
        const int32_t count = task->columns - column < 4 ? task->columns - column : 4;
        for (int32_t k = 0; k < count; ++k) {
            float scale;
            memcpy(&scale, NAME_ALIGNED(w + k), sizeof scale);
            const NAME_factor factor = NAME_factor_of(scale);
            *output = (int8_t)NAME_scaled_by(sums[k], factor, zero);
            if (two) {
                output[second] = (int8_t)NAME_scaled_by(sums[k + 4], factor, zero);
            }
            output += step;
            if (--left == 0) {
                output += task->jump;
                left = task->run;
            }
        }
    }
}

static NAME_APART void NAME_one_row(NAME_task *task) {
    NAME_plain_rows(task, 0);
}

#if NAME_PAIRS
static NAME_APART void NAME_two_rows(NAME_task *task) {
    NAME_plain_rows(task, 1);
}
#endif
#endif
