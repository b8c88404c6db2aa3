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
        MODEL_ASSERT((lw_domain_own_() == NULL) == (found[1] == other));
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

/* A fork while another thread makes the domain: the handlers find nothing, or all of it. */
struct domain_own : model_suite<domain_own, 2, false> {
    static const bool makes_domain = false;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            lw_domain *d = lw_domain_own_();
            if (d != NULL) {
                check_whole(d);
            }
        } else {
            (void)lw_domain_get();
        }
    }
    void check()
    {
        MODEL_ASSERT(lw_domain_own_() == &lw_own_domain);
    }
};
MODEL_SUITE(domain_own);

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

/* The handlers around a fork, in the parent, beside a thread that starts, waits for a lock of the
 * domain and uses a module for the first time. */
struct domain_fork : model_suite<domain_fork, 2, true> {
    void setup()
    {
        model_attach(0);
        lw_rl_quiet_ = NULL;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            model.fork_before();
            model.fork_parent();
        } else {
            lw_smr_node node;
            memset((void *)&node, 0, sizeof node);
            (void)lw_thread_self();
            lw_smr_retire_node(&node, fork_free, 0);
            MODEL_ASSERT(lw_smr_flush() == LW_OK);
        }
    }
    static bool fork_free(lw_smr_node *)
    {
        return true;
    }
    void check()
    {
        MODEL_ASSERT(lw_thread_count() == 0);
    }
};
MODEL_SUITE(domain_fork);

/* The child, whose one thread finds what the others left: records that are free, sections that have
 * ended. */
struct domain_fork_child : model_suite<domain_fork_child, 1, true> {
    void setup()
    {
        model_attach(0);
        model_attach(1);
        model.as = 1;
        lw_smr_enter();
        model.as = 0;
        model.fork_before();
        model.fork_child();
    }
    void body(unsigned)
    {
        MODEL_ASSERT(lw_thread_count() == 1 && lw_thread_record_count() == 2);
        MODEL_ASSERT(lw_smr_synchronize() == LW_OK);
        model.as = 2;
        MODEL_ASSERT(lw_thread_self() != NULL);
        MODEL_ASSERT(lw_thread_count() == 2 && lw_thread_record_count() == 2);
        model_thread_exit();
        model.as = -1;
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
