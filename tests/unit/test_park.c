/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/park.h>

#include "heap.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum { THREADS = 6 };

#define MS INT64_C(1000000)

static bool validate_yes(void *arg)
{
    (void)arg;
    return true;
}

static bool validate_no(void *arg)
{
    (void)arg;
    return false;
}

typedef struct leaves {
    int calls;
    int lasts;
} leaves;

static void count_leave(void *arg, bool last)
{
    leaves *l = (leaves *)arg;
    l->calls++;
    l->lasts += last;
}

typedef struct waiter {
    const void *address;
    support_thread thread;
    leaves *leaves;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    uintptr_t token;
    int order; /* of the return */
    int done;
} waiter;

static int returned;

static void wait_once(void *arg)
{
    waiter *w = (waiter *)arg;
    w->status = lw_park(w->address, validate_yes, count_leave, w->leaves, w->timeout_ns, w->flags,
                        &w->token);
    w->order = __atomic_fetch_add(&returned, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
}

static leaves common_leaves;

static void launch_waiter(waiter *w, const void *address, int64_t timeout_ns, unsigned flags)
{
    memset(w, 0, sizeof *w);
    w->address = address;
    w->leaves = &common_leaves;
    w->timeout_ns = timeout_ns;
    w->flags = flags;
    support_start(&w->thread, wait_once, w);
}

/* Returns when it is in the queue, or has given up already. */
static void start_waiter(waiter *w, const void *address, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    launch_waiter(w, address, timeout_ns, flags);
    support_await_newcomer(address, NULL, since_ns, &w->thread);
}

TEST(validate_no_does_not_sleep)
{
    static int address;
    leaves l = {0, 0};
    CHECK_EQ(lw_park(&address, validate_no, count_leave, &l, -1, LW_WAIT_DEFAULT, NULL), LW_AGAIN);
    CHECK_EQ(l.calls, 0);
    CHECK_EQ(support_waiters(&address), 0);
}

TEST(zero_timeout_only_asks)
{
    static int address;
    leaves l = {0, 0};
    CHECK_EQ(lw_park(&address, validate_yes, count_leave, &l, 0, LW_WAIT_DEFAULT, NULL),
             LW_TIMEOUT);
    CHECK_EQ(lw_park(&address, validate_no, count_leave, &l, 0, LW_WAIT_DEFAULT, NULL), LW_AGAIN);
    CHECK_EQ(support_waiters(&address), 0);
}

TEST(timeout_leaves_the_queue)
{
    static int address;
    leaves l = {0, 0};
    CHECK_EQ(lw_park(&address, validate_yes, count_leave, &l, 2 * MS, LW_WAIT_DEFAULT, NULL),
             LW_TIMEOUT);
    CHECK_EQ(l.calls, 1);
    CHECK_EQ(l.lasts, 1);
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 0);
    CHECK_EQ(support_waiters(&address), 0);
}

