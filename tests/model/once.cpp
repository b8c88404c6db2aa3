/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped source. */
#include "model.hpp"

#include "locks/once.c"

/* A run writes what races unless each call that finds it done, and each later run, comes after. */
struct once_made {
    lw_once_t once;
    LW_PLAIN(int) value;
    LW_PLAIN(int) attempts;
    int failures; /* wanted */

    static lw_status make(void *arg)
    {
        once_made *o = (once_made *)arg;
        int n = LW_PLAIN_GET(o->attempts) + 1;
        LW_PLAIN_SET(o->attempts, n);
        MODEL_ASSERT(lw_once_begin(&o->once) == LW_BUSY);
        if (n <= o->failures) {
            return LW_NOMEM;
        }
        MODEL_ASSERT(LW_PLAIN_GET(o->value) == 0);
        LW_PLAIN_SET(o->value, 1);
        return LW_OK;
    }
    void find()
    {
        MODEL_ASSERT(LW_PLAIN_GET(value) == 1); /* first: the look would order it */
        MODEL_ASSERT(lw_once_done(&once));
    }
};

template <class D, int N, int FAILURES>
struct once_calls : model_suite<D, N, false> {
    once_made o;
    int failed;

    void setup()
    {
        o.failures = FAILURES;
        failed = 0;
    }
    void body(unsigned)
    {
        lw_status status = lw_once_call(&o.once, once_made::make, &o);
        if (status == LW_OK) {
            o.find();
        } else {
            MODEL_ASSERT(status == LW_NOMEM);
            failed++;
        }
        if (lw_once_done(&o.once)) {
            o.find();
        }
    }
    void check()
    {
        MODEL_ASSERT(failed == FAILURES);
        o.find();
    }
};
struct once_pair : once_calls<once_pair, 2, 0> {};
MODEL_SUITE(once_pair);
struct once_three : once_calls<once_three, 3, 0> {};
MODEL_SUITE(once_three);
struct once_fails : once_calls<once_fails, 2, 1> {};
MODEL_SUITE(once_fails);
struct once_fails_three : once_calls<once_fails_three, 3, 1> {};
MODEL_SUITE(once_fails_three);

/* Three, of which one may give up at any time; its wake does not get lost. */
struct once_timed : model_suite<once_timed, 3, false> {
    once_made o;

    void setup()
    {
        o.failures = 1;
    }
    void body(unsigned i)
    {
        lw_status status = i == 2 ? lw_once_call_for(&o.once, once_made::make, &o, 1000)
                                  : lw_once_call(&o.once, once_made::make, &o);
        MODEL_ASSERT(status == LW_OK || status == LW_NOMEM || (i == 2 && status == LW_TIMEOUT));
        if (status == LW_OK) {
            o.find();
        }
    }
    void check()
    {
        o.find();
    }
};
MODEL_SUITE(once_timed);

static lw_status once_ends(void *arg)
{
    once_made *o = (once_made *)arg;
    LW_PLAIN_SET(o->attempts, LW_PLAIN_GET(o->attempts) + 1);
    throw model_thread_ended();
}

static void *once_before(void)
{
    return &model;
}

static void once_after(void *token)
{
    MODEL_ASSERT(token == &model);
    if (model_self() == 1) {
        throw model_thread_ended();
    }
}

/* One thread ends inside of its run, another while it attaches after it was woken to try again: the
 * third has it done. */
struct once_ended : model_suite<once_ended, 3, false> {
    once_made o;

    void setup()
    {
        static const lw_block_hooks hooks = {once_before, once_after};
        lw_domain_set_block_hooks(&hooks);
        o.failures = 0;
    }
    void body(unsigned i)
    {
        try {
            lw_status status = lw_once_call_flags(&o.once, i == 0 ? once_ends : once_made::make, &o,
                                                  -1, i == 1 ? LW_WAIT_DEFAULT : LW_WAIT_ATTACHED);
            MODEL_ASSERT(status == LW_OK);
            o.find();
        } catch (const model_thread_ended &) {
            MODEL_ASSERT(i != 2);
        }
    }
    void check()
    {
        o.find();
    }
};
MODEL_SUITE(once_ended);

/* Whoever finds it done frees it, while the runner is on its way out. */
struct once_freed : model_suite<once_freed, 2, false> {
    once_made *o;
    LW_PLAIN(bool) found;

    void setup()
    {
        o = model_new<once_made>();
        o->failures = 0;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            if (lw_once_begin_flags(&o->once, 0, LW_WAIT_DEFAULT) == LW_OK) {
                lw_once_commit(&o->once);
            }
        } else {
            lw_status status = lw_once_begin(&o->once);
            if (status == LW_EXISTS) { /* the other ran it, and touches it no more */
                model_free(o);
            } else {
                lw_once_commit(&o->once);
            }
        }
    }
    void check() {}
};
MODEL_SUITE(once_freed);
