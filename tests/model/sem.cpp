/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped sem and park sources. */
#include "model.hpp"

#include "locks/sem.c"

/* Of value 1: exclusion, visibility, and no wake lost. */
struct one_inside {
    lw_sem_t s;
    LW_PLAIN(int) data;

    void begin()
    {
        lw_sem_init(&s, 1);
    }
    void add()
    {
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
        MODEL_ASSERT(lw_sem_release_max(&s, 1, 1) == LW_OK);
    }
    void turn()
    {
        lw_sem_acquire(&s);
        add();
    }
    bool end(int turns)
    {
        return LW_PLAIN_GET(data) == turns && s.word.latest() == LW_SEM_ONE_;
    }
};

/* A woken thread competes with a newcomer. */
struct sem_pair : model_suite<sem_pair, 2, false> {
    one_inside g;

    void setup()
    {
        g.begin();
    }
    void body(unsigned)
    {
        g.turn();
        g.turn();
    }
    void check()
    {
        MODEL_ASSERT(g.end(4));
    }
};
MODEL_SUITE(sem_pair);

struct sem_three : model_suite<sem_three, 3, false> {
    one_inside g;

    void setup()
    {
        g.begin();
    }
    void body(unsigned)
    {
        g.turn();
    }
    void check()
    {
        MODEL_ASSERT(g.end(3));
    }
};
MODEL_SUITE(sem_three);

/* A wait with a limit ends at any time; one that a signal ends. */
struct sem_timed : model_suite<sem_timed, 3, false> {
    one_inside g;
    int got;

    void setup()
    {
        g.begin();
        got = 0;
        model.clock_jumps = true;
    }
    void body(unsigned i)
    {
        lw_status status;
        if (i == 0) {
            g.turn();
            return;
        }
        status = i == 1 ? lw_sem_acquire_for(&g.s, 1500000000)
                        : lw_sem_acquire_flags(&g.s, -1, LW_WAIT_INTERRUPTIBLE);
        if (status == LW_OK) {
            got++;
            g.add();
        } else {
            MODEL_ASSERT(status == (i == 1 ? LW_TIMEOUT : LW_INTERRUPTED));
        }
    }
    void check()
    {
        MODEL_ASSERT(g.end(1 + got));
    }
};
MODEL_SUITE(sem_timed);

/* Several at once, to two that sleep. */
struct sem_several : model_suite<sem_several, 3, false> {
    lw_sem_t s;
    LW_PLAIN(int) data;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            MODEL_ASSERT(lw_sem_release(&s, 3) == LW_OK);
        } else {
            lw_sem_acquire(&s);
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1);
        }
    }
    void check()
    {
        MODEL_ASSERT(s.word.latest() == LW_SEM_ONE_);
    }
};
MODEL_SUITE(sem_several);

/* One by one, to two that sleep. */
struct sem_one_by_one : model_suite<sem_one_by_one, 3, false> {
    lw_sem_t s;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            MODEL_ASSERT(lw_sem_release(&s, 1) == LW_OK);
            MODEL_ASSERT(lw_sem_release(&s, 1) == LW_OK);
        } else {
            lw_sem_acquire(&s);
        }
    }
    void check()
    {
        MODEL_ASSERT(s.word.latest() == 0);
    }
};
MODEL_SUITE(sem_one_by_one);

/* Two releases beside a bound, and somebody who takes. */
struct sem_bounded : model_suite<sem_bounded, 3, false> {
    lw_sem_t s;
    uint32_t added[2], taken;

    void setup()
    {
        added[0] = added[1] = taken = 0;
    }
    void body(unsigned i)
    {
        if (i == 2) {
            taken = lw_sem_acquire_for(&s, 1000) == LW_OK;
            return;
        }
        added[i] = lw_sem_release_max(&s, 1, 1) == LW_OK;
        MODEL_ASSERT(lw_sem_value(&s) <= 1);
    }
    void check()
    {
        MODEL_ASSERT(added[0] + added[1] != 0 && added[0] + added[1] <= 1 + taken);
        MODEL_ASSERT(s.word.latest() == (added[0] + added[1] - taken) * LW_SEM_ONE_);
    }
};
MODEL_SUITE(sem_bounded);

static void *sem_before(void)
{
    return &model;
}

static void sem_ends(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 1) {
        throw model_thread_ended();
    }
}

/* A thread that attaching ends after it was woken passes the wake on. */
struct sem_lost : model_suite<sem_lost, 3, false> {
    one_inside g;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {sem_before, sem_ends};
        lw_domain_set_block_hooks(&hooks);
        g.begin();
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
        MODEL_ASSERT(g.end(3 - ended));
    }
};
MODEL_SUITE(sem_lost);

/* In the acquirer's frame: gone when the acquire returns. */
struct sem_freed : model_suite<sem_freed, 2, false> {
    lw_sem_t *s;

    void setup()
    {
        s = model_new<lw_sem_t>();
    }
    void body(unsigned i)
    {
        if (i == 0) {
            MODEL_ASSERT(lw_sem_release(s, 1) == LW_OK);
        } else {
            lw_sem_acquire(s);
            model_free(s);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
MODEL_SUITE(sem_freed);

/* As sem_freed, with two that take, of which the last frees it; one has a limit. */
struct sem_freed_by_last : model_suite<sem_freed_by_last, 3, false> {
    lw_sem_t *s;
    lw_atomic_u32 left;

    void setup()
    {
        s = model_new<lw_sem_t>();
        lw_atomic_store_relaxed_u32(&left, 2);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            MODEL_ASSERT(lw_sem_release(s, 2) == LW_OK);
            return;
        }
        (void)!lw_sem_acquire_for(s, i == 1 ? 1000 : -1);
        if (lw_atomic_sub_acq_rel_u32(&left, 1) == 1) {
            model_free(s);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
MODEL_SUITE(sem_freed_by_last);
