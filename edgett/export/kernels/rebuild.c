/* A weight of int8, the columns one after the other, multiplied out of its int8 factors as `forms.integers` says.
 *
 * `plan`: the factors, the length of a column, the bytes of `rows`, which has a vector of each factor but the last; then for
 * each factor how many matrices it has, the numbers of the vector before and behind, whether the matrices are diagonal, a
 * shift, the axes that a matrix is chosen by, and of each of these its size and how far entries are apart along it.
 * Of the last factor each column has a rounding: the multiplier in 15 bits, the shift from bit 16 on, bit 31: its negative. */
enum { NAME_PLANNED = 3, NAME_FACTORS = 16 };

typedef struct {
    int32_t matrices, before, after, diagonal, shift, axes;
} NAME_factor_plan;

static int32_t NAME_clipped(int32_t value, int32_t most) {
    return value > most ? most : value < -most ? -most : value;
}

/* A number of a factor's result: of the first one its own. */
static int32_t NAME_entry(const int16_t *row, const int8_t *matrix, const NAME_factor_plan *factor, int32_t j) {
    if (row == 0) {
        return matrix[j];
    }
    if (factor->diagonal) {
        return row[j] * matrix[j];
    }
    int32_t sum = 0;
    matrix += j * factor->before;
    for (int32_t i = 0; i < factor->before; ++i) {
        sum += row[i] * matrix[i];
    }
    return sum;
}

/* How far an entry of the matrix `number` lies behind one of the first. */
static int32_t NAME_along(const int32_t *axes, int32_t count, int32_t number) {
    int32_t place = 0;
    for (const int32_t *axis = axes + 2 * count; axis > axes; number /= axis[0]) {
        axis -= 2;
        place += number % axis[0] * axis[1];
    }
    return place;
}

static NAME_APART void NAME_rebuild(int8_t *weight, int16_t *rows, const int8_t *factors, const int32_t *plan,
                                    const uint32_t *roundings) {
    const int32_t last = plan[0] - 1, inner = plan[1];
    NAME_factor_plan told[NAME_FACTORS];
    const int32_t *axes[NAME_FACTORS];
    const int8_t *matrices[NAME_FACTORS];
    int16_t *results[NAME_FACTORS];
    int32_t number[NAME_FACTORS], place[NAME_FACTORS];
    plan += NAME_PLANNED;
    for (int32_t k = 0; k <= last; ++k) {
        memcpy(&told[k], plan, sizeof told[k]);
        axes[k] = plan + sizeof told[k] / sizeof *plan;
        matrices[k] = factors;
        results[k] = rows;
        factors += told[k].matrices * told[k].after * (told[k].diagonal ? 1 : told[k].before);
        rows += told[k].after;
        plan = axes[k] + 2 * told[k].axes;
    }
    number[0] = 0;
    for (int32_t k = 0; k >= 0;) {
        const NAME_factor_plan *factor = &told[k];
        if (number[k] == factor->matrices) {
            if (--k >= 0) {
                ++number[k];
            }
            continue;
        }
        const int16_t *row = k > 0 ? results[k - 1] : 0;
        const int8_t *matrix = matrices[k] + number[k] * factor->after * (factor->diagonal ? 1 : factor->before);
        place[k] = (k > 0 ? place[k - 1] : 0) + NAME_along(axes[k], factor->axes, number[k]);
        if (k == last) {
            const uint32_t rounding = roundings[place[k] / inner], shift = rounding >> 16 & 63;
            const int64_t scaled = (int64_t)NAME_entry(row, matrix, factor, 0) * (int32_t)(rounding & 0x7fff);
            const int32_t code = NAME_clipped((int32_t)((scaled + ((int64_t)1 << shift >> 1)) >> shift), 127);
            weight[place[k]] = (int8_t)(rounding >> 31 ? -code : code);
            ++number[k];
            continue;
        }
        const int32_t half = 1 << factor->shift >> 1;
        for (int32_t j = 0; j < factor->after; ++j) {
            const int32_t sum = NAME_entry(row, matrix, factor, j);
            results[k][j] = (int16_t)NAME_clipped((sum + half) >> factor->shift, 32767);
        }
        number[++k] = 0;
    }
}
