/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/barrier.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

typedef struct party {
    lw_barrier_t *barrier;
    lw_barrier_action_fn action;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    uint32_t index;
    support_thread thread;
    int done;
} party;

static void wait_once(void *arg)
{
    party *p = (party *)arg;
    p->status = lw_barrier_wait_then(p->barrier, p->action, p, p->timeout_ns, p->flags, &p->index);
    __atomic_store_n(&p->done, 1, __ATOMIC_RELEASE);
}

static size_t waiters_of(const lw_barrier_t *b)
{
    return support_waiters(lw_park_beside_(b));
}

static void begin_party(party *p, lw_barrier_t *b, lw_barrier_action_fn action, int64_t timeout_ns,
                        unsigned flags)
{
    memset(p, 0, sizeof *p);
    p->barrier = b;
    p->action = action;
    p->timeout_ns = timeout_ns;
    p->flags = flags;
    p->index = 77;
    support_start(&p->thread, wait_once, p);
}

/* Returns when it sleeps, or has given up already. */
static void start_party(party *p, lw_barrier_t *b, lw_barrier_action_fn action, int64_t timeout_ns,
                        unsigned flags)
{
    int64_t since_ns = support_mark();
    begin_party(p, b, action, timeout_ns, flags);
    support_await_newcomer(lw_park_beside_(b), NULL, since_ns, &p->thread);
}

static void join_party(party *p, lw_status status)
{
    support_join(&p->thread);
    CHECK_EQ(p->status, status);
    CHECK_EQ(p->index == 77, status != LW_OK);
}

static void check_as_new(const lw_barrier_t *b)
{
    CHECK(!lw_barrier_is_broken(b));
    CHECK_EQ(lw_barrier_waiting(b), 0);
    CHECK_EQ(waiters_of(b), 0);
}

TEST(for_one_it_is_no_wait)
{
    lw_barrier_t b = LW_BARRIER_INIT(1), set;
    uint32_t index = 7;
    int i;
    memset(&set, 0xff, sizeof set);
    lw_barrier_init(&set, 1);
    CHECK_EQ(memcmp(&b, &set, sizeof b), 0);
    CHECK_EQ(lw_barrier_parties(&b), 1);
    for (i = 0; i < 3; i++) {
        CHECK_EQ(lw_barrier_wait(&b, &index), LW_OK);
        CHECK_EQ(index, 0);
        CHECK_EQ(lw_barrier_wait_for(&b, 0, NULL), LW_OK);
        CHECK_EQ(lw_barrier_wait_flags(&b, 0, LW_WAIT_ATTACHED, NULL), LW_OK);
    }
    check_as_new(&b);
}

TEST(indices_are_in_the_order_of_arrival)
{
    lw_barrier_t b = LW_BARRIER_INIT(3);
    party p[2];
    int round;
    for (round = 0; round < 3; round++) {
        uint32_t index = 7;
        start_party(&p[0], &b, NULL, -1, LW_WAIT_DEFAULT);
        CHECK_EQ(lw_barrier_waiting(&b), 1);
        start_party(&p[1], &b, NULL, INT64_MAX, LW_WAIT_ATTACHED);
        CHECK_EQ(lw_barrier_waiting(&b), 2);
        CHECK_EQ(lw_barrier_wait(&b, &index), LW_OK);
        join_party(&p[0], LW_OK);
        join_party(&p[1], LW_OK);
        CHECK_EQ(p[0].index, 0);
        CHECK_EQ(p[1].index, 1);
        CHECK_EQ(index, 2);
        check_as_new(&b);
    }
}

/* ---- Breaking ---- */

TEST(a_time_out_breaks_it_for_all)
{
    lw_barrier_t b = LW_BARRIER_INIT(3);
    party patient, hasty;
    start_party(&patient, &b, NULL, -1, LW_WAIT_DEFAULT);
    start_party(&hasty, &b, NULL, 5 * MS, LW_WAIT_DEFAULT);
    join_party(&hasty, LW_TIMEOUT);
    join_party(&patient, LW_BROKEN);
    CHECK(lw_barrier_is_broken(&b));
    CHECK_EQ(lw_barrier_waiting(&b), 0);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_BROKEN);
    CHECK_EQ(lw_barrier_wait_for(&b, 0, NULL), LW_BROKEN);
    lw_barrier_reset(&b);
    check_as_new(&b);
    CHECK_EQ(lw_barrier_wait_for(&b, 0, NULL), LW_TIMEOUT);
    CHECK(lw_barrier_is_broken(&b));
}

