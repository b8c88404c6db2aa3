/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stress.h"

#include <sched.h>
#include <string.h>

static int64_t stress_end;

bool stress_running(void)
{
    return support_now() < __atomic_load_n(&stress_end, __ATOMIC_RELAXED);
}

static bool stress_case_run(const stress_case *c)
{
    int64_t begin = support_now();
    uint64_t operations;
    __atomic_store_n(&stress_end, begin + (int64_t)(support_seconds(0.8) * 1e9), __ATOMIC_RELAXED);
    watchdog_start();
    operations = c->run();
    watchdog_stop();
    printf("%s: %llu operations checked in %.1f s\n", c->name, (unsigned long long)operations,
           (double)(support_now() - begin) / 1e9);
    fflush(stdout);
    if (operations == 0) {
        fprintf(stderr, "FAILED: %s checked nothing\n", c->name);
    }
    return operations != 0;
}

int stress_main(int argc, char **argv, const stress_case *cases, size_t count)
{
    size_t i, run = 0, failed = 0;
    (void)support_seed();
    for (i = 0; i < count; i++) {
        if (argc < 2 || strcmp(argv[1], cases[i].name) == 0) {
            run++;
            failed += !stress_case_run(&cases[i]);
        }
    }
    if (run == 0) {
        fprintf(stderr, "no case '%s'\n", argc < 2 ? "" : argv[1]);
    }
    return run == 0 || failed != 0;
}

typedef struct stress_seat {
    const char *name;
    void (*body)(stress_worker *worker);
    int first, step;
    uint64_t operations;
} stress_seat;

typedef struct stress_stay {
    const stress_seat *seat;
    stress_worker worker;
} stress_stay;

static void stress_sit(void *arg)
{
    stress_stay *stay = (stress_stay *)arg;
    stay->worker.slot = watchdog_enter(stay->seat->name, stay->worker.number);
    stay->seat->body(&stay->worker);
    watchdog_leave(stay->worker.slot);
}

/* One seat is taken by one thread after the other. */
static void stress_take_seat(void *arg)
{
    stress_seat *seat = (stress_seat *)arg;
    int number = seat->first;
    do {
        support_thread thread;
        stress_stay stay;
        memset(&stay, 0, sizeof stay);
        stay.seat = seat;
        stay.worker.number = number;
        stay.worker.random = support_random_new(support_seed(), (uint64_t)number);
        support_start(&thread, stress_sit, &stay);
        support_join(&thread);
        seat->operations += stay.worker.operations;
        number += seat->step;
    } while (stress_running());
}

uint64_t stress_workers(const char *name, int n, void (*body)(stress_worker *worker))
{
    stress_seat *seats = (stress_seat *)calloc((size_t)n, sizeof *seats);
    uint64_t operations = 0;
    int i;
    CHECK(seats != NULL);
    for (i = 0; i < n; i++) {
        seats[i].name = name;
        seats[i].body = body;
        seats[i].first = i;
        seats[i].step = n;
    }
    support_run(n, stress_take_seat, seats, sizeof *seats);
    for (i = 0; i < n; i++) {
        operations += seats[i].operations;
    }
    free(seats);
    return operations;
}

void stress_dawdle(support_random *random)
{
    uint64_t r = support_next(random);
    if ((r & 15) == 0) {
        volatile unsigned spin;
        for (spin = (unsigned)(r >> 8) & 511; spin != 0; spin--) {
        }
    } else if ((r & 127) == 1) {
        sched_yield();
    }
}
