/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped biased mutex, over park and thread. */
#include "model.hpp"

#define LW_BIASED_AFTER 1 /* who unlocks it has the bias */
#define LW_BIASED_DOUBLINGS 0
#include "locks/biased_mutex.c"

/* What a mutex protects here: a count that races if two are inside, or if one does not see what the
 * one before wrote. */
struct guarded {
    lw_biased_mutex_t m;
    LW_PLAIN(int) data;

    void add()
    {
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
    }
    void turn()
    {
        lw_biased_mutex_lock(&m);
        add();
        lw_biased_mutex_unlock(&m);
    }
    /* After all threads. */
    void check(int turns)
    {
        uintptr_t word = (uintptr_t)m.word.latest();
        uintptr_t state = word & LW_BIASED_STATE_;
        MODEL_ASSERT(LW_PLAIN_GET(data) == turns);
        MODEL_ASSERT(word == 0 || state == LW_BIASED_FREE_ || state == LW_BIASED_TO_);
    }
};

static void check_nobody_announced()
{
    const lw_atomic_u32 *flags = (const lw_atomic_u32 *)lw_park_flags_.latest();
    const lw_record *r = (const lw_record *)lw_domain_get()->records.latest();
    MODEL_ASSERT(flags == NULL || (flags->latest() & ~(uint32_t)LW_PARK_FENCED_) == 0);
    for (; r != NULL; r = LW_PLAIN_GET(r->next)) {
        MODEL_ASSERT(r->head.biased_awaited.latest() == 0);
    }
}

static void check_slots_empty(int threads)
{
    int i, slot;
    for (i = 0; i < threads; i++) {
        const lw_thread *self = model.threads[i].slot.self;
        for (slot = 0; self != NULL && slot < LW_BIASED_SLOTS; slot++) {
            MODEL_ASSERT(self->biased[slot].latest() == NULL);
        }
    }
}

/* The records of all threads are there, and thread 0 has the bias of `g`. */
static void bias_to_first(guarded &g, int threads)
{
    int i;
    for (i = 0; i < threads; i++) {
        model_attach(i);
    }
    g.turn();
}

/* Thread 0 has the bias; the other takes it away, and gets it. */
struct biased_pair : model_suite<biased_pair, 2, false> {
    guarded g;

    void setup()
    {
        bias_to_first(g, 2);
    }
    void body(unsigned i)
    {
        g.turn();
        if (i == 0) {
            g.turn();
        }
    }
    void check()
    {
        g.check(4);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_pair);

/* Two want it away at once. */
struct biased_three : model_suite<biased_three, 3, false> {
    guarded g;

    void setup()
    {
        bias_to_first(g, 3);
    }
    void body(unsigned)
    {
        g.turn();
    }
    void check()
    {
        g.check(4);
        check_slots_empty(3);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_three);

/* Who tries takes the bias away, or finds somebody inside. */
struct biased_try : model_suite<biased_try, 2, false> {
    guarded g;
    int tries;

    void setup()
    {
        bias_to_first(g, 2);
        tries = 0;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            g.turn();
            g.turn();
        } else if (lw_biased_mutex_trylock(&g.m)) {
            tries++;
            g.add();
            MODEL_ASSERT(lw_biased_mutex_is_locked(&g.m));
            lw_biased_mutex_unlock(&g.m);
        }
    }
    void check()
    {
        g.check(3 + tries);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_try);

/* A wait with a limit ends at any time, and gives back what it has claimed. */
struct biased_timed : model_suite<biased_timed, 3, false> {
    guarded g;
    int got;

    void setup()
    {
        bias_to_first(g, 3);
        got = 0;
    }
    void body(unsigned i)
    {
        if (i != 1) {
            g.turn();
        } else if (lw_biased_mutex_lock_for(&g.m, 1000000) == LW_OK) {
            got++;
            g.add();
            lw_biased_mutex_unlock(&g.m);
        }
    }
    void check()
    {
        g.check(3 + got);
        check_slots_empty(3);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_timed);

struct biased_interrupted : model_suite<biased_interrupted, 2, false> {
    guarded g;
    int got;

