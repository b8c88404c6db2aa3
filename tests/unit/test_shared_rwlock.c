/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/shared_rwlock.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static uint32_t word_of(const lw_shared_rwlock_t *l)
{
    return lw_atomic_load_relaxed_u32(&l->base.word);
}

/* Whether a writer would find no reader, as another thread sees it. */
static void try_write(void *arg)
{
    lw_shared_rwlock_t **l = (lw_shared_rwlock_t **)arg;
    if (lw_shared_rwlock_write_trylock(*l)) {
        lw_shared_rwlock_write_unlock(*l);
        *l = NULL;
    }
}

static bool is_free(lw_shared_rwlock_t *l)
{
    support_run(1, try_write, &l, sizeof l);
    return l == NULL;
}

TEST(four_bytes_all_zero)
{
    lw_shared_rwlock_t zeroed, initialised = LW_SHARED_RWLOCK_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_shared_rwlock_init(&set);
    CHECK_EQ(sizeof zeroed, 4);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
    lw_shared_rwlock_write_lock(&zeroed);
    CHECK(lw_shared_rwlock_is_write_locked(&zeroed));
    lw_shared_rwlock_write_unlock(&zeroed);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
}

TEST(readers_leave_the_lock_alone)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    int i;
    for (i = 0; i < 3; i++) {
        lw_shared_rwlock_read_lock(&l);
        CHECK_EQ(word_of(&l), 0);
        CHECK(!is_free(&l));
        CHECK(lw_shared_rwlock_read_trylock(&l));
        lw_shared_rwlock_read_unlock(&l);
        CHECK(!is_free(&l));
        lw_shared_rwlock_read_unlock(&l);
        CHECK(is_free(&l));
    }
}

TEST(lock_for)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    CHECK_EQ(lw_shared_rwlock_write_lock_for(&l, 0), LW_OK);
    CHECK_EQ(lw_shared_rwlock_write_lock_for(&l, 0), LW_TIMEOUT);
    CHECK_EQ(lw_shared_rwlock_write_lock_for(&l, 2 * MS), LW_TIMEOUT);
    CHECK(!lw_shared_rwlock_read_trylock(&l));
    CHECK_EQ(lw_shared_rwlock_read_lock_for(&l, 1), LW_TIMEOUT);
    CHECK_EQ(lw_shared_rwlock_read_lock_for(&l, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_shared_rwlock_read_lock_flags(&l, 2 * MS, LW_WAIT_ATTACHED), LW_TIMEOUT);
    CHECK_EQ(word_of(&l), LW_RWLOCK_WRITER_);
    lw_shared_rwlock_write_unlock(&l);
    CHECK_EQ(lw_shared_rwlock_read_lock_for(&l, 0), LW_OK);
    lw_shared_rwlock_read_unlock(&l);
    CHECK_EQ(lw_shared_rwlock_read_lock_for(&l, INT64_MAX), LW_OK);
    lw_shared_rwlock_read_unlock(&l);
    CHECK_EQ(lw_shared_rwlock_write_lock_for(&l, INT64_MAX), LW_OK);
    lw_shared_rwlock_write_unlock(&l);
    CHECK_EQ(lw_shared_rwlock_write_lock_flags(&l, -1, LW_WAIT_ATTACHED), LW_OK);
    lw_shared_rwlock_write_unlock(&l);
    CHECK_EQ(word_of(&l), 0);
}

/* ---- Threads that lock once ---- */

typedef struct locker {
    lw_shared_rwlock_t *lock;
    bool writes;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
    support_thread thread;
    support_step *until; /* what it waits for with the lock held; NULL: nothing */
    int turn;            /* it was the so-many-eth inside */
    int done;
} locker;

static int inside; /* counts who has been */

static void lock_once(void *arg)
{
    locker *k = (locker *)arg;
    k->status = k->writes ? lw_shared_rwlock_write_lock_flags(k->lock, k->timeout_ns, k->flags)
                          : lw_shared_rwlock_read_lock_flags(k->lock, k->timeout_ns, k->flags);
    if (k->status == LW_OK) {
        __atomic_store_n(&k->turn, __atomic_add_fetch(&inside, 1, __ATOMIC_ACQ_REL),
                         __ATOMIC_RELEASE);
        if (k->until != NULL) {
            support_await(k->until, 1);
        }
        if (k->writes) {
            lw_shared_rwlock_write_unlock(k->lock);
        } else {
            lw_shared_rwlock_read_unlock(k->lock);
        }
    }
    __atomic_store_n(&k->done, 1, __ATOMIC_RELEASE);
}

