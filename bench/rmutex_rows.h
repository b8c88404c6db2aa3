/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one recursive lock. An adapter defines, before it includes this file, RMUTEX_NAME,
 * RMUTEX_ID, rmutex_t, rmutex_init(m), rmutex_fini(m), rmutex_take(m) and rmutex_drop(m), and gets
 * register_RMUTEX_ID(). */
#include "rows.h"

static void *rmutex_setup(int threads)
{
    rmutex_t *m = (rmutex_t *)bench_alloc(sizeof *m);
    (void)threads;
    rmutex_init(m);
    return m;
}

static void rmutex_teardown(void *shared)
{
    rmutex_fini((rmutex_t *)shared);
    free(shared);
}

static uint64_t rmutex_pair(void *shared, size_t n)
{
    rmutex_t *m = (rmutex_t *)shared;
    size_t i;
    for (i = 0; i < n; i++) {
        rmutex_take(m);
        gb_clobber();
        rmutex_drop(m);
    }
    return n;
}

static uint64_t rmutex_nested(void *shared, size_t n)
{
    uint64_t done;
    rmutex_take((rmutex_t *)shared);
    done = rmutex_pair(shared, n);
    rmutex_drop((rmutex_t *)shared);
    return done;
}

BENCH_REGISTER(RMUTEX_ID)(void)
{
    gb_row row = {"locks",
                  "recursive lock, take and drop, free",
                  RMUTEX_NAME,
                  1,
                  1024,
                  rmutex_setup,
                  rmutex_teardown,
                  NULL,
                  NULL,
                  rmutex_pair};
    gb_add(&row);
    row.row = "recursive lock, take and drop, nested";
    row.body = rmutex_nested;
    gb_add(&row);
}
