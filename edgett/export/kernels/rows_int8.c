#include <string.h>

/* Products in int8, a scale for each column. Columns come in fours: where their sums begin, their weights, inputs by
 * fours and what is left of them one by one, and the four scales. A column that is left alone has its weights in bytes.
 *
 * For assembly a word of weights has two inputs of two columns, its halves are h = 256 w1 + w0: the sum A of x h is
 * 256 S1 + S0, that of x and the low byte is S0, so S1 = (A - S0) >> 8. Of four inputs first come 0 and 2, then 1 and 3,
 * as SXTB16 takes bytes apart. Helium and 64-bit Arm read four inputs of a column as one word, others one of each. */
#define NAME_AT(byte, place) ((uint32_t)(uint8_t)(byte) << (place))
#define NAME_BYTES(a, b, c, d) NAME_AT(a, 0) | NAME_AT(b, 8) | NAME_AT(c, 16) | NAME_AT(d, 24)
#if NAME_THUMB || (NAME_DSP && !NAME_MVE)
#define NAME_PAIR_OF(first, second) ((uint32_t)(256 * (second) + (first)) & 0xFFFFu)
#define NAME_BEGIN(a, b, c, d) \
    (uint32_t)(b) * 256u + (uint32_t)(a), (uint32_t)(a), (uint32_t)(d) * 256u + (uint32_t)(c), (uint32_t)(c)
#define NAME_REST(a, b, c, d) NAME_PAIR_OF(a, b) | NAME_PAIR_OF(c, d) << 16
/* Four inputs of a first column, of a second and so on. */
#define NAME_FOUR(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
    NAME_PAIR_OF(a, e) | NAME_PAIR_OF(c, g) << 16, NAME_PAIR_OF(i, m) | NAME_PAIR_OF(k, o) << 16, \
        NAME_PAIR_OF(b, f) | NAME_PAIR_OF(d, h) << 16, NAME_PAIR_OF(j, n) | NAME_PAIR_OF(l, p) << 16
#else
#define NAME_BEGIN(a, b, c, d) (uint32_t)(a), (uint32_t)(b), (uint32_t)(c), (uint32_t)(d)
#define NAME_REST(a, b, c, d) NAME_BYTES(a, b, c, d)
#if NAME_MVE || NAME_NEON
#define NAME_FOUR(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
    NAME_BYTES(a, b, c, d), NAME_BYTES(e, f, g, h), NAME_BYTES(i, j, k, l), NAME_BYTES(m, n, o, p)
#else
#define NAME_FOUR(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) \
    NAME_BYTES(a, e, i, m), NAME_BYTES(b, f, j, n), NAME_BYTES(c, g, k, o), NAME_BYTES(d, h, l, p)
#endif
#endif

typedef struct {
    const int8_t *input;
    const uint32_t *weights;
    int8_t *output;
    int32_t second; /* how far the second row is from the first */
    int32_t step, zero;
    int32_t whole; /* fours before a run ends, as assembly counts them; the rest is then less by so much */
    int32_t left, run, jump, columns;
    int32_t groups, rest; /* inputs: fours of them, and what is left */
} NAME_task;

#if NAME_DSP && NAME_PAIRS
/* Two rows in 16 bits: 0 and 2 of each, then 1 and 3, and so on; what is left of both side by side. */
static NAME_APART void NAME_widen(const int8_t *input, int8_t *tile, int32_t inner) {
    register const int8_t *first __asm__("r0") = input;
    register const int8_t *second __asm__("r1") = input + inner;
    register int8_t *wide __asm__("r2") = tile;
    register int32_t groups __asm__("r3") = inner / 4;
    register int32_t rest __asm__("r12") = inner % 4;
    __asm__ volatile(
        "push {r4-r8}\n"
        "cbz r3, 2f\n"
        "1: ldr r6, [r0], #4\n"
        "ldr r8, [r1], #4\n"
        "sxtb16 r4, r6\n"
        "sxtb16 r5, r8\n"
        "sxtb16 r6, r6, ror #8\n"
        "sxtb16 r7, r8, ror #8\n"
        "stmia r2!, {r4-r7}\n"
        "subs r3, #1\n"
        "bne 1b\n"
        "2: cmp r12, #0\n"
        "beq 4f\n"
        "3: ldrsb r4, [r0], #1\n"
        "ldrsb r5, [r1], #1\n"
        "pkhbt r4, r4, r5, lsl #16\n"
        "str r4, [r2], #4\n"
        "subs r12, #1\n"
        "bne 3b\n"
        "4: pop {r4-r8}\n"
        : "+r"(first), "+r"(second), "+r"(wide), "+r"(groups), "+r"(rest)
        :
        : "cc", "memory");
}