static size_t sleepers(const lw_shared_rwlock_t *l)
{
    return support_waiters(l) + support_waiters(lw_park_late_(l));
}

enum { READS = 0, WRITES = 1 };

static void launch(locker *k, lw_shared_rwlock_t *l, int writes, int64_t timeout_ns, unsigned flags,
                   support_step *until)
{
    memset(k, 0, sizeof *k);
    k->lock = l;
    k->writes = writes == WRITES;
    k->timeout_ns = timeout_ns;
    k->flags = flags;
    k->until = until;
    support_start(&k->thread, lock_once, k);
}

/* Returns when it sleeps, or has given up already. */
static void start(locker *k, lw_shared_rwlock_t *l, int writes, int64_t timeout_ns, unsigned flags,
                  support_step *until)
{
    int64_t since_ns = support_mark();
    launch(k, l, writes, timeout_ns, flags, until);
    support_await_newcomer(l, lw_park_late_(l), since_ns, &k->thread);
}

static void await_turn(const locker *k)
{
    while (__atomic_load_n(&k->turn, __ATOMIC_ACQUIRE) == 0) {
        support_sleep(200000);
    }
}

static void finish(locker *k, lw_status status)
{
    support_join(&k->thread);
    CHECK_EQ(k->status, status);
}

TEST(writer_waits_for_the_readers_inside)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    support_step go = SUPPORT_STEP_INIT;
    locker writer, readers[2];
    int i;
    for (i = 0; i < 2; i++) {
        launch(&readers[i], &l, READS, -1, LW_WAIT_DEFAULT, &go);
        await_turn(&readers[i]);
    }
    lw_shared_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    CHECK_EQ(support_waiters(lw_park_late_(&l)), 1);
    lw_shared_rwlock_read_unlock(&l);
    support_sleep(2 * MS);
    CHECK_EQ(writer.turn, 0);
    support_reach(&go, 1);
    for (i = 0; i < 2; i++) {
        finish(&readers[i], LW_OK);
    }
    finish(&writer, LW_OK);
    CHECK_EQ(word_of(&l), 0);
}

TEST(readers_wait_behind_a_writer_that_waits)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    locker writer, reader;
    lw_shared_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    start(&reader, &l, READS, 2 * MS, LW_WAIT_DEFAULT, NULL);
    finish(&reader, LW_TIMEOUT);
    start(&reader, &l, READS, 0, LW_WAIT_DEFAULT, NULL);
    finish(&reader, LW_TIMEOUT);
    start(&reader, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    lw_shared_rwlock_read_unlock(&l);
    finish(&writer, LW_OK);
    finish(&reader, LW_OK);
    CHECK(writer.turn < reader.turn);
    CHECK_EQ(word_of(&l), 0);
    CHECK(is_free(&l));
}

TEST(writer_that_times_out_lets_the_readers_go)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    locker writer, reader;
    lw_shared_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, 100 * MS, LW_WAIT_DEFAULT, NULL);
    start(&reader, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    finish(&writer, LW_TIMEOUT);
    finish(&reader, LW_OK);
    CHECK_EQ(word_of(&l), 0);
    lw_shared_rwlock_read_unlock(&l);
    CHECK(is_free(&l));
}

TEST(waiters_get_it_one_after_the_other)
{
    enum { N = 9 };
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    locker k[N];
    int i;
    lw_shared_rwlock_write_lock(&l);
    for (i = 0; i < N; i++) {
        start(&k[i], &l, i % 3 == 0 ? WRITES : READS, i % 2 == 0 ? -1 : INT64_MAX, LW_WAIT_DEFAULT,
              NULL);
    }
    CHECK_EQ(inside, 0);
    lw_shared_rwlock_write_unlock(&l);
    for (i = 0; i < N; i++) {
        finish(&k[i], LW_OK);
    }
    CHECK_EQ(inside, N);
    CHECK_EQ(word_of(&l), 0);
    CHECK(is_free(&l));
}

/* ---- Slots ---- */

