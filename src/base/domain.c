/* SPDX-License-Identifier: BSD-2-Clause */
#include "domain_internal.h"

#include <stdlib.h>
#include <string.h>

/* One pointer for the whole process. On ELF with the GNU loader a symbol of binding STB_GNU_UNIQUE
 * is one object in all libraries of a process, even those loaded with RTLD_LOCAL, as Python loads
 * extensions. Its name and its type (a pointer to a lw_domain_header) never change with versions.
 * Elsewhere each copy has its own, and copies meet through the capsule of cpython.h. */
#if defined(__ELF__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(LW_NO_UNIQUE_SYMBOL)
__asm__(".pushsection .bss.lw_domain_anchor_, \"aw\", %nobits\n"
        ".balign 8\n"
        ".globl lw_domain_anchor_\n"
        ".type lw_domain_anchor_, %gnu_unique_object\n"
        ".size lw_domain_anchor_, 8\n"
        "lw_domain_anchor_:\n"
        ".zero 8\n"
        ".popsection\n");
LW_EXTERN_C_BEGIN
extern lw_atomic_ptr lw_domain_anchor_ __attribute__((visibility("default")));
LW_EXTERN_C_END
#else
static lw_atomic_ptr lw_domain_anchor_;
#endif

/* The domain that this copy brings along, used if it is the first in the process. Static, so that
 * making it cannot fail; a copy that is used is never unloaded (lw_pin_). */
static lw_domain lw_own_domain;
static lw_atomic_u32 lw_own_state; /* 0 untouched, 1 being made, 2 made */
static lw_atomic_ptr lw_current;   /* the domain that this copy uses */

lw_atomic_ptr lw_park_flags_; /* in it */

static void lw_domain_use(lw_domain *d)
{
    /* (6) release: pairs with the acquire (1) in park.h. */
    lw_atomic_store_release_ptr(&lw_park_flags_, d->park_flags);
}

static void *lw_calloc(void *ctx, size_t size)
{
    (void)ctx;
    return calloc(1, size);
}

static void lw_release(void *ctx, void *ptr)
{
    (void)ctx;
    free(ptr);
}

static void lw_domain_make(lw_domain *d)
{
    d->header.magic = LW_DOMAIN_MAGIC;
    d->header.abi = LW_DOMAIN_ABI;
    d->header.size = (uint32_t)sizeof *d;
    memcpy(d->header.version, LW_VERSION_STRING, sizeof LW_VERSION_STRING);
    d->allocator.alloc = lw_calloc;
    d->allocator.release = lw_release;
    lw_rawlock_init_(&d->lock);
    lw_rawlock_init_(&d->smr_lock);
    lw_atomic_store_relaxed_u64(&d->smr_clock, 1);
    lw_atomic_store_relaxed_u64(&d->seed, lw_random_());
    d->has_membarrier = lw_membarrier_init_();
    lw_park_init_(d);
    lw_atomic_store_relaxed_u32(&d->has_key, lw_key_create_(&d->key, lw_thread_exit_));
}

static void lw_domain_make_own(void)
{
    uint32_t untouched = 0;
    if (lw_atomic_cas_acquire_u32(&lw_own_state, &untouched, 1)) {
        lw_domain_make(&lw_own_domain);
        /* (1) release: what lw_domain_make wrote happens before the loads (2) and (3) that find
         * it. */
        lw_atomic_store_release_u32(&lw_own_state, 2);
    } else {
        /* (2) acquire: pairs with (1). Another thread is at it; it makes a few system calls. */
        while (lw_atomic_load_acquire_u32(&lw_own_state) != 2) {
            lw_yield_();
        }
    }
}

/* The first domain that this copy can use, of those that the anchor begins the list of; else this
 * copy's own, which goes to the end of the list. */
static lw_domain *lw_domain_search(void)
{
    lw_atomic_ptr *link = &lw_domain_anchor_;
    for (;;) {
        /* (3) acquire, and release where it publishes: pairs with itself, for what (1) released. */
        void *found = lw_atomic_load_acquire_ptr(link);
        if (found == NULL) {
            lw_domain_make_own();
            if (lw_atomic_cas_acq_rel_ptr(link, &found, &lw_own_domain)) {
                return &lw_own_domain;
            }
        }
        if (lw_domain_fits_((lw_domain *)found)) {
            return (lw_domain *)found;
        }
        if (((lw_domain_header *)found)->magic != LW_DOMAIN_MAGIC) {
            lw_domain_make_own(); /* something else has taken the name of our symbol */
            return &lw_own_domain;
        }
        link = &((lw_domain_header *)found)->next;
    }
}

static LW_COLD lw_domain *lw_domain_find(void)
{
    void *found, *none = NULL;
    int cancel = lw_cancel_off_(); /* nobody would end what a thread that is ended has begun */
    /* The domain will hold pointers into this copy: hooks, free functions, thread-local slots. */
    lw_pin_(&lw_current);
    lw_thread_fork_init_();
    found = lw_domain_search();
    if (!lw_atomic_cas_acq_rel_ptr(&lw_current, &none, found)) {
        found = none;
    }
    lw_domain_use((lw_domain *)found);
    lw_cancel_restore_(cancel);
    return (lw_domain *)found;
}

