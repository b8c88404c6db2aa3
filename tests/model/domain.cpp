/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped domain and thread records: first use, late key, hooks, the list of records. */
#include "model.hpp"

#include "lifetime/smr.c"

/* What another copy of the library brings along, with a clock that tells whether it is whole. */
static lw_domain *make_other(uint32_t abi)
{
    lw_domain *other = model_new<lw_domain>();
    other->header.magic = LW_DOMAIN_MAGIC;
    other->header.abi = abi;
    other->header.size = sizeof *other;
    return other;
}

static void check_whole(lw_domain *d)
{
    MODEL_ASSERT(lw_atomic_load_relaxed_u64(&d->smr_clock) == 1);
}

/* The first use, by several at once: one domain, and it is whole for whoever gets it. */
template <class D, int N>
struct domain_first : model_suite<D, N, false> {
    static const bool makes_domain = false;
    lw_domain *found[N];

    void setup() {}
    void body(unsigned i)
    {
        lw_domain *d = lw_domain_get();
        found[i] = d;
        check_whole(d);
        MODEL_ASSERT(lw_domain_get() == d);
    }
    void check()
    {
        int i;
        for (i = 0; i < N; i++) {
            MODEL_ASSERT(found[i] == &lw_own_domain);
        }
        MODEL_ASSERT(model.fork_handlers == 1);
    }
};
struct domain_first_pair : domain_first<domain_first_pair, 2> {};
MODEL_SUITE(domain_first_pair);
struct domain_first_three : domain_first<domain_first_three, 3> {};
MODEL_SUITE(domain_first_three);

/* A copy that is told to use another's domain while it begins to use its own: one of them, for
 * good. */
struct domain_adopt : model_suite<domain_adopt, 2, false> {
    static const bool makes_domain = false;
    lw_domain *other, *found;
    lw_status status;

    void setup()
    {
        other = make_other(LW_DOMAIN_ABI);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_atomic_store_relaxed_u64(&other->smr_clock, 1);
            status = lw_domain_adopt(other);
        } else {
            found = lw_domain_get();
            check_whole(found);
        }
    }
    void check()
    {
        MODEL_ASSERT(status == (found == other ? LW_OK : LW_BUSY));
        MODEL_ASSERT(lw_domain_get() == found);
    }
};
MODEL_SUITE(domain_adopt);

/* Thread 0 does what another copy does: it makes a domain, publishes it, or uses the one that is
 * there. */
struct domain_two_copies : model_suite<domain_two_copies, 2, false> {
    static const bool makes_domain = false;
    lw_domain *other, *found[2];

    void setup()
    {
        other = make_other(LW_DOMAIN_ABI);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            void *none = NULL;
            lw_atomic_store_relaxed_u64(&other->smr_clock, 1);
            found[0] = lw_atomic_cas_acq_rel_ptr(&lw_domain_anchor_, &none, other)
                           ? other
                           : (lw_domain *)none;
        } else {
            found[1] = lw_domain_get();
        }
        check_whole(found[i]);
    }
    void check()
    {
        MODEL_ASSERT(found[0] == found[1]);
        MODEL_ASSERT(lw_domain_foreign_() == NULL);
    }
};
MODEL_SUITE(domain_two_copies);

/* The other copy is of another version: each keeps its own, and can say so. */
struct domain_two_versions : model_suite<domain_two_versions, 2, false> {
    static const bool makes_domain = false;
    lw_domain *other;

    void setup()
    {
        other = make_other(LW_DOMAIN_ABI + 1);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            void *none = NULL;
            lw_atomic_store_relaxed_u64(&other->smr_clock, 1);
            (void)lw_atomic_cas_acq_rel_ptr(&lw_domain_anchor_, &none, other);
        } else {
            lw_domain *foreign = lw_domain_foreign_();
            MODEL_ASSERT(foreign == NULL || foreign == other);
            if (foreign != NULL) {
                check_whole(foreign);
            }
            check_whole(lw_domain_get());
            MODEL_ASSERT(lw_domain_get() == &lw_own_domain);
        }
    }
    void check()
    {
        MODEL_ASSERT(lw_domain_adopt(other) == LW_VERSION);
    }
};
MODEL_SUITE(domain_two_versions);