TEST(abort_breaks_it_until_reset)
{
    lw_barrier_t b = LW_BARRIER_INIT(3);
    party p[2];
    start_party(&p[0], &b, NULL, -1, LW_WAIT_DEFAULT);
    start_party(&p[1], &b, NULL, -1, LW_WAIT_DEFAULT);
    lw_barrier_abort(&b);
    join_party(&p[0], LW_BROKEN);
    join_party(&p[1], LW_BROKEN);
    CHECK(lw_barrier_is_broken(&b));
    lw_barrier_abort(&b);
    CHECK(lw_barrier_is_broken(&b));
    lw_barrier_reset(&b);
    start_party(&p[0], &b, NULL, -1, LW_WAIT_DEFAULT);
    start_party(&p[1], &b, NULL, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_OK);
    join_party(&p[0], LW_OK);
    join_party(&p[1], LW_OK);
    check_as_new(&b);
}

TEST(reset_breaks_the_round_alone)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party p;
    start_party(&p, &b, NULL, -1, LW_WAIT_DEFAULT);
    lw_barrier_reset(&b);
    join_party(&p, LW_BROKEN);
    check_as_new(&b);
    start_party(&p, &b, NULL, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_OK);
    join_party(&p, LW_OK);
    lw_barrier_reset(&b);
    check_as_new(&b);
}

static void inits_for_none(void *arg)
{
    lw_barrier_init((lw_barrier_t *)arg, 0);
}

static void waits_on_zeros(void *arg)
{
    memset(arg, 0, sizeof(lw_barrier_t));
    (void)!lw_barrier_wait((lw_barrier_t *)arg, NULL);
}

static void expect_abort(void (*fn)(void *arg), void *arg, const char *function)
{
    char output[512];
    int status = support_fork(fn, arg, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
}

TEST(misuse_ends_the_process)
{
    lw_barrier_t b;
    expect_abort(inits_for_none, &b, "lw_barrier_init");
    expect_abort(waits_on_zeros, &b, "lw_barrier_wait");
}

/* ---- The action ---- */

static support_step acting = SUPPORT_STEP_INIT; /* 1: it runs, 2: it may end */
static int acts, act_result = 1;
static lw_status other_status = LW_AGAIN;
static party *act_watches;

static bool act(void *arg)
{
    const party *p = (const party *)arg;
    CHECK(act_watches == NULL || !__atomic_load_n(&act_watches->done, __ATOMIC_ACQUIRE));
    CHECK_EQ(lw_barrier_waiting(p->barrier), lw_barrier_parties(p->barrier));
    acts++;
    return act_result != 0;
}

TEST(one_acts_before_the_others_go_on)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last;
    int i;
    for (i = 0; i < 3; i++) {
        act_watches = &first;
        start_party(&first, &b, act, -1, LW_WAIT_DEFAULT);
        start_party(&last, &b, act, -1, LW_WAIT_DEFAULT);
        join_party(&last, LW_OK);
        join_party(&first, LW_OK);
        CHECK_EQ(last.index, 1);
        CHECK_EQ(acts, i + 1);
        check_as_new(&b);
    }
}

TEST(an_action_that_fails_breaks_it)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last;
    act_result = 0;
    start_party(&first, &b, act, -1, LW_WAIT_DEFAULT);
    start_party(&last, &b, act, -1, LW_WAIT_DEFAULT);
    join_party(&first, LW_BROKEN);
    join_party(&last, LW_BROKEN);
    CHECK_EQ(acts, 1);
    CHECK(lw_barrier_is_broken(&b));
    act_result = 1;
    lw_barrier_reset(&b);
    start_party(&first, &b, act, -1, LW_WAIT_DEFAULT);
    start_party(&last, &b, act, -1, LW_WAIT_DEFAULT);
    join_party(&first, LW_OK);
    join_party(&last, LW_OK);
}

static bool act_and_end(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

TEST(an_action_that_ends_its_thread_breaks_it)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last;
    start_party(&first, &b, act_and_end, -1, LW_WAIT_DEFAULT);
    begin_party(&last, &b, act_and_end, -1, LW_WAIT_DEFAULT);
    join_party(&first, LW_BROKEN);
    support_join(&last.thread);
    CHECK_EQ(last.done, 0);
    CHECK(lw_barrier_is_broken(&b));
}

