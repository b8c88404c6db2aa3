/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_tryjoin_np */
#endif
#include <latchwork/cond.h>
#include <latchwork/critical.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

TEST(four_bytes_all_zero)
{
    lw_cond_t zeroed, initialised = LW_COND_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_cond_init(&set);
    CHECK_EQ(sizeof zeroed, 4);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
}

TEST(nobody_waits)
{
    lw_cond_t c = LW_COND_INIT;
    CHECK_EQ(lw_cond_notify(&c, 0), 0);
    CHECK_EQ(lw_cond_notify(&c, 3), 0);
    CHECK(!lw_cond_notify_one(&c));
    CHECK_EQ(lw_cond_notify_all(&c), 0);
}

typedef struct waiter {
    lw_cond_t *cond;
    lw_mutex_t *mutex;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    support_thread thread;
    int returned; /* with the mutex locked again */
    int done;
} waiter;

static int returns;

static void wait_once(void *arg)
{
    waiter *w = (waiter *)arg;
    lw_mutex_lock(w->mutex);
    w->status = lw_cond_wait_flags(w->cond, w->mutex, w->timeout_ns, w->flags);
    CHECK(lw_mutex_is_locked(w->mutex));
    lw_mutex_assert_held(w->mutex);
    w->returned = ++returns;
    lw_mutex_unlock(w->mutex);
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
}

/* Returns when it waits, or has given up already. */
static void start_waiter(waiter *w, lw_cond_t *c, lw_mutex_t *m, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    memset(w, 0, sizeof *w);
    w->cond = c;
    w->mutex = m;
    w->timeout_ns = timeout_ns;
    w->flags = flags;
    support_start(&w->thread, wait_once, w);
    support_await_newcomer(lw_cond_address_(c), NULL, since_ns, &w->thread);
    /* It is in the queue before it lets go of the mutex. */
    if (!__atomic_load_n(&w->done, __ATOMIC_ACQUIRE)) {
        lw_mutex_lock(m);
        lw_mutex_unlock(m);
    }
}

static lw_cond_t cond;
static lw_mutex_t mutex;

enum { N = 6 };

TEST(one_after_the_other)
{
    waiter w[N];
    int i;
    for (i = 0; i < N; i++) {
        start_waiter(&w[i], &cond, &mutex, i % 2 == 0 ? -1 : INT64_MAX, LW_WAIT_DEFAULT);
    }
    for (i = 0; i < N; i++) {
        CHECK(lw_cond_notify_one(&cond));
        support_join(&w[i].thread); /* this one, and no other */
        CHECK_EQ(w[i].status, LW_OK);
        CHECK_EQ(w[i].returned, i + 1);
        CHECK_EQ(support_waiters(lw_cond_address_(&cond)), (size_t)(N - 1 - i));
    }
    CHECK(!lw_cond_notify_one(&cond));
    CHECK_EQ(lw_atomic_load_relaxed_u32(&cond.word), 0);
}

TEST(as_many_as_said)
{
    waiter w[N];
    int i;
    for (i = 0; i < N; i++) {
        start_waiter(&w[i], &cond, &mutex, -1, LW_WAIT_DEFAULT);
    }
    lw_mutex_lock(&mutex);
    CHECK_EQ(lw_cond_notify(&cond, 0), 0);
    CHECK_EQ(lw_cond_notify(&cond, 3), 3);
    CHECK_EQ(support_waiters(lw_cond_address_(&cond)), N - 3);
    CHECK_EQ(returns, 0); /* the mutex is locked */
    lw_mutex_unlock(&mutex);
    for (i = 0; i < 3; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
    }
    CHECK_EQ(support_waiters(lw_cond_address_(&cond)), N - 3);
    CHECK_EQ(lw_cond_notify(&cond, 100), N - 3);
    for (; i < N; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
    }
    CHECK_EQ(lw_cond_notify(&cond, 100), 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&cond.word), 0);
    CHECK(!lw_mutex_is_locked(&mutex));
}

