/* SPDX-License-Identifier: BSD-2-Clause */
/* The row of one way to find what belongs to the calling thread. An adapter defines, before it
 * includes this file, THREAD_NAME, THREAD_ID, thread_prepare() (once for each thread) and
 * thread_find() (gives a pointer, never NULL), and gets register_THREAD_ID(). */
#include "rows.h"

/* A call, as from any function that needs to know its thread: else the compiler would find it once
 * for the whole loop. */
static __attribute__((noinline)) void *thread_call(void)
{
    void *found = thread_find();
    gb_clobber();
    return found;
}

static void *thread_begin(void *shared, int index)
{
    (void)shared;
    (void)index;
    thread_prepare();
    return NULL;
}

static uint64_t thread_body(void *local, size_t n)
{
    uint64_t sum = 0;
    size_t i;
    (void)local;
    for (i = 0; i < n; i++) {
        void *found = thread_call();
        sum += (uintptr_t)found;
    }
    BENCH_CHECK(sum != 0);
    return sum;
}

BENCH_REGISTER(THREAD_ID)(void)
{
    gb_row row = {"thread",    "find the thread's record",
                  THREAD_NAME, 1,
                  1024,        NULL,
                  NULL,        thread_begin,
                  NULL,        thread_body};
    gb_add(&row);
}
