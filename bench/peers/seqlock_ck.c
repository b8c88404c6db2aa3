/* SPDX-License-Identifier: BSD-2-Clause */
/* Its writers are kept apart by a spin lock of the caller's, and its readers spin. */
#include <ck_pr.h>
#include <ck_sequence.h>
#include <ck_spinlock.h>

#define SEQLOCK_NAME "ck_sequence"
#define SEQLOCK_ID seqlock_ck
typedef struct seqlock_type {
    ck_sequence_t sequence;
    ck_spinlock_fas_t writers;
    uint64_t data[2];
} seqlock_type;

static void seqlock_init(seqlock_type *s)
{
    ck_sequence_init(&s->sequence);
    ck_spinlock_fas_init(&s->writers);
}

static inline void seqlock_read(seqlock_type *s, uint64_t *to)
{
    unsigned int version;
    do {
        version = ck_sequence_read_begin(&s->sequence);
        to[0] = ck_pr_load_64(&s->data[0]);
        to[1] = ck_pr_load_64(&s->data[1]);
    } while (ck_sequence_read_retry(&s->sequence, version));
}

static inline void seqlock_write(seqlock_type *s, const uint64_t *from)
{
    ck_spinlock_fas_lock(&s->writers);
    ck_sequence_write_begin(&s->sequence);
    ck_pr_store_64(&s->data[0], from[0]);
    ck_pr_store_64(&s->data[1], from[1]);
    ck_sequence_write_end(&s->sequence);
    ck_spinlock_fas_unlock(&s->writers);
}

#include "../seqlock_rows.h"