TEST(all_of_one_and_none_of_another)
{
    static lw_cond_t other;
    waiter w[N], o;
    int i;
    start_waiter(&o, &other, &mutex, -1, LW_WAIT_DEFAULT);
    for (i = 0; i < N; i++) {
        start_waiter(&w[i], &cond, &mutex, -1, LW_WAIT_DEFAULT);
    }
    CHECK_EQ(lw_cond_notify_all(&cond), N);
    for (i = 0; i < N; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
    }
    CHECK_EQ(support_waiters(lw_cond_address_(&other)), 1);
    CHECK_EQ(lw_cond_notify_all(&other), 1);
    support_join(&o.thread);
}

/* The wakes of other protocols at its addresses do not reach it. */
TEST(no_strays)
{
    waiter w;
    start_waiter(&w, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_unpark_all(&cond, 0), 0);
    CHECK_EQ(lw_unpark_all(lw_park_beside_(&cond), 0), 0);
    CHECK(lw_cond_notify_one(&cond));
    support_join(&w.thread);
}

static void wait_plainly(void *arg)
{
    (void)arg;
    lw_mutex_lock(&mutex);
    lw_cond_wait(&cond, &mutex);
    returns++;
    lw_mutex_unlock(&mutex);
}

TEST(wait_without_a_limit)
{
    support_thread thread;
    support_start(&thread, wait_plainly, NULL);
    support_await_waiters(lw_cond_address_(&cond), 1);
    CHECK(lw_cond_notify_one(&cond));
    support_join(&thread);
    CHECK_EQ(returns, 1);
}

/* ---- Limits ---- */

TEST(limits)
{
    waiter hasty, patient;
    lw_mutex_lock(&mutex);
    CHECK_EQ(lw_cond_wait_for(&cond, &mutex, 0), LW_TIMEOUT);
    CHECK_EQ(lw_cond_wait_for(&cond, &mutex, 1), LW_TIMEOUT);
    CHECK_EQ(lw_cond_wait_flags(&cond, &mutex, 2 * MS, LW_WAIT_ATTACHED), LW_TIMEOUT);
    CHECK(lw_mutex_is_locked(&mutex));
    lw_mutex_unlock(&mutex);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&cond.word), 0);
    start_waiter(&patient, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    start_waiter(&hasty, &cond, &mutex, 3 * MS, LW_WAIT_DEFAULT);
    support_join(&hasty.thread);
    CHECK_EQ(hasty.status, LW_TIMEOUT);
    CHECK_EQ(lw_cond_notify(&cond, 2), 1);
    support_join(&patient.thread);
    CHECK_EQ(patient.status, LW_OK);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&cond.word), 0);
}

/* The limit is for the notification. The hook has the waiter sleep when another holds the mutex. */
static support_step taken = SUPPORT_STEP_INIT;

static void *hook_awaits_the_other(void)
{
    support_await(&taken, 1);
    return NULL;
}

TEST(locking_again_has_no_limit)
{
    static const lw_block_hooks waits = {hook_awaits_the_other, NULL};
    waiter w;
    memset(&w, 0, sizeof w);
    w.cond = &cond;
    w.mutex = &mutex;
    w.timeout_ns = 2 * MS;
    lw_domain_set_block_hooks(&waits);
    support_start(&w.thread, wait_once, &w);
    support_await_waiters(lw_cond_address_(&cond), 1);
    lw_mutex_lock(&mutex);
    support_reach(&taken, 1);
    support_await_waiters(&mutex, 1);
    CHECK_EQ(support_waiters(lw_cond_address_(&cond)), 0);
    CHECK_EQ(w.done, 0);
    lw_mutex_unlock(&mutex);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_TIMEOUT);
}

/* A wait that does not wait lets go of the mutex all the same. */
static int got_it;

