/* A plugin of QEMU: counts the instructions that a program of Linux executes between two marks.
 *
 * getpriority(MARK, 0) begins, getpriority(MARK, 1) ends and writes a line to counts.txt in the working directory.
 * Debian ships no header of the interface: what is used of it is declared here. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORTED __attribute__((visibility("default")))
#define VCPUS 256u

typedef uint64_t id_type;
struct qemu_plugin_tb;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_trans_cb(id_type, void (*)(id_type, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_syscall_cb(
    id_type,
    void (*)(id_type, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

EXPORTED int qemu_plugin_version = API;

/* A thread of the program adds to its own number only. */
static uint64_t executed[VCPUS];
static uint64_t begun;
static FILE *counts;

static void executes(unsigned vcpu, void *instructions) {
    executed[vcpu % VCPUS] += (uintptr_t)instructions;
}

static void translates(id_type id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executes, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void calls(id_type id, unsigned vcpu, int64_t number, uint64_t which, uint64_t who, uint64_t a3, uint64_t a4,
                  uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    uint64_t all = 0;
    (void)id, (void)vcpu, (void)number, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if ((uint32_t)which != MARK) {
        return;
    }
    for (unsigned i = 0; i < VCPUS; ++i) {
        all += executed[i];
    }
    if (who == 0) {
        begun = all;
    } else {
        fprintf(counts, "%" PRIu64 "\n", all - begun);
        fflush(counts);
    }
}

EXPORTED int qemu_plugin_install(id_type id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    counts = fopen("counts.txt", "w");
    if (counts == NULL) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translates);
    qemu_plugin_register_vcpu_syscall_cb(id, calls);
    return 0;
}
