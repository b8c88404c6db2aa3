/* SPDX-License-Identifier: BSD-2-Clause */
/* The row of one latch. An adapter defines, before it includes this file, LATCH_NAME, LATCH_ID,
 * latch_object (its type), latch_begin(l, count), latch_end(l), latch_count_down(l) and
 * latch_wait(l), and gets register_LATCH_ID(). */
#include "rows.h"

typedef struct latch_shared {
    BENCH_CACHE_LINE latch_object latch;
} latch_shared;

static void *latch_setup(int threads)
{
    (void)threads;
    return bench_alloc(sizeof(latch_shared));
}

/* A latch is for one time. */
static uint64_t latch_cycle(void *local, size_t n)
{
    latch_shared *s = (latch_shared *)local;
    size_t i;
    for (i = 0; i < n; i++) {
        latch_begin(&s->latch, 2);
        gb_clobber();
        latch_count_down(&s->latch);
        latch_count_down(&s->latch);
        latch_wait(&s->latch);
        gb_clobber();
        latch_end(&s->latch);
    }
    return n;
}

BENCH_REGISTER(LATCH_ID)(void)
{
    gb_row row = {"locks",    "count a latch down from two, and wait",
                  LATCH_NAME, 1,
                  1024,       latch_setup,
                  free,       NULL,
                  NULL,       latch_cycle};
    gb_add(&row);
}