static void take_it(void *arg)
{
    (void)arg;
    lw_mutex_lock(&mutex);
    __atomic_store_n(&got_it, 1, __ATOMIC_RELEASE);
    lw_mutex_unlock(&mutex);
}

TEST(a_wait_of_no_time_lets_others_in)
{
    support_thread thread;
    lw_mutex_lock(&mutex);
    support_start(&thread, take_it, NULL);
    while (!__atomic_load_n(&got_it, __ATOMIC_ACQUIRE)) {
        CHECK_EQ(lw_cond_wait_for(&cond, &mutex, 0), LW_TIMEOUT);
    }
    lw_mutex_unlock(&mutex);
    support_join(&thread);
}

/* ---- Signals and hooks ---- */

static void on_signal(int number)
{
    (void)number;
}

TEST(signal_interrupts_who_asked_for_it)
{
    struct sigaction action;
    waiter w;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    for (;;) {
        start_waiter(&w, &cond, &mutex, -1, LW_WAIT_INTERRUPTIBLE);
        lw_mutex_lock(&mutex);
        while (support_waiters(lw_cond_address_(&cond)) != 0) {
            CHECK_EQ(pthread_kill(w.thread.id, SIGUSR1), 0);
            support_sleep(MS);
        }
        support_await_newcomer(&mutex, NULL, 0, &w.thread);
        if (!__atomic_load_n(&w.done, __ATOMIC_ACQUIRE)) {
            break;
        }
        lw_mutex_unlock(&mutex); /* the posix platform ends such a wait for no reason, too */
        support_join(&w.thread);
        CHECK_EQ(w.status, LW_INTERRUPTED);
    }
    /* Locking again is not interrupted. */
    CHECK_EQ(pthread_kill(w.thread.id, SIGUSR1), 0);
    support_sleep(2 * MS);
    CHECK_EQ(support_waiters(&mutex), 1);
    CHECK(!lw_cond_notify_one(&cond));
    lw_mutex_unlock(&mutex);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_INTERRUPTED);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&cond.word), 0);
}

/* Of the waiters, for the main thread may happen to wait for the mutex. A thread ends in the
 * end_at-th `after`. */
static int befores, afters, end_at;

static void *hook_before(void)
{
    __atomic_fetch_add(&befores, support_started(), __ATOMIC_RELAXED);
    return &befores;
}

static void hook_after(void *token)
{
    CHECK(token == &befores);
    if (support_started() && __atomic_add_fetch(&afters, 1, __ATOMIC_RELAXED) ==
                                 __atomic_load_n(&end_at, __ATOMIC_RELAXED)) {
        pthread_exit(NULL);
    }
}

static const lw_block_hooks hooks = {hook_before, hook_after};

TEST(a_wait_detaches_unless_told_not_to)
{
    waiter w;
    lw_domain_set_block_hooks(&hooks);
    start_waiter(&w, &cond, &mutex, 2 * MS, LW_WAIT_ATTACHED);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_TIMEOUT);
    CHECK_EQ(befores, 0);
    start_waiter(&w, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    CHECK(lw_cond_notify_one(&cond));
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
    CHECK(befores >= 1); /* and one if the mutex had to be waited for */
    CHECK_EQ(befores, afters);
}

/* ---- The thread ends ---- */