TEST(more_locks_than_slots)
{
    enum { N = 2 * LW_THREAD_READS_ };
    lw_shared_rwlock_t l[N];
    int i, turn;
    memset(l, 0, sizeof l);
    for (turn = 0; turn < 3; turn++) {
        for (i = 0; i < N; i++) {
            lw_shared_rwlock_read_lock(&l[i]);
            CHECK_EQ(word_of(&l[i]), i < LW_THREAD_READS_ ? 0 : LW_RWLOCK_READER_);
        }
        for (i = 0; i < N; i++) {
            CHECK(!is_free(&l[i]));
        }
        for (i = 0; i < N; i++) {
            int which = turn == 0 ? i : turn == 1 ? N - 1 - i : (i * 5) % N;
            lw_shared_rwlock_read_unlock(&l[which]);
            CHECK(is_free(&l[which]));
        }
    }
}

TEST(same_lock_more_often_than_there_are_slots)
{
    enum { N = 2 * LW_THREAD_READS_ };
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    int i;
    for (i = 0; i < N; i++) {
        lw_shared_rwlock_read_lock(&l);
    }
    for (i = 0; i < N; i++) {
        CHECK(!is_free(&l));
        lw_shared_rwlock_read_unlock(&l);
    }
    CHECK(is_free(&l));
}

TEST(nested_read_lock_does_not_wait_for_a_writer)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    locker writer;
    lw_shared_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    CHECK_EQ(lw_shared_rwlock_read_lock_for(&l, 0), LW_OK);
    CHECK(lw_shared_rwlock_read_trylock(&l));
    lw_shared_rwlock_read_unlock(&l);
    lw_shared_rwlock_read_unlock(&l);
    CHECK_EQ(writer.turn, 0);
    lw_shared_rwlock_read_unlock(&l);
    finish(&writer, LW_OK);
    CHECK_EQ(word_of(&l), 0);
}

/* A read lock that a thread got behind a writer, and is counted. */
static void lock_behind_a_writer(lw_shared_rwlock_t *l, support_thread_fn fn, void *arg,
                                 support_thread *thread)
{
    size_t before = sleepers(l);
    lw_shared_rwlock_write_lock(l);
    support_start(thread, fn, arg);
    support_await_waiters(l, before + 1);
    lw_shared_rwlock_write_unlock(l);
}

static void read_twice(void *arg)
{
    lw_shared_rwlock_t *l = (lw_shared_rwlock_t *)arg;
    locker writer;
    lw_shared_rwlock_read_lock(l);
    CHECK(word_of(l) >= LW_RWLOCK_READER_);
    start(&writer, l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    lw_shared_rwlock_read_lock(l);
    lw_shared_rwlock_read_unlock(l);
    CHECK_EQ(writer.turn, 0);
    lw_shared_rwlock_read_unlock(l);
    finish(&writer, LW_OK);
}

TEST(nested_read_lock_of_one_that_is_counted)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    support_thread thread;
    lock_behind_a_writer(&l, read_twice, &l, &thread);
    support_join(&thread);
    CHECK_EQ(word_of(&l), 0);
    CHECK(is_free(&l));
}

/* A thread goes on holding the lock by one slot after the other, while a writer goes through its
 * slots. */
static lw_shared_rwlock_t moved;
static int moved_stop, moved_count;

static void try_to_write(void *arg)
{
    (void)arg;
    support_keep_apart(1);
    while (!__atomic_load_n(&moved_stop, __ATOMIC_RELAXED)) {
        if (lw_shared_rwlock_write_trylock(&moved)) {
            moved_count++;
            lw_shared_rwlock_write_unlock(&moved);
        }
    }
}

