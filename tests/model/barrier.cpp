/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped barrier and park sources. */
#include "model.hpp"

#include "locks/barrier.c"

/* Two rounds, one right after the other; each sees what the other did before. */
struct barrier_rounds : model_suite<barrier_rounds, 2, false> {
    lw_barrier_t b;
    LW_PLAIN(int) data[2][2];

    void setup()
    {
        lw_barrier_init(&b, 2);
    }
    void body(unsigned i)
    {
        int round;
        for (round = 0; round < 2; round++) {
            uint32_t index = 7;
            LW_PLAIN_SET(data[round][i], 1 + round);
            MODEL_ASSERT(lw_barrier_wait(&b, &index) == LW_OK && index < 2);
            MODEL_ASSERT(LW_PLAIN_GET(data[round][1 - i]) == 1 + round);
        }
    }
    void check()
    {
        MODEL_ASSERT(b.state.latest() == LW_BARRIER_FILLING_ && b.arrived.latest() == 0);
    }
};
MODEL_SUITE(barrier_rounds);

struct barrier_three : model_suite<barrier_three, 3, false> {
    lw_barrier_t b;
    uint32_t index[3];

    void setup()
    {
        lw_barrier_init(&b, 3);
    }
    void body(unsigned i)
    {
        MODEL_ASSERT(lw_barrier_wait(&b, &index[i]) == LW_OK);
    }
    void check()
    {
        MODEL_ASSERT((1U << index[0] | 1U << index[1] | 1U << index[2]) == 7);
    }
};
MODEL_SUITE(barrier_three);

struct barrier_deed {
    LW_PLAIN(int) count;
    bool good, ends;
};

static bool barrier_act(void *arg)
{
    barrier_deed *deed = (barrier_deed *)arg;
    LW_PLAIN_SET(deed->count, LW_PLAIN_GET(deed->count) + 1);
    if (deed->ends) {
        throw model_thread_ended();
    }
    return deed->good;
}

/* One acts, before the others go on; and again at once. */
struct barrier_action : model_suite<barrier_action, 2, false> {
    lw_barrier_t b;
    barrier_deed deed;

    void setup()
    {
        lw_barrier_init(&b, 2);
        deed.good = true;
        deed.ends = false;
    }
    void body(unsigned)
    {
        int round;
        for (round = 0; round < 2; round++) {
            MODEL_ASSERT(lw_barrier_wait_then(&b, barrier_act, &deed, -1, LW_WAIT_DEFAULT, NULL) ==
                         LW_OK);
            MODEL_ASSERT(LW_PLAIN_GET(deed.count) == round + 1);
            MODEL_ASSERT(lw_barrier_wait(&b, NULL) == LW_OK);
        }
    }
    void check()
    {
        MODEL_ASSERT(b.state.latest() == LW_BARRIER_FILLING_ && b.arrived.latest() == 0);
    }
};
MODEL_SUITE(barrier_action);

/* The action fails, or ends its thread. */
template <class D, bool ends>
struct barrier_fails : model_suite<D, 2, false> {
    lw_barrier_t b;
    barrier_deed deed;
    int ended;

    void setup()
    {
        lw_barrier_init(&b, 2);
        deed.good = false;
        deed.ends = ends;
        ended = 0;
    }
    void body(unsigned)
    {
        try {
            MODEL_ASSERT(lw_barrier_wait_then(&b, barrier_act, &deed, -1, LW_WAIT_DEFAULT, NULL) ==
                         LW_BROKEN);
        } catch (const model_thread_ended &) {
            ended++;
        }
    }
    void check()
    {
        MODEL_ASSERT(ended == ends && LW_PLAIN_GET(deed.count) == 1);
        MODEL_ASSERT(b.state.latest() == LW_BARRIER_BROKEN_);
    }
};
struct barrier_failed : barrier_fails<barrier_failed, false> {};
MODEL_SUITE(barrier_failed);
struct barrier_ended : barrier_fails<barrier_ended, true> {};
MODEL_SUITE(barrier_ended);

/* A limit: all pass, or one timed out and the others find it broken. With an action: once that runs
 * the limit is none. */
template <class D, bool acts>
struct barrier_limited : model_suite<D, 2, false> {
    lw_barrier_t b;
    barrier_deed deed;
    lw_status status[2];

    void setup()
    {
        lw_barrier_init(&b, 2);
        deed.good = true;
        deed.ends = false;
    }
    void body(unsigned i)
    {
        status[i] = lw_barrier_wait_then(&b, acts ? barrier_act : NULL, &deed, i == 0 ? 1000 : -1,
                                         LW_WAIT_DEFAULT, NULL);
    }
    void check()
    {
        bool passed = status[0] == LW_OK;
        MODEL_ASSERT(passed || status[0] == LW_TIMEOUT);
        MODEL_ASSERT(status[1] == (passed ? LW_OK : LW_BROKEN));
        MODEL_ASSERT(lw_barrier_is_broken(&b) == !passed && lw_barrier_waiting(&b) == 0);
        MODEL_ASSERT(LW_PLAIN_GET(deed.count) == (passed && acts));
    }
};
struct barrier_timed : barrier_limited<barrier_timed, false> {};
MODEL_SUITE(barrier_timed);
struct barrier_timed_action : barrier_limited<barrier_timed_action, true> {};
MODEL_SUITE(barrier_timed_action);

/* A signal changes nothing: it waits again, or gives up for all. */
struct barrier_interrupted : model_suite<barrier_interrupted, 2, false> {
    lw_barrier_t b;
    lw_status status[2];

