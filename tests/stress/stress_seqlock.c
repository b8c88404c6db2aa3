/* SPDX-License-Identifier: BSD-2-Clause */
/* No reader sees a mixture, or goes back in time. */
#include <latchwork/seqlock.h>

#include "stress.h"

enum { THREADS = 5, WRITERS = 2, WORDS = 6 };

static lw_seqlock_t lock;
static lw_atomic_u64 data[WORDS];
static uint64_t written; /* plain: the writers' mutex guards it */

static void write_next(stress_worker *w)
{
    uint64_t words[WORDS];
    int i;
    for (i = 0; i < WORDS; i++) {
        words[i] = written + 1;
    }
    for (i = 0; i < WORDS; i++) { /* one by one, and sometimes with time in between */
        lw_seqlock_store(&data[i], &words[i], 1);
        stress_dawdle(&w->random);
    }
    written++;
    w->operations++;
}

static void check_words(stress_worker *w, const uint64_t *words, uint64_t *last)
{
    int i;
    for (i = 1; i < WORDS; i++) {
        CHECK_EQ(words[i], words[0]);
    }
    CHECK(words[0] >= *last);
    *last = words[0];
    w->operations++;
}

static void read_in_rounds(uint64_t *words)
{
    lw_seqlock_reader r = LW_SEQLOCK_READER_INIT;
    do {
        lw_seqlock_enter(&lock, &r);
        lw_seqlock_load(words, data, WORDS);
    } while (lw_seqlock_again(&lock, &r));
}

static void read_or_write(stress_worker *w)
{
    uint64_t words[WORDS], last = 0;
    while (stress_running()) {
        int i;
        watchdog_tick(w->slot, w->number < WRITERS ? "writes" : "reads", &lock.writers);
        for (i = 0; i < 50; i++) {
            if (w->number < WRITERS) {
                lw_seqlock_write_lock(&lock);
                write_next(w);
                lw_seqlock_write_unlock(&lock);
            } else {
                if (i % 2 == 0) {
                    lw_seqlock_read(&lock, words, data, WORDS);
                } else {
                    read_in_rounds(words);
                }
                check_words(w, words, &last);
            }
        }
    }
}

static uint64_t whole(void)
{
    uint64_t operations = stress_workers("reader or writer", THREADS, read_or_write);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&lock.sequence), 2 * written);
    CHECK(!lw_mutex_is_locked(&lock.writers));
    return operations;
}

/* ---- Without the mutex, and with readers that never block ---- */

static lw_seqlock_t lone;

static void read_or_write_alone(stress_worker *w)
{
    uint64_t words[WORDS], last = 0;
    while (stress_running()) {
        watchdog_tick(w->slot, w->number == 0 ? "writes alone" : "reads", &lone);
        if (w->number == 0) {
            lw_seqlock_write_begin(&lone);
            write_next(w);
            lw_seqlock_write_end(&lone);
            stress_dawdle(&w->random);
        } else {
            uint64_t sequence = lw_seqlock_read_begin(&lone);
            lw_seqlock_load(words, data, WORDS);
            if (!lw_seqlock_read_retry(&lone, sequence)) {
                check_words(w, words, &last);
            }
        }
    }
}

static uint64_t single_writer(void)
{
    return stress_workers("reader or lone writer", 3, read_or_write_alone);
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"whole", whole}, {"single_writer", single_writer}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
