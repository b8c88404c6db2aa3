/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped critical sections, with mutex and park below them. */
#include "model.hpp"

#include "locks/critical.c"
#include "locks/mutex.c"

struct critical_account {
    lw_mutex_t m;
    LW_PLAIN(int) data;

    void add()
    {
        LW_PLAIN_SET(data, LW_PLAIN_GET(data) + 1);
    }
    bool is_whole(int sum)
    {
        return LW_PLAIN_GET(data) == sum && m.word.latest() == 0;
    }
};

/* One inside of the other, in opposite orders. */
template <class D, bool Starve>
struct critical_crossing : model_suite<D, 2, false> {
    critical_account a[2];

    void setup()
    {
        model.clock_jumps = Starve;
    }
    void body(unsigned i)
    {
        lw_critical_t outer, inner;
        lw_critical_begin(&outer, &a[i].m);
        a[i].add();
        lw_critical_begin(&inner, &a[1 - i].m);
        a[1 - i].add();
        lw_critical_end(&inner);
        a[i].add();
        lw_critical_end(&outer);
    }
    void check()
    {
        MODEL_ASSERT(a[0].is_whole(3) && a[1].is_whole(3));
    }
};
struct critical_cross : critical_crossing<critical_cross, false> {};
MODEL_SUITE(critical_cross);
/* Mutexes are handed over. */
struct critical_handed : critical_crossing<critical_handed, true> {};
MODEL_SUITE(critical_handed);

/* Both at once, given in opposite orders, and in a set. */
struct critical_pairs : model_suite<critical_pairs, 2, false> {
    critical_account a[2];

    void setup() {}
    void body(unsigned i)
    {
        lw_critical_t s;
        lw_mutex_t *set[2];
        if (i == 0) {
            lw_critical_begin2(&s, &a[1].m, &a[0].m);
        } else {
            set[0] = &a[1].m;
            set[1] = &a[0].m;
            lw_critical_begin_n(&s, set, 2);
        }
        a[0].add();
        a[1].add();
        lw_critical_end(&s);
    }
    void check()
    {
        MODEL_ASSERT(a[0].is_whole(2) && a[1].is_whole(2));
    }
};
MODEL_SUITE(critical_pairs);

/* A few at once, which end by one look for the waiters of all. */
struct critical_few : model_suite<critical_few, 2, false> {
    critical_account a[3];

    void setup()
    {
        (void)lw_domain_get();
    }
    void body(unsigned i)
    {
        lw_critical_t s;
        lw_mutex_t *set[3] = {&a[2].m, &a[0].m, &a[1].m};
        if (i == 0) {
            (void)lw_thread_self();
            lw_critical_begin_n(&s, set, 3);
            a[0].add();
            a[2].add();
            lw_critical_end(&s);
        } else {
            lw_mutex_lock(&a[2].m);
            a[2].add();
            lw_mutex_unlock(&a[2].m);
        }
    }
    void check()
    {
        MODEL_ASSERT(a[0].is_whole(1) && a[1].is_whole(0) && a[2].is_whole(2));
    }
};
MODEL_SUITE(critical_few);

/* A thread that sleeps for a mutex lets go of its section, which the mutex's owner wants. The inner
 * section has what the outer one has. */
struct critical_sleep : model_suite<critical_sleep, 2, false> {
    critical_account a;
    critical_account plain;

    void setup() {}
    void body(unsigned i)
    {
        lw_critical_t outer, inner;
        if (i == 0) {
            lw_critical_begin(&outer, &a.m);
            lw_critical_begin(&inner, &a.m);
            lw_mutex_lock(&plain.m);
            plain.add();
            a.add();
            lw_mutex_unlock(&plain.m);
            lw_critical_end(&inner);
            a.add();
            lw_critical_end(&outer);
        } else {
            lw_mutex_lock(&plain.m);
            lw_critical_begin(&outer, &a.m);
            plain.add();
            a.add();
            lw_critical_end(&outer);
            lw_mutex_unlock(&plain.m);
            lw_critical_begin(&outer, &a.m);
            a.add();
            lw_critical_end(&outer);
        }
    }
    void check()
    {
        MODEL_ASSERT(a.is_whole(4) && plain.is_whole(2));
    }
};
MODEL_SUITE(critical_sleep);

/* Three sections in a ring. */
struct critical_ring : model_suite<critical_ring, 3, false> {
    critical_account a[3];

    void setup() {}
    void body(unsigned i)
    {
        lw_critical_t outer, inner;
        lw_critical_begin(&outer, &a[i].m);
        lw_critical_begin(&inner, &a[(i + 1) % 3].m);
        a[(i + 1) % 3].add();
        lw_critical_end(&inner);
        a[i].add();
        lw_critical_end(&outer);
    }
    void check()
    {
        MODEL_ASSERT(a[0].is_whole(2) && a[1].is_whole(2) && a[2].is_whole(2));
    }
};
MODEL_SUITE(critical_ring);