TEST(lock_that_moves_between_slots_is_held_all_the_time)
{
    static lw_shared_rwlock_t between[LW_THREAD_READS_ - 2];
    support_thread thread;
    support_random random = support_random_new(support_seed(), 0);
    int64_t end_ns;
    int i, before, spins;
    lw_shared_rwlock_read_lock(&moved);
    for (i = 0; i < LW_THREAD_READS_ - 2; i++) {
        lw_shared_rwlock_read_lock(&between[i]);
    }
    lw_shared_rwlock_read_unlock(&moved); /* the first slot and the last are free */
    support_start(&thread, try_to_write, NULL);
    support_keep_apart(0);
    end_ns = support_now() + (int64_t)(support_seconds(0.3) * 1e9);
    while (support_now() < end_ns) {
        lw_shared_rwlock_read_lock(&moved);
        before = moved_count;
        /* So long that it moves while a writer goes through the slots, some microseconds after that
         * one has stopped newcomers. */
        for (spins = (int)support_below(&random, 600); spins > 0; spins--) {
            lw_cpu_relax();
        }
        lw_shared_rwlock_read_lock(&moved);
        lw_shared_rwlock_read_unlock(&moved); /* the first slot's */
        for (spins = 0; spins < 300; spins++) {
            lw_cpu_relax(); /* a writer that got in would count meanwhile */
        }
        CHECK_EQ(moved_count, before);
        lw_shared_rwlock_read_unlock(&moved);
    }
    __atomic_store_n(&moved_stop, 1, __ATOMIC_RELAXED);
    support_join(&thread);
    for (i = 0; i < LW_THREAD_READS_ - 2; i++) {
        lw_shared_rwlock_read_unlock(&between[i]);
    }
    CHECK(is_free(&moved));
}

static void read_without_record(void *arg)
{
    lw_shared_rwlock_t *l = (lw_shared_rwlock_t *)arg;
    locker writer;
    CHECK(lw_thread_self() == NULL);
    lw_shared_rwlock_read_lock(l);
    CHECK_EQ(word_of(l), LW_RWLOCK_READER_);
    start(&writer, l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    heap_fail_after(-1);
    CHECK(lw_thread_self() != NULL); /* from now on it has one */
    CHECK_EQ(writer.turn, 0);
    lw_shared_rwlock_read_unlock(l);
    finish(&writer, LW_OK);
    CHECK_EQ(word_of(l), 0);
    lw_shared_rwlock_read_lock(l);
    CHECK_EQ(word_of(l), 0);
    lw_shared_rwlock_read_unlock(l);
}

TEST(threads_without_a_record_are_counted)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    heap_install();
    heap_fail_after(0);
    support_run(1, read_without_record, &l, 1);
}

/* ---- Misuse ---- */

TEST(writer_would_wait_for_itself)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    lw_shared_rwlock_read_lock(&l);
    CHECK_EQ(lw_shared_rwlock_write_lock_for(&l, -1), LW_BUSY);
    CHECK_EQ(lw_shared_rwlock_write_lock_for(&l, 0), LW_BUSY);
    CHECK(!lw_shared_rwlock_write_trylock(&l));
    CHECK_EQ(word_of(&l), 0);
    lw_shared_rwlock_read_unlock(&l);
    CHECK_EQ(lw_shared_rwlock_write_lock_for(&l, 0), LW_OK);
    lw_shared_rwlock_write_unlock(&l);
}

static void unlock_read(void *arg)
{
    lw_shared_rwlock_read_unlock((lw_shared_rwlock_t *)arg);
}

static void unlock_write(void *arg)
{
    lw_shared_rwlock_write_unlock((lw_shared_rwlock_t *)arg);
}

static void lock_both(void *arg)
{
    lw_shared_rwlock_read_lock((lw_shared_rwlock_t *)arg);
    lw_shared_rwlock_write_lock((lw_shared_rwlock_t *)arg);
}

static void expect_abort(void (*fn)(void *arg), lw_shared_rwlock_t *l, const char *function,
                         const char *what)
{
    char output[512];
    int status = support_fork(fn, l, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
    CHECK(strstr(output, what) != NULL);
}

static void unlock_anothers(void *arg)
{
    expect_abort(unlock_read, (lw_shared_rwlock_t *)arg, "lw_shared_rwlock_read_unlock",
                 "this thread has not");
}

TEST(misuse_ends_the_process)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    expect_abort(unlock_read, &l, "lw_shared_rwlock_read_unlock", "this thread has not");
    expect_abort(unlock_write, &l, "write_unlock", "no writer");
    expect_abort(lock_both, &l, "lw_shared_rwlock_write_lock", "for reading");
    lw_shared_rwlock_read_lock(&l);
    support_run(1, unlock_anothers, &l, 1);
    expect_abort(unlock_write, &l, "write_unlock", "no writer");
    lw_shared_rwlock_read_unlock(&l);
    lw_shared_rwlock_write_lock(&l);
    expect_abort(unlock_read, &l, "lw_shared_rwlock_read_unlock", "this thread has not");
    lw_shared_rwlock_write_unlock(&l);
}

