#include <math.h>

/* output (rows, columns) = softmax of each row. */
static void NAME_softmax(const int8_t *input, int8_t *output, int32_t rows, int32_t columns, float in_scale,
                         float out_scale, int32_t zero) {
    for (int32_t row = 0; row < rows; ++row, input += columns, output += columns) {
        int32_t largest = -128;
        for (int32_t i = 0; i < columns; ++i) {
            largest = input[i] > largest ? input[i] : largest;
        }
        float sum = 0.0f;
        for (int32_t i = 0; i < columns; ++i) {
            sum += expf((float)(input[i] - largest) * in_scale);
        }
        for (int32_t i = 0; i < columns; ++i) {
            output[i] = NAME_rounded(expf((float)(input[i] - largest) * in_scale) / sum / out_scale, zero);
        }
    }
}
