/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame of a stress program: `program` runs every case, `program case` one. The seed is printed
 * and can be set (LW_SEED), the time is bounded (LW_SECONDS a case), a hang is reported and ended
 * by the watchdog. */
#ifndef LW_TESTS_STRESS_H
#define LW_TESTS_STRESS_H

#include "support.h"
#include "watchdog.h"

typedef struct stress_case {
    const char *name;
    /* Returns how many checked operations there were; a case without any fails. */
    uint64_t (*run)(void);
} stress_case;

int stress_main(int argc, char **argv, const stress_case *cases, size_t count);

/* Until the case's time is up. */
bool stress_running(void);

/* A worker that runs until the time is up. One whose body returns earlier is replaced by a new
 * thread with the next number, so that threads come and go. */
typedef struct stress_worker {
    int number;
    support_random random;
    watchdog_slot *slot;
    uint64_t operations;
} stress_worker;

/* Keeps n threads in body(worker) until the time is up; returns the sum of their operations. */
uint64_t stress_workers(const char *name, int n, void (*body)(stress_worker *worker));

/* Does nothing, a little, or gives up the processor. */
void stress_dawdle(support_random *random);

#endif
