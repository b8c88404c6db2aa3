/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one barrier. An adapter defines, before it includes this file,
 *   BARRIER_NAME     the implementation's name
 *   BARRIER_ID       the same as a C identifier
 *   barrier_object   its type
 *   barrier_local    what a thread keeps, from zero (its sense, where the barrier has senses)
 *   barrier_begin(b, parties), barrier_end(b)
 *   barrier_pass(b, c, parties)
 * It may define BARRIER_SPINS: who has arrived spins without end. No row with more threads than
 * processors, since each round waits for time slices. It gets register_BARRIER_ID(). */
#include "rows.h"

typedef struct barrier_shared {
    BENCH_CACHE_LINE barrier_object barrier;
    BENCH_CACHE_LINE unsigned parties;
} barrier_shared;

typedef struct barrier_user {
    BENCH_CACHE_LINE barrier_local local;
    barrier_shared *shared;
} barrier_user;

static void *barrier_setup(int threads)
{
    barrier_shared *s = (barrier_shared *)bench_alloc(sizeof *s);
    s->parties = (unsigned)threads;
    barrier_begin(&s->barrier, s->parties);
    return s;
}

static void barrier_teardown(void *shared)
{
    barrier_shared *s = (barrier_shared *)shared;
    barrier_end(&s->barrier);
    free(s);
}

static void *barrier_user_begin(void *shared, int index)
{
    barrier_user *u = (barrier_user *)bench_alloc(sizeof *u);
    (void)index;
    u->shared = (barrier_shared *)shared;
    return u;
}

static void barrier_user_end(void *shared, void *local)
{
    (void)shared;
    free(local);
}

static uint64_t barrier_rounds(void *local, size_t n)
{
    barrier_user *u = (barrier_user *)local;
    barrier_shared *s = u->shared;
    size_t i;
    for (i = 0; i < n; i++) {
        barrier_pass(&s->barrier, &u->local, s->parties);
    }
    return n;
}

BENCH_REGISTER(BARRIER_ID)(void)
{
    gb_row row = {"locks",
                  "a round of a barrier",
                  BARRIER_NAME,
                  1,
                  64,
                  barrier_setup,
                  barrier_teardown,
                  barrier_user_begin,
                  barrier_user_end,
                  barrier_rounds};
    gb_add(&row);
    row.threads = 2;
    gb_add(&row);
#ifndef BARRIER_SPINS
    row.threads = 8;
    gb_add(&row);
#endif
}
