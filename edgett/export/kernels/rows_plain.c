#if NAME_VECTORS && !NAME_DSP && !NAME_NEON
typedef int32_t NAME_ints __attribute__((vector_size(16)));
typedef uint32_t NAME_words __attribute__((vector_size(16)));
#endif

#if !NAME_DSP && !NAME_NEON
/* The halves of a word, and the low byte of each. */
NAME_INSIDE int32_t NAME_half(const uint32_t *word, int32_t upper) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    int16_t half;
    memcpy(&half, (const char *)NAME_ALIGNED(word) + 2 * upper, sizeof half);
    return half;
#else
    return (int16_t)(uint16_t)(*word >> 16 * upper);
#endif
}

NAME_INSIDE int32_t NAME_low(const uint32_t *word, int32_t upper) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return ((const int8_t *)word)[2 * upper];
#else
    return (int8_t)(uint8_t)(*word >> 16 * upper);
#endif
}

/* An input of each row, and the weights of a pair of columns: a and c have A, b and d S0. */
#define NAME_TAKE(word, upper, x, y, a, b, c, d) \
    do { \
        const int32_t both = NAME_half(word, upper), low = NAME_low(word, upper); \
        a += (uint32_t)((x) * both); \
        b += (x) * low; \
        if (two) { \
            c += (uint32_t)((y) * both); \
            d += (y) * low; \
        } \
    } while (0)

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
        uint32_t a = w[0], c = w[2], e = a, g = c;
        int32_t b = (int32_t)w[1], d = (int32_t)w[3], f = b, h = d;
        const int8_t *x = task->input, *y = x + (two ? 4 * task->groups + task->rest : 0);
        w += 4;
#if NAME_VECTORS
        /* The words of two pairs, of 0 and 2 and of 1 and 3; so lie sums. */
        NAME_words most = {0, 0, 0, 0}, least = most;
        for (int32_t i = task->groups; i > 0; --i, x += 4, w += 4) {
            const NAME_ints four = {x[0], x[1], x[2], x[3]};
            const NAME_words lower = (NAME_words)__builtin_shufflevector(four, four, 0, 0, 1, 1);
            const NAME_words upper = (NAME_words)__builtin_shufflevector(four, four, 2, 2, 3, 3);
            NAME_words word;
            memcpy(&word, w, sizeof word);
            most += lower * (NAME_words)((NAME_ints)(word << 16) >> 16) + upper * (NAME_words)((NAME_ints)word >> 16);
            least += lower * (NAME_words)((NAME_ints)(word << 24) >> 24);
            least += upper * (NAME_words)((NAME_ints)(word << 8) >> 24);
        }
        a += most[0] + most[2];
        b += (int32_t)(least[0] + least[2]);
        c += most[1] + most[3];
        d += (int32_t)(least[1] + least[3]);
#else
        for (int32_t k = 0; k < 2; ++k) {
            const uint32_t *v = w + 2 * k;
            for (int32_t i = k; i < 4 * task->groups; i += 4, v += 4) {
                NAME_TAKE(v, 0, x[i], y[i], a, b, e, f);
                NAME_TAKE(v + 1, 0, x[i], y[i], c, d, g, h);
                NAME_TAKE(v, 1, x[i + 2], y[i + 2], a, b, e, f);
                NAME_TAKE(v + 1, 1, x[i + 2], y[i + 2], c, d, g, h);
            }
        }
        x += 4 * task->groups;
        y += 4 * task->groups;
        w += 4 * task->groups;
#endif
        for (int32_t i = task->rest; i > 0; --i, ++x, ++y, ++w) {
            NAME_TAKE(w, 0, *x, *y, a, b, e, f);
            NAME_TAKE(w, 1, *x, *y, c, d, g, h);
        }
        sums[0] = b;
        sums[1] = (int32_t)(a - (uint32_t)b) >> 8;
        sums[2] = d;
        sums[3] = (int32_t)(c - (uint32_t)d) >> 8;
        sums[4] = f;
        sums[5] = (int32_t)(e - (uint32_t)f) >> 8;
        sums[6] = h;
        sums[7] = (int32_t)(g - (uint32_t)h) >> 8;
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