    void setup()
    {
        lw_barrier_init(&b, 2);
    }
    void body(unsigned i)
    {
        int calls = 0;
        if (i == 0) {
            status[0] = lw_barrier_wait(&b, NULL);
            return;
        }
        do {
            status[1] = lw_barrier_wait_flags(&b, -1, LW_WAIT_INTERRUPTIBLE, NULL);
        } while (status[1] == LW_INTERRUPTED && ++calls < 2);
        if (status[1] == LW_INTERRUPTED) {
            lw_barrier_abort(&b);
        }
    }
    void check()
    {
        MODEL_ASSERT(status[1] == LW_OK || status[1] == LW_INTERRUPTED);
        MODEL_ASSERT(status[0] == (status[1] == LW_OK ? LW_OK : LW_BROKEN));
    }
};
MODEL_SUITE(barrier_interrupted);

/* Aborted at any moment, the round is for both or for none. */
struct barrier_aborted : model_suite<barrier_aborted, 3, false> {
    lw_barrier_t b;
    lw_status status[2];

    void setup()
    {
        lw_barrier_init(&b, 2);
    }
    void body(unsigned i)
    {
        if (i == 2) {
            lw_barrier_abort(&b);
        } else {
            status[i] = lw_barrier_wait(&b, NULL);
        }
    }
    void check()
    {
        MODEL_ASSERT(status[0] == status[1] && (status[0] == LW_OK || status[0] == LW_BROKEN));
        MODEL_ASSERT(b.state.latest() == LW_BARRIER_BROKEN_);
    }
};
MODEL_SUITE(barrier_aborted);

/* The same with an action, which abort does not cut short; nor does reset. */
template <class D, bool resets>
struct barrier_beside_action : model_suite<D, 3, false> {
    lw_barrier_t b;
    barrier_deed deed;
    lw_status status[2];

    void setup()
    {
        lw_barrier_init(&b, 2);
        deed.good = true;
        deed.ends = false;
    }
    void body(unsigned i)
    {
        if (i != 2) {
            status[i] = lw_barrier_wait_then(&b, barrier_act, &deed, -1, LW_WAIT_DEFAULT, NULL);
            return;
        }
        if (resets) {
            lw_barrier_reset(&b);
        }
        lw_barrier_abort(&b);
    }
    void check()
    {
        MODEL_ASSERT(status[0] == status[1] && (status[0] == LW_OK || status[0] == LW_BROKEN));
        MODEL_ASSERT(status[0] != LW_OK || LW_PLAIN_GET(deed.count) == 1);
        MODEL_ASSERT(b.state.latest() == LW_BARRIER_BROKEN_);
    }
};
struct barrier_abort_action : barrier_beside_action<barrier_abort_action, false> {};
MODEL_SUITE(barrier_abort_action);
struct barrier_reset_action : barrier_beside_action<barrier_reset_action, true> {};
MODEL_SUITE(barrier_reset_action);

/* One too many comes to the door, or is the first of the next round; who has passed breaks that. */
struct barrier_door : model_suite<barrier_door, 3, false> {
    lw_barrier_t b;
    barrier_deed deed;
    lw_status status[3];

    void setup()
    {
        lw_barrier_init(&b, 2);
        deed.good = true;
        deed.ends = false;
    }
    void body(unsigned i)
    {
        status[i] = lw_barrier_wait_then(&b, barrier_act, &deed, -1, LW_WAIT_DEFAULT, NULL);
        if (status[i] == LW_OK) {
            lw_barrier_abort(&b);
        }
    }
    void check()
    {
        int i, passed = 0;
        for (i = 0; i < 3; i++) {
            passed += status[i] == LW_OK;
        }
        MODEL_ASSERT(passed == 2 && LW_PLAIN_GET(deed.count) == 1);
    }
};
MODEL_SUITE(barrier_door);

static void *barrier_before(void)
{
    return &model;
}

static void barrier_ends(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 0) {
        throw model_thread_ended();
    }
}

/* A thread that attaching ends after it timed out has broken the barrier before. */
struct barrier_lost : model_suite<barrier_lost, 2, false> {
    lw_barrier_t b;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {barrier_before, barrier_ends};
        lw_domain_set_block_hooks(&hooks);
        lw_barrier_init(&b, 2);
        ended = 0;
    }
    void body(unsigned i)
    {
        try {
            (void)!lw_barrier_wait_for(&b, i == 0 ? 1000 : -1, NULL);
        } catch (const model_thread_ended &) {
            ended++;
        }
    }
    void check() {}
};
MODEL_SUITE(barrier_lost);

/* Freed by one that was let go; also with an action. */
template <class D, int N, bool acts>
struct barrier_freed_by : model_suite<D, N, false> {
    lw_barrier_t *b;
    barrier_deed deed;

    void setup()
    {
        b = model_new<lw_barrier_t>();
        lw_barrier_init(b, N);
        deed.good = true;
        deed.ends = false;
    }
    void body(unsigned i)
    {
        MODEL_ASSERT(lw_barrier_wait_then(b, acts ? barrier_act : NULL, &deed, -1, LW_WAIT_DEFAULT,
                                          NULL) == LW_OK);
        if (i == 0) {
            model_free(b);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
struct barrier_freed : barrier_freed_by<barrier_freed, 3, false> {};
MODEL_SUITE(barrier_freed);
struct barrier_freed_action : barrier_freed_by<barrier_freed_action, 2, true> {};
MODEL_SUITE(barrier_freed_action);
