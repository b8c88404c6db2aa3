/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/once.h>

#include "heap.h"
#include "unit.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static lw_once_t once;
static int runs;

static lw_status count_run(void *arg)
{
    CHECK(!lw_once_done(&once));
    __atomic_fetch_add(&runs, 1, __ATOMIC_RELAXED);
    return arg != NULL ? *(lw_status *)arg : LW_OK;
}

TEST(eight_bytes_all_zero)
{
    lw_once_t zeroed, initialised = LW_ONCE_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_once_init(&set);
    CHECK_EQ(sizeof zeroed, 8);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
    CHECK(!lw_once_done(&zeroed));
}

TEST(runs_once)
{
    int i;
    for (i = 0; i < 3; i++) {
        CHECK_EQ(lw_once_call(&once, count_run, NULL), LW_OK);
        CHECK(lw_once_done(&once));
        CHECK_EQ(runs, 1);
    }
    CHECK_EQ(lw_once_call_for(&once, count_run, NULL, 0), LW_OK);
    CHECK_EQ(lw_once_begin(&once), LW_EXISTS);
    CHECK_EQ(runs, 1);
}

TEST(failure_goes_to_the_caller_and_the_next_tries_again)
{
    static const lw_status failures[] = {LW_NOMEM, LW_TIMEOUT, LW_BUSY, LW_EXISTS};
    size_t i;
    for (i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        lw_status failure = failures[i];
        CHECK_EQ(lw_once_call(&once, count_run, &failure), failure);
        CHECK(!lw_once_done(&once));
        CHECK_EQ(lw_atomic_load_relaxed_u64(&once.word), 0);
        CHECK_EQ(runs, i + 1);
    }
    CHECK_EQ(lw_once_call_for(&once, count_run, NULL, 0), LW_OK);
    CHECK_EQ(runs, i + 1);
}

static lw_status call_again(void *arg)
{
    lw_once_t other = LW_ONCE_INIT;
    (void)arg;
    CHECK_EQ(lw_once_call(&once, count_run, NULL), LW_BUSY);
    CHECK_EQ(lw_once_call_for(&once, count_run, NULL, 0), LW_BUSY);
    CHECK_EQ(lw_once_begin(&once), LW_BUSY);
    CHECK_EQ(lw_once_begin(&other), LW_OK); /* of another it is not in the middle */
    lw_once_commit(&other);
    CHECK(lw_once_done(&other));
    return LW_OK;
}

TEST(who_would_wait_for_itself_is_told_so)
{
    CHECK_EQ(lw_once_call(&once, call_again, NULL), LW_OK);
    CHECK_EQ(runs, 0);
    CHECK(lw_once_done(&once));
}

TEST(two_steps)
{
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    CHECK(!lw_once_done(&once));
    CHECK_EQ(lw_once_begin(&once), LW_BUSY);
    lw_once_abort(&once);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&once.word), 0);
    CHECK_EQ(lw_once_begin_flags(&once, 0, LW_WAIT_ATTACHED), LW_OK);
    lw_once_commit(&once);
    CHECK(lw_once_done(&once));
    CHECK_EQ(lw_once_begin(&once), LW_EXISTS);
}

/* ---- Others wait ---- */

typedef struct caller {
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    support_thread thread;
    int done;
} caller;

static void call_once(void *arg)
{
    caller *c = (caller *)arg;
    c->status = lw_once_call_flags(&once, count_run, NULL, c->timeout_ns, c->flags);
    if (c->status == LW_OK) {
        CHECK(lw_once_done(&once));
    }
    __atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
}

/* Returns when it waits, or is done already. */
static void start_caller(caller *c, int64_t timeout_ns, unsigned flags)
{
    int64_t since_ns = support_mark();
    memset(c, 0, sizeof *c);
    c->timeout_ns = timeout_ns;
    c->flags = flags;
    support_start(&c->thread, call_once, c);
    support_await_newcomer(&once, NULL, since_ns, &c->thread);
}

enum { N = 5 };

