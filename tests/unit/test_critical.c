/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/biased_mutex.h>
#include <latchwork/critical.h>
#include <latchwork/once.h>
#include <latchwork/rwlock.h>
#include <latchwork/sem.h>
#include <latchwork/shared_rwlock.h>

#include "heap.h"
#include "unit.h"

#include <string.h>

#define MS INT64_C(1000000)

static lw_mutex_t a, b, c, d;

/* What another thread sees. */
static void try_it(void *arg)
{
    void **out = (void **)arg;
    if (lw_mutex_trylock((lw_mutex_t *)out[0])) {
        lw_mutex_unlock((lw_mutex_t *)out[0]);
        out[1] = NULL;
    }
}

static bool is_free(lw_mutex_t *m)
{
    void *out[2];
    out[0] = m;
    out[1] = m;
    support_run(1, try_it, out, sizeof out);
    return out[1] == NULL;
}

TEST(one_mutex)
{
    lw_critical_t s;
    lw_critical_begin(&s, &a);
    CHECK(!is_free(&a));
    CHECK(lw_critical_holds(&a));
    CHECK(!lw_critical_holds(&b));
    lw_mutex_assert_held(&a);
    lw_critical_end(&s);
    CHECK(is_free(&a));
    CHECK(!lw_critical_holds(&a));
}

TEST(two_mutexes_in_either_order)
{
    lw_critical_t s;
    lw_critical_begin2(&s, &a, &b);
    CHECK(!is_free(&a) && !is_free(&b));
    lw_critical_end(&s);
    lw_critical_begin2(&s, &b, &a);
    CHECK(!is_free(&a) && !is_free(&b));
    lw_critical_end(&s);
    CHECK(is_free(&a) && is_free(&b));
}

TEST(the_same_mutex_twice)
{
    lw_critical_t s;
    lw_critical_begin2(&s, &a, &a);
    CHECK(!is_free(&a));
    lw_critical_end(&s);
    CHECK(is_free(&a));
}

TEST(many_mutexes_unsorted_and_twice)
{
    lw_mutex_t m[8];
    lw_mutex_t *set[64];
    lw_critical_t s;
    size_t i, n, round;
    memset(m, 0, sizeof m);
    for (n = 0; n <= 64; n += n < 16 ? 1 : 12) {
        for (round = 0; round < 20; round++) {
            bool in[8] = {false};
            support_random random = support_random_new(n, round);
            for (i = 0; i < n; i++) {
                size_t which = (size_t)support_below(&random, 8);
                set[i] = &m[which];
                in[which] = true;
            }
            lw_critical_begin_n(&s, set, n);
            for (i = 0; i < 8; i++) {
                CHECK_EQ(lw_mutex_is_locked(&m[i]), in[i]);
            }
            lw_critical_end(&s);
            for (i = 0; i < 8; i++) {
                CHECK(!lw_mutex_is_locked(&m[i]));
            }
        }
    }
}

TEST(nested_sections)
{
    lw_critical_t outer, inner;
    lw_critical_begin(&outer, &a);
    lw_critical_begin(&inner, &b);
    CHECK(lw_critical_holds(&a) && lw_critical_holds(&b));
    lw_critical_end(&inner);
    CHECK(is_free(&b) && !is_free(&a));
    lw_critical_end(&outer);
    CHECK(is_free(&a));
}

/* The outer section keeps it; the inner one takes nothing and leaves nothing. */
TEST(nested_on_the_same_mutex)
{
    lw_critical_t outer, inner, innermost;
    lw_mutex_t *set[3];
    lw_critical_begin2(&outer, &a, &b);
    lw_critical_begin(&inner, &a);
    CHECK(!is_free(&a));
    lw_critical_end(&inner);
    CHECK(!is_free(&a) && !is_free(&b));
    lw_critical_begin2(&inner, &b, &c);
    set[0] = &c;
    set[1] = &d;
    set[2] = &a;
    lw_critical_begin_n(&innermost, set, 3);
    CHECK(!is_free(&d));
    lw_critical_end(&innermost);
    CHECK(is_free(&d) && !is_free(&c) && !is_free(&a));
    lw_critical_end(&inner);
    CHECK(is_free(&c) && !is_free(&b));
    lw_critical_end(&outer);
    CHECK(is_free(&a) && is_free(&b));
}