static void await_done(const waiter *w)
{
    int i;
    for (i = 0; !__atomic_load_n(&w->done, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a lost notification is a failure, and no hang */
        support_sleep(MS);
    }
}

TEST(who_ends_while_it_attaches_passes_the_notification_on)
{
    static waiter first, second;
    lw_domain_set_block_hooks(&hooks);
    end_at = 1;
    start_waiter(&first, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    start_waiter(&second, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_cond_notify(&cond, 1), 1);
    support_join(&first.thread);
    await_done(&second);
    support_join(&second.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.status, LW_OK);
    CHECK(lw_mutex_trylock(&mutex)); /* who ended did not hold it */
}

TEST(who_ends_while_it_locks_again_passes_the_notification_on)
{
    static waiter first, second;
    lw_domain_set_block_hooks(&hooks);
    end_at = 2;
    start_waiter(&first, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    start_waiter(&second, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    lw_mutex_lock(&mutex);
    CHECK(lw_cond_notify_one(&cond));
    support_await_waiters(&mutex, 1);
    lw_mutex_unlock(&mutex);
    support_join(&first.thread);
    await_done(&second);
    support_join(&second.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.status, LW_OK);
    CHECK(lw_mutex_trylock(&mutex));
}

TEST(who_ends_without_a_notification_passes_none_on)
{
    static waiter first, second;
    lw_domain_set_block_hooks(&hooks);
    end_at = 1;
    start_waiter(&second, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    first = second;
    first.timeout_ns = 100 * MS;
    support_start(&first.thread, wait_once, &first);
    support_join(&first.thread);
    support_sleep(5 * MS);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.done, 0);
    CHECK_EQ(lw_cond_notify_all(&cond), 1);
    support_join(&second.thread);
}

/* All were notified that waited: there is nobody to pass it on to, but for newcomers. */
static void hook_after_a_while(void *token)
{
    while (support_waiters(lw_cond_address_(&cond)) == 0) {
        support_sleep(200000);
    }
    hook_after(token);
}

TEST(who_ends_passes_a_notification_of_all_to_no_newcomer)
{
    static const lw_block_hooks slow = {hook_before, hook_after_a_while};
    static waiter first, second;
    lw_domain_set_block_hooks(&slow);
    end_at = 1;
    start_waiter(&first, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_cond_notify_all(&cond), 1);
    start_waiter(&second, &cond, &mutex, -1, LW_WAIT_ATTACHED);
    support_join(&first.thread);
    CHECK_EQ(support_waiters(lw_cond_address_(&cond)), 1);
    CHECK_EQ(second.done, 0);
    CHECK_EQ(lw_cond_notify_all(&cond), 1);
    support_join(&second.thread);
}

/* A wait is no cancellation point. */
static void *wait_and_finish(void *arg)
{
    wait_once(arg);
    pthread_testcancel();
    return arg;
}

TEST(cancelled_waiter_stays_until_it_is_notified)
{
    waiter w;
    pthread_t thread;
    void *result;
    memset(&w, 0, sizeof w);
    w.cond = &cond;
    w.mutex = &mutex;
    w.timeout_ns = -1;
    CHECK_EQ(pthread_create(&thread, NULL, wait_and_finish, &w), 0);
    support_await_waiters(lw_cond_address_(&cond), 1);
    CHECK_EQ(pthread_cancel(thread), 0);
    support_sleep(5 * MS);
    CHECK(pthread_tryjoin_np(thread, &result) != 0);
    CHECK(lw_cond_notify_one(&cond));
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK_EQ(w.status, LW_OK);
    CHECK(!lw_mutex_is_locked(&mutex));
}

/* ---- With a recursive mutex ---- */

static lw_rmutex_t rmutex;

static void wait_with_levels(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < 3; i++) {
        lw_rmutex_lock(&rmutex);
    }
    lw_cond_wait_rmutex(&cond, &rmutex);
    CHECK_EQ(lw_rmutex_depth(&rmutex), 3);
    CHECK_EQ(lw_cond_wait_rmutex_for(&cond, &rmutex, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_rmutex_depth(&rmutex), 3);
    CHECK_EQ(lw_cond_wait_rmutex_flags(&cond, &rmutex, 0, LW_WAIT_ATTACHED), LW_TIMEOUT);
    CHECK_EQ(lw_rmutex_depth(&rmutex), 3);
    for (i = 0; i < 3; i++) {
        lw_rmutex_unlock(&rmutex);
    }
}

TEST(all_levels_of_a_recursive_mutex)
{
    support_thread thread;
    support_start(&thread, wait_with_levels, NULL);
    support_await_waiters(lw_cond_address_(&cond), 1);
    lw_rmutex_lock(&rmutex);
    lw_rmutex_lock(&rmutex);
    CHECK(lw_cond_notify_one(&cond));
    CHECK_EQ(lw_rmutex_depth(&rmutex), 2);
    lw_rmutex_unlock(&rmutex);
    lw_rmutex_unlock(&rmutex);
    support_join(&thread);
    CHECK(!lw_rmutex_is_locked(&rmutex));
}

static void wait_unowned(void *arg)
{
    (void)arg;
    lw_cond_wait_rmutex(&cond, &rmutex);
}

#if defined(LW_DEBUG)
static void wait_unlocked(void *arg)
{
    (void)arg;
    lw_cond_wait(&cond, &mutex);
}
#endif

static void expect_abort(void (*fn)(void *arg), const char *function)
{
    char output[512];
    int status = support_fork(fn, NULL, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
}

static void wait_in_a_section(void *arg)
{
    lw_critical_t section;
    (void)arg;
    lw_critical_begin(&section, &mutex);
    lw_cond_wait(&cond, &mutex);
}

TEST(misuse)
{
    expect_abort(wait_in_a_section, "lw_cond_wait");
    expect_abort(wait_unowned, "lw_cond_wait_rmutex");
#if defined(LW_DEBUG)
    expect_abort(wait_unlocked, "lw_mutex_assert_held");
#endif
}

/* ---- The memory is freed by whoever was woken, and by whoever has woken all ---- */

typedef struct box {
    lw_mutex_t mutex;
    lw_cond_t *cond; /* memory of its own, so that each may go at its time */
    bool set;
} box;

enum { BOXES = 300 };

static void wait_and_free(void *arg)
{
    box **boxes = (box **)arg;
    int i;
    for (i = 0; i < BOXES; i++) {
        box *b = boxes[i];
        lw_mutex_lock(&b->mutex);
        while (!b->set) {
            lw_cond_wait(b->cond, &b->mutex);
        }
        lw_mutex_unlock(&b->mutex);
        free(b->cond);
        free(b);
    }
}

TEST(who_was_woken_may_free_it)
{
    static box *boxes[BOXES];
    support_thread thread;
    int i;
    for (i = 0; i < BOXES; i++) {
        boxes[i] = (box *)calloc(1, sizeof(box));
        CHECK(boxes[i] != NULL);
        boxes[i]->cond = (lw_cond_t *)calloc(1, sizeof(lw_cond_t));
        CHECK(boxes[i]->cond != NULL);
    }
    support_start(&thread, wait_and_free, boxes);
    for (i = 0; i < BOXES; i++) {
        box *b = boxes[i];
        support_await_waiters(lw_cond_address_(b->cond), 1);
        lw_mutex_lock(&b->mutex);
        b->set = true;
        if (i % 2 == 0) { /* the mutex is let go of before, or after */
            CHECK_EQ(lw_cond_notify_one(b->cond), 1);
            lw_mutex_unlock(&b->mutex);
        } else {
            /* `b` lives until the waiter is woken, since it waits. */
            lw_cond_t *c = b->cond;
            lw_mutex_unlock(&b->mutex);
            CHECK_EQ(lw_cond_notify_one(c), 1);
        }
    }
    support_join(&thread);
}

TEST(who_has_woken_all_may_free_it)
{
    lw_cond_t *c = (lw_cond_t *)calloc(1, sizeof *c);
    waiter w[3];
    int i;
    CHECK(c != NULL);
    for (i = 0; i < 3; i++) {
        start_waiter(&w[i], c, &mutex, i == 1 ? 60000 * MS : -1, LW_WAIT_DEFAULT);
    }
    lw_mutex_lock(&mutex);
    CHECK_EQ(lw_cond_notify_all(c), 3);
    free(c); /* while none of them has returned */
    lw_mutex_unlock(&mutex);
    for (i = 0; i < 3; i++) {
        support_join(&w[i].thread);
        CHECK_EQ(w[i].status, LW_OK);
    }
}

/* The one whose thread ends finds nobody to pass it on to, and touches nothing. */
TEST(who_ends_leaves_freed_memory_alone)
{
    lw_cond_t *c = (lw_cond_t *)calloc(1, sizeof *c);
    waiter w;
    CHECK(c != NULL);
    lw_domain_set_block_hooks(&hooks);
    end_at = 2;
    start_waiter(&w, c, &mutex, -1, LW_WAIT_DEFAULT);
    lw_mutex_lock(&mutex);
    CHECK_EQ(lw_cond_notify(c, 1), 1);
    free(c);
    support_await_waiters(&mutex, 1);
    lw_mutex_unlock(&mutex);
    support_join(&w.thread);
    CHECK_EQ(w.done, 0);
}

TEST(waiting_needs_no_memory)
{
    waiter w;
    heap_install();
    heap_fail_after(0);
    start_waiter(&w, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    CHECK(lw_cond_notify_one(&cond));
    support_join(&w.thread);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork: others wait ---- */

static void child_finds_nobody(void *arg)
{
    waiter w;
    (void)arg;
    CHECK_EQ(lw_cond_notify_all(&cond), 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&cond.word), 0);
    start_waiter(&w, &cond, &mutex, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_cond_notify(&cond, 9), 1);
    support_join(&w.thread);
    CHECK_EQ(w.status, LW_OK);
}

TEST(waiters_stay_with_the_parent)
{
    waiter w[2];
    start_waiter(&w[0], &cond, &mutex, -1, LW_WAIT_DEFAULT);
    start_waiter(&w[1], &cond, &mutex, -1, LW_WAIT_DEFAULT);
    support_fork_ok(child_finds_nobody, NULL);
    CHECK_EQ(lw_cond_notify_all(&cond), 2);
    support_join(&w[0].thread);
    support_join(&w[1].thread);
}

static int forks_in_hook;

static void hook_forks(void *token)
{
    CHECK(token == &befores);
    if (__atomic_exchange_n(&forks_in_hook, 0, __ATOMIC_RELAXED) != 0) {
        pid_t child = fork();
        int status = 0;
        CHECK(child >= 0);
        if (child != 0) {
            CHECK_EQ(waitpid(child, &status, 0), child);
            CHECK(WIFEXITED(status));
            CHECK_EQ(WEXITSTATUS(status), 0);
        } else {
            alarm(20);
        }
    }
}

static pid_t first_process;

/* Comes back twice: from the parent's wait, and from the child's. */
static void wait_and_fork(void *arg)
{
    waiter other;
    lw_status status;
    (void)arg;
    lw_mutex_lock(&mutex);
    status = lw_cond_wait_for(&cond, &mutex, 2 * MS);
    CHECK_EQ(status, LW_TIMEOUT);
    CHECK(lw_mutex_is_locked(&mutex));
    lw_mutex_unlock(&mutex);
    if (getpid() != first_process) {
        lw_domain_set_block_hooks(NULL);
        start_waiter(&other, &cond, &mutex, -1, LW_WAIT_DEFAULT);
        CHECK(lw_cond_notify_one(&cond));
        support_join(&other.thread);
        _exit(0);
    }
}

TEST(fork_while_it_attaches_after_a_wait)
{
    static const lw_block_hooks forking = {hook_before, hook_forks};
    lw_domain_set_block_hooks(&forking);
    first_process = getpid();
    __atomic_store_n(&forks_in_hook, 1, __ATOMIC_RELAXED);
    support_run(1, wait_and_fork, NULL, 1);
    CHECK_EQ(forks_in_hook, 0);
}