static bool act_slowly(void *arg)
{
    (void)arg;
    acts++;
    support_reach(&acting, 1);
    support_await(&acting, 2);
    return true;
}

/* Limits and signals do not end a wait while the action runs: all have arrived. */
TEST(no_limit_while_the_action_runs)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last;
    begin_party(&first, &b, act_slowly, 300 * MS, LW_WAIT_INTERRUPTIBLE | LW_WAIT_ATTACHED);
    while (lw_barrier_waiting(&b) == 0) {
        CHECK(!__atomic_load_n(&first.done, __ATOMIC_ACQUIRE) || first.status != LW_TIMEOUT);
        if (__atomic_load_n(&first.done, __ATOMIC_ACQUIRE)) { /* the posix platform does so */
            support_join(&first.thread);
            begin_party(&first, &b, act_slowly, 300 * MS, LW_WAIT_ATTACHED);
        }
    }
    begin_party(&last, &b, act_slowly, 100 * MS, LW_WAIT_DEFAULT);
    support_await(&acting, 1);
    support_sleep(400 * MS); /* past the limit: nothing can be waited for that must not happen */
    CHECK_EQ(__atomic_load_n(&first.done, __ATOMIC_ACQUIRE), 0);
    support_reach(&acting, 2);
    join_party(&first, LW_OK);
    join_party(&last, LW_OK);
    check_as_new(&b);
}

/* Abort and reset have effect on the round when it ends. */
TEST(abort_while_the_action_runs)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last, door;
    start_party(&first, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    begin_party(&last, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    support_await(&acting, 1);
    start_party(&door, &b, NULL, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_barrier_waiting(&b), 2);
    lw_barrier_abort(&b);
    CHECK(lw_barrier_is_broken(&b));
    CHECK_EQ(lw_barrier_waiting(&b), 0);
    join_party(&door, LW_BROKEN);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_BROKEN);
    CHECK_EQ(__atomic_load_n(&first.done, __ATOMIC_ACQUIRE), 0);
    support_reach(&acting, 2);
    join_party(&first, LW_BROKEN);
    join_party(&last, LW_BROKEN);
    CHECK(lw_barrier_is_broken(&b));
    lw_barrier_reset(&b);
    check_as_new(&b);
}

/* No second action before the first has ended. */
TEST(reset_while_the_action_runs)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last, door;
    start_party(&first, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    begin_party(&last, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    support_await(&acting, 1);
    lw_barrier_abort(&b);
    lw_barrier_reset(&b);
    CHECK(!lw_barrier_is_broken(&b));
    start_party(&door, &b, NULL, -1, LW_WAIT_DEFAULT);
    lw_barrier_reset(&b);
    CHECK_EQ(lw_barrier_waiting(&b), 0);
    support_await_waiters(lw_park_beside_(&b), 1);
    CHECK_EQ(__atomic_load_n(&first.done, __ATOMIC_ACQUIRE), 0);
    support_reach(&acting, 2);
    join_party(&first, LW_BROKEN);
    join_party(&last, LW_BROKEN);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_OK);
    join_party(&door, LW_OK);
    check_as_new(&b);
}

/* More threads than parties: who comes while the action runs belongs to the next round. Its limit
 * counts from its arrival there. */
TEST(newcomers_wait_for_the_action)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last, door;
    start_party(&first, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    begin_party(&last, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    support_await(&acting, 1);
    start_party(&door, &b, NULL, 20 * MS, LW_WAIT_DEFAULT);
    support_sleep(30 * MS);
    CHECK_EQ(__atomic_load_n(&door.done, __ATOMIC_ACQUIRE), 0);
    support_reach(&acting, 2);
    join_party(&first, LW_OK);
    join_party(&last, LW_OK);
    join_party(&door, LW_TIMEOUT);
    CHECK(lw_barrier_is_broken(&b));
}

static bool act_on_itself(void *arg)
{
    lw_barrier_abort(((party *)arg)->barrier);
    lw_barrier_reset(((party *)arg)->barrier);
    return true;
}

TEST(an_action_may_abort_and_reset)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last;
    start_party(&first, &b, act_on_itself, -1, LW_WAIT_DEFAULT);
    begin_party(&last, &b, act_on_itself, -1, LW_WAIT_DEFAULT);
    join_party(&first, LW_BROKEN);
    join_party(&last, LW_BROKEN);
    check_as_new(&b);
}

/* ---- Hooks and signals ---- */

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

