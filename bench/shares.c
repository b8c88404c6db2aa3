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

void bench_meet(int *arrived, int all)
{
    (void)__atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(arrived, __ATOMIC_ACQUIRE) < all)
        sched_yield();
}

void bench_share(bench_shares *shares, int index, int threads, uint64_t done, int64_t window_ns,
                 int64_t longest_ns)
{
    double sum = 0, squares = 0;
    int i;
    BENCH_CHECK(index < BENCH_SHARES);
    shares->done[index] = done;
    if (index == 0)
        shares->window_ns = window_ns; /* it has ended them */
    for (;;) {
        int64_t longest = __atomic_load_n(&shares->longest_ns, __ATOMIC_RELAXED);
        if (longest_ns <= longest ||
            __atomic_compare_exchange_n(&shares->longest_ns, &longest, longest_ns, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            break;
    }
    if (__atomic_add_fetch(&shares->ended, 1, __ATOMIC_ACQ_REL) < threads)
        return;
    for (i = 0; i < threads; i++) {
        sum += (double)shares->done[i];
        squares += (double)shares->done[i] * (double)shares->done[i];
    }
    BENCH_CHECK(sum > 0);
    gb_counter("window_ns", (double)shares->window_ns / sum);
    gb_counter("jain_percent", 100 * sum * sum / (threads * squares));
    if (shares->longest_ns != 0)
        gb_counter("longest_wait_us", (double)shares->longest_ns / 1000);
}