TEST(shortest_and_longest_timeouts)
{
    static int address;
    leaves l = {0, 0};
    waiter w;
    CHECK_EQ(lw_park(&address, validate_yes, count_leave, &l, 1, LW_WAIT_DEFAULT, NULL),
             LW_TIMEOUT);
    start_waiter(&w, &address, INT64_MAX, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    start_waiter(&w, &address, INT64_MIN, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
}

TEST(leave_says_whether_others_wait)
{
    static int address;
    leaves l = {0, 0};
    waiter w;
    start_waiter(&w, &address, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_park(&address, validate_yes, count_leave, &l, 2 * MS, LW_WAIT_DEFAULT, NULL),
             LW_TIMEOUT);
    CHECK_EQ(l.calls, 1);
    CHECK_EQ(l.lasts, 0);
    CHECK_EQ(lw_unpark_all(&address, 0), 1);
    support_join(&w.thread);
    CHECK_EQ(common_leaves.calls, 0); /* it was woken: `leave` is for those that were not */
}

/* ---- What the library's own locks use ---- */

typedef struct how_waiter {
    lw_park_how_ how;
    const void *address;
    support_thread thread;
    lw_status status;
    uintptr_t token;
    int order;
    int queued;
    unsigned flags;
    int granted; /* what its grant says: -2: no; -1: starved; 0: yes; else the token, too */
} how_waiter;

static void how_queued(void *arg)
{
    how_waiter *w = (how_waiter *)arg;
    /* Whoever wakes from here on wakes it; it holds no lock of the library. */
    if (w->queued == 1) {
        CHECK_EQ(lw_unpark_one(w->address, NULL, NULL).woken, 1);
    }
    w->queued = 2;
}

static int how_grant(void *arg, int64_t *last_ns, uintptr_t *token)
{
    const how_waiter *w = (const how_waiter *)arg;
    *last_ns += 1;
    if (w->granted < 0) {
        return LW_GRANT_STARVED_ + w->granted + 1;
    }
    *token = w->granted == 0 ? 0 : (uintptr_t)w->granted + (uintptr_t)*last_ns * 100;
    return LW_GRANT_YES_;
}

static void wait_how(void *arg)
{
    how_waiter *w = (how_waiter *)arg;
    w->status = lw_park_with_(w->address, &w->how, -1, w->flags, &w->token);
    w->order = __atomic_fetch_add(&returned, 1, __ATOMIC_RELAXED);
}

static void start_how_with(how_waiter *w, const void *address, int64_t since_ns,
                           lw_park_validate_fn validate, unsigned flags)
{
    size_t before = support_waiters(address);
    memset(w, 0, sizeof *w);
    w->flags = flags;
    w->how.validate = validate;
    w->how.queued = how_queued;
    w->how.grant = how_grant;
    w->how.since_ns = since_ns;
    w->how.announce = true;
    w->how.arg = w;
    w->address = address;
    support_start(&w->thread, wait_how, w);
    support_await_waiters(address, before + 1);
}

static void start_how(how_waiter *w, const void *address, int64_t since_ns)
{
    start_how_with(w, address, since_ns, validate_yes, LW_WAIT_ATTACHED);
}

TEST(queued_is_called_once_it_can_be_woken)
{
    static int address;
    how_waiter w;
    memset(&w, 0, sizeof w);
    w.how.validate = validate_no;
    w.how.queued = how_queued;
    w.how.arg = &w;
    w.address = &address;
    CHECK_EQ(lw_park_with_(&address, &w.how, -1, LW_WAIT_DEFAULT, NULL), LW_AGAIN);
    CHECK_EQ(w.queued, 0);
    w.how.validate = validate_yes;
    CHECK_EQ(lw_park_with_(&address, &w.how, 0, LW_WAIT_DEFAULT, NULL), LW_TIMEOUT);
    CHECK_EQ(w.queued, 0);
    w.queued = 1;
    CHECK_EQ(lw_park_with_(&address, &w.how, -1, LW_WAIT_DEFAULT, NULL), LW_OK);
    CHECK_EQ(w.queued, 2);
}

TEST(who_has_waited_before_keeps_its_place)
{
    static int address;
    static const int64_t since[] = {30, 10, 40, 20, 10};
    static const int order[] = {3, 0, 4, 2, 1};
    how_waiter w[5];
    int i;
    for (i = 0; i < 5; i++) {
        start_how(&w[i], &address, since[i]);
    }
    for (i = 0; i < 5; i++) {
        CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
        while (__atomic_load_n(&returned, __ATOMIC_RELAXED) == i) {
            support_sleep(100000);
        }
    }
    for (i = 0; i < 5; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].order, order[i]);
    }
}

static int choose_by_place(void *arg, void *asked)
{
    const char **choices = (const char **)arg;
    CHECK(((const how_waiter *)asked)->status == LW_OK);
    switch (*(*choices)++) {
    case 't':
        return LW_UNPARK_TAKE_;
    case 's':
        return LW_UNPARK_SKIP_;
    default:
        return LW_UNPARK_STOP_;
    }
}

