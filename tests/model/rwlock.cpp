/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped read-write lock. */
#include "model.hpp"

#include "locks/rwlock.c"

/* What the lock protects here: a count that races if a writer is inside with somebody else, or if
 * one does not see what the one before wrote. */
struct guarded {
    lw_rwlock_t l;
    LW_PLAIN(int) data;

    void add()
    {
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
    }
    int get()
    {
        return LW_PLAIN_GET(data);
    }
    void write()
    {
        lw_rwlock_write_lock(&l);
        add();
        lw_rwlock_write_unlock(&l);
    }
    void read()
    {
        lw_rwlock_read_lock(&l);
        (void)get();
        lw_rwlock_read_unlock(&l);
    }
    bool idle()
    {
        return l.word.latest() == 0;
    }
};

/* Both modes by both. */
struct rwlock_pair : model_suite<rwlock_pair, 2, false> {
    guarded g;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            g.write();
            g.read();
        } else {
            g.read();
            g.write();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 2 && g.idle());
    }
};
MODEL_SUITE(rwlock_pair);

struct rwlock_writers : model_suite<rwlock_writers, 3, false> {
    guarded g;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 2) {
            g.read();
        } else {
            g.write();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 2 && g.idle());
    }
};
MODEL_SUITE(rwlock_writers);

struct rwlock_readers : model_suite<rwlock_readers, 3, false> {
    guarded g;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            g.write();
        } else {
            g.read();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 1 && g.idle());
    }
};
MODEL_SUITE(rwlock_readers);

struct rwlock_try : model_suite<rwlock_try, 3, false> {
    guarded g;
    int written;

    void setup()
    {
        written = 0;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            g.write();
        } else if (i == 1) {
            if (lw_rwlock_read_trylock(&g.l)) {
                (void)g.get();
                lw_rwlock_read_unlock(&g.l);
            }
        } else if (lw_rwlock_write_trylock(&g.l)) {
            written++;
            g.add();
            lw_rwlock_write_unlock(&g.l);
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 1 + written && g.idle());
    }
};
MODEL_SUITE(rwlock_try);

/* A writer that may give up at any time, in the queue and when it waits for the readers: those who
 * wait for it go on. */
struct rwlock_timed : model_suite<rwlock_timed, 3, false> {
    guarded g;
    int got;

    void setup()
    {
        got = 0;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            g.read();
        } else if (i == 1) {
            if (lw_rwlock_write_lock_for(&g.l, 1000000) == LW_OK) {
                got++;
                g.add();
                lw_rwlock_write_unlock(&g.l);
            }
        } else if (lw_rwlock_read_lock_for(&g.l, 1000000) == LW_OK) {
            (void)g.get();
            lw_rwlock_read_unlock(&g.l);
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == got && g.idle());
    }
};
MODEL_SUITE(rwlock_timed);

/* Time goes by in leaps: the lock is handed over to those who wait, or not. */
struct rwlock_handed : model_suite<rwlock_handed, 3, false> {
    guarded g;

    void setup()
    {
        model.clock_jumps = true;
    }
    void body(unsigned i)
    {
        if (i == 2) {
            g.read();
        } else {
            g.write();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 2 && g.idle());
    }
};
MODEL_SUITE(rwlock_handed);

/* Nobody writes between the write lock and the read lock that it becomes. */
struct rwlock_downgrade : model_suite<rwlock_downgrade, 3, false> {
    guarded g;

    void setup()
    {
        model.clock_jumps = true;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            int before;
            lw_rwlock_write_lock(&g.l);
            g.add();
            before = g.get();
            lw_rwlock_downgrade(&g.l);
            MODEL_ASSERT(g.get() == before);
            lw_rwlock_read_unlock(&g.l);
        } else if (i == 1) {
            g.write();
        } else {
            g.read();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 2 && g.idle());
    }
};
MODEL_SUITE(rwlock_downgrade);

struct rwlock_upgrade : model_suite<rwlock_upgrade, 3, false> {
    guarded g;
    int got;

    void setup()
    {
        got = 0;
    }
    void body(unsigned i)
    {
        int before;
        if (i == 2) {
            g.write();
            return;
        }
        lw_rwlock_read_lock(&g.l);
        before = g.get();
        if (lw_rwlock_try_upgrade(&g.l)) {
            MODEL_ASSERT(g.get() == before);
            got++;
            g.add();
            lw_rwlock_write_unlock(&g.l);
        } else {
            lw_rwlock_read_unlock(&g.l);
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 1 + got && g.idle());
    }
};
MODEL_SUITE(rwlock_upgrade);

static void *rwlock_before(void)
{
    return &model;
}

static void rwlock_ends(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 1) {
        throw model_thread_ended();
    }
}

/* A thread that attaching ends passes on what it was woken for, or handed. */
struct rwlock_lost : model_suite<rwlock_lost, 3, false> {
    guarded g;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {rwlock_before, rwlock_ends};
        lw_domain_set_block_hooks(&hooks);
        model.clock_jumps = true;
        ended = 0;
    }
    void body(unsigned)
    {
        try {
            g.write();
        } catch (const model_thread_ended &) {
            ended++;
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 3 - ended && g.idle());
    }
};
MODEL_SUITE(rwlock_lost);

/* The one that ends waits for a reader, and another reader for it. */
struct rwlock_drain_lost : model_suite<rwlock_drain_lost, 3, false> {
    guarded g;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {rwlock_before, rwlock_ends};
        lw_domain_set_block_hooks(&hooks);
        ended = 0;
    }
    void body(unsigned i)
    {
        try {
            if (i == 1) {
                g.write();
            } else {
                g.read();
            }
        } catch (const model_thread_ended &) {
            ended++;
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 1 - ended && g.idle());
    }
};
MODEL_SUITE(rwlock_drain_lost);

/* The last user frees the memory while the one before may still be on its way out of unlock. One
 * that waits may have left the queue by then. */
template <class D, int N>
struct rwlock_freed_by : model_suite<D, N, false> {
    guarded *g;
    lw_atomic_u32 users;

    void setup()
    {
        g = model_new<guarded>();
        lw_atomic_store_relaxed_u32(&users, N);
    }
    void body(unsigned i)
    {
        bool last;
        if (i == 0) {
            lw_rwlock_write_lock(&g->l);
            last = lw_atomic_sub_acq_rel_u32(&users, 1) == 1;
            lw_rwlock_write_unlock(&g->l);
        } else if (lw_rwlock_read_lock_for(&g->l, 1000000) == LW_OK) {
            last = lw_atomic_sub_acq_rel_u32(&users, 1) == 1;
            lw_rwlock_read_unlock(&g->l);
        } else {
            last = lw_atomic_sub_acq_rel_u32(&users, 1) == 1;
        }
        if (last) {
            lw_rwlock_write_lock(&g->l);
            lw_rwlock_write_unlock(&g->l);
            model_free(g);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
struct rwlock_freed : rwlock_freed_by<rwlock_freed, 2> {};
MODEL_SUITE(rwlock_freed);
struct rwlock_freed_three : rwlock_freed_by<rwlock_freed_three, 3> {};
MODEL_SUITE(rwlock_freed_three);