/* The child of a fork while a thread of the parent made the domain: it makes it anew. */
struct domain_fork_half : model_suite<domain_fork_half, 2, false> {
    static const bool makes_domain = false;

    void setup()
    {
        lw_thread_fork_init_();
        lw_atomic_store_relaxed_u32(&lw_own_state, 1);
        model.fork_child();
    }
    void body(unsigned)
    {
        check_whole(lw_domain_get());
    }
    void check()
    {
        MODEL_ASSERT(lw_domain_forked_() == &lw_own_domain);
        MODEL_ASSERT(model.fork_handlers == 1);
    }
};
MODEL_SUITE(domain_fork_half);

/* Three versions in one process: the third copy looks past the first for one of its own version,
 * which another publishes meanwhile. */
struct domain_past_another : model_suite<domain_past_another, 2, false> {
    static const bool makes_domain = false;
    lw_domain *other, *same, *found;

    void setup()
    {
        other = make_other(LW_DOMAIN_ABI + 1);
        same = make_other(LW_DOMAIN_ABI);
        lw_atomic_store_relaxed_ptr(&lw_domain_anchor_, other);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            void *none = NULL;
            lw_atomic_store_relaxed_u64(&same->smr_clock, 1);
            (void)lw_atomic_cas_acq_rel_ptr(&other->header.next, &none, same);
        } else {
            found = lw_domain_get();
            check_whole(found);
            MODEL_ASSERT(lw_domain_foreign_() == other);
        }
    }
    void check()
    {
        void *next = lw_atomic_load_relaxed_ptr(&other->header.next);
        MODEL_ASSERT(found == next && (found == same || found == &lw_own_domain));
    }
};
MODEL_SUITE(domain_past_another);

/* One of another version comes after this copy's: whoever asks finds nothing, or all of its
 * header. */
struct domain_foreign_last : model_suite<domain_foreign_last, 2, false> {
    lw_domain *other;

    void setup()
    {
        other = make_other(LW_DOMAIN_ABI + 1);
        lw_rl_quiet_ = NULL;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            void *none = NULL;
            lw_atomic_store_relaxed_u64(&other->smr_clock, 1);
            (void)lw_atomic_cas_acq_rel_ptr(&lw_own_domain.header.next, &none, other);
        } else {
            lw_domain *foreign = lw_domain_foreign_();
            MODEL_ASSERT(foreign == NULL || foreign == other);
            if (foreign != NULL) {
                check_whole(foreign);
            }
        }
    }
    void check()
    {
        MODEL_ASSERT(lw_domain_foreign_() == other);
    }
};
MODEL_SUITE(domain_foreign_last);

/* The process was out of keys when the domain was made; one is there when two threads start. */
struct domain_late_key : model_suite<domain_late_key, 2, true> {
    static const unsigned keys_missing = 1;

    void setup()
    {
        lw_rl_quiet_ = NULL;
    }
    void body(unsigned)
    {
        MODEL_ASSERT(lw_thread_self() != NULL);
    }
    void check()
    {
        MODEL_ASSERT(lw_thread_count() == 0);
    }
};
MODEL_SUITE(domain_late_key);

/* The same, beside one that asks for its record and makes none. */
struct domain_late_key_asked : model_suite<domain_late_key_asked, 2, true> {
    static const unsigned keys_missing = 1;

    void setup()
    {
        lw_rl_quiet_ = NULL;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            MODEL_ASSERT(lw_thread_self() != NULL);
        } else {
            MODEL_ASSERT(!lw_smr_in_section());
        }
    }
    void check()
    {
        MODEL_ASSERT(lw_thread_count() == 0);
    }
};
MODEL_SUITE(domain_late_key_asked);

static bool fork_free(lw_smr_node *)
{
    return true;
}

/* The child, whose one thread finds what the others left: records that are free, sections that have
 * ended, locks that nobody holds, waiters that are no more, lists that may be half-changed. */