/* ---- Leaving the block ---- */

static int leave(int how)
{
    int i;
    for (i = 0; i < 2; i++) {
        LW_CRITICAL_BEGIN(&a)
        {
            CHECK(lw_critical_holds(&a));
            if (how == 0) {
                return i + 10;
            }
            if (how == 1) {
                break;
            }
            if (how == 2) {
                continue;
            }
            if (how == 3) {
                goto out;
            }
        }
        LW_CRITICAL_END();
        CHECK(!lw_critical_holds(&a));
    }
    return i;
out:
    return 30;
}

TEST(return_break_continue_and_goto_end_it)
{
    static const int results[] = {10, 0, 2, 30, 2};
    lw_mutex_t *set[3];
    int how;
    for (how = 0; how < 5; how++) {
        CHECK_EQ(leave(how), results[how]);
        CHECK(!lw_mutex_is_locked(&a));
        CHECK(*lw_held_root_() == NULL);
    }
    LW_CRITICAL_BEGIN2(&b, &a)
    {
        set[0] = &c;
        set[1] = &d;
        set[2] = &c;
        LW_CRITICAL_BEGIN_N(set, 3)
        {
            CHECK(lw_critical_holds(&a) && lw_critical_holds(&b) && lw_critical_holds(&c));
        }
        LW_CRITICAL_END();
        CHECK(is_free(&c) && !is_free(&b));
    }
    LW_CRITICAL_END();
    CHECK(is_free(&a) && is_free(&b));
}

/* ---- Suspension ---- */

typedef struct sleeper {
    support_thread thread;
    lw_mutex_t *sections[3]; /* begun one inside of the other */
    lw_mutex_t *waits_for;
    lw_status status;
    int64_t timeout_ns;
    bool by_section;
    int in, may_go, out;
} sleeper;

static void sleep_inside(void *arg)
{
    sleeper *s = (sleeper *)arg;
    lw_critical_t section[3], inner;
    int n = 0, i;
    while (n < 3 && s->sections[n] != NULL) {
        lw_critical_begin(&section[n], s->sections[n]);
        n++;
    }
    if (s->by_section) {
        lw_critical_begin(&inner, s->waits_for);
        CHECK(lw_critical_holds(s->waits_for));
        lw_critical_end(&inner);
    } else {
        s->status = lw_mutex_lock_for(s->waits_for, s->timeout_ns);
        if (s->status == LW_OK) {
            lw_mutex_unlock(s->waits_for);
        }
    }
    for (i = n - 1; i >= 0; i--) {
        int j;
        /* The innermost that has not ended is there again, and none of those outside of it that
         * was suspended. */
        CHECK(lw_critical_holds(s->sections[i]));
        __atomic_store_n(&s->in, n - i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&s->may_go, __ATOMIC_ACQUIRE) < n - i) {
            support_sleep(100000);
        }
        for (j = 0; j < i && s->sections[i] != s->sections[j]; j++) {
            CHECK(!lw_critical_holds(s->sections[j]));
        }
        lw_critical_end(&section[i]);
    }
    CHECK(*lw_held_root_() == NULL);
    __atomic_store_n(&s->out, 1, __ATOMIC_RELEASE);
}

static void await_in(sleeper *s, int value)
{
    int i;
    for (i = 0; __atomic_load_n(&s->in, __ATOMIC_ACQUIRE) < value; i++) {
        CHECK(i < 10000); /* a failure, and no hang */
        support_sleep(MS);
    }
}