TEST(others_wait_until_it_is_done)
{
    caller c[N];
    int i;
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    for (i = 0; i < N; i++) {
        start_caller(&c[i], i % 2 == 0 ? -1 : INT64_MAX, i % 3 == 0 ? LW_WAIT_ATTACHED : 0);
        CHECK_EQ(c[i].done, 0);
    }
    lw_once_commit(&once);
    for (i = 0; i < N; i++) {
        support_join(&c[i].thread);
        CHECK_EQ(c[i].status, LW_OK);
    }
    CHECK_EQ(runs, 0);
}

TEST(one_of_those_who_wait_tries_again)
{
    caller c[N];
    int i;
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    for (i = 0; i < N; i++) {
        start_caller(&c[i], -1, LW_WAIT_DEFAULT);
    }
    lw_once_abort(&once);
    for (i = 0; i < N; i++) {
        support_join(&c[i].thread);
        CHECK_EQ(c[i].status, LW_OK);
    }
    CHECK_EQ(runs, 1);
}

static void on_signal(int number)
{
    (void)number;
}

TEST(limits_and_signals)
{
    struct sigaction action;
    caller c;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    start_caller(&c, 0, LW_WAIT_DEFAULT);
    support_join(&c.thread);
    CHECK_EQ(c.status, LW_TIMEOUT);
    start_caller(&c, 2 * MS, LW_WAIT_DEFAULT);
    support_join(&c.thread);
    CHECK_EQ(c.status, LW_TIMEOUT);
    start_caller(&c, -1, LW_WAIT_INTERRUPTIBLE);
    while (!__atomic_load_n(&c.done, __ATOMIC_ACQUIRE)) {
        CHECK_EQ(pthread_kill(c.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    support_join(&c.thread);
    CHECK_EQ(c.status, LW_INTERRUPTED);
    CHECK_EQ(support_waiters(&once), 0);
    lw_once_commit(&once);
    CHECK_EQ(runs, 0);
}

static int befores, afters, ending;

static void *hook_before(void)
{
    __atomic_fetch_add(&befores, 1, __ATOMIC_RELAXED);
    return &befores;
}

static void hook_after(void *token)
{
    CHECK(token == &befores);
    __atomic_fetch_add(&afters, 1, __ATOMIC_RELAXED);
    support_end(&ending);
}

static const lw_block_hooks hooks = {hook_before, hook_after};

TEST(a_wait_detaches_unless_told_not_to)
{
    caller c;
    lw_domain_set_block_hooks(&hooks);
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    start_caller(&c, 2 * MS, LW_WAIT_ATTACHED);
    support_join(&c.thread);
    CHECK_EQ(befores, 0);
    start_caller(&c, -1, LW_WAIT_DEFAULT);
    lw_once_commit(&once);
    support_join(&c.thread);
    CHECK_EQ(c.status, LW_OK);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
}

/* ---- Threads that end ---- */

static void await_done(const caller *c)
{
    int i;
    for (i = 0; !__atomic_load_n(&c->done, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a lost wake is a failure, and no hang */
        support_sleep(MS);
    }
}

static support_step in_run = SUPPORT_STEP_INIT, end_run = SUPPORT_STEP_INIT;

static lw_status exit_in_run(void *arg)
{
    (void)arg;
    support_reach(&in_run, 1);
    support_await(&end_run, 1);
    pthread_exit(NULL);
}

static lw_status stay_in_run(void *arg)
{
    support_reach(&in_run, 1);
    while (arg == NULL) {
        /* No wait: ThreadSanitizer does not follow a thread that is cancelled inside of one. */
        sched_yield();
        pthread_testcancel();
    }
    return LW_OK;
}

static void call_with(void *arg)
{
    lw_once_fn fn = *(lw_once_fn *)arg;
    (void)!lw_once_call(&once, fn, NULL);
    CHECK(false); /* it does not come back */
}

TEST(thread_that_ends_in_its_run_leaves_it_not_done)
{
    lw_once_fn fn = exit_in_run;
    support_thread runner;
    caller c[2];
    support_start(&runner, call_with, &fn);
    support_await(&in_run, 1);
    start_caller(&c[0], -1, LW_WAIT_DEFAULT);
    start_caller(&c[1], -1, LW_WAIT_DEFAULT);
    support_reach(&end_run, 1);
    support_join(&runner);
    await_done(&c[0]);
    await_done(&c[1]);
    support_join(&c[0].thread);
    support_join(&c[1].thread);
    CHECK_EQ(runs, 1);
}

TEST(thread_that_is_cancelled_in_its_run_leaves_it_not_done)
{
    lw_once_fn fn = stay_in_run;
    support_thread runner;
    caller c;
    support_start(&runner, call_with, &fn);
    support_await(&in_run, 1);
    start_caller(&c, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(pthread_cancel(runner.id), 0);
    support_join(&runner);
    await_done(&c);
    support_join(&c.thread);
    CHECK_EQ(c.status, LW_OK);
    CHECK_EQ(runs, 1);
}

TEST(who_ends_while_it_attaches_passes_the_wake_on)
{
    static caller first, second;
    lw_domain_set_block_hooks(&hooks);
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    start_caller(&first, -1, LW_WAIT_DEFAULT);
    start_caller(&second, -1, LW_WAIT_DEFAULT);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    lw_once_abort(&once);
    support_join(&first.thread);
    await_done(&second);
    support_join(&second.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.status, LW_OK);
    CHECK_EQ(runs, 1);
}

/* ---- Misuse ---- */

static void commit_it(void *arg)
{
    lw_once_commit((lw_once_t *)arg);
}

static void abort_it(void *arg)
{
    lw_once_abort((lw_once_t *)arg);
}

static void expect_abort(void (*fn)(void *arg), const char *function)
{
    char output[512];
    int status = support_fork(fn, &once, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
    CHECK(strstr(output, "does not run it") != NULL);
}

static void expect_aborts(void *arg)
{
    (void)arg;
    expect_abort(commit_it, "lw_once_commit");
    expect_abort(abort_it, "lw_once_abort");
}

TEST(misuse)
{
    expect_aborts(NULL);
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    support_run(1, expect_aborts, &once, 1); /* another thread runs it */
    lw_once_commit(&once);
    expect_aborts(NULL);
}

/* ---- The memory is freed by whoever finds it done ---- */

enum { OBJECTS = 500, THREADS = 3 };

typedef struct object {
    lw_once_t once;
    uint64_t made;
    int users;
} object;

static object *objects[OBJECTS];

static lw_status make(void *arg)
{
    object *o = (object *)arg;
    static int attempts;
    if (__atomic_fetch_add(&attempts, 1, __ATOMIC_RELAXED) % 3 == 0) {
        return LW_AGAIN;
    }
    CHECK_EQ(o->made, 0);
    o->made = 42;
    return LW_OK;
}

static void use_and_free(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < OBJECTS; i++) {
        object *o = objects[i];
        while (lw_once_call(&o->once, make, o) != LW_OK) {
        }
        CHECK_EQ(o->made, 42);
        if (__atomic_sub_fetch(&o->users, 1, __ATOMIC_ACQ_REL) == 0) {
            memset(o, 0xdd, sizeof *o);
            free(o);
        }
    }
}

TEST(who_finds_it_done_may_free_it)
{
    char unused[THREADS] = {0};
    int i;
    for (i = 0; i < OBJECTS; i++) {
        objects[i] = (object *)calloc(1, sizeof *objects[i]);
        CHECK(objects[i] != NULL);
        objects[i]->users = THREADS;
    }
    support_run(THREADS, use_and_free, unused, 1);
}

TEST(waiting_needs_no_memory)
{
    caller c;
    heap_install();
    heap_fail_after(0);
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    start_caller(&c, -1, LW_WAIT_DEFAULT);
    lw_once_commit(&once);
    support_join(&c.thread);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork ---- */

static void begin_and_stay(void *arg)
{
    CHECK_EQ(lw_once_begin(&once), LW_OK);
    support_reach(&in_run, 1);
    support_await(&end_run, 1);
    lw_once_commit(&once);
    (void)arg;
}

static void child_runs_it(void *arg)
{
    int *depth = (int *)arg;
    if (--*depth > 0) { /* in a child of the child */
        support_fork_ok(child_runs_it, depth);
        return;
    }
    CHECK(!lw_once_done(&once));
    CHECK_EQ(lw_once_call(&once, count_run, NULL), LW_OK);
    CHECK_EQ(runs, 1);
}

static void fork_from_another_thread(void *arg)
{
    support_fork_ok(child_runs_it, arg);
}

TEST(forked_child_runs_what_another_thread_ran)
{
    support_thread runner;
    caller waits;
    int depth;
    support_start(&runner, begin_and_stay, NULL);
    support_await(&in_run, 1);
    start_caller(&waits, -1, LW_WAIT_DEFAULT);
    for (depth = 1; depth < 4; depth++) {
        int left = depth;
        support_fork_ok(child_runs_it, &left);
        left = depth;
        support_run(1, fork_from_another_thread, &left, sizeof left);
    }
    CHECK_EQ(runs, 0);
    support_reach(&end_run, 1);
    support_join(&runner);
    support_join(&waits.thread);
    CHECK_EQ(waits.status, LW_OK);
}

static void fork_from_a_new_thread(void *arg)
{
    support_run(1, fork_from_another_thread, arg, sizeof(int));
}

/* The child's new thread is likely to get the stack of the parent's runner, and so its number; it
 * then forks, and is still not the one. */
TEST(number_of_a_runner_of_the_parent_comes_again)
{
    support_thread runner;
    int depth = 1;
    support_start(&runner, begin_and_stay, NULL);
    support_await(&in_run, 1);
    support_fork_ok(fork_from_a_new_thread, &depth);
    support_reach(&end_run, 1);
    support_join(&runner);
}

static void fork_beside_the_childs_runner(void *arg)
{
    support_thread runner;
    int one = 1;
    (void)arg;
    support_start(&runner, begin_and_stay, NULL);
    support_await(&in_run, 1);
    support_fork_ok(child_runs_it, &one);
    support_reach(&end_run, 1);
    support_join(&runner);
    CHECK(lw_once_done(&once));
}

/* The same in a child: its threads are its own. */
TEST(forked_child_runs_what_another_thread_of_the_child_ran)
{
    support_fork_ok(fork_beside_the_childs_runner, NULL);
}

static void child_goes_on(void *arg)
{
    int depth = *(int *)arg;
    caller c;
    CHECK_EQ(lw_once_begin(&once), LW_BUSY);
    if (depth > 1) {
        depth--;
        support_fork_ok(child_goes_on, &depth);
    }
    start_caller(&c, 2 * MS, LW_WAIT_DEFAULT); /* others wait for it */
    support_join(&c.thread);
    CHECK_EQ(c.status, LW_TIMEOUT);
    start_caller(&c, -1, LW_WAIT_DEFAULT);
    lw_once_commit(&once);
    support_join(&c.thread);
    CHECK_EQ(c.status, LW_OK);
    CHECK_EQ(runs, 0);
}

static lw_status fork_in_run(void *arg)
{
    support_fork_ok(child_goes_on, arg);
    CHECK_EQ(lw_once_call(&once, count_run, NULL), LW_BUSY);
    return LW_OK;
}

static void call_and_fork(void *arg)
{
    CHECK_EQ(lw_once_call(&once, fork_in_run, arg), LW_OK);
    CHECK(lw_once_done(&once));
}

static void run_in_a_thread_and_fork(void *arg)
{
    support_run(1, call_and_fork, arg, sizeof(int));
}

TEST(run_that_forks_goes_on_in_both)
{
    int depth = 3;
    call_and_fork(&depth);
    lw_once_init(&once);
    support_run(1, call_and_fork, &depth, 1);
    lw_once_init(&once);
    support_fork_ok(call_and_fork, &depth);
}

/* The child's second thread forks in its run, after the first has forked it. */
TEST(forked_child_goes_on_in_a_run_of_its_own)
{
    static int depth = 2;
    (void)lw_domain_get(); /* so that the first fork counts */
    support_fork_ok(run_in_a_thread_and_fork, &depth);
}

static void find_done(void *arg)
{
    (void)arg;
    CHECK_EQ(lw_once_call(&once, count_run, NULL), LW_OK);
    CHECK_EQ(runs, 1);
}

TEST(done_is_done_in_the_child)
{
    CHECK_EQ(lw_once_call(&once, count_run, NULL), LW_OK);
    support_fork_ok(find_done, NULL);
}