/* Four inputs of a pair of columns and two rows: a and c have A of the rows, b and d have S0. */
#define NAME_PAIR(a, b, c, d) \
    "ldr r12, [r1], #4\n smlad " a ", r2, r12, " a "\n smlad " c ", r3, r12, " c "\n sxtb16 r12, r12\n" \
    "smlad " b ", r2, r12, " b "\n smlad " d ", r3, r12, " d "\n"
/* Of one row, whose weights are in w. */
#define NAME_ONE(x, w, a, b) \
    "smlad " a ", " x ", " w ", " a "\n sxtb16 " w ", " w "\n smlad " b ", " x ", " w ", " b "\n"
#define NAME_ROW \
    "ldr r3, [r0], #4\n sxtb16 r2, r3\n sxtb16 r3, r3, ror #8\n ldmia r1!, {r8-r11}\n" \
    NAME_ONE("r2", "r8", "r4", "r5") NAME_ONE("r2", "r9", "r6", "r7") NAME_ONE("r3", "r10", "r4", "r5") \
    NAME_ONE("r3", "r11", "r6", "r7")
/* A sum to a code; `bits` of it are a fraction. */
#define NAME_SCALE(a, scale, bits) \
    "vcvt.f32.s32 " a ", " a bits "\n vmul.f32 " a ", " a ", " scale "\n vcvtr.s32.f32 " a ", " a "\n"
#define NAME_SUM(a, scale) NAME_SCALE(a, scale, "")
#define NAME_HIGH(a, scale) NAME_SCALE(a, scale, ", #8")
/* Where columns go, and whether four of them come before a run ends; their scales. */
#define NAME_NEXT \
    "add r10, r12, #8\n ldmia r10, {r0, r2, r6, r7, r9}\n vldmia r1!, {s8-s11}\n subs r9, #1\n"
#define NAME_CODE(a) "qadd " a ", " a ", r7\n ssat " a ", #8, " a "\n"
#define NAME_BOTH(a, b) \
    "vmov r4, r5, " a ", " b "\n" NAME_CODE("r4") NAME_CODE("r5") "strb r5, [r0, r2]\n strb r4, [r0]\n add r0, r0, r6\n"
#define NAME_KEEP "str r0, [r12, #8]\n str r9, [r12, #24]\n"
/* What is left of a run, its length, the jump behind it, and what is left of all. */
#define NAME_LEFT "add r10, r12, #28\n ldmia r10, {r3, r8, r9, r11}\n"
#define NAME_OVER "cmp r11, #0\n beq 9f\n cmp r3, #0\n itt eq\n addeq r0, r0, r9\n moveq r3, r8\n b 7f\n"
#define NAME_TURN "subs r3, #1\n itt eq\n addeq r0, r0, r9\n moveq r3, r8\n subs r11, #1\n beq 9f\n"
#define NAME_COUNT \
    "cmp r3, r11\n ite lt\n lsrlt r4, r3, #2\n lsrge r4, r11, #2\n" \
    "sub r3, r3, r4, lsl #2\n sub r11, r11, r4, lsl #2\n" \
    "str r0, [r12, #8]\n str r4, [r12, #24]\n str r3, [r12, #28]\n str r11, [r12, #40]\n"
#define NAME_STEP(a) "vmov r4, " a "\n" NAME_CODE("r4") "strb r4, [r0]\n add r0, r0, r6\n" NAME_TURN