struct domain_fork_child : model_suite<domain_fork_child, 1, true> {
    lw_smr_node orphan;
    unsigned long pending;

    /* Other threads are where a fork may find them. */
    void setup()
    {
        lw_domain *d = lw_domain_get();
        bool held = rl::rand(2) != 0;
        memset((void *)&orphan, 0, sizeof orphan);
        model_attach(0);
        model_attach(1);
        model_act_as(2);
        model.threads[2].no_memory = true;
        lw_smr_enter();
        lw_smr_retire_node(&orphan, fork_free, 1);
        pending = held ? 0 : 1;
        if (held) {
            lw_rawlock_lock_(&d->smr_lock);
        }
        model.threads[2].no_memory = false;
        model_act_as(1);
        lw_smr_enter();
        lw_rawlock_lock_(&d->lock);
        lw_rawlock_lock_(&d->park_queues[0].lock);
        LW_PLAIN_SET(d->park_queues[0].first, (lw_waiter *)(void *)d);
        LW_PLAIN_SET(d->park_queues[0].last, (lw_waiter *)(void *)d);
        lw_rawlock_lock_(&((lw_record *)lw_atomic_load_relaxed_ptr(&d->records))->ref_lock);
        model_act_as(0);
        model.fork_child();
        model_act_as(-1);
    }
    void body(unsigned)
    {
        lw_smr_node node;
        memset((void *)&node, 0, sizeof node);
        MODEL_ASSERT(lw_thread_count() == 1 && lw_thread_record_count() == 2);
        MODEL_ASSERT(lw_smr_get_stats().pending == pending);
        MODEL_ASSERT(lw_smr_synchronize() == LW_OK);
        MODEL_ASSERT(lw_unpark_one(&node, NULL, NULL).woken == 0);
        lw_smr_retire_node(&node, fork_free, 0);
        MODEL_ASSERT(lw_smr_flush() == LW_OK && lw_smr_get_stats().pending == 0);
        model_act_as(3);
        MODEL_ASSERT(lw_thread_self() != NULL);
        MODEL_ASSERT(lw_thread_count() == 2 && lw_thread_record_count() == 2);
        model_thread_exit();
        model_act_as(-1);
    }
    void check()
    {
        MODEL_ASSERT(lw_thread_count() == 0);
    }
};
MODEL_SUITE(domain_fork_child);

static int hooks_open;

static void *hooks_before(void)
{
    hooks_open++;
    return &hooks_open;
}

static void hooks_after(void *token)
{
    MODEL_ASSERT(token == &hooks_open);
    hooks_open--;
}

/* Hooks that are installed meanwhile: who calls the first calls the second. */
struct domain_hooks : model_suite<domain_hooks, 2, false> {
    void setup()
    {
        hooks_open = 0;
        lw_rl_quiet_ = NULL;
    }
    void body(unsigned i)
    {
        static const lw_block_hooks hooks = {hooks_before, hooks_after};
        if (i == 0) {
            lw_domain_set_block_hooks(&hooks);
        } else {
            void *token = lw_block_begin();
            lw_block_end(token);
        }
    }
    void check()
    {
        MODEL_ASSERT(hooks_open == 0);
    }
};
MODEL_SUITE(domain_hooks);

/* A walk of the records beside a thread that adds its own. */
struct domain_records : model_suite<domain_records, 3, false> {
    uint64_t grace;

    void setup()
    {
        model_attach(0);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            grace = lw_smr_grace_start();
            (void)lw_smr_grace_passed(grace);
            MODEL_ASSERT(lw_thread_record_count() >= 1);
            MODEL_ASSERT(lw_smr_get_stats().pending == 0);
        } else {
            (void)lw_thread_self();
        }
    }
    void check()
    {
        lw_smr_stats stats = lw_smr_get_stats();
        MODEL_ASSERT(stats.pending == 0 && stats.epoch == 2);
        MODEL_ASSERT(lw_thread_record_count() == 3 && lw_thread_count() == 3);
    }
};
MODEL_SUITE(domain_records);
