/* A weight of int8, the columns one after the other, multiplied out of its int8 factors as `forms.integers` says.
 *
 * `plan`: the factors, the length of a column, the bytes of `rows`, which has a vector of each factor but the last; then for
 * each factor how many matrices it has, the numbers of the vector before and behind, whether the matrices are diagonal, a
 * shift, the axes that a matrix is chosen by, and of each of these its size and how far entries are apart along it.
 * Of the last factor each column has a rounding: the multiplier in 15 bits, the shift from bit 16 on, bit 31: its negative. */
enum { NAME_PLANNED = 3, NAME_FACTORS = 16, NAME_AXES = 4 };

typedef struct {
    int32_t matrices, before, after, diagonal, shift, axes;
} NAME_factor_plan;

/* A factor: its plan, its numbers, those of the present matrix, and where the entries of that lie behind the first's. */
typedef struct {
    NAME_factor_plan plan;
    const int32_t *axes;
    const int8_t *first, *matrix;
    int16_t *result;
    int32_t size, left, offset, counts[NAME_AXES];
} NAME_digit;

static int32_t NAME_clipped(int32_t value, int32_t most) {
    return value > most ? most : value < -most ? -most : value;
}

/* Where the entries of the next matrix lie; those of the first one come behind the last. */
NAME_INSIDE int32_t NAME_next(int32_t offset, int32_t *counts, const int32_t *axes, int32_t count) {
    for (int32_t a = count - 1; a >= 0; --a) {
        const int32_t size = axes[2 * a], apart = axes[2 * a + 1];
        offset += apart;
        if (++counts[a] < size) {
            break;
        }
        offset -= size * apart;
        counts[a] = 0;
    }
    return offset;
}

NAME_INSIDE int32_t NAME_dot(const int16_t *row, const int8_t *column, int32_t count) {
    int32_t sum = 0;
    for (int32_t i = 0; i < count; ++i) {
        sum += row[i] * column[i];
    }
    return sum;
}

/* The vector of a factor, of the one before it; of the first one, whose `row` is 0, its own. */
static void NAME_multiply(const NAME_digit *digit, const int16_t *row) {
    const NAME_factor_plan plan = digit->plan;
    const int32_t half = 1 << plan.shift >> 1;
    for (int32_t j = 0; j < plan.after; ++j) {
        int32_t sum = digit->matrix[j];
        if (row != 0) {
            sum = plan.diagonal ? row[j] * sum : NAME_dot(row, digit->matrix + j * plan.before, plan.before);
        }
        digit->result[j] = (int16_t)NAME_clipped((sum + half) >> plan.shift, 32767);
    }
}

/* The entries that the last factor makes of a vector. */
static void NAME_finish(NAME_digit *digit, const int16_t *row, int8_t *weight, int32_t inner, const uint32_t *roundings) {
    const NAME_factor_plan plan = digit->plan;
    const int8_t *matrix = digit->first;
    int32_t offset = 0, counts[NAME_AXES] = {0};
    for (int32_t left = plan.matrices; left > 0; --left, matrix += plan.before) {
        const uint32_t rounding = roundings[offset / inner], shift = rounding >> 16 & 63;
        const int64_t scaled = (int64_t)NAME_dot(row, matrix, plan.before) * (int32_t)(rounding & 0x7fff);
        const int32_t code = NAME_clipped((int32_t)((scaled + ((int64_t)1 << shift >> 1)) >> shift), 127);
        weight[offset] = (int8_t)(rounding >> 31 ? -code : code);
        offset = NAME_next(offset, counts, digit->axes, plan.axes);
    }
}

static NAME_APART void NAME_rebuild(int8_t *weight, int16_t *rows, const int8_t *factors, const int32_t *plan,
                                    const uint32_t *roundings) {
    const int32_t last = plan[0] - 1, inner = plan[1];
    NAME_digit digits[NAME_FACTORS];
    plan += NAME_PLANNED;
    for (int32_t k = 0; k <= last; ++k) {
        NAME_digit *const digit = &digits[k];
        memset(digit, 0, sizeof *digit);
        memcpy(&digit->plan, plan, sizeof digit->plan);
        digit->axes = plan + sizeof digit->plan / sizeof *plan;
        digit->first = digit->matrix = factors;
        digit->result = rows;
        digit->size = digit->plan.after * (digit->plan.diagonal ? 1 : digit->plan.before);
        digit->left = digit->plan.matrices;
        factors += digit->left * digit->size;
        rows += digit->plan.after;
        plan = digit->axes + 2 * digit->plan.axes;
    }
    for (int32_t k = 0, base = 0; k >= 0;) {
        NAME_digit *const digit = &digits[k];
        if (k == last) {
            NAME_finish(digit, digits[k - 1].result, weight + base, inner, roundings + base / inner);
        } else if (digit->left > 0) {
            NAME_multiply(digit, k > 0 ? digits[k - 1].result : 0);
            base += digit->offset;
            ++k;
            continue;
        } else {
            digit->matrix = digit->first;
            digit->left = digit->plan.matrices;
        }
        if (--k >= 0) {
            base -= digits[k].offset;
            digits[k].offset = NAME_next(digits[k].offset, digits[k].counts, digits[k].axes, digits[k].plan.axes);
            digits[k].matrix += digits[k].size;
            --digits[k].left;
        }
    }
}