    void setup()
    {
        bias_to_first(g, 2);
        got = 0;
    }
    void body(unsigned i)
    {
        lw_status status;
        if (i == 0) {
            g.turn();
            g.turn();
            return;
        }
        status = lw_biased_mutex_lock_flags(&g.m, -1, LW_WAIT_INTERRUPTIBLE | LW_WAIT_ATTACHED);
        if (status == LW_OK) {
            got++;
            g.add();
            lw_biased_mutex_unlock(&g.m);
        } else {
            MODEL_ASSERT(status == LW_INTERRUPTED);
        }
    }
    void check()
    {
        g.check(3 + got);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_interrupted);

static void *biased_before(void)
{
    return &model;
}

static void biased_ends(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 1) {
        throw model_thread_ended();
    }
}

/* A thread that attaching ends takes neither a wake nor a claim with it. */
struct biased_ended : model_suite<biased_ended, 3, false> {
    guarded g;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {biased_before, biased_ends};
        lw_domain_set_block_hooks(&hooks);
        model.clock_jumps = true;
        bias_to_first(g, 3);
        ended = 0;
    }
    void body(unsigned)
    {
        try {
            g.turn();
        } catch (const model_thread_ended &) {
            ended++;
        }
    }
    void check()
    {
        g.check(4 - ended);
        check_slots_empty(3);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_ended);

/* The last user frees the memory while the one before may still be on its way out of unlock. */
struct biased_freed : model_suite<biased_freed, 2, false> {
    guarded *g;
    unsigned blocks; /* those of records */

    void setup()
    {
        model_attach(0);
        model_attach(1);
        blocks = model_blocks_left();
        g = model_new<guarded>();
        g->turn();
    }
    void body(unsigned)
    {
        bool last;
        lw_biased_mutex_lock(&g->m);
        g->add();
        last = LW_PLAIN_GET(g->data) == 3;
        lw_biased_mutex_unlock(&g->m);
        if (last) {
            model_free(g);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == blocks);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_freed);

/* Two whose slot is the same: who takes the bias of the one away finds the other there. */
struct biased_same_slot : model_suite<biased_same_slot, 2, false> {
    guarded a, b;

    void setup()
    {
        bias_to_first(a, 2);
        b.turn();
    }
    void body(unsigned i)
    {
        lw_biased_mutex_lock(&a.m);
        MODEL_ASSERT(lw_biased_mutex_is_locked(&a.m)); /* the claim may come here */
        a.add();
        lw_biased_mutex_unlock(&a.m);
        if (i == 0) {
            b.turn();
        }
    }
    void check()
    {
        a.check(3);
        b.check(2);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_same_slot);

/* Held both at once: the second without its bias, which is there again afterwards. */
struct biased_nested : model_suite<biased_nested, 2, false> {
    guarded a, b;

    void setup()
    {
        bias_to_first(a, 2);
        b.turn();
    }
    void body(unsigned i)
    {
        if (i != 0) {
            b.turn();
            return;
        }
        lw_biased_mutex_lock(&a.m);
        lw_biased_mutex_lock(&b.m);
        a.add();
        b.add();
        lw_biased_mutex_unlock(&a.m);
        MODEL_ASSERT(!lw_biased_mutex_trylock(&b.m));
        lw_biased_mutex_unlock(&b.m);
        b.turn();
    }
    void check()
    {
        a.check(2);
        b.check(4);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_nested);

/* Thread 0 exits, and its record, with the bias, goes to thread 1, or not. */
struct biased_inherited : model_suite<biased_inherited, 2, true> {
    guarded g;

    void setup()
    {
        model_attach(0);
        g.turn();
    }
    void body(unsigned)
    {
        g.turn();
    }
    void check()
    {
        g.check(3);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_inherited);

/* One of the two has no record. */
struct biased_no_record : model_suite<biased_no_record, 2, false> {
    guarded g;

    void setup()
    {
        model_attach(0);
        g.turn();
        model.threads[1].no_memory = true;
    }
    void body(unsigned i)
    {
        g.turn();
        if (i == 0) {
            g.turn();
        }
    }
    void check()
    {
        g.check(4);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_no_record);

/* Nobody has the bias. */
struct biased_first : model_suite<biased_first, 2, false> {
    guarded g;

    void setup()
    {
        model_attach(0);
        model_attach(1);
    }
    void body(unsigned)
    {
        g.turn();
    }
    void check()
    {
        g.check(2);
        check_slots_empty(2);
        check_nobody_announced();
    }
};
MODEL_SUITE(biased_first);
