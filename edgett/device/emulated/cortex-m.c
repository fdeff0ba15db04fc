/* What a Cortex-M does before main, and its SysTick, which under -icount tells executed instructions. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern uint32_t stack_top, data_source, data_start, data_end, bss_start, bss_end;
extern int main(void);
extern void exit(int) __attribute__((noreturn));
extern void initialise_monitor_handles(void);
void reset(void);
void count(void (*run)(void));

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define LAST 0xFFFFFFu
/* A tick is some tens of instructions: so many ticks tell them to a ten-thousandth. */
#define ENOUGH 20000u

static volatile uint32_t wraps;

static void tick(void) {
    ++wraps;
}

static uint64_t now(void) {
    uint32_t before, value;
    do {
        before = wraps;
        value = SYST_CVR;
    } while (before != wraps);
    return (uint64_t)before * (LAST + 1u) + (LAST - value);
}

static void nothing(void) {}

static __attribute__((noinline)) uint64_t ticks(void (*run)(void), uint32_t repeats) {
    const uint64_t begun = now();
    for (uint32_t i = 0; i < repeats; ++i) {
        run();
    }
    return now() - begun;
}

void count(void (*run)(void)) {
    static FILE *counts;
    uint32_t repeats = 1;
    uint64_t taken;
    while ((taken = ticks(run, repeats)) < ENOUGH) {
        repeats *= taken < ENOUGH / 16 ? 16 : 2;
    }
    taken -= ticks(nothing, repeats);
    if (counts == NULL) {
        counts = fopen("counts.txt", "w");
    }
    fprintf(counts, "%lu %lu\n", (unsigned long)taken, (unsigned long)repeats);
}

void reset(void) {
    /* Full access to coprocessors 10 and 11, which are the FPU. */
    CPACR |= 0xFu << 20;
    __asm volatile("dsb\n\tisb");
    memcpy(&data_start, &data_source, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&bss_start, 0, (size_t)((char *)&bss_end - (char *)&bss_start));
    SYST_RVR = LAST;
    SYST_CVR = 0;
    SYST_CSR = 7; /* the processor's clock, an exception at zero, on */
    initialise_monitor_handles();
    exit(main());
}

static void fault(void) {
    exit(70);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &stack_top,    (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
    (void *)fault, 0,             0,             0,             (void *)fault, (void *)fault, 0,
    (void *)fault, (void *)tick,
};
