/* SPDX-License-Identifier: BSD-2-Clause */
/* What a lock costs at least whose owner takes it without a locked operation, and loses it to any
 * other thread: who am I, whose is it, a note that I am inside, a look again; a note that I am not,
 * a look for who waits. One lock a thread, never taken twice, and nobody takes it away. */
#include <latchwork/thread.h>

#include <stdlib.h>

#define LOCK_NAME "floor of a bias"
#define LOCK_ID lock_biased_floor
typedef struct {
    lw_atomic_ptr owner;
} lock_t;
typedef char lock_local;
/* Nobody: no thread's record, nor the NULL of one that has none yet. */
#define lock_init(l) lw_atomic_store_relaxed_ptr(&(l)->owner, (l))
#define lock_fini(l) ((void)(l))

static LW_NOINLINE void make_biased(lock_t *l)
{
    lw_thread *self = lw_thread_self();
    if (self == NULL)
        abort();
    lw_atomic_store_relaxed_ptr(&l->owner, self);
}

static inline void lock_take(lock_t *l, lock_local *c)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    (void)c;
    if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&l->owner) == self)) {
        lw_atomic_store_release_ptr(&self->biased[0], l);
        lw_fence_light();
        if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&l->owner) == self))
            return;
    }
    make_biased(l);
}

static inline void lock_drop(lock_t *l, lock_local *c)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    (void)l, (void)c;
    lw_atomic_store_release_ptr(&self->biased[0], NULL);
    lw_fence_light();
    if (LW_UNLIKELY(lw_atomic_load_relaxed_u32(&self->biased_awaited) != 0))
        abort();
}

#define LOCK_BIASED
#define LOCK_UNSHARED

#include "../lock_rows.h"
