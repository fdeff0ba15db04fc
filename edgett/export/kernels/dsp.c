#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__ARM_FP) && defined(__thumb2__)
#define NAME_DSP 1
#else
#define NAME_DSP 0
#endif