static void start_sleeper(sleeper *s, lw_mutex_t *outer, lw_mutex_t *inner, lw_mutex_t *waits_for)
{
    memset(s, 0, sizeof *s);
    s->sections[0] = outer;
    s->sections[1] = inner;
    s->waits_for = waits_for;
    s->timeout_ns = -1;
}

static void see_suspended(bool by_section)
{
    sleeper s;
    start_sleeper(&s, &a, &b, &c);
    s.by_section = by_section;
    lw_mutex_lock(&c);
    support_start(&s.thread, sleep_inside, &s);
    support_await_waiters(&c, 1);
    /* It sleeps, and both are free. */
    lw_mutex_lock(&a);
    lw_mutex_lock(&b);
    lw_mutex_unlock(&c);
    /* It has what it waited for, and waits for its inner section; the outer one is left alone. */
    support_await_waiters(&b, 1);
    CHECK_EQ(support_waiters(&a), 0);
    lw_mutex_unlock(&b);
    await_in(&s, 1);
    CHECK(!lw_mutex_trylock(&b));
    __atomic_store_n(&s.may_go, 1, __ATOMIC_RELEASE);
    support_await_waiters(&a, 1);
    CHECK(lw_mutex_trylock(&b));
    lw_mutex_unlock(&b);
    lw_mutex_unlock(&a);
    await_in(&s, 2);
    CHECK(!lw_mutex_trylock(&a));
    __atomic_store_n(&s.may_go, 2, __ATOMIC_RELEASE);
    support_join(&s.thread);
    CHECK_EQ(s.status, LW_OK);
    CHECK(!lw_mutex_is_locked(&a) && !lw_mutex_is_locked(&b) && !lw_mutex_is_locked(&c));
}

/* Of a few, each in turn is held or waited for by another thread. */
TEST(a_few_at_once_beside_others)
{
    lw_mutex_t m[4];
    lw_mutex_t *set[4];
    lw_critical_t s;
    sleeper other;
    size_t n, i, j;
    memset(m, 0, sizeof m);
    CHECK(lw_thread_self() != NULL);
    for (n = 2; n <= 4; n++) {
        for (i = 0; i < n; i++) {
            for (j = 0; j < n; j++) {
                set[j] = &m[n - 1 - j];
            }
            memset(&other, 0, sizeof other);
            other.sections[0] = &m[i];
            other.waits_for = &m[(i + 1) % n];
            other.timeout_ns = 0; /* it does not wait, and stays in its section */
            support_start(&other.thread, sleep_inside, &other);
            await_in(&other, 1);
            CHECK_EQ(lw_critical_begin_flags(&s, set, n, 0, LW_WAIT_DEFAULT), LW_TIMEOUT);
            CHECK_EQ(lw_critical_begin_flags(&s, set, n, MS, LW_WAIT_DEFAULT), LW_TIMEOUT);
            for (j = 0; j < n; j++) {
                CHECK_EQ(lw_mutex_is_locked(&m[j]), i == j);
            }
            __atomic_store_n(&other.may_go, 1, __ATOMIC_RELEASE);
            lw_critical_begin_n(&s, set, n);
            support_join(&other.thread);
            /* Now it waits for what this section has. */
            memset(&other, 0, sizeof other);
            other.waits_for = &m[i];
            other.timeout_ns = -1;
            support_start(&other.thread, sleep_inside, &other);
            support_await_waiters(&m[i], 1);
            lw_critical_end(&s);
            support_join(&other.thread);
            CHECK_EQ(other.status, LW_OK);
            for (j = 0; j < n; j++) {
                CHECK(!lw_mutex_is_locked(&m[j]));
            }
        }
    }
}

TEST(suspended_while_it_waits_for_a_mutex)
{
    see_suspended(false);
}

TEST(suspended_while_it_waits_for_a_section)
{
    see_suspended(true);
}