static uintptr_t decide_by_count(void *arg, lw_unpark_result result)
{
    (void)arg;
    return result.woken * 10 + result.more;
}

TEST(a_waker_chooses_among_waiters)
{
    static int address;
    static const char *const rules[] = {"stst", "x", "tx", "t"};
    static const size_t woken[] = {2, 0, 1, 1};
    static const bool more[] = {true, true, true, false};
    how_waiter w[4];
    size_t i;
    for (i = 0; i < 4; i++) {
        start_how(&w[i], &address, 0);
    }
    for (i = 0; i < 4; i++) {
        const char *rule = rules[i];
        lw_unpark_result result =
            lw_unpark_some_(&address, choose_by_place, decide_by_count, (void *)&rule);
        CHECK_EQ(result.woken, woken[i]);
        CHECK_EQ(result.more, more[i]);
        CHECK_EQ(*rule, 0); /* each was asked once, and nobody behind a stop */
    }
    for (i = 0; i < 4; i++) {
        support_join(&w[i].thread);
    }
    CHECK_EQ(w[0].token, 11);
    CHECK_EQ(w[1].token, 21);
    CHECK_EQ(w[2].token, 10);
    CHECK_EQ(w[3].token, 21);
}

/* Who is asked and says no sleeps on, and is known to starve. */
TEST(the_first_waiter_says_whether_a_release_wakes_it)
{
    static int address;
    how_waiter first, second;
    start_how(&first, &address, 0);
    start_how(&second, &address, 0);
    CHECK(lw_park_announced_(&address));
    first.granted = -2;
    second.granted = 7;
    lw_park_notify_(&address);
    CHECK(!lw_park_starved_(&address));
    first.granted = -1;
    lw_park_notify_(&address);
    CHECK(lw_park_starved_(&address));
    lw_park_notify_(&address);
    CHECK_EQ(support_waiters(&address), 2);
    first.granted = 3;
    lw_park_notify_(&address);
    support_join(&first.thread);
    CHECK_EQ(first.token, 403); /* asked for the fourth time */
    CHECK(!lw_park_starved_(&address));
    lw_park_notify_(&address);
    support_join(&second.thread);
    CHECK_EQ(second.token, 507);
    first.granted = -1;
    start_how(&first, &address, 0);
    first.granted = -1;
    lw_park_notify_(&address);
    CHECK(lw_park_starved_(&address));
    CHECK_EQ(lw_unpark_all(&address, 5), 1);
    support_join(&first.thread);
    CHECK_EQ(first.token, 5);
    CHECK(!lw_park_starved_(&address));
}

typedef struct decision {
    lw_unpark_result result;
    const waiter *waiter;
    bool still_asleep;
    int calls;
} decision;

static uintptr_t decide(void *arg, lw_unpark_result result)
{
    decision *d = (decision *)arg;
    d->result = result;
    d->calls++;
    return 4711;
}

TEST(unpark_with_nobody_there_decides_all_the_same)
{
    static int address;
    decision d;
    lw_unpark_result result;
    memset(&d, 0, sizeof d);
    result = lw_unpark_one(&address, decide, &d);
    CHECK_EQ(result.woken, 0);
    CHECK(!result.more);
    CHECK_EQ(d.calls, 1);
    CHECK_EQ(d.result.woken, 0);
    CHECK(!d.result.more);
    result = lw_unpark_one(&address, NULL, NULL);
    CHECK_EQ(result.woken, 0);
    CHECK_EQ(lw_unpark_all(&address, 1), 0);
}

TEST(unpark_one_takes_the_longest_waiting)
{
    static int address;
    int i;
    waiter waiters[THREADS];
    for (i = 0; i < THREADS; i++) {
        start_waiter(&waiters[i], &address, -1, LW_WAIT_DEFAULT);
    }
    for (i = 0; i < THREADS; i++) {
        decision d;
        lw_unpark_result result;
        memset(&d, 0, sizeof d);
        result = lw_unpark_one(&address, decide, &d);
        CHECK_EQ(result.woken, 1);
        CHECK_EQ(result.more, i + 1 < THREADS);
        CHECK_EQ(d.calls, 1);
        CHECK_EQ(d.result.woken, 1);
        CHECK_EQ(d.result.more, result.more);
        support_join(&waiters[i].thread);
        CHECK_EQ(waiters[i].status, LW_OK);
        CHECK_EQ(waiters[i].token, 4711);
        CHECK_EQ(waiters[i].order, i);
        CHECK_EQ(support_waiters(&address), (size_t)(THREADS - 1 - i));
    }
}

