/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/seqlock.h>

#include "../platform/platform.h"

/* A reader looks this often for a moment without a writer, all its rounds together, before it locks
 * (bench/run.py --vary LW_SEQLOCK_LOOKS=...). */
#ifndef LW_SEQLOCK_LOOKS
#define LW_SEQLOCK_LOOKS 40
#endif

LW_COLD void lw_seqlock_enter_slow_(lw_seqlock_t *s, lw_seqlock_reader *r)
{
    while ((r->sequence & 1) != 0 && r->tries < LW_SEQLOCK_LOOKS) {
        r->tries++;
        lw_cpu_relax();
        /* (6) acquire: as (1). */
        r->sequence = lw_atomic_load_acquire_u64(&s->sequence);
    }
    if (r->tries >= LW_SEQLOCK_LOOKS) {
        /* The mutex orders the words from here on. */
        lw_mutex_lock(&s->writers);
        r->locked = true;
    }
}

LW_COLD void lw_seqlock_read_slow_(lw_seqlock_t *s, uint64_t *words, const lw_atomic_u64 *data,
                                   size_t count)
{
    lw_seqlock_reader r = LW_SEQLOCK_READER_INIT;
    r.tries = 1; /* the caller's */
    do {
        lw_seqlock_enter(s, &r);
        lw_seqlock_load(words, data, count);
    } while (lw_seqlock_again(s, &r));
}

LW_COLD void lw_seqlock_misuse_(const char *function)
{
    lw_fatal_(function, "a write begins where another is, or ends where none is");
}
