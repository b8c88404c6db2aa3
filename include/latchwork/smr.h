/* SPDX-License-Identifier: BSD-2-Clause */
/* Safe memory reclamation: readers of shared structures write nothing shared; what is taken out of
 * a structure is freed when no reader can hold it any more. Epochs (K. Fraser, 2004; Concurrency
 * Kit's ck_epoch) with asymmetric fences (liburcu's memb flavour): entering and leaving a section
 * are plain stores, and the thread that reclaims pays one sys_membarrier per batch. docs/smr.md has
 * the argument.
 *
 *   lw_smr_enter();                                   lw_mutex_lock(&owner);
 *   n = lw_atomic_load_acquire_ptr(&head);            old = unlink(&head);
 *   use n ...                                         lw_mutex_unlock(&owner);
 *   lw_smr_exit();                                    lw_smr_retire(old, free);
 *
 * Guarantee: a free function given to a retire runs after every section has ended that was open
 * when the retire began. A section that starts later cannot reach the object, provided that it was
 * made unreachable first. The end of those sections happens before the free function.
 *
 * Bound: a thread that retires reclaims whenever LW_SMR_BATCH objects or LW_SMR_BATCH_BYTES bytes
 * have gathered; with no section open for long, a thread holds at most a few such batches. While
 * the process has one thread that uses the library, what it retires outside of sections is freed at
 * once. Objects whose free functions say "not on this thread" gather until a thread that may free
 * them retires or polls; it is asked whenever another batch of them has gathered. */
#ifndef LATCHWORK_SMR_H
#define LATCHWORK_SMR_H

#include <latchwork/atomic.h>
#include <latchwork/status.h>
#include <latchwork/thread.h>

LW_EXTERN_C_BEGIN

/* Retired objects, or bytes, that make a thread start a grace period (bench/run.py --vary
 * LW_SMR_BATCH=...). */
#ifndef LW_SMR_BATCH
#define LW_SMR_BATCH 64
#endif
#ifndef LW_SMR_BATCH_BYTES
#define LW_SMR_BATCH_BYTES ((size_t)256 * 1024)
#endif

/* Embedded in an object that is retired without allocation. */
typedef struct lw_smr_node lw_smr_node;

/* Frees the object that holds `node`, or returns false for "not on this thread, not now": then it
 * is kept and another thread is asked later. Runs with none of the library's locks held and no
 * section open. */
typedef bool (*lw_smr_free_fn)(lw_smr_node *node);

struct lw_smr_node {
    lw_smr_node *next;
    lw_smr_free_fn free_fn;
    void *context; /* the object's owner may use it; the library does not */
};

LW_API void lw_smr_enter_slow_(void);
LW_API void lw_smr_exit_slow_(void);

/* Opens a section on this thread. Sections nest; only the outermost counts. Wait-free; any attach
 * state. Do not wait, detach or call foreign code before the matching exit: it holds up reclamation
 * in the whole process. */
static inline void lw_smr_enter(void)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    if (LW_UNLIKELY(self == NULL)) {
        lw_smr_enter_slow_();
        return;
    }
    if (self->smr_depth++ == 0) {
        /* (1) acquire: pairs with the advance (4): a section that sees an epoch sees what was
         * unlinked before that epoch began. */
        uint64_t epoch = lw_atomic_load_acquire_u64(self->smr_clock);
        /* (2) release: a scan (5) that sees this section has also seen the end of the one
         * before. */
        lw_atomic_store_release_u64(&self->smr_epoch, epoch);
        /* The section's loads come after the store (2) for a thread that then ran the dear half
         * (3). */
        lw_fence_light();
        if (LW_UNLIKELY(self->smr_strong)) {
            lw_fence_seq_cst();
        }
    }
}

/* Closes the section opened last. Wait-free; any attach state. Frees nothing. */
static inline void lw_smr_exit(void)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    if (LW_UNLIKELY(self == NULL)) {
        lw_smr_exit_slow_();
        return;
    }
    if (--self->smr_depth == 0) {
        /* (6) release: what the section read happens before the free that a scan (5) then
         * allows. */
        lw_atomic_store_release_u64(&self->smr_epoch, 0);
    }
}

/* Whether this thread has a section open. Wait-free. */
LW_API bool lw_smr_in_section(void);

/* Hands over `ptr`, already unreachable for new readers; free_fn(ptr) runs once no section that may
 * have seen it is open. Outside of sections it may run due free functions on this thread: hold no
 * lock that one of them takes. Inside of one it only queues.
 *   LW_OK     queued or freed
 *   LW_NOMEM  no memory for the note, and a section is open, so that waiting is impossible: `ptr`
 *             is the caller's still. Outside of a section it waits instead and returns LW_OK.
 * Lock-free but for the memory allocator. Any attach state. */
LW_API lw_status lw_smr_retire(void *ptr, void (*free_fn)(void *ptr));

/* As lw_smr_retire, for an object of `bytes` bytes: counts towards LW_SMR_BATCH_BYTES. */
LW_API lw_status lw_smr_retire_sized(void *ptr, size_t bytes, void (*free_fn)(void *ptr));

/* As lw_smr_retire_sized, for an object that holds its own node: cannot fail, and allocates nothing
 * but the record of a thread that has none yet (thread.h). */
LW_API void lw_smr_retire_node(lw_smr_node *node, lw_smr_free_fn free_fn, size_t bytes);

/* Frees what is due among the objects that this thread, or a thread that has exited, retired; waits
 * for nothing. A place to call it: an idle loop, or after a batch of retires made inside sections.
 * Returns how many were freed. Lock-free; runs free functions as lw_smr_retire does. */
LW_API size_t lw_smr_poll(void);

/* Waits until all that this thread has retired is freed, and all that threads have left that exited
 * is freed or being freed by another thread; objects that answer "not on this thread" excepted. It
 * does not wait for other threads' free functions, which may never return.
 *   LW_OK    done
 *   LW_BUSY  a section is open on this thread, or this is a free function: it would wait for itself
 * Blocking; detaches while it sleeps. */
LW_API lw_status lw_smr_flush(void);

/* Waits until every section open now has ended. LW_OK, or LW_BUSY: a section is open on this
 * thread. Blocking; detaches. */
LW_API lw_status lw_smr_synchronize(void);

/* A grace period without waiting: start one, and ask later whether it has passed.
 * Lock-free; start costs a membarrier, poll reads one word per thread record. */
LW_API uint64_t lw_smr_grace_start(void);
LW_API bool lw_smr_grace_passed(uint64_t grace);

typedef struct lw_smr_stats {
    size_t pending; /* objects retired and not freed yet, whole process (a moment's estimate) */
    size_t pending_bytes; /* their bytes, as far as they were told */
    uint64_t epoch;
} lw_smr_stats;

LW_API lw_smr_stats lw_smr_get_stats(void);

LW_EXTERN_C_END

#endif /* LATCHWORK_SMR_H */
