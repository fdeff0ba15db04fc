/* Runs a model on the samples of inputs.bin, counts each inference, and leaves outputs.bin. */
#include <stdio.h>

#include "the-model.h" /* given, made, model() */

extern void count(void (*run)(void));

int main(void) {
    FILE *const inputs = fopen("inputs.bin", "rb");
    FILE *const outputs = fopen("outputs.bin", "wb");
    if (inputs == NULL || outputs == NULL) {
        return 71;
    }
    while (fread(&given, sizeof given, 1, inputs) == 1) {
        count(model);
        if (fwrite(&made, sizeof made, 1, outputs) != 1) {
            return 72;
        }
    }
    return fclose(outputs) != 0;
}
