/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one barrier. An adapter defines, before it includes this file, BARRIER_NAME,
 * BARRIER_ID, barrier_object (its type), barrier_begin(b, parties), barrier_end(b) and
 * barrier_pass(b), and gets register_BARRIER_ID(). */
#include "rows.h"

typedef struct barrier_shared {
    BENCH_CACHE_LINE barrier_object barrier;
} barrier_shared;

static void *barrier_setup(int threads)
{
    barrier_shared *s = (barrier_shared *)bench_alloc(sizeof *s);
    barrier_begin(&s->barrier, (unsigned)threads);
    return s;
}

static void barrier_teardown(void *shared)
{
    barrier_shared *s = (barrier_shared *)shared;
    barrier_end(&s->barrier);
    free(s);
}

static uint64_t barrier_rounds(void *local, size_t n)
{
    barrier_shared *s = (barrier_shared *)local;
    size_t i;
    for (i = 0; i < n; i++) {
        barrier_pass(&s->barrier);
    }
    return n;
}

BENCH_REGISTER(BARRIER_ID)(void)
{
    gb_row row = {"locks",       "a round of a barrier", BARRIER_NAME, 1,    64,
                  barrier_setup, barrier_teardown,       NULL,         NULL, barrier_rounds};
    gb_add(&row);
    row.threads = 2;
    gb_add(&row);
    row.threads = 8;
    gb_add(&row);
}
