/* SPDX-License-Identifier: BSD-2-Clause */
/* Google Benchmark for C: a row is a struct of functions, and a body is timed by the batch, so
 * that the loop around one operation is the row's own code and not a call through this wrapper. */
#ifndef LW_BENCH_GBENCH_H
#define LW_BENCH_GBENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A row on one thread reports the processor time of that thread, a row on several the wall time
 * over the operations of all: with perfect scaling two threads take half of the time of one. */
typedef struct gb_row {
    const char *area; /* "locks"; as all three names, without a slash */
    const char *row;  /* what is done, the same words for ours and for each peer */
    const char *impl; /* "latchwork" or the peer's name */
    int threads;
    size_t batch; /* operations that one call of body does */

    /* Once a run, before any thread's begin; may be NULL. */
    void *(*setup)(int threads);
    void (*teardown)(void *shared);

    /* On each thread, outside the timed part; gives what body gets. NULL: body gets shared. */
    void *(*begin)(void *shared, int index);
    void (*end)(void *shared, void *local);

    /* Does n operations. The result goes to benchmark::DoNotOptimize. */
    uint64_t (*body)(void *local, size_t n);
} gb_row;

/* Registers a copy of *row; its strings must stay. */
void gb_add(const gb_row *row);

/* A figure besides the time, summed over threads; to be called from end. */
void gb_counter(const char *name, double value);

/* Runs the registered rows with Google Benchmark's own options, argv[0] being the program's name.
 * Returns how many ran, or -1 where an option is unknown or a row failed. */
int gb_run(int argc, char **argv);

/* The compiler may keep no memory in registers across this, and may drop no store before it. */
static inline void gb_clobber(void)
{
    __asm__ volatile("" : : : "memory");
}

/* About a nanosecond of work a step, that no two calls share: a multiplication each, in a chain. */
static inline uint64_t gb_work(uint64_t seed, int steps)
{
    int i;
    for (i = 0; i < steps; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        __asm__ volatile("" : "+r"(seed));
    }
    return seed;
}

#ifdef __cplusplus
}
#endif

#endif
