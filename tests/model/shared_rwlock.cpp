/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped read-write lock whose readers write to their own records; a record has two slots
 * here. */
#include "model.hpp"

#include "locks/rwlock.c"
#include "locks/shared_rwlock.c"

struct guarded {
    lw_shared_rwlock_t l;
    lw_atomic_u32 pause; /* a place inside where others may run */
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
        lw_shared_rwlock_write_lock(&l);
        add();
        lw_shared_rwlock_write_unlock(&l);
    }
    void read()
    {
        lw_shared_rwlock_read_lock(&l);
        (void)get();
        lw_shared_rwlock_read_unlock(&l);
    }
    void read_late()
    {
        lw_shared_rwlock_read_lock(&l);
        (void)lw_atomic_load_relaxed_u32(&pause);
        (void)get();
        lw_shared_rwlock_read_unlock(&l);
    }
};

/* Nobody holds it or is announced, and no slot is taken. */
static bool idle(const guarded &g)
{
    const lw_atomic_u32 *flags = (const lw_atomic_u32 *)lw_park_flags_.latest();
    const lw_record *r = (const lw_record *)lw_domain_get()->records.latest();
    for (; r != NULL; r = LW_PLAIN_GET(r->next)) {
        if (r->head.reads[0].latest() != NULL || r->head.reads[1].latest() != NULL) {
            return false;
        }
    }
    return g.l.base.word.latest() == 0 && (flags->latest() & ~(uint32_t)LW_PARK_FENCED_) == 0;
}

struct shared_pair : model_suite<shared_pair, 2, false> {
    guarded g;

    void setup()
    {
        model_attach(0);
        model_attach(1);
    }
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
        MODEL_ASSERT(g.get() == 2 && idle(g));
    }
};
MODEL_SUITE(shared_pair);

/* One sleep of the writer for each reader. */
struct shared_readers : model_suite<shared_readers, 3, false> {
    guarded g;

    void setup()
    {
        model_attach(0);
        model_attach(1);
        model_attach(2);
    }
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
        MODEL_ASSERT(g.get() == 1 && idle(g));
    }
};
MODEL_SUITE(shared_readers);

struct shared_writers : model_suite<shared_writers, 3, false> {
    guarded g;

    void setup()
    {
        model_attach(1);
    }
    void body(unsigned i)
    {
        if (i == 1) {
            g.read();
        } else {
            g.write();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 2 && idle(g));
    }
};
MODEL_SUITE(shared_writers);

/* The slot holds another lock when the writer looks: the end of the first is seen by that. */
struct shared_two_locks : model_suite<shared_two_locks, 2, false> {
    guarded first, second;

    void setup()
    {
        model_attach(0);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            first.read_late();
            lw_shared_rwlock_read_lock(&second.l);
        } else {
            first.write();
        }
    }
    void check()
    {
        lw_shared_rwlock_read_unlock(&second.l);
        MODEL_ASSERT(first.get() == 1 && idle(first) && idle(second));
    }
};
MODEL_SUITE(shared_two_locks);

/* The thread holds the lock all the time, by one slot after the other. */
struct shared_moves : model_suite<shared_moves, 2, false> {
    guarded g, beside;

    void setup()
    {
        model_attach(0);
        lw_shared_rwlock_read_lock(&beside.l);
        lw_shared_rwlock_read_lock(&g.l);
        MODEL_ASSERT(lw_thread_self()->reads[1].latest() == &g.l);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_shared_rwlock_read_unlock(&beside.l);
            lw_shared_rwlock_read_lock(&g.l);
            lw_shared_rwlock_read_unlock(&g.l);
            (void)g.get();
            lw_shared_rwlock_read_unlock(&g.l);
        } else {
            g.write();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 1 && idle(g));
    }
};
MODEL_SUITE(shared_moves);

/* More read locks of one thread than it has slots, and another reader. The third one is counted; it
 * could wait for the writer, and so only asks. */
struct shared_nested : model_suite<shared_nested, 2, false> {
    guarded g;