TEST(no_decision_gives_token_zero)
{
    static int address;
    waiter w;
    start_waiter(&w, &address, -1, LW_WAIT_DEFAULT);
    w.token = 99;
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
    support_join(&w.thread);
    CHECK_EQ(w.token, 0);
}

TEST(unpark_all)
{
    static int address, other;
    int i;
    waiter waiters[THREADS], apart;
    start_waiter(&apart, &other, -1, LW_WAIT_DEFAULT);
    for (i = 0; i < THREADS; i++) {
        start_waiter(&waiters[i], &address, -1, LW_WAIT_DEFAULT);
    }
    CHECK_EQ(lw_unpark_all(&address, 55), THREADS);
    for (i = 0; i < THREADS; i++) {
        support_join(&waiters[i].thread);
        CHECK_EQ(waiters[i].status, LW_OK);
        CHECK_EQ(waiters[i].token, 55);
    }
    CHECK_EQ(lw_unpark_all(&address, 0), 0);
    CHECK_EQ(support_waiters(&other), 1);
    CHECK_EQ(lw_unpark_all(&other, 0), 1);
    support_join(&apart.thread);
}

/* More addresses than there are queues, some of which so share one: a wake reaches its own address
 * only. */
TEST(addresses_that_share_a_queue_stay_apart)
{
    enum { MANY = 64, ADDRESSES = 20000 };
    static char addresses[ADDRESSES];
    static waiter waiters[MANY];
    int i;
    for (i = 0; i < MANY; i++) {
        start_waiter(&waiters[i], &addresses[i * (ADDRESSES / MANY)], -1, LW_WAIT_DEFAULT);
    }
    for (i = 0; i < ADDRESSES; i++) {
        if (i % (ADDRESSES / MANY) != 0 || i / (ADDRESSES / MANY) >= MANY) {
            lw_unpark_result result = lw_unpark_one(&addresses[i], NULL, NULL);
            CHECK_EQ(result.woken, 0);
            CHECK(!result.more);
        }
    }
    for (i = MANY - 1; i >= 0; i--) {
        lw_unpark_result result = lw_unpark_one(waiters[i].address, NULL, NULL);
        CHECK_EQ(result.woken, 1);
        CHECK(!result.more);
        support_join(&waiters[i].thread);
        CHECK_EQ(waiters[i].status, LW_OK);
    }
}

TEST(notify_wakes_one_of_those_announced)
{
    static int address;
    waiter w[2];
    uint32_t tickets[2];
    int i;
    lw_park_notify_(&address); /* nobody is there */
    for (i = 0; i < 2; i++) {
        tickets[i] = lw_park_announce_(&address);
        CHECK(lw_park_ticket_holds_(tickets[i]));
        CHECK(lw_park_announced_(&address));
        start_waiter(&w[i], &address, -1, LW_WAIT_DEFAULT);
    }
    for (i = 0; i < 2; i++) {
        lw_park_notify_(&address);
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
        CHECK_EQ(support_waiters(&address), (size_t)(1 - i));
        lw_park_retract_(&address, tickets[i]);
    }
    lw_park_notify_(&address);
}

TEST(one_of_the_middle_may_give_up)
{
    static int address;
    waiter first, middle, last;
    start_waiter(&first, &address, -1, LW_WAIT_DEFAULT);
    start_waiter(&middle, &address, 20 * MS, LW_WAIT_DEFAULT);
    start_waiter(&last, &address, -1, LW_WAIT_DEFAULT);
    support_join(&middle.thread);
    CHECK_EQ(middle.status, LW_TIMEOUT);
    CHECK_EQ(support_waiters(&address), 2);
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
    support_join(&first.thread);
    CHECK(!lw_unpark_one(&address, NULL, NULL).more);
    support_join(&last.thread);
}

