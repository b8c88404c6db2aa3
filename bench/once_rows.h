/* SPDX-License-Identifier: BSD-2-Clause */
/* The row of one way to do something once. An adapter defines, before it includes this file,
 * ONCE_NAME, ONCE_ID, once_type, once_make(o) and once_call(o), and gets
 * register_ONCE_ID(). */
#include "rows.h"

static void *once_setup(int threads)
{
    once_type *o = (once_type *)bench_alloc(sizeof *o);
    (void)threads;
    once_make(o);
    once_call(o);
    return o;
}

static void once_teardown(void *shared)
{
    free(shared);
}

static uint64_t once_body(void *shared, size_t n)
{
    once_type *o = (once_type *)shared;
    size_t i;
    for (i = 0; i < n; i++) {
        once_call(o);
        gb_clobber();
    }
    return n;
}

BENCH_REGISTER(ONCE_ID)(void)
{
    gb_row row = {"locks",       "done once, done already",
                  ONCE_NAME,     1,
                  1024,          once_setup,
                  once_teardown, NULL,
                  NULL,          once_body};
    gb_add(&row);
}