/* What was the outer section's alone is the inner one's own when it is resumed. */
TEST(a_borrowed_mutex_is_taken_again)
{
    sleeper s;
    start_sleeper(&s, &a, &a, &c);
    lw_mutex_lock(&c);
    support_start(&s.thread, sleep_inside, &s);
    support_await_waiters(&c, 1);
    lw_mutex_lock(&a);
    lw_mutex_unlock(&c);
    support_await_waiters(&a, 1);
    lw_mutex_unlock(&a);
    await_in(&s, 1);
    CHECK(!lw_mutex_trylock(&a));
    __atomic_store_n(&s.may_go, 1, __ATOMIC_RELEASE);
    await_in(&s, 2);
    CHECK(!lw_mutex_trylock(&a));
    __atomic_store_n(&s.may_go, 2, __ATOMIC_RELEASE);
    support_join(&s.thread);
    CHECK(!lw_mutex_is_locked(&a));
}

TEST(resumed_after_a_time_out)
{
    sleeper s;
    start_sleeper(&s, &a, NULL, &c);
    s.timeout_ns = 2 * MS;
    s.may_go = 1;
    lw_mutex_lock(&c);
    support_run(1, sleep_inside, &s, sizeof s);
    CHECK_EQ(s.status, LW_TIMEOUT);
    lw_mutex_unlock(&c);
    CHECK(!lw_mutex_is_locked(&a));
}

static void hold_b(void *arg)
{
    sleeper *s = (sleeper *)arg;
    lw_critical_t section;
    lw_critical_begin(&section, &b);
    __atomic_store_n(&s->in, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&s->may_go, __ATOMIC_ACQUIRE)) {
        support_sleep(100000);
    }
    lw_critical_end(&section);
}

TEST(a_section_with_a_limit)
{
    lw_mutex_t *set[3];
    lw_critical_t outer, inner;
    sleeper other;
    int i;
    memset(&other, 0, sizeof other);
    support_start(&other.thread, hold_b, &other);
    await_in(&other, 1);
    lw_critical_begin(&outer, &d);
    for (i = 0; i < 3; i++) {
        int64_t limit_ns = i == 0 ? 0 : i * MS;
        set[0] = &c;
        set[1] = &b;
        set[2] = &a;
        CHECK_EQ(lw_critical_begin_flags(&inner, set, 3, limit_ns, LW_WAIT_ATTACHED), LW_TIMEOUT);
        CHECK(is_free(&a) && is_free(&c));
        CHECK(lw_critical_holds(&d) && !is_free(&d));
    }
    __atomic_store_n(&other.may_go, 1, __ATOMIC_RELEASE);
    support_join(&other.thread);
    CHECK_EQ(lw_critical_begin_flags(&inner, set, 3, 0, LW_WAIT_DEFAULT), LW_OK);
    CHECK(!is_free(&a) && !is_free(&b) && !is_free(&c));
    lw_critical_end(&inner);
    lw_critical_end(&outer);
    CHECK(is_free(&d));
}

TEST(a_wait_outside_of_the_library_suspends_too)
{
    lw_critical_t s;
    void *token;
    lw_critical_begin2(&s, &a, &b);
    token = lw_block_begin();
    CHECK(is_free(&a) && is_free(&b));
    lw_block_end(token);
    CHECK(!is_free(&a) && !is_free(&b));
    lw_critical_end(&s);
    token = lw_block_begin();
    lw_block_end(token);
    CHECK(is_free(&a));
}

/* Each begins one inside of the other, in opposite orders, both at once. */
typedef struct crossing {
    lw_mutex_t *outer, *inner;
    int turns;
} crossing;

static void cross(void *arg)
{
    crossing *x = (crossing *)arg;
    int i;
    for (i = 0; i < x->turns; i++) {
        LW_CRITICAL_BEGIN(x->outer)
        {
            LW_CRITICAL_BEGIN(x->inner)
            {
                CHECK(lw_critical_holds(x->inner));
            }
            LW_CRITICAL_END();
            CHECK(lw_critical_holds(x->outer));
        }
        LW_CRITICAL_END();
    }
}