TEST(last_of_the_queue_may_give_up)
{
    static int address;
    waiter first, last, next;
    start_waiter(&first, &address, -1, LW_WAIT_DEFAULT);
    start_waiter(&last, &address, 5 * MS, LW_WAIT_DEFAULT);
    support_join(&last.thread);
    CHECK_EQ(last.status, LW_TIMEOUT);
    start_waiter(&next, &address, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_unpark_all(&address, 0), 2);
    support_join(&first.thread);
    support_join(&next.thread);
}

/* ---- The futex form ---- */

static lw_atomic_u32 word;

static void wait_word(void *arg)
{
    *(lw_status *)arg = lw_park_wait_u32(&word, 7, -1, LW_WAIT_DEFAULT);
}

TEST(wait_u32)
{
    lw_status status = LW_INVALID;
    support_thread thread;
    CHECK_EQ(lw_park_wait_u32(&word, 1, -1, LW_WAIT_DEFAULT), LW_AGAIN);
    CHECK_EQ(lw_park_wait_u32(&word, 0, 0, LW_WAIT_DEFAULT), LW_TIMEOUT);
    CHECK_EQ(lw_park_wait_u32(&word, 0, MS, LW_WAIT_DEFAULT), LW_TIMEOUT);
    lw_atomic_store_release_u32(&word, 7);
    support_start(&thread, wait_word, &status);
    support_await_waiters(&word, 1);
    lw_atomic_store_release_u32(&word, 8);
    CHECK_EQ(lw_unpark_all(&word, 0), 1);
    support_join(&thread);
    CHECK_EQ(status, LW_OK);
}

/* ---- Report ---- */

typedef struct seen {
    const void *addresses[3];
    int64_t waited[3];
    int count;
} seen;

static void visit(void *arg, const void *address, int64_t waited_ns)
{
    seen *s = (seen *)arg;
    CHECK(s->count < 3);
    s->addresses[s->count] = address;
    s->waited[s->count++] = waited_ns;
}

TEST(report_names_every_waiter)
{
    static char a, b;
    waiter w[3];
    seen s;
    int64_t before = support_now(), limit;
    int i, on_a = 0, on_b = 0;
    memset(&s, 0, sizeof s);
    lw_park_report(visit, &s);
    CHECK_EQ(s.count, 0);
    start_waiter(&w[0], &a, -1, LW_WAIT_DEFAULT);
    start_waiter(&w[1], &b, -1, LW_WAIT_DEFAULT);
    start_waiter(&w[2], &a, -1, LW_WAIT_DEFAULT);
    lw_park_report(visit, &s);
    limit = support_now() - before;
    CHECK_EQ(s.count, 3);
    for (i = 0; i < 3; i++) {
        on_a += s.addresses[i] == &a;
        on_b += s.addresses[i] == &b;
        CHECK(s.waited[i] >= 0 && s.waited[i] <= limit);
    }
    CHECK_EQ(on_a, 2);
    CHECK_EQ(on_b, 1);
    CHECK_EQ(lw_unpark_all(&a, 0), 2);
    CHECK_EQ(lw_unpark_all(&b, 0), 1);
    for (i = 0; i < 3; i++) {
        support_join(&w[i].thread);
    }
}

static int report_stop;

static void park_all_the_time(void *arg)
{
    leaves l = {0, 0};
    static __thread char address;
    (void)arg;
    while (!__atomic_load_n(&report_stop, __ATOMIC_RELAXED)) {
        CHECK_EQ(lw_park(&address, validate_yes, count_leave, &l, 1000, LW_WAIT_DEFAULT, NULL),
                 LW_TIMEOUT);
    }
}

static void visit_some(void *arg, const void *address, int64_t waited_ns)
{
    (void)arg;
    CHECK(address != NULL);
    CHECK(waited_ns >= 0);
}