static bool act_attached(void *arg)
{
    (void)arg;
    CHECK_EQ(__atomic_load_n(&befores, __ATOMIC_RELAXED), 1 + acts);
    CHECK_EQ(__atomic_load_n(&afters, __ATOMIC_RELAXED), acts);
    acts++;
    return true;
}

TEST(a_wait_detaches_unless_told_not_to)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last;
    lw_domain_set_block_hooks(&hooks);
    start_party(&first, &b, NULL, 3 * MS, LW_WAIT_ATTACHED);
    join_party(&first, LW_TIMEOUT);
    CHECK_EQ(befores, 0);
    lw_barrier_reset(&b);
    for (; acts < 2;) {
        start_party(&first, &b, act_attached, -1, LW_WAIT_DEFAULT);
        while (__atomic_load_n(&befores, __ATOMIC_RELAXED) != 1 + acts) {
            support_sleep(200000); /* it is in the queue, and on its way to the hook */
        }
        begin_party(&last, &b, act_attached, -1, LW_WAIT_DEFAULT);
        join_party(&first, LW_OK);
        join_party(&last, LW_OK);
    }
    CHECK_EQ(befores, 2);
    CHECK_EQ(afters, 2);
}

/* A time-out has broken the barrier before the thread attaches. */
TEST(who_ends_while_it_attaches_has_broken_it)
{
    lw_barrier_t b = LW_BARRIER_INIT(3);
    party ends, stays;
    lw_domain_set_block_hooks(&hooks);
    start_party(&stays, &b, NULL, -1, LW_WAIT_ATTACHED);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    begin_party(&ends, &b, NULL, 100 * MS, LW_WAIT_DEFAULT);
    support_join(&ends.thread);
    CHECK_EQ(ends.done, 0);
    join_party(&stays, LW_BROKEN);
    CHECK(lw_barrier_is_broken(&b));
}

TEST(who_ends_while_it_attaches_has_passed)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party ends, stays;
    lw_domain_set_block_hooks(&hooks);
    start_party(&ends, &b, NULL, -1, LW_WAIT_DEFAULT);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    start_party(&stays, &b, NULL, -1, LW_WAIT_DEFAULT);
    join_party(&stays, LW_OK);
    support_join(&ends.thread);
    CHECK_EQ(ends.done, 0);
    check_as_new(&b);
}

static void on_signal(int number)
{
    (void)number;
}

