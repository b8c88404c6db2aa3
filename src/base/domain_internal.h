/* SPDX-License-Identifier: BSD-2-Clause */
/* What lies behind lw_domain and lw_thread. Copies with equal LW_ABI_VERSION share these
 * layouts. */
#ifndef LATCHWORK_DOMAIN_INTERNAL_H
#define LATCHWORK_DOMAIN_INTERNAL_H

#include "../platform/platform.h"
#include <latchwork/domain.h>
#include <latchwork/park.h>
#include <latchwork/thread.h>

LW_EXTERN_C_BEGIN

/* ---- wait queues (park.c) ---- */

typedef struct lw_waiter lw_waiter;
struct lw_waiter {
    LW_PLAIN(lw_waiter *) next;
    LW_PLAIN(const void *) address;
    LW_PLAIN(const lw_park_how_ *) how;
    LW_PLAIN(bool) queued;  /* under the queue's lock */
    LW_PLAIN(bool) starved; /* likewise: counted in the queue's flags */
    LW_PLAIN(bool) waking;  /* has been the queue's `waking` */
    LW_PLAIN(uintptr_t) token;
    LW_PLAIN(int64_t) since_ns;
    lw_parker parker;
};

typedef struct LW_ALIGNED(LW_CACHE_LINE) lw_park_queue {
    lw_rawlock lock;
    LW_PLAIN(lw_waiter *) first;
    LW_PLAIN(lw_waiter *) last;
    LW_PLAIN(lw_waiter *) waking; /* woken by lw_park_notify_, and does not run yet */
    LW_PLAIN(bool) owed;          /* a wake was left out because of it */
    LW_PLAIN(int64_t) last_ns;    /* lw_park_how_.grant's */
    lw_atomic_u32 quiet;          /* looks of releasers that found nobody announced, in samples */
} lw_park_queue;

/* ---- retired objects (smr.c) ---- */

struct lw_smr_node; /* smr.h, a layer above: only pointers to it are kept here */

typedef struct lw_smr_batch {
    struct lw_smr_node *first;
    struct lw_smr_node *last;
    size_t count;
    size_t bytes;
    uint64_t stamp; /* free when every open section has an epoch of at least this */
} lw_smr_batch;

/* Batches that wait for their grace period; when there are more, the two newest become one. */
#define LW_SMR_CLOSED 4

/* ---- the record of a thread ---- */

typedef struct lw_record lw_record;
struct LW_ALIGNED(LW_CACHE_LINE) lw_record {
    lw_thread head; /* first: a lw_thread * is a lw_record * */
    /* smr.c: the owner's, but for the two counters, which others may read. */
    lw_smr_batch open;
    lw_smr_batch closed[LW_SMR_CLOSED];
    unsigned closed_count;
    lw_smr_batch due; /* past their grace period, being freed */
    bool freeing;     /* a free function is on this thread's stack */
    bool asking;      /* `due` are deferred ones */
    size_t collects;  /* since it was asked for deferred objects */
    size_t asked;     /* how many of those were left then */
    size_t asked_bytes;
    lw_atomic_u64 pending;
    lw_atomic_u64 pending_bytes;
    /* ref.c */
    void *ref_taken;   /* the owner's: references taken from the queue and not merged yet */
    bool ref_draining; /* the owner's: somebody on its stack merges them */
    lw_rawlock ref_lock;
    LW_PLAIN(bool) ref_alive; /* under ref_lock: a thread owns this record and will merge */
    uint32_t reads_beyond; /* shared_rwlock.c: the owner's: read locks for which no slot was free */
    /* thread.c */
    LW_PLAIN(lw_record *) next; /* in the list of all records; written once */
    lw_record *next_free;       /* under the domain's lock */
    lw_tls_slot *slots;         /* the owner's */
    bool in_use;                /* under the domain's lock */
};

/* The allocator promises no more than malloc's alignment: room for n bytes on cache lines of their
 * own. */
#define LW_LINES_SIZE(n) ((n) + LW_CACHE_LINE - 1)
#define LW_LINES_ALIGN(raw)                                                                        \
    ((void *)(((uintptr_t)(raw) + LW_CACHE_LINE - 1) & ~(uintptr_t)(LW_CACHE_LINE - 1)))

static inline lw_record *lw_record_of(lw_thread *thread)
{
    return (lw_record *)(void *)thread;
}

/* A module that keeps state in the records says what to do when a thread goes. `drain` may run
 * foreign code; `close` may not; both are called again if references were handed over meanwhile.
 * Either may be NULL. */
typedef struct lw_module_hooks {
    void (*drain)(lw_record *record);
    void (*close)(lw_record *record);
} lw_module_hooks;

enum { LW_MODULE_REF, LW_MODULE_SMR, LW_MODULE_SHARED_RWLOCK, LW_MODULES };

struct lw_domain {
    lw_domain_header header;
    lw_allocator allocator;
    lw_atomic_u32 allocated; /* something was: the allocator stays */
    lw_atomic_u32 has_key; /* `key` is made; if none was free, that is tried again under the lock */
    bool has_membarrier;
    lw_atomic_u64 seed; /* of hashes: random at first, another one for each map */
    lw_tss key;
    lw_atomic_ptr host_homes;   /* of the host's interpreters (cpython.c) */
    lw_atomic_ptr block_before; /* lw_block_hooks */
    lw_atomic_ptr block_after;
    lw_atomic_ptr modules[LW_MODULES]; /* const lw_module_hooks * */
    lw_atomic_u32 reads_unknown;       /* shared_rwlock.c: a thread without a record was a reader */