/* All columns of one row. r4 to r7 have A and S0 of both pairs of columns. */
static NAME_APART void NAME_one_row(NAME_task *task) {
    register NAME_task *in_r0 __asm__("r0") = task;
    __asm__ volatile(
        "push {r4-r11, lr}\n"
        "mov r12, r0\n"
        "ldrd r1, r0, [r12, #4]\n" NAME_LEFT
        "b 7f\n"
        "1: ldr r0, [r12]\n"
        "ldr r2, [r12, #44]\n"
        "ldmia r1!, {r4-r7}\n"
        "ands lr, r2, #7\n"
        "beq 3f\n"
        "2:\n" NAME_ROW
        "subs lr, #1\n"
        "bne 2b\n"
        "ldr r2, [r12, #44]\n"
        "3: lsrs lr, r2, #3\n"
        "beq 5f\n"
        "4:\n" NAME_ROW NAME_ROW NAME_ROW NAME_ROW NAME_ROW NAME_ROW NAME_ROW NAME_ROW
        "subs lr, #1\n"
        "bne 4b\n"
        "5: ldr lr, [r12, #48]\n"
        "cmp lr, #0\n"
        "bne 6f\n"
        "0: sub r4, r4, r5\n sub r6, r6, r7\n"
        "vmov s0, s1, r5, r4\n vmov s2, s3, r7, r6\n" NAME_NEXT
        NAME_SUM("s0", "s8") NAME_HIGH("s1", "s9") NAME_SUM("s2", "s10") NAME_HIGH("s3", "s11")
        "blt 8f\n"
        "vmov r4, r5, s0, s1\n" NAME_CODE("r4") NAME_CODE("r5")
        "strb r4, [r0]\n add r0, r0, r6\n strb r5, [r0]\n add r0, r0, r6\n"
        "vmov r4, r5, s2, s3\n" NAME_CODE("r4") NAME_CODE("r5")
        "strb r4, [r0]\n add r0, r0, r6\n strb r5, [r0]\n add r0, r0, r6\n" NAME_KEEP
        "bne 1b\n" NAME_LEFT NAME_OVER
        "8:\n" NAME_LEFT NAME_STEP("s0") NAME_STEP("s1") NAME_STEP("s2") NAME_STEP("s3")
        "7:\n" NAME_COUNT
        "b 1b\n"
        "6: ldrsb r2, [r0], #1\n"
        "ldr r3, [r1], #4\n"
        "smlabb r4, r2, r3, r4\n smlabt r6, r2, r3, r6\n sxtb16 r3, r3\n"
        "smlabb r5, r2, r3, r5\n smlabt r7, r2, r3, r7\n"
        "subs lr, #1\n"
        "bne 6b\n"
        "b 0b\n"
        "9: pop {r4-r11, lr}\n"
        : "+r"(in_r0)
        :
        : "r1", "r2", "r3", "r12", "cc", "memory", "s0", "s1", "s2", "s3", "s8", "s9", "s10", "s11");
}

/* All columns of two rows that NAME_widen made. r8 to r11 have A and S0 of the second. */
static NAME_APART void NAME_two_rows(NAME_task *task) {
    register NAME_task *in_r0 __asm__("r0") = task;
    __asm__ volatile(
        "push {r0, r4-r11, lr}\n"
        "mov r12, r0\n"
        "ldrd r1, r0, [r12, #4]\n" NAME_LEFT
        "b 7f\n"
        "1: ldr r0, [r12]\n"
        "ldr lr, [r12, #44]\n"
        "ldmia r1!, {r4-r7}\n"
        "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
        "cmp lr, #0\n"
        "beq 3f\n"
        "2: ldrd r2, r3, [r0], #8\n" NAME_PAIR("r4", "r5", "r8", "r9") NAME_PAIR("r6", "r7", "r10", "r11")
        "ldrd r2, r3, [r0], #8\n" NAME_PAIR("r4", "r5", "r8", "r9") NAME_PAIR("r6", "r7", "r10", "r11")
        "subs lr, #1\n"
        "bne 2b\n"
        "3: ldr r12, [sp]\n"
        "ldr lr, [r12, #48]\n"
        "cmp lr, #0\n"
        "beq 5f\n"
        "4: ldr r2, [r0], #4\n"
        "ldr r3, [r1], #4\n"
        "smlabb r4, r2, r3, r4\n smlabt r6, r2, r3, r6\n smlatb r8, r2, r3, r8\n smlatt r10, r2, r3, r10\n"
        "sxtb16 r3, r3\n"
        "smlabb r5, r2, r3, r5\n smlabt r7, r2, r3, r7\n smlatb r9, r2, r3, r9\n smlatt r11, r2, r3, r11\n"
        "subs lr, #1\n"
        "bne 4b\n"
        "5: sub r4, r4, r5\n sub r6, r6, r7\n sub r8, r8, r9\n sub r10, r10, r11\n"
        "vmov s0, s1, r5, r9\n vmov s2, s3, r4, r8\n vmov s4, s5, r7, r11\n vmov s6, s7, r6, r10\n" NAME_NEXT
        NAME_SUM("s0", "s8") NAME_SUM("s1", "s8") NAME_HIGH("s2", "s9") NAME_HIGH("s3", "s9")
        NAME_SUM("s4", "s10") NAME_SUM("s5", "s10") NAME_HIGH("s6", "s11") NAME_HIGH("s7", "s11")
        "blt 8f\n"
        NAME_BOTH("s0", "s1") NAME_BOTH("s2", "s3") NAME_BOTH("s4", "s5") NAME_BOTH("s6", "s7") NAME_KEEP
        "bne 1b\n" NAME_LEFT NAME_OVER
        "8:\n" NAME_LEFT NAME_BOTH("s0", "s1") NAME_TURN NAME_BOTH("s2", "s3") NAME_TURN
        NAME_BOTH("s4", "s5") NAME_TURN NAME_BOTH("s6", "s7") NAME_TURN
        "7:\n" NAME_COUNT
        "b 1b\n"
        "9: pop {r0, r4-r11, lr}\n"
        : "+r"(in_r0)
        :
        : "r1", "r2", "r3", "r12", "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7",
          "s8", "s9", "s10", "s11");
}
#endif