TEST(unlocking_what_another_thread_has_counted_is_noticed)
{
    lw_shared_rwlock_t l[LW_THREAD_READS_ + 1];
    int i;
    memset(l, 0, sizeof l);
    for (i = 0; i <= LW_THREAD_READS_; i++) {
        lw_shared_rwlock_read_lock(&l[i]);
    }
    CHECK_EQ(word_of(&l[LW_THREAD_READS_]), LW_RWLOCK_READER_);
    support_run(1, unlock_anothers, &l[LW_THREAD_READS_], 1);
    for (i = LW_THREAD_READS_; i >= 0; i--) {
        lw_shared_rwlock_read_unlock(&l[i]);
    }
    expect_abort(unlock_read, &l[0], "lw_shared_rwlock_read_unlock", "this thread has not");
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
    static lw_shared_rwlock_t other;
    CHECK(token == &befores);
    lw_shared_rwlock_read_lock(&other); /* none of the library's locks is held here */
    lw_shared_rwlock_read_unlock(&other);
    __atomic_fetch_add(&afters, 1, __ATOMIC_RELAXED);
}

TEST(waits_detach_unless_told_not_to)
{
    static const lw_block_hooks hooks = {hook_before, hook_after};
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    int i;
    lw_domain_set_block_hooks(&hooks);
    for (i = 0; i < 2; i++) { /* a writer that waits for a slot, a reader that waits for a writer */
        support_step go = SUPPORT_STEP_INIT;
        locker holder, waiter;
        launch(&holder, &l, i == 0 ? READS : WRITES, -1, LW_WAIT_DEFAULT, &go);
        await_turn(&holder);
        befores = afters = 0;
        start(&waiter, &l, i == 0 ? WRITES : READS, 3 * MS, LW_WAIT_ATTACHED, NULL);
        finish(&waiter, LW_TIMEOUT);
        CHECK_EQ(befores, 0);
        start(&waiter, &l, i == 0 ? WRITES : READS, 100 * MS, LW_WAIT_DEFAULT, NULL);
        finish(&waiter, LW_TIMEOUT);
        CHECK_EQ(befores, 1);
        CHECK_EQ(afters, 1);
        support_reach(&go, 1);
        finish(&holder, LW_OK);
        CHECK(is_free(&l));
    }
}

static void on_signal(int number)
{
    (void)number;
}

TEST(signal_interrupts_who_asked_for_it)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    struct sigaction action;
    int i, n;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    for (i = 0; i < 2; i++) {
        locker k;
        if (i == 0) {
            lw_shared_rwlock_read_lock(&l);
        } else {
            lw_shared_rwlock_write_lock(&l);
        }
        start(&k, &l, i == 0 ? WRITES : READS, -1, LW_WAIT_INTERRUPTIBLE, NULL);
        for (n = 0; sleepers(&l) != 0; n++) {
            CHECK(n < 5000);
            CHECK_EQ(pthread_kill(k.thread.id, SIGUSR1), 0);
            support_sleep(MS);
        }
        finish(&k, LW_INTERRUPTED);
        if (i == 0) {
            CHECK_EQ(word_of(&l), 0);
            lw_shared_rwlock_read_unlock(&l);
        } else {
            lw_shared_rwlock_write_unlock(&l);
        }
        CHECK(is_free(&l));
    }
}

/* ---- Threads that end ---- */

static void hook_ends(void *token)
{
    CHECK(token == &befores);
    support_end(&ending);
}

TEST(writer_that_ends_while_it_attaches_lets_go)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    static lw_shared_rwlock_t l;
    locker writer, reader;
    int i;
    lw_domain_set_block_hooks(&hooks);
    for (i = 0; i < 2; i++) { /* after a time-out, after a wake */
        lw_shared_rwlock_read_lock(&l);
        __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
        start(&writer, &l, WRITES, i == 0 ? 100 * MS : -1, LW_WAIT_DEFAULT, NULL);
        start(&reader, &l, READS, -1, LW_WAIT_ATTACHED, NULL);
        if (i == 1) {
            lw_shared_rwlock_read_unlock(&l);
        }
        support_join(&writer.thread);
        CHECK_EQ(writer.done, 0);
        finish(&reader, LW_OK);
        CHECK_EQ(word_of(&l), 0);
        if (i == 0) {
            lw_shared_rwlock_read_unlock(&l);
        }
        CHECK(is_free(&l));
    }
}