lw_domain *lw_domain_forked_(void)
{
    uint32_t half = 1;
    /* If a thread of the parent was making it, that begins anew; all it loses is a key. */
    if (lw_atomic_cas_relaxed_u32(&lw_own_state, &half, 0) || half == 0) {
        return NULL;
    }
    return &lw_own_domain; /* whether or not it is in use: other copies may use it */
}

lw_domain *lw_domain_known_(void)
{
    void *known = lw_atomic_load_acquire_ptr(&lw_current);
    if (LW_UNLIKELY(known == NULL) && lw_atomic_load_relaxed_ptr(&lw_domain_anchor_) != NULL) {
        known = lw_domain_find();
    }
    return (lw_domain *)known;
}

lw_domain *lw_domain_get(void)
{
    void *d = lw_atomic_load_acquire_ptr(&lw_current);
    return LW_LIKELY(d != NULL) ? (lw_domain *)d : lw_domain_find();
}

lw_domain *lw_domain_foreign_(void)
{
    lw_domain_header *other = (lw_domain_header *)lw_atomic_load_acquire_ptr(&lw_domain_anchor_);
    while (other != NULL && lw_domain_fits_((lw_domain *)(void *)other)) {
        other = (lw_domain_header *)lw_atomic_load_acquire_ptr(&other->next);
    }
    return (lw_domain *)(void *)other;
}

bool lw_domain_fits_(const lw_domain *domain)
{
    const lw_domain_header *header = lw_domain_describe(domain);
    return header->magic == LW_DOMAIN_MAGIC && header->abi == LW_DOMAIN_ABI &&
           header->size == (uint32_t)sizeof(lw_domain);
}

lw_status lw_domain_adopt(lw_domain *other)
{
    void *none = NULL;
    int cancel;
    if (!lw_domain_fits_(other)) {
        return LW_VERSION;
    }
    cancel = lw_cancel_off_();
    lw_pin_(&lw_current);
    lw_thread_fork_init_();
    lw_cancel_restore_(cancel);
    if (lw_atomic_cas_acq_rel_ptr(&lw_current, &none, other) || none == other) {
        lw_domain_use(other);
        return LW_OK;
    }
    return LW_BUSY;
}

const lw_domain_header *lw_domain_describe(const lw_domain *domain)
{
    return (const lw_domain_header *)(const void *)domain;
}

lw_status lw_domain_set_allocator(const lw_allocator *allocator)
{
    lw_domain *d = lw_domain_get();
    if (lw_atomic_load_acquire_u32(&d->allocated) != 0) {
        return LW_BUSY;
    }
    d->allocator = *allocator;
    return LW_OK;
}

void lw_domain_set_block_hooks(const lw_block_hooks *hooks)
{
    lw_domain *d = lw_domain_get();
    /* `after` first: whoever sees `before` (4) will want it. */
    lw_atomic_store_relaxed_ptr(&d->block_after, hooks == NULL ? NULL : (void *)hooks->after);
    /* (4) release: pairs with the acquire (5). */
    lw_atomic_store_release_ptr(&d->block_before, hooks == NULL ? NULL : (void *)hooks->before);
}

void *lw_alloc(size_t size)
{
    lw_domain *d = lw_domain_get();
    if (LW_UNLIKELY(lw_atomic_load_relaxed_u32(&d->allocated) == 0)) {
        lw_atomic_store_relaxed_u32(&d->allocated, 1);
    }
    return d->allocator.alloc(d->allocator.ctx, size);
}

void lw_free(void *ptr)
{
    if (ptr != NULL) {
        lw_domain *d = lw_domain_get();
        d->allocator.release(d->allocator.ctx, ptr);
    }
}

void *lw_host_detach_(void)
{
    /* (5) acquire: pairs with (4). */
    void *before = lw_atomic_load_acquire_ptr(&lw_domain_get()->block_before);
    return before == NULL ? NULL : ((void *(*)(void))before)();
}

void lw_host_attach_(void *token)
{
    /* A token comes from `before`, so `after` was installed when it was given. */
    void *after = token == NULL ? NULL : lw_atomic_load_relaxed_ptr(&lw_domain_get()->block_after);
    if (after != NULL) {
        ((void (*)(void *))after)(token);
    }
}

void *lw_block_begin(void)
{
    (void)lw_held_suspend_();
    return lw_host_detach_();
}

void lw_block_end(void *token)
{
    lw_host_attach_(token);
    (void)lw_held_resume_(-1, LW_WAIT_DEFAULT);
}

void lw_module_use_(lw_domain *domain, int module, const lw_module_hooks *hooks)
{
    void *none = NULL;
    if (LW_UNLIKELY(lw_atomic_load_relaxed_ptr(&domain->modules[module]) == NULL)) {
        /* The hooks are constants: only the pointer needs to arrive. */
        (void)lw_atomic_cas_relaxed_ptr(&domain->modules[module], &none, (void *)hooks);
    }
}