TEST(sections_in_opposite_orders)
{
    crossing x[3] = {{&a, &b, 20000}, {&b, &c, 20000}, {&c, &a, 20000}};
    support_run(3, cross, x, sizeof x[0]);
    CHECK(!lw_mutex_is_locked(&a) && !lw_mutex_is_locked(&b) && !lw_mutex_is_locked(&c));
}

/* ---- A thread that ends, a fork, no memory, misuse ---- */

/* As a host does: a thread that it has ended is not attached, and does not detach. */
static __thread bool has_ended;

static void *hook_before(void)
{
    return has_ended ? NULL : &a;
}

static void hook_ends(void *token)
{
    int ending = support_started();
    (void)token;
    has_ended = ending != 0;
    support_end(&ending);
}

static void has_no_section(void *arg)
{
    (void)arg;
    CHECK(*lw_held_root_() == NULL);
}

/* It ends while it attaches: its sections were suspended, so nothing stays locked. */
TEST(who_ends_in_a_wait_leaves_nothing_locked)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    sleeper s;
    lw_critical_t section;
    lw_domain_set_block_hooks(&hooks);
    start_sleeper(&s, &a, &b, &c);
    lw_mutex_lock(&c);
    support_start(&s.thread, sleep_inside, &s);
    support_await_waiters(&c, 1);
    lw_mutex_unlock(&c);
    support_join(&s.thread);
    CHECK_EQ(s.in, 0);
    CHECK(!lw_mutex_is_locked(&a) && !lw_mutex_is_locked(&b) && !lw_mutex_is_locked(&c));
    /* Another thread gets its record, and no section with it. */
    lw_domain_set_block_hooks(NULL);
    support_run(1, has_no_section, &s, sizeof s);
    lw_critical_begin(&section, &a);
    lw_critical_end(&section);
}

/* The same where the end of a thread unwinds its stack: this file is compiled with -fexceptions, as
 * C++ is. What the sections had let go of is another's by now. */
static void wait_in_a_block(void *arg)
{
    sleeper *s = (sleeper *)arg;
    LW_CRITICAL_BEGIN(&a)
    {
        LW_CRITICAL_BEGIN(&b)
        {
            lw_mutex_lock(&c);
            s->in = 1;
        }
        LW_CRITICAL_END();
    }
    LW_CRITICAL_END();
}

static lw_mutex_t pair[2];

static void begin_and_end(void *arg)
{
    (void)arg;
    LW_CRITICAL_BEGIN(&d)
    {
        LW_CRITICAL_BEGIN2(&pair[1], &pair[0])
        {
            CHECK(false);
        }
        LW_CRITICAL_END();
    }
    LW_CRITICAL_END();
}

TEST(unwinding_ends_no_section_that_is_not_there)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    sleeper s;
    int i;
    lw_domain_set_block_hooks(&hooks);
    memset(&s, 0, sizeof s);
    lw_mutex_lock(&c);
    support_start(&s.thread, wait_in_a_block, &s);
    support_await_waiters(&c, 1);
    lw_mutex_lock(&a);
    lw_mutex_lock(&b);
    lw_mutex_unlock(&c);
    for (i = 0; i < 50; i++) {
        CHECK(lw_mutex_is_locked(&a) && lw_mutex_is_locked(&b));
        support_sleep(MS);
    }
    /* The outer section is resumed for what is unwound in it. */
    lw_mutex_unlock(&a);
    support_join(&s.thread);
    CHECK_EQ(s.in, 0);
    CHECK(!lw_mutex_is_locked(&a) && lw_mutex_is_locked(&b));
    lw_mutex_unlock(&b);
    /* In the wait of a section that has not begun: it has one of its two mutexes. */
    lw_mutex_lock(&pair[1]);
    support_start(&s.thread, begin_and_end, NULL);
    support_await_waiters(&pair[1], 1);
    lw_mutex_unlock(&pair[1]);
    support_join(&s.thread);
    CHECK(!lw_mutex_is_locked(&pair[0]) && !lw_mutex_is_locked(&pair[1]));
    CHECK(!lw_mutex_is_locked(&d));
}

