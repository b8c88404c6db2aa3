/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped mutex and park sources. */
#include "model.hpp"

#include "locks/mutex.c"

static bool nobody_announced()
{
    const lw_atomic_u32 *flags = (const lw_atomic_u32 *)lw_park_flags_.latest();
    return flags == NULL || (flags->latest() & ~(uint32_t)LW_PARK_FENCED_) == 0;
}

/* What a mutex protects here: a count that races if two are inside, or if one does not see what the
 * one before wrote. */
struct guarded {
    lw_mutex_t m;
    LW_PLAIN(int) data;

    void add()
    {
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
    }
    void turn()
    {
        lw_mutex_lock(&m);
        add();
        lw_mutex_unlock(&m);
    }
};

/* Exclusion and visibility; two turns each, so that a woken thread competes with a newcomer. */
struct mutex_pair : model_suite<mutex_pair, 2, false> {
    guarded g;

    void setup() {}
    void body(unsigned)
    {
        g.turn();
        g.turn();
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 4);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_pair);

/* Two may wait at once. */
struct mutex_three : model_suite<mutex_three, 3, false> {
    guarded g;

    void setup() {}
    void body(unsigned)
    {
        g.turn();
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 3);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_three);

/* trylock beside a holder and a waiter. */
struct mutex_try : model_suite<mutex_try, 3, false> {
    guarded g;
    int tries;

    void setup()
    {
        tries = 0;
    }
    void body(unsigned i)
    {
        if (i != 2) {
            g.turn();
        } else if (lw_mutex_trylock(&g.m)) {
            tries++;
            g.add();
            lw_mutex_unlock(&g.m);
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 2 + tries);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_try);

/* Exclusion and visibility where an unlock looks whether there is something to unlock. */
struct mutex_tryunlock : model_suite<mutex_tryunlock, 2, false> {
    guarded g;

    void setup() {}
    void body(unsigned)
    {
        for (int n = 0; n < 2; n++) {
            lw_mutex_lock(&g.m);
            g.add();
            MODEL_ASSERT(lw_mutex_tryunlock(&g.m));
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 4);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_tryunlock);

/* Whoever wants to unlocks, and it is unlocked as often as it was locked. */
struct mutex_unlocked_by_all : model_suite<mutex_unlocked_by_all, 3, false> {
    lw_mutex_t m;
    int unlocked;