    lw_rawlock lock;       /* the two lists below and in_use; nothing is called under it */
    lw_atomic_ptr records; /* all lw_record ever made */
    lw_record *free_records;
    lw_atomic_u64 live; /* threads that have a record */

    LW_ALIGNED(LW_CACHE_LINE) lw_atomic_u64 smr_clock;
    lw_atomic_u64 smr_anonymous;                   /* sections open without a record */
    LW_ALIGNED(LW_CACHE_LINE) lw_rawlock smr_lock; /* what follows but the hints */
    lw_atomic_u32 smr_left;    /* a hint, read without the lock: the first two are not both empty */
    lw_smr_batch smr_orphans;  /* of threads that have exited, or that have no record */
    lw_smr_batch smr_waiting;  /* orphans whose grace period has begun */
    lw_smr_batch smr_deferred; /* past their grace period; their free functions said "not now" */
    lw_atomic_u64 smr_deferred_count; /* and those that a thread is being asked for; hints */
    lw_atomic_u64 smr_deferred_bytes;

    LW_ALIGNED(LW_CACHE_LINE) lw_atomic_u32 park_flags[LW_PARK_QUEUES]; /* park.h */
    lw_atomic_u32 forks; /* how many forks this process is away from the first, modulo 2^32 */
    /* The thread that forked this process, by its number, and how many forks deep the process was
     * that it began in: those after that, it has been through. */
    lw_atomic_u32 fork_since;
    lw_atomic_u64 fork_thread;
    lw_park_queue park_queues[LW_PARK_QUEUES];
};

/* A thread that owns or runs something, in 64 bits: from bit 18 on, bits 6 to 51 of its number; in
 * the bits 2 to 17, how many forks deep its process was. The bits 0 and 1 are free. A number comes
 * again in a forked child, where the thread that had it does not exist. */
#define LW_RUNNER_SHIFT_ 18
#define LW_RUNNER_FORKS_SHIFT_ 2

static inline uint64_t lw_runner_of_(uint64_t number, uint32_t forks)
{
    return (number >> 6) << LW_RUNNER_SHIFT_ | (uint64_t)(forks & UINT32_C(0xffff))
                                                   << LW_RUNNER_FORKS_SHIFT_;
}

/* The calling thread. */
static inline uint64_t lw_runner_(const lw_domain *d)
{
    return lw_runner_of_(lw_thread_number_(), lw_atomic_load_relaxed_u32(&d->forks));
}

/* Whether it is a thread of the parent, or of its parent, that does not exist here: that is, which
 * neither began in this process nor forked it, and its parent, and so on from there. */
static inline bool lw_runner_is_gone_(const lw_domain *d, uint64_t runner)
{
    uint32_t forks = lw_atomic_load_relaxed_u32(&d->forks);
    uint16_t ago = (uint16_t)(forks - (uint32_t)(runner >> LW_RUNNER_FORKS_SHIFT_));
    if (ago == 0) {
        return false;
    }
    return runner >> LW_RUNNER_SHIFT_ !=
               lw_runner_of_(lw_atomic_load_relaxed_u64(&d->fork_thread), 0) >> LW_RUNNER_SHIFT_ ||
           ago > forks - lw_atomic_load_relaxed_u32(&d->fork_since);
}

/* What lw_domain_header.abi holds: copies for different platforms have other layouts. */
#if defined(LW_PLATFORM_POSIX)
#define LW_DOMAIN_ABI ((uint32_t)LW_ABI_VERSION | UINT32_C(0x20000))
#elif defined(LW_PLATFORM_WINDOWS)
#define LW_DOMAIN_ABI ((uint32_t)LW_ABI_VERSION | UINT32_C(0x30000))
#else
#define LW_DOMAIN_ABI ((uint32_t)LW_ABI_VERSION | UINT32_C(0x10000))
#endif

/* Whether this copy can use `domain`. */
LW_API bool lw_domain_fits_(const lw_domain *domain);

/* thread.c: the destructor of the key; the fork handler, to be installed before the first use. */
LW_API void lw_thread_exit_(void *value);
LW_API void lw_thread_fork_init_(void);

/* The calling thread's record if it has one, found through whichever copy; else NULL. Makes
 * none. */
LW_API lw_record *lw_thread_record_(lw_domain *domain);

/* Sections without a record that are open on the calling thread, of all copies; as far as there is
 * a key to keep their number in. */
LW_API uintptr_t lw_thread_anonymous_(lw_domain *domain);
LW_API void lw_thread_add_anonymous_(lw_domain *domain, int change);

/* When the domain is made, and in the child of a fork; both with has_membarrier set. */
LW_API void lw_park_init_(lw_domain *domain);
LW_API void lw_park_forked_(lw_domain *domain);

/* Registers the hooks of a module with the domain: the first copy of the library to do so serves
 * all. */
LW_API void lw_module_use_(lw_domain *domain, int module, const lw_module_hooks *hooks);

/* In the child of a fork: the domain that this copy brought along, if it was made; else NULL, and
 * it can be made. */
LW_API lw_domain *lw_domain_forked_(void);

/* The host's hooks alone. */
LW_API void *lw_host_detach_(void);
LW_API void lw_host_attach_(void *token);

/* As lw_domain_get, but makes none: NULL if there is none yet, as far as this copy can tell. */
LW_API lw_domain *lw_domain_known_(void);

/* A domain in this process that this copy cannot use; NULL: there is none. */
LW_API lw_domain *lw_domain_foreign_(void);

LW_EXTERN_C_END

#endif /* LATCHWORK_DOMAIN_INTERNAL_H */