TEST(a_signal_changes_nothing)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    struct sigaction action;
    party p;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    start_party(&p, &b, NULL, -1, LW_WAIT_INTERRUPTIBLE);
    for (i = 0; waiters_of(&b) != 0; i++) {
        CHECK(i < 5000);
        CHECK_EQ(pthread_kill(p.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    join_party(&p, LW_INTERRUPTED);
    check_as_new(&b);
    start_party(&p, &b, NULL, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_OK);
    join_party(&p, LW_OK);
}

TEST(a_signal_at_the_door_changes_nothing)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    struct sigaction action;
    party first, last, door;
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    start_party(&first, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    begin_party(&last, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    support_await(&acting, 1);
    start_party(&door, &b, NULL, -1, LW_WAIT_INTERRUPTIBLE);
    for (i = 0; waiters_of(&b) != 0; i++) {
        CHECK(i < 5000);
        CHECK_EQ(pthread_kill(door.thread.id, SIGUSR1), 0);
        support_sleep(MS);
    }
    join_party(&door, LW_INTERRUPTED);
    support_reach(&acting, 2);
    join_party(&first, LW_OK);
    join_party(&last, LW_OK);
    check_as_new(&b);
}

/* ---- Memory, and rounds one after the other ---- */

enum { TEAM = 4, ROUNDS = 1500 };

static lw_barrier_t team_barrier = LW_BARRIER_INIT(TEAM);
static int team_round[TEAM];

static void go_round(void *arg)
{
    int me = *(const int *)arg, round, i;
    for (round = 1; round <= ROUNDS; round++) {
        uint32_t index = TEAM;
        team_round[me] = round; /* plain: the barrier orders it */
        CHECK_EQ(lw_barrier_wait(&team_barrier, &index), LW_OK);
        CHECK(index < TEAM);
        for (i = 0; i < TEAM; i++) {
            CHECK_EQ(team_round[i], round);
        }
        CHECK_EQ(lw_barrier_wait(&team_barrier, NULL), LW_OK);
    }
}

TEST(rounds_without_a_pause)
{
    int numbers[TEAM] = {0, 1, 2, 3};
    support_run(TEAM, go_round, numbers, sizeof numbers[0]);
    check_as_new(&team_barrier);
}

static lw_barrier_t *barriers[ROUNDS];

static bool act_nothing(void *arg)
{
    (void)arg;
    return true;
}

static void wait_and_free(void *arg)
{
    int me = *(const int *)arg, i;
    for (i = 0; i < ROUNDS; i++) {
        lw_barrier_t *b = barriers[i];
        CHECK_EQ(lw_barrier_wait_then(b, i % 2 == 0 ? NULL : act_nothing, NULL, -1, LW_WAIT_DEFAULT,
                                      NULL),
                 LW_OK);
        if (i % TEAM == me) {
            free(b); /* while the others may be on their way out of it */
        }
    }
}

TEST(who_is_let_go_may_free_it)
{
    int numbers[TEAM] = {0, 1, 2, 3}, i;
    for (i = 0; i < ROUNDS; i++) {
        barriers[i] = (lw_barrier_t *)calloc(1, sizeof *barriers[i]);
        CHECK(barriers[i] != NULL);
        lw_barrier_init(barriers[i], TEAM);
    }
    support_run(TEAM, wait_and_free, numbers, sizeof numbers[0]);
}

TEST(no_memory_is_needed)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party p;
    heap_install();
    heap_fail_after(0);
    start_party(&p, &b, NULL, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_OK);
    join_party(&p, LW_OK);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork: those who had arrived are not there; reset makes it as new, or init where another's
 * action was running ---- */

static void use_as_new(lw_barrier_t *b)
{
    party p;
    check_as_new(b);
    start_party(&p, b, act, -1, LW_WAIT_DEFAULT);
    CHECK_EQ(lw_barrier_wait(b, NULL), LW_OK);
    join_party(&p, LW_OK);
}

static void child_resets(void *arg)
{
    lw_barrier_t *b = (lw_barrier_t *)arg;
    CHECK_EQ(lw_barrier_waiting(b), 1); /* who is gone */
    CHECK_EQ(waiters_of(b), 0);
    lw_barrier_reset(b);
    use_as_new(b);
}

static void child_inits(void *arg)
{
    lw_barrier_t *b = (lw_barrier_t *)arg;
    CHECK_EQ(lw_barrier_waiting(b), 2);
    lw_barrier_init(b, 2);
    use_as_new(b);
}

TEST(forked_while_others_wait)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party p;
    start_party(&p, &b, NULL, -1, LW_WAIT_DEFAULT);
    support_fork_ok(child_resets, &b);
    CHECK_EQ(waiters_of(&b), 1);
    CHECK_EQ(lw_barrier_wait(&b, NULL), LW_OK);
    join_party(&p, LW_OK);
}

TEST(forked_while_another_acts)
{
    lw_barrier_t b = LW_BARRIER_INIT(2);
    party first, last;
    start_party(&first, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    begin_party(&last, &b, act_slowly, -1, LW_WAIT_DEFAULT);
    support_await(&acting, 1);
    support_fork_ok(child_inits, &b);
    support_reach(&acting, 2);
    join_party(&first, LW_OK);
    join_party(&last, LW_OK);
}

static pid_t forked;

static bool act_by_fork(void *arg)
{
    (void)arg;
    forked = fork();
    CHECK(forked >= 0);
    if (forked == 0) {
        alarm(20);
    }
    return true;
}

/* Comes back twice: the child's has nobody to wake. */
static void wait_and_fork(void *arg)
{
    lw_barrier_t *b = (lw_barrier_t *)arg;
    int status = 0;
    other_status = lw_barrier_wait_then(b, act_by_fork, NULL, -1, LW_WAIT_DEFAULT, NULL);
    if (forked == 0) {
        party p;
        CHECK_EQ(other_status, LW_OK);
        check_as_new(b);
        start_party(&p, b, NULL, -1, LW_WAIT_DEFAULT);
        CHECK_EQ(lw_barrier_wait(b, NULL), LW_OK);
        join_party(&p, LW_OK);
        _exit(0);
    }
    CHECK_EQ(waitpid(forked, &status, 0), forked);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST(forked_by_the_action)
{
    static lw_barrier_t b = LW_BARRIER_INIT(2);
    party p;
    start_party(&p, &b, NULL, -1, LW_WAIT_DEFAULT);
    support_run(1, wait_and_fork, &b, 1);
    CHECK_EQ(other_status, LW_OK);
    join_party(&p, LW_OK);
}