static void lock_and_exit(void *arg)
{
    lw_shared_rwlock_read_lock((lw_shared_rwlock_t *)arg);
}

TEST(read_locks_end_with_their_thread)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    support_thread thread;
    support_start(&thread, lock_and_exit, &l);
    support_join(&thread);
    CHECK(is_free(&l));
    /* Likewise one that is counted. */
    lock_behind_a_writer(&l, lock_and_exit, &l, &thread);
    support_join(&thread);
    CHECK_EQ(word_of(&l), 0);
    CHECK(is_free(&l));
}

static support_step let_exit = SUPPORT_STEP_INIT;

static void lock_and_exit_late(void *arg)
{
    lw_shared_rwlock_read_lock((lw_shared_rwlock_t *)arg);
    support_reach(&let_exit, 1);
    support_await(&let_exit, 2);
}

TEST(exit_of_the_last_reader_wakes_the_writer)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    support_thread thread;
    locker writer;
    support_start(&thread, lock_and_exit_late, &l);
    support_await(&let_exit, 1);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    CHECK_EQ(support_waiters(lw_park_late_(&l)), 1);
    support_reach(&let_exit, 2);
    support_join(&thread);
    finish(&writer, LW_OK);
}

static void find_no_lock(void *arg)
{
    const lw_thread *self = lw_thread_self();
    int i;
    (void)arg;
    for (i = 0; i < LW_THREAD_READS_; i++) {
        CHECK(lw_atomic_load_relaxed_ptr(&self->reads[i]) == NULL);
    }
}

TEST(records_are_handed_on_without_locks)
{
    lw_shared_rwlock_t l[3];
    support_thread thread;
    size_t records;
    int i;
    memset(l, 0, sizeof l);
    for (i = 0; i < 3; i++) {
        support_start(&thread, lock_and_exit, &l[i]);
        support_join(&thread);
        records = lw_thread_record_count();
        support_start(&thread, find_no_lock, NULL);
        support_join(&thread);
        CHECK_EQ(lw_thread_record_count(), records);
    }
}

/* ---- Exclusion, and the memory freed by whoever locks next ---- */

enum { THREADS = 4, ROUNDS = 5000 };

static lw_shared_rwlock_t counter_lock;
static uint64_t counter[2];

static void count_up(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        if (i % 8 == 0) {
            while (lw_shared_rwlock_write_lock_for(&counter_lock, 50000) != LW_OK) {
            }
            counter[0]++;
            counter[1]++;
            lw_shared_rwlock_write_unlock(&counter_lock);
        } else {
            lw_shared_rwlock_read_lock(&counter_lock);
            CHECK_EQ(counter[0], counter[1]);
            lw_shared_rwlock_read_unlock(&counter_lock);
        }
    }
}

TEST(exclusion)
{
    char unused[THREADS] = {0};
    support_run(THREADS, count_up, unused, 1);
    CHECK_EQ(counter[0], THREADS * ROUNDS / 8);
    CHECK_EQ(word_of(&counter_lock), 0);
    CHECK(is_free(&counter_lock));
}

typedef struct object {
    lw_shared_rwlock_t lock;
    int users;
} object;

enum { OBJECTS = 1000 };
static object *objects[OBJECTS];

static void use_and_free(void *arg)
{
    int number = *(const char *)arg, i;
    for (i = 0; i < OBJECTS; i++) {
        object *o = objects[i];
        bool last;
        if ((i + number) % 3 == 0) {
            lw_shared_rwlock_write_lock(&o->lock);
            last = __atomic_sub_fetch(&o->users, 1, __ATOMIC_ACQ_REL) == 0;
            lw_shared_rwlock_write_unlock(&o->lock);
        } else {
            lw_shared_rwlock_read_lock(&o->lock);
            last = __atomic_sub_fetch(&o->users, 1, __ATOMIC_ACQ_REL) == 0;
            lw_shared_rwlock_read_unlock(&o->lock);
        }
        if (last) {
            lw_shared_rwlock_write_lock(&o->lock); /* the others are out */
            lw_shared_rwlock_write_unlock(&o->lock);
            memset(o, 0xdd, sizeof *o);
            free(o);
        }
    }
}