    void setup()
    {
        unlocked = 0;
        MODEL_ASSERT(lw_mutex_trylock(&m));
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_mutex_lock(&m);
        }
        unlocked += lw_mutex_tryunlock(&m) ? 1 : 0;
    }
    void check()
    {
        MODEL_ASSERT(unlocked == 2);
        MODEL_ASSERT(m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_unlocked_by_all);

/* A wait with a limit ends at any time; nobody's wake gets lost by it. */
struct mutex_timed : model_suite<mutex_timed, 3, false> {
    guarded g;
    int got;

    void setup()
    {
        got = 0;
    }
    void body(unsigned i)
    {
        if (i != 2) {
            g.turn();
        } else if (lw_mutex_lock_for(&g.m, 1000000) == LW_OK) {
            got++;
            g.add();
            lw_mutex_unlock(&g.m);
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 2 + got);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_timed);

struct mutex_interrupted : model_suite<mutex_interrupted, 2, false> {
    guarded g;
    int got;

    void setup()
    {
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
        status = lw_mutex_lock_flags(&g.m, -1, LW_WAIT_INTERRUPTIBLE | LW_WAIT_ATTACHED);
        if (status == LW_OK) {
            got++;
            g.add();
            lw_mutex_unlock(&g.m);
        } else {
            MODEL_ASSERT(status == LW_INTERRUPTED);
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 2 + got);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_interrupted);

/* Nobody has used the library before. */
struct mutex_first : model_suite<mutex_first, 2, false> {
    static const bool makes_domain = false;
    guarded g;

    void setup() {}
    void body(unsigned)
    {
        g.turn();
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 2);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_first);

/* A limit that passes between two steps. */
struct mutex_clock : model_suite<mutex_clock, 2, false> {
    guarded g;
    int got;

    void setup()
    {
        got = 0;
        model.clock_jumps = true;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            g.turn();
            g.turn();
        } else if (lw_mutex_lock_for(&g.m, 1500000000) == LW_OK) {
            got++;
            g.add();
            lw_mutex_unlock(&g.m);
        }
    }
    void check()
    {
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 2 + got);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_clock);

static void *mutex_before(void)
{
    return &model;
}

static void mutex_ends(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 1) {
        throw model_thread_ended();
    }
}

/* A thread that attaching ends after it was woken passes the wake on. */
struct mutex_lost : model_suite<mutex_lost, 3, false> {
    guarded g;
    int ended;

    void setup()
    {
        static const lw_block_hooks hooks = {mutex_before, mutex_ends};
        lw_domain_set_block_hooks(&hooks);
        model.clock_jumps = true;
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
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == 3 - ended);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
MODEL_SUITE(mutex_lost);

/* Waiters starve at any time, and are handed the mutex, or are refused since another was
 * quicker. */
template <class D, unsigned N>
struct mutex_handed_by : model_suite<D, N, false> {
    guarded g;

    void setup()
    {
        model.clock_jumps = true;
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
        MODEL_ASSERT(LW_PLAIN_GET(g.data) == N + 1);
        MODEL_ASSERT(g.m.word.latest() == 0 && nobody_announced());
    }
};
struct mutex_handed : mutex_handed_by<mutex_handed, 3> {};
MODEL_SUITE(mutex_handed);
struct mutex_handed_pair : mutex_handed_by<mutex_handed_pair, 2> {};
MODEL_SUITE(mutex_handed_pair);

/* The last user frees the memory while the one before may still be on its way out of unlock. */
template <class D, int N>
struct mutex_freed : model_suite<D, N, false> {
    guarded *g;

    void setup()
    {
        g = model_new<guarded>();
    }
    void body(unsigned)
    {
        bool last;
        lw_mutex_lock(&g->m);
        g->add();
        last = LW_PLAIN_GET(g->data) == N;
        lw_mutex_unlock(&g->m);
        if (last) {
            model_free(g);
        }
    }
    void check()
    {
        MODEL_ASSERT(model_blocks_left() == 0);
    }
};
struct mutex_freed_pair : mutex_freed<mutex_freed_pair, 2> {};
MODEL_SUITE(mutex_freed_pair);
struct mutex_freed_three : mutex_freed<mutex_freed_three, 3> {};
MODEL_SUITE(mutex_freed_three);

/* The futex form: a waker of all, a waiter without a limit and one with. */
struct park_wait : model_suite<park_wait, 3, false> {
    lw_atomic_u32 word;
    LW_PLAIN(int) data;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            lw_atomic_store_release_u32(&word, 1);
            (void)lw_unpark_all(&word, 0);
            return;
        }
        for (;;) {
            lw_status status = lw_park_wait_u32(&word, 0, i == 1 ? -1 : 1000, LW_WAIT_DEFAULT);
            MODEL_ASSERT(status != LW_INTERRUPTED && (i == 2 || status != LW_TIMEOUT));
            if (status == LW_AGAIN) {
                MODEL_ASSERT(LW_PLAIN_GET(data) == 1);
            }
            if (status != LW_OK) {
                return;
            }
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1);
        }
    }
    void check() {}
};
MODEL_SUITE(park_wait);

/* Two objects whose queue is one: who waits for the second relies on the barrier of the first. */
struct park_shared : model_suite<park_shared, 3, false> {
    lw_atomic_u32 x, y;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            lw_atomic_store_release_u32(&x, 1);
            lw_fence_light();
            if (lw_park_announced_(&x)) {
                lw_park_notify_(&x);
            }
        } else if (i == 1) {
            lw_park_retract_(&y, lw_park_announce_(&y));
        } else {
            uint32_t ticket = lw_park_announce_(&x);
            while (lw_park_wait_u32(&x, 0, -1, LW_WAIT_ATTACHED) != LW_AGAIN) {
            }
            lw_park_retract_(&x, ticket);
        }
    }
    void check()
    {
        MODEL_ASSERT(nobody_announced());
    }
};
MODEL_SUITE(park_shared);

