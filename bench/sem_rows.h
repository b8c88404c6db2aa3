/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one semaphore. An adapter defines, before it includes this file, SEM_NAME, SEM_ID,
 * sem_object (its type), sem_begin(s, value), sem_end(s), sem_take(s), sem_try(s) and sem_give(s),
 * and gets register_SEM_ID(). */
#include "rows.h"

typedef struct sem_shared {
    BENCH_CACHE_LINE sem_object sem;
    BENCH_CACHE_LINE uint64_t counter;
} sem_shared;

static void *sem_setup(int threads)
{
    sem_shared *s = (sem_shared *)bench_alloc(sizeof *s);
    (void)threads;
    sem_begin(&s->sem, 1);
    return s;
}

static void sem_teardown(void *shared)
{
    sem_shared *s = (sem_shared *)shared;
    sem_end(&s->sem);
    free(s);
}

static uint64_t sem_pair(void *local, size_t n)
{
    sem_shared *s = (sem_shared *)local;
    size_t i;
    for (i = 0; i < n; i++) {
        sem_take(&s->sem);
        gb_clobber();
        sem_give(&s->sem);
    }
    return n;
}

static uint64_t sem_try_pair(void *local, size_t n)
{
    sem_shared *s = (sem_shared *)local;
    size_t i, taken = 0;
    for (i = 0; i < n; i++) {
        if (sem_try(&s->sem)) {
            taken++;
            gb_clobber();
            sem_give(&s->sem);
        }
    }
    BENCH_CHECK(taken == n);
    return taken;
}

static uint64_t sem_work(void *local, size_t n)
{
    sem_shared *s = (sem_shared *)local;
    uint64_t seed = 1;
    size_t i;
    for (i = 0; i < n; i++) {
        sem_take(&s->sem);
        s->counter = gb_work(s->counter, 64);
        gb_clobber();
        sem_give(&s->sem);
        seed = gb_work(seed, 64);
    }
    return seed;
}

BENCH_REGISTER(SEM_ID)(void)
{
    gb_row row = {"locks",      "acquire and release, free",
                  SEM_NAME,     1,
                  1024,         sem_setup,
                  sem_teardown, NULL,
                  NULL,         sem_pair};
    gb_add(&row);
    row.row = "try to acquire and release, free";
    row.body = sem_try_pair;
    gb_add(&row);
    row.threads = 2;
    row.row = "64 steps between acquire and release, 64 outside";
    row.body = sem_work;
    gb_add(&row);
}
