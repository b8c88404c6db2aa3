/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of rows share: registration, memory, attachment to Python. */
#ifndef LW_BENCH_ROWS_H
#define LW_BENCH_ROWS_H

#include "gbench.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_CACHE_LINE __attribute__((aligned(64)))

#define BENCH_PASTE_(a, b) a##b
#define BENCH_PASTE(a, b) BENCH_PASTE_(a, b)
#ifdef __cplusplus
#define BENCH_REGISTER(id) extern "C" void BENCH_PASTE(register_, id)
#else
#define BENCH_REGISTER(id) void BENCH_PASTE(register_, id)
#endif

/* Stops the run: a row that measures something else than it says is worse than none. */
#define BENCH_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Zeroed memory on cache lines of its own. */
static inline void *bench_alloc(size_t size)
{
    void *p = NULL;
    size = (size + 63) & ~(size_t)63;
    BENCH_CHECK(posix_memalign(&p, 64, size) == 0);
    return memset(p, 0, size);
}

/* Bytes that malloc has given out, by whichever thread. */
static inline size_t bench_bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

int64_t bench_now(void);

/* Windows of time, for rows whose threads contend. A body calls, on each thread,
 *
 *   int64_t begin = bench_window_begin(w, index);
 *   do {
 *       ...
 *   } while (bench_window_goes_on(w, index, begin, ++done, 32)); of 32, one looks at the clock
 *   bench_window_end(w, index, begin, done, longest_ns);
 *
 * and its end bench_window_report. That reports, in place of the time, the windows over the
 * operations of all, Jain's index of fairness of the shares in a window (100: equal; 100/n: one got
 * everything; the mean over the windows), and the longest wait, if one was given. The first thread
 * opens a window when all are there, and ends it, so that it lasts longer if the row starves that
 * thread. */
enum { BENCH_SHARES = 16 };
typedef struct bench_windows {
    BENCH_CACHE_LINE int arrived, left; /* threads, at all windows */
    int threads, opened, reported;
    BENCH_CACHE_LINE int over; /* how many windows are */
    BENCH_CACHE_LINE uint64_t done[BENCH_SHARES];
    double operations, jain;
    int64_t window_ns, longest_ns;
} bench_windows;
int64_t bench_window_begin(bench_windows *w, int index);
void bench_window_end(bench_windows *w, int index, int64_t begin_ns, uint64_t done,
                      int64_t longest_ns);
void bench_window_report(bench_windows *w);

static inline bool bench_window_goes_on(bench_windows *w, int index, int64_t begin_ns,
                                        uint64_t done, uint64_t every)
{
    const int64_t window_ns = 100000000;
    if (index == 0 && done % every == 0 && bench_now() - begin_ns >= window_ns)
        __atomic_store_n(&w->over, w->opened, __ATOMIC_RELAXED);
    return __atomic_load_n(&w->over, __ATOMIC_RELAXED) < w->opened;
}

/* The thread of a row gets a thread state of the interpreter, which it holds from attach to detach:
 * a whole batch. Between batches it waits for the other threads of its row, detached. */
void *bench_python_begin(void);
void bench_python_end(void *state);
void bench_python_attach(void *state);
void bench_python_detach(void *state);

/* True where two threads can be attached at once (a free-threaded interpreter). */
bool bench_python_parallel(void);

/* A thread beside a row's own: runs begin before the start returns, waits, and runs end before the
 * stop does. */
typedef struct bench_idle bench_idle;
bench_idle *bench_idle_start(void (*begin)(void *arg), void (*end)(void *arg), void *arg);
void bench_idle_stop(bench_idle *idle);

/* Registers every row of this build. */
void bench_register_all(void);

#ifdef __cplusplus
}
#endif

#endif