TEST(the_next_owner_may_free_it)
{
    char numbers[THREADS] = {0, 1, 2, 3};
    int i;
    for (i = 0; i < OBJECTS; i++) {
        objects[i] = (object *)calloc(1, sizeof *objects[i]);
        CHECK(objects[i] != NULL);
        objects[i]->users = THREADS;
    }
    support_run(THREADS, use_and_free, numbers, 1);
}

/* ---- Fork ---- */

static void child_has_its_own_locks(void *arg)
{
    lw_shared_rwlock_t *l = (lw_shared_rwlock_t *)arg;
    CHECK(is_free(&l[0])); /* another thread of the parent read it */
    CHECK(!is_free(&l[1]));
    lw_shared_rwlock_read_unlock(&l[1]);
    CHECK(is_free(&l[1]));
    lw_shared_rwlock_write_unlock(&l[2]);
    CHECK(is_free(&l[2]));
    lw_shared_rwlock_read_lock(&l[0]);
    lw_shared_rwlock_read_unlock(&l[0]);
}

TEST(forked_child_has_the_locks_of_its_thread)
{
    lw_shared_rwlock_t l[3];
    support_step go = SUPPORT_STEP_INIT;
    locker other;
    memset(l, 0, sizeof l);
    launch(&other, &l[0], READS, -1, LW_WAIT_DEFAULT, &go);
    await_turn(&other);
    lw_shared_rwlock_read_lock(&l[1]);
    lw_shared_rwlock_write_lock(&l[2]);
    support_fork_ok(child_has_its_own_locks, l);
    lw_shared_rwlock_read_unlock(&l[1]);
    lw_shared_rwlock_write_unlock(&l[2]);
    support_reach(&go, 1);
    finish(&other, LW_OK);
}

static void child_finds_it_write_locked(void *arg)
{
    lw_shared_rwlock_t *l = (lw_shared_rwlock_t *)arg;
    CHECK_EQ(lw_shared_rwlock_write_lock_for(l, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_shared_rwlock_read_lock_for(l, 2 * MS), LW_TIMEOUT);
    lw_shared_rwlock_init(l);
    lw_shared_rwlock_write_lock(l);
    lw_shared_rwlock_write_unlock(l);
}

TEST(writer_of_the_parent_stays)
{
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    support_step go = SUPPORT_STEP_INIT;
    locker reader, writer;
    launch(&reader, &l, READS, -1, LW_WAIT_DEFAULT, &go);
    await_turn(&reader);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    support_fork_ok(child_finds_it_write_locked, &l);
    support_reach(&go, 1);
    finish(&reader, LW_OK);
    finish(&writer, LW_OK);
}

static pid_t first_process;
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

/* Comes back twice: after a time-out in the parent; in the child, where the reader that it waited
 * for does not exist, as well. */
static void wait_and_fork(void *arg)
{
    locker *k = (locker *)arg;
    lock_once(k);
    CHECK_EQ(k->status, LW_TIMEOUT);
    if (getpid() != first_process) {
        CHECK_EQ(word_of(k->lock), 0);
        lw_shared_rwlock_write_lock(k->lock);
        lw_shared_rwlock_write_unlock(k->lock);
        _exit(0);
    }
}

TEST(fork_while_it_attaches_after_a_wait)
{
    static const lw_block_hooks hooks = {hook_before, hook_forks};
    lw_shared_rwlock_t l = LW_SHARED_RWLOCK_INIT;
    locker k;
    lw_domain_set_block_hooks(&hooks);
    first_process = getpid();
    lw_shared_rwlock_read_lock(&l);
    __atomic_store_n(&forks_in_hook, 1, __ATOMIC_RELAXED);
    memset(&k, 0, sizeof k);
    k.lock = &l;
    k.writes = true;
    k.timeout_ns = 100 * MS;
    support_run(1, wait_and_fork, &k, sizeof k);
    CHECK_EQ(forks_in_hook, 0);
    lw_shared_rwlock_read_unlock(&l);
    CHECK(is_free(&l));
}
