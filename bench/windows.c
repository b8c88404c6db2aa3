/* SPDX-License-Identifier: BSD-2-Clause */
#include "rows.h"

#include <sched.h>
#include <time.h>

int64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void await(const int *counter, int value)
{
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < value)
        sched_yield();
}

int64_t bench_window_begin(bench_windows *w, int index)
{
    int64_t begin_ns;
    int number = w->opened + 1; /* nobody opens one while a thread is not here */
    BENCH_CHECK(index < BENCH_SHARES);
    (void)__atomic_add_fetch(&w->arrived, 1, __ATOMIC_ACQ_REL);
    if (index != 0) {
        await(&w->opened, number);
        return 0;
    }
    await(&w->arrived, number * w->threads);
    begin_ns = bench_now();
    __atomic_store_n(&w->opened, number, __ATOMIC_RELEASE);
    return begin_ns;
}

void bench_window_end(bench_windows *w, int index, int64_t begin_ns, uint64_t done,
                      int64_t longest_ns)
{
    int64_t end_ns = index == 0 ? bench_now() : 0;
    double sum = 0, squares = 0;
    int i;
    w->done[index] = done;
    for (;;) {
        int64_t longest = __atomic_load_n(&w->longest_ns, __ATOMIC_RELAXED);
        if (longest_ns <= longest ||
            __atomic_compare_exchange_n(&w->longest_ns, &longest, longest_ns, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            break;
    }
    (void)__atomic_add_fetch(&w->left, 1, __ATOMIC_ACQ_REL);
    if (index != 0)
        return;
    await(&w->left, w->opened * w->threads);
    for (i = 0; i < w->threads; i++) {
        sum += (double)w->done[i];
        squares += (double)w->done[i] * (double)w->done[i];
    }
    w->window_ns += end_ns - begin_ns;
    w->operations += sum;
    w->jain += sum * sum / (w->threads * squares);
}

void bench_window_report(bench_windows *w)
{
    if (w->opened == 0 || __atomic_add_fetch(&w->reported, 1, __ATOMIC_ACQ_REL) < w->threads)
        return;
    gb_counter("window_ns", (double)w->window_ns / w->operations);
    gb_counter("jain_percent", 100 * w->jain / w->opened);
    if (w->longest_ns != 0)
        gb_counter("longest_wait_us", (double)w->longest_ns / 1000);
}