static bool park_wants(void *arg)
{
    return lw_atomic_load_relaxed_u32((lw_atomic_u32 *)arg) == 0;
}

struct park_token_counts {
    int left;
    int last;
};
static park_token_counts park_counts;

static void park_leaves(void *arg, bool last)
{
    (void)arg;
    park_counts.left++;
    park_counts.last += last;
}

static uintptr_t park_decides(void *arg, lw_unpark_result result)
{
    lw_atomic_store_relaxed_u32((lw_atomic_u32 *)arg, 1);
    return result.woken * 40 + (result.more ? 2 : 1);
}

/* Tokens, the count of those who left by themselves, and: before the waker's call is before the
 * return. */
struct park_token : model_suite<park_token, 3, false> {
    lw_atomic_u32 word;
    LW_PLAIN(int) data;
    lw_status status[2];
    uintptr_t token[2];
    size_t woken;

    void setup()
    {
        park_counts.left = park_counts.last = 0;
        woken = 0;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            LW_PLAIN_SET(data, 1);
            woken += lw_unpark_one(&word, park_decides, &word).woken;
            woken += lw_unpark_one(&word, NULL, NULL).woken;
            return;
        }
        token[i - 1] = 7;
        status[i - 1] = lw_park(&word, park_wants, park_leaves, &word, i == 1 ? -1 : 1000,
                                LW_WAIT_DEFAULT, &token[i - 1]);
        if (status[i - 1] == LW_OK) {
            MODEL_ASSERT(LW_PLAIN_GET(data) == 1);
        }
    }
    void check()
    {
        int i, slept = 0;
        for (i = 0; i < 2; i++) {
            switch (status[i]) {
            case LW_OK:
                slept++;
                MODEL_ASSERT(token[i] == 0 || token[i] == 41 || token[i] == 42);
                break;
            case LW_TIMEOUT:
                MODEL_ASSERT(i == 1);
                break;
            default:
                MODEL_ASSERT(status[i] == LW_AGAIN && token[i] == 7);
                break;
            }
        }
        MODEL_ASSERT((size_t)slept == woken);
        MODEL_ASSERT(park_counts.left == (status[1] == LW_TIMEOUT));
        MODEL_ASSERT(status[0] == LW_AGAIN || status[1] == LW_AGAIN || slept == 0 ||
                     token[0] == 42 || token[1] == 42 || status[1] == LW_TIMEOUT);
    }
};
MODEL_SUITE(park_token);

static void park_sees(void *arg, const void *address, int64_t waited_ns)
{
    (void)address, (void)waited_ns;
    ++*(int *)arg;
}

static void *park_before(void)
{
    return &park_counts;
}

/* The hook may end the thread: nothing may point to its stack any more. */
static void park_after(void *token)
{
    int waiters = 0;
    MODEL_ASSERT(token == &park_counts);
    lw_park_report(park_sees, &waiters);
    MODEL_ASSERT(waiters == 0);
}

struct park_hooks : model_suite<park_hooks, 2, false> {
    lw_atomic_u32 word;

    void setup()
    {
        static const lw_block_hooks hooks = {park_before, park_after};
        lw_domain_set_block_hooks(&hooks);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_atomic_store_relaxed_u32(&word, 1);
            (void)lw_unpark_one(&word, NULL, NULL);
        } else {
            (void)lw_park_wait_u32(&word, 0, 1000, LW_WAIT_DEFAULT);
        }
    }
    void check() {}
};
MODEL_SUITE(park_hooks);