TEST(report_beside_waiters_that_come_and_go)
{
    support_thread threads[2];
    int i;
    for (i = 0; i < 2; i++) {
        support_start(&threads[i], park_all_the_time, NULL);
    }
    for (i = 0; i < 500; i++) {
        lw_park_report(visit_some, NULL);
    }
    __atomic_store_n(&report_stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++) {
        support_join(&threads[i]);
    }
}

/* ---- Signals ---- */

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void handle_signals(int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = flags;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

TEST(signal_interrupts_who_asked_for_it)
{
    static int address;
    waiter w;
    handle_signals(0);
    start_waiter(&w, &address, -1, LW_WAIT_INTERRUPTIBLE);
    /* Between its queueing and its sleep a signal is not noticed: so more than one. */
    while (support_waiters(&address) != 0) {
        CHECK_EQ(pthread_kill(w.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_INTERRUPTED);
    CHECK_EQ(common_leaves.calls, 1);
    CHECK_EQ(common_leaves.lasts, 1);
}

TEST(signal_does_not_end_other_waits)
{
    static int address;
    int i;
    waiter w;
    handle_signals(0);
    start_waiter(&w, &address, -1, LW_WAIT_DEFAULT);
    for (i = 0; i < 20; i++) {
        CHECK_EQ(pthread_kill(w.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    CHECK_EQ(support_waiters(&address), 1);
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    CHECK(signals > 0);
}

/* ---- Host hooks: what has left the queue before the host attaches again (F15) ---- */

static const void *hook_address;
static size_t waiters_at_after;
static bool end_thread;

static void *hook_before(void)
{
    return &hook_address;
}

static void hook_after(void *token)
{
    CHECK(token == &hook_address);
    waiters_at_after = support_waiters(hook_address);
    if (end_thread) {
        pthread_exit(NULL);
    }
}

static const lw_block_hooks hooks = {hook_before, hook_after};

static void check_after_hook(bool ends, bool wake)
{
    static int address;
    waiter w;
    hook_address = &address;
    end_thread = ends;
    waiters_at_after = 99;
    lw_domain_set_block_hooks(&hooks);
    launch_waiter(&w, &address, wake ? -1 : 100 * MS, LW_WAIT_DEFAULT);
    if (wake) {
        support_await_waiters(&address, 1);
        CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
    }
    support_join(&w.thread);
    CHECK_EQ(waiters_at_after, 0);
    CHECK_EQ(support_waiters(&address), 0);
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 0);
    CHECK_EQ(common_leaves.calls, !wake);
}

TEST(after_hook_finds_the_queue_left_when_woken)
{
    check_after_hook(false, true);
}

TEST(after_hook_finds_the_queue_left_when_timed_out)
{
    check_after_hook(false, false);
}

TEST(after_hook_may_end_a_woken_thread)
{
    check_after_hook(true, true);
}

TEST(after_hook_may_end_a_timed_out_thread)
{
    check_after_hook(true, false);
}

/* ---- One wake at a time ---- */

static int hook_entered, hook_may_return, object_held;

static void stay_in_hook(void *token)
{
    CHECK(token == &hook_address);
    if (__atomic_exchange_n(&hook_entered, 1, __ATOMIC_ACQ_REL) == 0) {
        while (!__atomic_load_n(&hook_may_return, __ATOMIC_ACQUIRE)) {
            support_sleep(200000);
        }
    }
}

static const lw_block_hooks staying_hooks = {hook_before, stay_in_hook};

static bool validate_held(void *arg)
{
    (void)arg;
    return __atomic_load_n(&object_held, __ATOMIC_RELAXED) != 0;
}

static void start_behind_a_handler(how_waiter *first, how_waiter *second, const void *address)
{
    lw_domain_set_block_hooks(&staying_hooks);
    __atomic_store_n(&object_held, 1, __ATOMIC_RELAXED);
    start_how_with(first, address, 0, validate_held, LW_WAIT_DEFAULT);
    start_how_with(second, address, 0, validate_held, LW_WAIT_ATTACHED);
    support_hold_up(&first->thread);
    lw_park_notify_(address);
    CHECK_EQ(support_waiters(address), 1);
    lw_park_notify_(address); /* the first will look for itself */
    CHECK_EQ(support_waiters(address), 1);
}

static void await_hook(void)
{
    while (!__atomic_load_n(&hook_entered, __ATOMIC_ACQUIRE)) {
        support_sleep(200000);
    }
}

/* The first is woken and cannot run: its second look is what the other releases rely on. */
TEST(releases_while_a_woken_waiter_gets_going_wake_no_other)
{
    static int address;
    how_waiter first, second;
    start_behind_a_handler(&first, &second, &address);
    support_let_go();
    await_hook();
    /* It has found the object held: who holds it wakes the second. */
    CHECK_EQ(support_waiters(&address), 1);
    lw_park_notify_(&address);
    support_join(&second.thread);
    CHECK_EQ(first.order, 0);
    __atomic_store_n(&hook_may_return, 1, __ATOMIC_RELEASE);
    support_join(&first.thread);
    CHECK_EQ(first.order, 1);
}

TEST(one_release_wakes_one)
{
    static int address;
    how_waiter first, second;
    lw_domain_set_block_hooks(&staying_hooks);
    __atomic_store_n(&object_held, 1, __ATOMIC_RELAXED);
    start_how_with(&first, &address, 0, validate_held, LW_WAIT_DEFAULT);
    start_how_with(&second, &address, 0, validate_held, LW_WAIT_ATTACHED);
    __atomic_store_n(&object_held, 0, __ATOMIC_RELAXED);
    lw_park_notify_(&address);
    await_hook(); /* by now the first has seen that the object is free */
    CHECK_EQ(support_waiters(&address), 1);
    lw_park_notify_(&address);
    support_join(&second.thread);
    __atomic_store_n(&hook_may_return, 1, __ATOMIC_RELEASE);
    support_join(&first.thread);
}

TEST(a_hand_over_waits_for_no_waiter_that_was_woken)
{
    static int address;
    how_waiter first, second;
    start_behind_a_handler(&first, &second, &address);
    second.granted = 7;
    lw_park_notify_(&address);
    CHECK_EQ(support_waiters(&address), 0);
    support_join(&second.thread);
    CHECK(second.token != 0);
    __atomic_store_n(&hook_may_return, 1, __ATOMIC_RELEASE);
    support_let_go();
    support_join(&first.thread);
    CHECK_EQ(first.token, 0);
}

/* It finds the object free, but has to attach before it can take it: the other is woken. */
TEST(woken_waiter_that_attaches_wakes_the_next)
{
    static int address;
    how_waiter first, second;
    int i;
    start_behind_a_handler(&first, &second, &address);
    __atomic_store_n(&object_held, 0, __ATOMIC_RELAXED);
    lw_park_notify_(&address);
    CHECK_EQ(support_waiters(&address), 1);
    support_let_go();
    for (i = 0; support_waiters(&address) != 0; i++) {
        CHECK(i < 10000); /* a lost wake is a failure, and no hang */
        support_sleep(MS);
    }
    support_join(&second.thread);
    CHECK_EQ(first.order, 0);
    __atomic_store_n(&hook_may_return, 1, __ATOMIC_RELEASE);
    support_join(&first.thread);
    CHECK_EQ(first.status, LW_OK);
}

TEST(parking_needs_no_memory)
{
    static int address;
    waiter w;
    heap_install();
    heap_fail_after(0);
    start_waiter(&w, &address, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_unpark_one(&address, NULL, NULL).woken, 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
}

/* ---- A wake and a time-out that meet: never both, never neither ---- */

typedef struct race {
    lw_atomic_u32 word;
    lw_status status;
} race;

static pthread_barrier_t race_start;
static race races[400];

static void time_out(void *arg)
{
    size_t i;
    (void)arg;
    for (i = 0; i < sizeof races / sizeof races[0]; i++) {
        pthread_barrier_wait(&race_start);
        races[i].status = lw_park_wait_u32(&races[i].word, 0, 60000, LW_WAIT_DEFAULT);
    }
}

TEST(wake_meets_timeout)
{
    support_thread thread;
    size_t i;
    bool woken[sizeof races / sizeof races[0]];
    pthread_barrier_init(&race_start, NULL, 2);
    support_start(&thread, time_out, NULL);
    for (i = 0; i < sizeof races / sizeof races[0]; i++) {
        pthread_barrier_wait(&race_start);
        support_sleep((int64_t)(i % 8) * 20000);
        lw_atomic_store_release_u32(&races[i].word, 1);
        woken[i] = lw_unpark_one(&races[i].word, NULL, NULL).woken == 1;
    }
    support_join(&thread);
    for (i = 0; i < sizeof races / sizeof races[0]; i++) {
        CHECK_EQ(races[i].status == LW_OK, woken[i]);
        CHECK(woken[i] || races[i].status == LW_TIMEOUT || races[i].status == LW_AGAIN);
    }
    pthread_barrier_destroy(&race_start);
}

/* ---- Fork ---- */

static void child_has_no_waiters(void *arg)
{
    waiter w;
    seen s;
    memset(&s, 0, sizeof s);
    lw_park_report(visit, &s);
    CHECK_EQ(s.count, 0);
    CHECK_EQ(lw_unpark_all(arg, 0), 0);
    start_waiter(&w, arg, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_unpark_one(arg, NULL, NULL).woken, 1);
    support_join(&w.thread);
}

TEST(waiters_stay_with_the_parent)
{
    static int address;
    waiter w[2];
    start_waiter(&w[0], &address, -1, LW_WAIT_DEFAULT);
    start_waiter(&w[1], &address, -1, LW_WAIT_DEFAULT);
    support_fork_ok(child_has_no_waiters, &address);
    CHECK_EQ(support_waiters(&address), 2);
    CHECK_EQ(lw_unpark_all(&address, 0), 2);
    support_join(&w[0].thread);
    support_join(&w[1].thread);
}

/* Between its announcement and its place in the queue, a waiter is one of the parent's, too. */
typedef struct announcement {
    const void *address;
    uint32_t ticket;
} announcement;

static void child_has_nobody_announced(void *arg)
{
    const announcement *a = (const announcement *)arg;
    uint32_t ticket;
    CHECK_EQ(support_announced(a->address), 0);
    CHECK(!lw_park_ticket_holds_(a->ticket));
    lw_park_retract_(a->address, a->ticket);
    CHECK_EQ(support_announced(a->address), 0);
    ticket = lw_park_announce_(a->address);
    CHECK_EQ(support_announced(a->address), 1);
    lw_park_retract_(a->address, ticket);
    CHECK_EQ(support_announced(a->address), 0);
}

TEST(announcements_stay_with_the_parent)
{
    static int address;
    announcement a = {&address, lw_park_announce_(&address)};
    support_fork_ok(child_has_nobody_announced, &a);
    CHECK_EQ(support_announced(&address), 1);
    CHECK(lw_park_ticket_holds_(a.ticket));
    lw_park_retract_(&address, a.ticket);
    CHECK_EQ(support_announced(&address), 0);
}

static support_step decide_step = SUPPORT_STEP_INIT;

static uintptr_t decide_when_told(void *arg, lw_unpark_result result)
{
    (void)arg, (void)result;
    support_reach(&decide_step, 1);
    support_await(&decide_step, 2);
    return 0;
}

static void unpark_when_told(void *arg)
{
    (void)lw_unpark_one(arg, decide_when_told, NULL);
}

/* Nobody has waited yet, either. */
TEST(fork_beside_a_locked_queue)
{
    support_thread thread;
    static int address;
    support_start(&thread, unpark_when_told, &address);
    support_await(&decide_step, 1);
    support_fork_ok(child_has_no_waiters, &address);
    support_reach(&decide_step, 2);
    support_join(&thread);
}