    void setup()
    {
        model_attach(0);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            int more = 0;
            lw_shared_rwlock_read_lock(&g.l);
            lw_shared_rwlock_read_lock(&g.l);
            more += lw_shared_rwlock_read_trylock(&g.l);
            (void)g.get();
            lw_shared_rwlock_read_unlock(&g.l);
            for (; more >= 0; more--) {
                (void)g.get();
                lw_shared_rwlock_read_unlock(&g.l);
            }
        } else {
            g.write();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 1 && idle(g));
    }
};
MODEL_SUITE(shared_nested);

/* A writer that may give up at any time, and who waits for it goes on. */
struct shared_timed : model_suite<shared_timed, 3, false> {
    guarded g;
    int got;

    void setup()
    {
        got = 0;
        model_attach(0);
        model_attach(2);
    }
    void body(unsigned i)
    {
        if (i != 1) {
            g.read();
        } else if (lw_shared_rwlock_write_lock_for(&g.l, 1000000) == LW_OK) {
            got++;
            g.add();
            lw_shared_rwlock_write_unlock(&g.l);
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == got && idle(g));
    }
};
MODEL_SUITE(shared_timed);

struct shared_no_record : model_suite<shared_no_record, 3, false> {
    guarded g;

    void setup()
    {
        model_attach(0);
        model.threads[1].no_memory = true;
    }
    void body(unsigned i)
    {
        if (i == 2) {
            g.write();
        } else {
            g.read();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 1 && idle(g));
    }
};
MODEL_SUITE(shared_no_record);

/* The reader's record is made while the writer goes through the list. */
struct shared_newcomer : model_suite<shared_newcomer, 2, false> {
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
        MODEL_ASSERT(g.get() == 1 && idle(g));
    }
};
MODEL_SUITE(shared_newcomer);

/* Threads that exit with the lock held: by a slot, and, if it came behind the writer, by the
 * count. */
struct shared_exit : model_suite<shared_exit, 2, true> {
    guarded g;

    void setup()
    {
        model_attach(0);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_shared_rwlock_read_lock(&g.l);
            (void)lw_atomic_load_relaxed_u32(&g.pause);
            (void)g.get();
        } else {
            g.write();
            g.write();
        }
    }
    void check()
    {
        MODEL_ASSERT(g.get() == 2 && idle(g));
    }
};
MODEL_SUITE(shared_exit);

static void *shared_before(void)
{
    return &model;
}

static void shared_ends(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 1) {
        throw model_thread_ended();
    }
}

/* A writer that attaching ends lets those go who wait for it. */
struct shared_lost : model_suite<shared_lost, 3, false> {
    guarded g;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {shared_before, shared_ends};
        lw_domain_set_block_hooks(&hooks);
        ended = 0;
        model_attach(0);
        model_attach(2);
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
        MODEL_ASSERT(g.get() == 1 - ended && idle(g));
    }
};
MODEL_SUITE(shared_lost);

/* The last user frees the memory while the one before may still be on its way out of unlock. */
struct shared_freed : model_suite<shared_freed, 2, false> {
    guarded *g;
    lw_atomic_u32 users;
    unsigned blocks;

    void setup()
    {
        model_attach(0);
        model_attach(1);
        blocks = model_blocks_left();
        g = model_new<guarded>();
        lw_atomic_store_relaxed_u32(&users, 2);
    }
    void body(unsigned i)
    {
        bool last;
        if (i == 0) {
            lw_shared_rwlock_write_lock(&g->l);
            last = lw_atomic_sub_acq_rel_u32(&users, 1) == 1;
            lw_shared_rwlock_write_unlock(&g->l);
        } else {
            lw_shared_rwlock_read_lock(&g->l);
            last = lw_atomic_sub_acq_rel_u32(&users, 1) == 1;
            lw_shared_rwlock_read_unlock(&g->l);
        }
        if (last) {
            lw_shared_rwlock_write_lock(&g->l);
            lw_shared_rwlock_write_unlock(&g->l);
            model_free(g);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == blocks);
    }
};
MODEL_SUITE(shared_freed);
