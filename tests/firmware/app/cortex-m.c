/* What a Cortex-M does before main: a stack, the vector table, the FPU, .data and .bss. */
#include <stdint.h>
#include <string.h>

extern uint32_t stack_top, data_source, data_start, data_end, bss_start, bss_end;
extern int main(void);
extern void exit(int) __attribute__((noreturn));
extern void initialise_monitor_handles(void);
void reset(void);

void reset(void) {
    /* CPACR: full access to coprocessors 10 and 11, which are the FPU. */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm volatile("dsb\n\tisb");
    memcpy(&data_start, &data_source, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&bss_start, 0, (size_t)((char *)&bss_end - (char *)&bss_start));
    initialise_monitor_handles();
    exit(main());
}

static void fault(void) {
    exit(70);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};
