/* SPDX-License-Identifier: BSD-2-Clause */
/* One record per thread, shared by all modules and all copies of the library.
 *
 * A record is made when a thread first needs one, is found through a thread-local pointer, and goes
 * to another thread after its own has exited; so there are as many as threads have been alive at
 * once. One thread-specific key serves the whole library. Where no record can be had (no memory, no
 * key), lw_thread_self() returns NULL and the modules fall back to slower forms that need none;
 * none fails. */
#ifndef LATCHWORK_THREAD_H
#define LATCHWORK_THREAD_H

#include <latchwork/atomic.h>
#include <latchwork/domain.h>

LW_EXTERN_C_BEGIN

typedef struct lw_thread lw_thread;
typedef struct lw_tls_slot lw_tls_slot;

/* What a thread lets go of while it sleeps (critical.h). The base layer keeps the list, innermost
 * first; some of the innermost are active, and all behind them are not. */
typedef struct lw_held_ lw_held_;
enum { LW_HELD_CRITICAL_ = 1 }; /* a lw_critical_t, of whichever copy of the library */
typedef struct lw_held_ops_ {
    unsigned kind;
    void (*release)(lw_held_ *held);
    /* All of it or nothing, within a limit; `flags` of park.h. Whether it did. */
    bool (*take)(lw_held_ *held, int64_t timeout_ns, unsigned flags);
    /* Its owner has left it, and it is out of the list now. */
    void (*left)(lw_held_ *held);
} lw_held_ops_;

enum {
    LW_HELD_ACTIVE_ = 1,
    LW_HELD_LEFT_ = 2, /* to be ended as soon as it is the innermost */
    /* The bits from 4 on are the owner's. */
};

struct lw_held_ {
    lw_held_ *outer;
    const lw_held_ops_ *ops;
    uint32_t state; /* one word, so that one store begins */
};

/* How many read locks of shared_rwlock.h a thread may hold in its record; further ones are counted
 * in the locks. They fill a cache line. A part of the ABI. */
#if !defined(LW_ATOMIC_RELACY)
#define LW_THREAD_READS_ 8
#endif

/* In such a slot: the lock counts this one, too. */
#define LW_THREAD_READ_COUNTED_ ((uintptr_t)1)

/* Which of a thread's biased mutexes share a slot depends on their addresses. A power of two, 8 at
 * most; a part of the ABI. */
#if !defined(LW_ATOMIC_RELACY)
#define LW_BIASED_SLOTS 8
#endif

/* What the low bits of a biased mutex's word say (biased_mutex.h), here for the child of a fork. */
enum {
    LW_BIASED_TO_ = 0,
    LW_BIASED_CLAIMED_ = 1,
    LW_BIASED_LOCKED_ = 2,
    LW_BIASED_FREE_ = 3,
};
#define LW_BIASED_STATE_ ((uintptr_t)3)

/* The part of a record that inline code reads. The rest lies behind it, in src/base/. */
struct lw_thread {
    /* smr.h. Written by the owner alone, read by whoever reclaims. */
    lw_atomic_u64 smr_epoch;  /* 0: outside of every section; else the epoch seen on entry */
    uint32_t smr_depth;       /* owner only: nested sections */
    uint32_t smr_strong;      /* no membarrier here: sections need a real fence */
    lw_atomic_u64 *smr_clock; /* the domain's epoch */
    /* ref.h. Pushed to by other threads, under the record's lock. */
    lw_atomic_ptr ref_queue; /* references handed over to this thread, to be merged */
    /* critical.h. The owner's. */
    lw_held_ *held;
    /* shared_rwlock.h. Written by the owner alone, read by writers: the locks it holds. */
    LW_ALIGNED(LW_CACHE_LINE) lw_atomic_ptr reads[LW_THREAD_READS_];
    /* biased_mutex.h. Words of the mutexes it is in, or about to be: written by the owner alone,
     * read by whoever takes a bias back. */
    lw_atomic_ptr biased[LW_BIASED_SLOTS];
    /* By how many it is awaited: written by those, so not on the slots' line; read by the owner. */
    lw_atomic_u32 biased_awaited;
    uint32_t biased_locked; /* the owner's: how many it has locked without the bias */
};

/* Each copy of the library caches the record in a thread-local slot of its own; the record lists
 * the slots, so that they are cleared when it is taken away from the thread. */
struct lw_tls_slot {
    lw_thread *self;
    lw_tls_slot *next;
    uint32_t anonymous_depth;   /* sections entered without a record */
    uint32_t anonymous_freeing; /* free functions run without one */
    uint32_t exited;            /* the thread has given up its record, and gets no other */
    uint32_t park_looks;        /* park.c: counted, to act on one of many */
    lw_held_ *held;             /* as lw_thread.held, begun without a record */
};

#if !defined(LW_TLS_SLOT_)
extern LW_TLS lw_tls_slot lw_tls_slot_ LW_API;
#if defined(LW_TLS_SECTION_)
extern unsigned long _tls_index; /* the loader's number for this program or library */

/* What compilers with a native thread-local storage emit: the thread's block for this program or
 * library, and the variable's place in the section. */
static inline lw_tls_slot *lw_tls_slot_get_(void)
{
    char **blocks;
    lw_tls_slot *slot;
    __asm__("movq %%gs:0x58, %0" : "=r"(blocks));
    __asm__("leaq lw_tls_slot_@secrel32(%1), %0" : "=r"(slot) : "r"(blocks[_tls_index]));
    return slot;
}
#define LW_TLS_SLOT_() lw_tls_slot_get_()
#else
#define LW_TLS_SLOT_() (&lw_tls_slot_)
#endif
#endif

LW_API lw_thread *lw_thread_attach_(void);

/* The calling thread's record; NULL if none could be made (it is tried again at the next call).
 * Wait-free after the first call, which may allocate; any attach state. */
static inline lw_thread *lw_thread_self(void)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    return LW_LIKELY(self != NULL) ? self : lw_thread_attach_();
}

static inline bool lw_held_is_active_(const lw_held_ *held)
{
    return held != NULL && (held->state & LW_HELD_ACTIVE_) != 0;
}

/* Before it can be what the thread is in: lw_held_resume_. */
static inline bool lw_held_has_to_act_(const lw_held_ *held)
{
    return (held->state & (LW_HELD_ACTIVE_ | LW_HELD_LEFT_)) != LW_HELD_ACTIVE_;
}

/* Where the calling thread's list begins; makes a record if it can. */
LW_API lw_held_ **lw_held_root_(void);
/* The innermost; NULL: none. Makes no record. */
LW_API lw_held_ *lw_held_top_(void);
/* Releases what is active, and says whether anything was. */
LW_API bool lw_held_suspend_(void);
/* Ends what was left, and takes the innermost again if it is not active, within a limit. Nothing
 * else of the list is held meanwhile. Whether the innermost is active, or there is none. */
LW_API bool lw_held_resume_(int64_t timeout_ns, unsigned flags);
/* After a wait for a lock for which the list was suspended; `flags` of park.h. False: the thread
 * has the lock, but its section is not free, and whoever has that may wait for the lock: unlock,
 * lw_held_resume_ without a limit, and start over. */
LW_API bool lw_held_settle_(bool has_lock, unsigned flags);

/* How many threads have a record now, and how many records there are. For tests and reports.
 * Wait-free, any attach state. */
LW_API size_t lw_thread_count(void);
LW_API size_t lw_thread_record_count(void);

LW_EXTERN_C_END

#endif /* LATCHWORK_THREAD_H */