/* ---- What a thread was woken with, when its section is not free ---- */

static void lock_plainly(void *arg)
{
    sleeper *s = (sleeper *)arg;
    CHECK_EQ(lw_mutex_lock_for(s->waits_for, -1), LW_OK);
    __atomic_store_n(&s->in, 1, __ATOMIC_RELEASE);
    lw_mutex_unlock(s->waits_for);
}

/* The first to wait for c has to wait for its section then: the second gets c, and neither a wake
 * nor the mutex stays with the first. */
static void see_passed_on(bool starved)
{
    sleeper first, second;
    start_sleeper(&first, &a, NULL, &c);
    start_sleeper(&second, NULL, NULL, &c);
    lw_mutex_lock(&c);
    support_start(&first.thread, sleep_inside, &first);
    support_await_waiters(&c, 1);
    support_start(&second.thread, lock_plainly, &second);
    support_await_waiters(&c, 2);
    lw_mutex_lock(&a);
    if (starved) {
        support_sleep(3 * MS);
    }
    lw_mutex_unlock(&c);
    await_in(&second, 1);
    support_join(&second.thread);
    CHECK_EQ(first.in, 0);
    lw_mutex_unlock(&a);
    await_in(&first, 1);
    __atomic_store_n(&first.may_go, 1, __ATOMIC_RELEASE);
    support_join(&first.thread);
    CHECK_EQ(first.status, LW_OK);
    CHECK(!lw_mutex_is_locked(&a) && !lw_mutex_is_locked(&c));
}

TEST(a_wake_is_passed_on_by_who_waits_for_its_section)
{
    see_passed_on(false);
}

TEST(a_mutex_is_passed_on_by_who_waits_for_its_section)
{
    see_passed_on(true);
}

/* The same with locks that stop others before they have them: `first` waits for the lock in a
 * section on a, the section is taken, and `second` wants the lock. */
typedef struct stopper {
    support_thread thread;
    void *lock;
    void (*take)(void *lock);
    void (*drop)(void *lock);
    bool in_section;
    int in;
} stopper;

static void stop_others(void *arg)
{
    stopper *s = (stopper *)arg;
    lw_critical_t section;
    if (s->in_section) {
        lw_critical_begin(&section, &a);
    }
    s->take(s->lock);
    CHECK(!s->in_section || lw_critical_holds(&a));
    __atomic_store_n(&s->in, 1, __ATOMIC_RELEASE);
    s->drop(s->lock);
    if (s->in_section) {
        lw_critical_end(&section);
    }
}

static void read_take(void *lock)
{
    lw_rwlock_read_lock((lw_rwlock_t *)lock);
}

static void read_drop(void *lock)
{
    lw_rwlock_read_unlock((lw_rwlock_t *)lock);
}

static void write_take(void *lock)
{
    lw_rwlock_write_lock((lw_rwlock_t *)lock);
}

static void write_drop(void *lock)
{
    lw_rwlock_write_unlock((lw_rwlock_t *)lock);
}

static void shared_read_take(void *lock)
{
    lw_shared_rwlock_read_lock((lw_shared_rwlock_t *)lock);
}

static void shared_read_drop(void *lock)
{
    lw_shared_rwlock_read_unlock((lw_shared_rwlock_t *)lock);
}

static void shared_write_take(void *lock)
{
    lw_shared_rwlock_write_lock((lw_shared_rwlock_t *)lock);
}

static void shared_write_drop(void *lock)
{
    lw_shared_rwlock_write_unlock((lw_shared_rwlock_t *)lock);
}

static void biased_take(void *lock)
{
    lw_biased_mutex_lock((lw_biased_mutex_t *)lock);
}

static void biased_drop(void *lock)
{
    lw_biased_mutex_unlock((lw_biased_mutex_t *)lock);
}

