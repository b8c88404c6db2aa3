/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one sequence lock over two words. An adapter defines, before it includes this file,
 * SEQLOCK_NAME, SEQLOCK_ID, seqlock_type, seqlock_init(s), seqlock_read(s, to) (of two uint64_t)
 * and seqlock_write(s, from), and gets register_SEQLOCK_ID(). */
#include "rows.h"

static void *seqlock_setup(int threads)
{
    seqlock_type *s = (seqlock_type *)bench_alloc(sizeof *s);
    (void)threads;
    seqlock_init(s);
    return s;
}

static void seqlock_teardown(void *shared)
{
    free(shared);
}

static uint64_t seqlock_reads(void *shared, size_t n)
{
    seqlock_type *s = (seqlock_type *)shared;
    uint64_t sum = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        uint64_t words[2];
        seqlock_read(s, words);
        sum += words[0] ^ words[1];
        gb_clobber();
    }
    BENCH_CHECK(sum == 0);
    return sum;
}

static uint64_t seqlock_writes(void *shared, size_t n)
{
    seqlock_type *s = (seqlock_type *)shared;
    size_t i;
    for (i = 0; i < n; i++) {
        uint64_t words[2];
        words[0] = words[1] = i;
        seqlock_write(s, words);
        gb_clobber();
    }
    return n;
}

BENCH_REGISTER(SEQLOCK_ID)(void)
{
    gb_row row = {"locks",
                  "sequence lock, read two words",
                  SEQLOCK_NAME,
                  1,
                  1024,
                  seqlock_setup,
                  seqlock_teardown,
                  NULL,
                  NULL,
                  seqlock_reads};
    gb_add(&row);
    row.threads = 2;
    gb_add(&row);
    row.threads = 1;
    row.row = "sequence lock, write two words";
    row.body = seqlock_writes;
    gb_add(&row);
}