static void await_stopper(stopper *s)
{
    int i;
    for (i = 0; !__atomic_load_n(&s->in, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a failure, and no hang */
        support_sleep(MS);
    }
    support_join(&s->thread);
}

static void see_given_up(stopper *first, const void *first_waits, stopper *second,
                         const void *second_waits, void (*drop)(void *lock))
{
    first->in_section = true;
    support_start(&first->thread, stop_others, first);
    support_await_waiters(first_waits, 1);
    lw_mutex_lock(&a);
    support_start(&second->thread, stop_others, second);
    support_await_waiters(second_waits, first_waits == second_waits ? 2 : 1);
    drop(first->lock);
    await_stopper(second);
    CHECK_EQ(__atomic_load_n(&first->in, __ATOMIC_ACQUIRE), 0);
    lw_mutex_unlock(&a);
    await_stopper(first);
    CHECK(!lw_mutex_is_locked(&a));
}

TEST(a_write_lock_is_given_up_by_who_waits_for_its_section)
{
    static lw_rwlock_t l;
    stopper first = {.lock = &l, .take = write_take, .drop = write_drop};
    stopper second = {.lock = &l, .take = read_take, .drop = read_drop};
    lw_rwlock_read_lock(&l);
    see_given_up(&first, lw_park_late_(&l), &second, &l, read_drop);
    CHECK(!lw_rwlock_is_locked(&l));
}

TEST(a_shared_write_lock_is_given_up_by_who_waits_for_its_section)
{
    static lw_shared_rwlock_t l;
    stopper first = {.lock = &l, .take = shared_write_take, .drop = shared_write_drop};
    stopper second = {.lock = &l, .take = shared_read_take, .drop = shared_read_drop};
    lw_shared_rwlock_read_lock(&l);
    see_given_up(&first, lw_park_late_(&l), &second, &l, shared_read_drop);
    lw_shared_rwlock_write_lock(&l);
    lw_shared_rwlock_write_unlock(&l);
}

TEST(a_biased_mutex_is_given_up_by_who_waits_for_its_section)
{
    static lw_biased_mutex_t m;
    stopper first = {.lock = &m, .take = biased_take, .drop = biased_drop};
    stopper second = {.lock = &m, .take = biased_take, .drop = biased_drop};
    lw_biased_mutex_lock(&m);
    see_given_up(&first, &m, &second, &m, biased_drop);
    CHECK(!lw_biased_mutex_is_locked(&m));
}

/* ---- What was left inside of other sections ---- */

static int ended_by_list;

static void ended(lw_held_ *held)
{
    CHECK(*lw_held_root_() != held);
    ended_by_list++;
}

static void sem_take(void *lock)
{
    lw_sem_acquire((lw_sem_t *)lock);
}

static void sem_drop(void *lock)
{
    CHECK_EQ(lw_sem_release((lw_sem_t *)lock, 1), LW_OK);
}

TEST(a_permit_is_given_up_by_who_waits_for_its_section)
{
    static lw_sem_t s;
    stopper first = {.lock = &s, .take = sem_take, .drop = sem_drop};
    stopper second = {.lock = &s, .take = sem_take, .drop = sem_drop};
    see_given_up(&first, &s, &second, &s, sem_drop);
    CHECK_EQ(lw_sem_value(&s), 1);
}

static void once_take(void *lock)
{
    CHECK_EQ(lw_once_begin((lw_once_t *)lock), LW_OK);
}

static void once_drop(void *lock)
{
    lw_once_abort((lw_once_t *)lock);
}

TEST(a_run_is_given_up_by_who_waits_for_its_section)
{
    static lw_once_t o;
    stopper first = {.lock = &o, .take = once_take, .drop = once_drop};
    stopper second = {.lock = &o, .take = once_take, .drop = once_drop};
    once_take(&o);
    see_given_up(&first, &o, &second, &o, once_drop);
    CHECK(!lw_once_done(&o));
}

TEST(a_section_that_was_left_ends_when_it_is_the_innermost)
{
    lw_held_ops_ ops = lw_critical_ops_;
    lw_critical_t outer, left[2], inner;
    void *token;
    int i;
    ops.left = ended;
    for (i = 0; i < 2; i++) {
        ended_by_list = 0;
        lw_critical_begin(&outer, &a);
        lw_critical_begin(&left[0], &b);
        lw_critical_begin(&left[1], &c);
        left[0].held.ops = left[1].held.ops = &ops;
        lw_critical_begin(&inner, &d);
        left[0].held.state |= LW_HELD_LEFT_;
        left[1].held.state |= LW_HELD_LEFT_;
        if (i == 1) {
            token = lw_block_begin(); /* suspended as well */
            lw_block_end(token);
        }
        CHECK_EQ(ended_by_list, 0);
        lw_critical_end(&inner);
        CHECK_EQ(ended_by_list, 2);
        CHECK(lw_critical_holds(&a) && !lw_mutex_is_locked(&b) && !lw_mutex_is_locked(&c));
        lw_critical_end(&outer);
        CHECK(*lw_held_root_() == NULL);
    }
}

static void child_ends_it(void *arg)
{
    lw_critical_t *s = (lw_critical_t *)arg;
    CHECK(lw_critical_holds(&a));
    lw_critical_end(s);
    CHECK(!lw_mutex_is_locked(&a));
    /* The other thread is not here; what it held stays locked, as with a mutex. */
    CHECK(lw_mutex_is_locked(&b));
}

TEST(forked_child_ends_its_section)
{
    sleeper other;
    lw_critical_t s;
    memset(&other, 0, sizeof other);
    support_start(&other.thread, hold_b, &other);
    await_in(&other, 1);
    lw_critical_begin(&s, &a);
    support_fork_ok(child_ends_it, &s);
    CHECK(lw_critical_holds(&a));
    lw_critical_end(&s);
    __atomic_store_n(&other.may_go, 1, __ATOMIC_RELEASE);
    support_join(&other.thread);
}

static void suspend_without_a_record(void *arg)
{
    lw_critical_t outer, inner;
    void *token;
    (void)arg;
    heap_fail_after(0);
    lw_critical_begin(&outer, &a);
    CHECK(LW_TLS_SLOT_()->self == NULL);
    heap_fail_after(-1);
    lw_critical_begin(&inner, &b); /* now there could be a record */
    CHECK(lw_mutex_is_locked(&a) && lw_mutex_is_locked(&b));
    token = lw_block_begin();
    CHECK(!lw_mutex_is_locked(&a) && !lw_mutex_is_locked(&b));
    lw_block_end(token);
    CHECK(!lw_mutex_is_locked(&a) && lw_mutex_is_locked(&b));
    lw_critical_end(&inner);
    CHECK(lw_mutex_is_locked(&a));
    lw_critical_end(&outer);
    CHECK(!lw_mutex_is_locked(&a));
    CHECK(lw_thread_self() != NULL);
    lw_critical_begin(&outer, &a);
    lw_critical_end(&outer);
}

TEST(a_thread_without_a_record_has_sections_too)
{
    char unused = 0;
    heap_install();
    support_run(1, suspend_without_a_record, &unused, 1);
}

static void end_out_of_order(void *arg)
{
    lw_critical_t outer, inner;
    (void)arg;
    lw_critical_begin(&outer, &a);
    lw_critical_begin(&inner, &b);
    lw_critical_end(&outer);
}

static void end_twice(void *arg)
{
    lw_critical_t s;
    (void)arg;
    lw_critical_begin(&s, &a);
    lw_critical_end(&s);
    lw_critical_end(&s);
}

TEST(misuse)
{
    char said[400];
    CHECK(support_fork(end_out_of_order, NULL, said, sizeof said) != 0);
    CHECK(strstr(said, "lw_critical_end") != NULL);
    CHECK(strstr(said, "innermost") != NULL);
    CHECK(support_fork(end_twice, NULL, said, sizeof said) != 0);
    CHECK(strstr(said, "lw_critical_end") != NULL);
}
