/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/rwlock.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static uint32_t word_of(const lw_rwlock_t *l)
{
    return lw_atomic_load_relaxed_u32(&l->word);
}

TEST(four_bytes_all_zero)
{
    lw_rwlock_t zeroed, initialised = LW_RWLOCK_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0xff, sizeof set);
    lw_rwlock_init(&set);
    CHECK_EQ(sizeof zeroed, 4);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
    CHECK_EQ(memcmp(&zeroed, &set, sizeof zeroed), 0);
    CHECK(!lw_rwlock_is_locked(&zeroed));
    lw_rwlock_write_lock(&zeroed);
    lw_rwlock_write_unlock(&zeroed);
    lw_rwlock_read_lock(&zeroed);
    lw_rwlock_read_unlock(&zeroed);
    CHECK_EQ(memcmp(&zeroed, &initialised, sizeof zeroed), 0);
}

TEST(one_writer_or_many_readers)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    int i;
    for (i = 0; i < 3; i++) {
        CHECK(lw_rwlock_write_trylock(&l));
        CHECK(lw_rwlock_is_locked(&l) && lw_rwlock_is_write_locked(&l));
        CHECK(!lw_rwlock_write_trylock(&l));
        CHECK(!lw_rwlock_read_trylock(&l));
        lw_rwlock_write_unlock(&l);
        lw_rwlock_read_lock(&l);
        CHECK(lw_rwlock_is_locked(&l) && !lw_rwlock_is_write_locked(&l));
        CHECK(lw_rwlock_read_trylock(&l));
        CHECK(!lw_rwlock_write_trylock(&l));
        lw_rwlock_read_unlock(&l);
        CHECK(!lw_rwlock_write_trylock(&l));
        lw_rwlock_read_unlock(&l);
        lw_rwlock_write_lock(&l);
        lw_rwlock_write_unlock(&l);
        CHECK(!lw_rwlock_is_locked(&l));
    }
}

TEST(lock_for)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    CHECK_EQ(lw_rwlock_write_lock_for(&l, 0), LW_OK);
    CHECK_EQ(lw_rwlock_write_lock_for(&l, 0), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_write_lock_for(&l, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_read_lock_for(&l, 0), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_read_lock_for(&l, 1), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_read_lock_for(&l, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_read_lock_flags(&l, 2 * MS, LW_WAIT_ATTACHED), LW_TIMEOUT);
    CHECK_EQ(word_of(&l), LW_RWLOCK_WRITER_);
    lw_rwlock_write_unlock(&l);
    CHECK_EQ(lw_rwlock_read_lock_for(&l, 0), LW_OK);
    CHECK_EQ(lw_rwlock_read_lock_for(&l, INT64_MAX), LW_OK);
    CHECK_EQ(lw_rwlock_write_lock_for(&l, 0), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_write_lock_for(&l, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_write_lock_flags(&l, 2 * MS, LW_WAIT_ATTACHED), LW_TIMEOUT);
    CHECK_EQ(word_of(&l), 2 * LW_RWLOCK_READER_);
    lw_rwlock_read_unlock(&l);
    lw_rwlock_read_unlock(&l);
    CHECK_EQ(lw_rwlock_write_lock_for(&l, INT64_MAX), LW_OK);
    lw_rwlock_write_unlock(&l);
    CHECK_EQ(lw_rwlock_write_lock_for(&l, -1), LW_OK);
    lw_rwlock_write_unlock(&l);
    CHECK_EQ(word_of(&l), 0);
}

/* ---- Threads that lock once ---- */

typedef struct locker {
    lw_rwlock_t *lock;
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
    k->status = k->writes ? lw_rwlock_write_lock_flags(k->lock, k->timeout_ns, k->flags)
                          : lw_rwlock_read_lock_flags(k->lock, k->timeout_ns, k->flags);
    if (k->status == LW_OK) {
        __atomic_store_n(&k->turn, __atomic_add_fetch(&inside, 1, __ATOMIC_ACQ_REL),
                         __ATOMIC_RELEASE);
        if (k->until != NULL) {
            support_await(k->until, 1);
        }
        if (k->writes) {
            lw_rwlock_write_unlock(k->lock);
        } else {
            lw_rwlock_read_unlock(k->lock);
        }
    }
    __atomic_store_n(&k->done, 1, __ATOMIC_RELEASE);
}

static size_t sleepers(const lw_rwlock_t *l)
{
    return support_waiters(l) + support_waiters(lw_park_late_(l));
}

enum { READS = 0, WRITES = 1 };

static void launch(locker *k, lw_rwlock_t *l, int writes, int64_t timeout_ns, unsigned flags,
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
static void start(locker *k, lw_rwlock_t *l, int writes, int64_t timeout_ns, unsigned flags,
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

/* Long enough asleep that the lock is handed over. */
static void let_starve(void)
{
    support_sleep(3 * MS);
}

TEST(writer_waits_for_the_readers_inside)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker writer;
    lw_rwlock_read_lock(&l);
    lw_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    CHECK_EQ(support_waiters(lw_park_late_(&l)), 1);
    lw_rwlock_read_unlock(&l);
    support_sleep(2 * MS);
    CHECK_EQ(inside, 0);
    lw_rwlock_read_unlock(&l);
    finish(&writer, LW_OK);
    CHECK_EQ(word_of(&l), 0);
}

TEST(readers_wait_behind_a_writer_that_waits)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker writer, reader;
    lw_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    CHECK(!lw_rwlock_read_trylock(&l));
    CHECK_EQ(lw_rwlock_read_lock_for(&l, 2 * MS), LW_TIMEOUT);
    start(&reader, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    lw_rwlock_read_unlock(&l);
    finish(&writer, LW_OK);
    finish(&reader, LW_OK);
    CHECK(writer.turn < reader.turn);
    CHECK_EQ(word_of(&l), 0);
}

TEST(writer_that_times_out_lets_the_readers_go)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker writer, reader;
    lw_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, 100 * MS, LW_WAIT_DEFAULT, NULL);
    start(&reader, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    finish(&writer, LW_TIMEOUT);
    finish(&reader, LW_OK);
    CHECK_EQ(word_of(&l), LW_RWLOCK_READER_);
    lw_rwlock_read_unlock(&l);
}

TEST(second_writer_follows_one_that_times_out)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker first, second;
    lw_rwlock_read_lock(&l);
    start(&first, &l, WRITES, 50 * MS, LW_WAIT_DEFAULT, NULL);
    start(&second, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    finish(&first, LW_TIMEOUT);
    support_await_waiters(lw_park_late_(&l), 1);
    CHECK(!lw_rwlock_read_trylock(&l));
    lw_rwlock_read_unlock(&l);
    finish(&second, LW_OK);
    CHECK_EQ(word_of(&l), 0);
}

TEST(timed_out_waiters_leave_no_trace)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker k[3];
    int i;
    lw_rwlock_write_lock(&l);
    for (i = 0; i < 3; i++) {
        start(&k[i], &l, i == 1 ? WRITES : READS, 20 * MS, LW_WAIT_DEFAULT, NULL);
    }
    for (i = 0; i < 3; i++) {
        finish(&k[i], LW_TIMEOUT);
    }
    CHECK_EQ(word_of(&l), LW_RWLOCK_WRITER_);
    lw_rwlock_write_unlock(&l);
    CHECK_EQ(word_of(&l), 0);
    CHECK_EQ(inside, 0);
    CHECK_EQ(sleepers(&l), 0);
}

TEST(waiters_get_it_one_after_the_other)
{
    enum { N = 9 };
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker k[N];
    int i;
    lw_rwlock_write_lock(&l);
    for (i = 0; i < N; i++) {
        start(&k[i], &l, i % 3 == 0 ? WRITES : READS, i % 2 == 0 ? -1 : INT64_MAX, LW_WAIT_DEFAULT,
              NULL);
    }
    CHECK_EQ(inside, 0);
    lw_rwlock_write_unlock(&l);
    for (i = 0; i < N; i++) {
        finish(&k[i], LW_OK);
    }
    CHECK_EQ(inside, N);
    CHECK_EQ(word_of(&l), 0);
}

/* ---- Who has slept for long gets the lock handed over ---- */

TEST(all_readers_that_starve_go_before_the_next_writer)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    support_step go = SUPPORT_STEP_INIT;
    locker writers[2], readers[3];
    int i;
    lw_rwlock_write_lock(&l);
    start(&writers[0], &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    for (i = 0; i < 3; i++) {
        start(&readers[i], &l, READS, -1, LW_WAIT_DEFAULT, &go);
    }
    start(&writers[1], &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    let_starve();
    lw_rwlock_write_unlock(&l);
    /* At once, whether or not they run by now. */
    CHECK_EQ(word_of(&l) / LW_RWLOCK_READER_, 3);
    CHECK(lw_rwlock_is_write_locked(&l));
    CHECK(!lw_rwlock_read_trylock(&l));
    for (i = 0; i < 3; i++) {
        await_turn(&readers[i]);
    }
    CHECK_EQ(writers[0].turn + writers[1].turn, 0);
    support_reach(&go, 1);
    for (i = 0; i < 3; i++) {
        finish(&readers[i], LW_OK);
    }
    finish(&writers[0], LW_OK);
    finish(&writers[1], LW_OK);
    CHECK(writers[0].turn < writers[1].turn);
    CHECK_EQ(word_of(&l), 0);
}

TEST(writer_that_starves_is_not_overtaken)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker writer;
    lw_rwlock_write_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    let_starve();
    lw_rwlock_write_unlock(&l);
    CHECK(lw_rwlock_write_lock_for(&l, -1) == LW_OK);
    CHECK_EQ(writer.turn, 1);
    lw_rwlock_write_unlock(&l);
    finish(&writer, LW_OK);
}

/* ---- From one mode to the other ---- */

TEST(downgrade_lets_readers_in_and_no_writer)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker reader, writer;
    lw_rwlock_write_lock(&l);
    lw_rwlock_downgrade(&l);
    CHECK_EQ(word_of(&l), LW_RWLOCK_READER_);
    CHECK(lw_rwlock_read_trylock(&l));
    lw_rwlock_read_unlock(&l);
    CHECK(!lw_rwlock_write_trylock(&l));
    lw_rwlock_read_unlock(&l);

    lw_rwlock_write_lock(&l);
    start(&reader, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    lw_rwlock_downgrade(&l);
    finish(&reader, LW_OK);
    lw_rwlock_read_unlock(&l);

    lw_rwlock_write_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    start(&reader, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    let_starve();
    lw_rwlock_downgrade(&l);
    finish(&reader, LW_OK);
    support_sleep(2 * MS);
    CHECK_EQ(writer.turn, 0);
    lw_rwlock_read_unlock(&l);
    finish(&writer, LW_OK);
    CHECK_EQ(word_of(&l), 0);
}

TEST(only_the_sole_reader_may_upgrade)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker writer;
    lw_rwlock_read_lock(&l);
    CHECK(lw_rwlock_try_upgrade(&l));
    CHECK_EQ(word_of(&l), LW_RWLOCK_WRITER_);
    lw_rwlock_downgrade(&l);
    lw_rwlock_read_lock(&l);
    CHECK(!lw_rwlock_try_upgrade(&l));
    CHECK_EQ(word_of(&l), 2 * LW_RWLOCK_READER_);
    lw_rwlock_read_unlock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    CHECK(!lw_rwlock_try_upgrade(&l));
    lw_rwlock_read_unlock(&l);
    finish(&writer, LW_OK);
    /* Writers may be queued while a reader has it: they are not woken all at once. */
    lw_atomic_store_relaxed_u32(&l.word, LW_RWLOCK_READER_ | LW_RWLOCK_PARKED_);
    CHECK(lw_rwlock_try_upgrade(&l));
    lw_rwlock_write_unlock(&l);
    CHECK_EQ(word_of(&l), 0);
}

/* ---- Misuse ---- */

static void unlock_read(void *arg)
{
    lw_rwlock_read_unlock((lw_rwlock_t *)arg);
}

static void unlock_write(void *arg)
{
    lw_rwlock_write_unlock((lw_rwlock_t *)arg);
}

static void downgrade(void *arg)
{
    lw_rwlock_downgrade((lw_rwlock_t *)arg);
}

static void upgrade(void *arg)
{
    (void)lw_rwlock_try_upgrade((lw_rwlock_t *)arg);
}

static void lock_read(void *arg)
{
    lw_rwlock_read_lock((lw_rwlock_t *)arg);
}

static void expect_abort(void (*fn)(void *arg), lw_rwlock_t *l, const char *function,
                         const char *what)
{
    char output[512];
    int status = support_fork(fn, l, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
    CHECK(strstr(output, what) != NULL);
}

TEST(misuse_ends_the_process)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    expect_abort(unlock_read, &l, "lw_rwlock_read_unlock", "no reader");
    expect_abort(unlock_write, &l, "lw_rwlock_write_unlock", "no writer");
    expect_abort(downgrade, &l, "lw_rwlock_downgrade", "no writer");
    expect_abort(upgrade, &l, "lw_rwlock_try_upgrade", "no reader");
    lw_rwlock_write_lock(&l);
    expect_abort(unlock_read, &l, "lw_rwlock_read_unlock", "no reader");
    expect_abort(upgrade, &l, "lw_rwlock_try_upgrade", "no reader");
    lw_rwlock_write_unlock(&l);
    lw_rwlock_read_lock(&l);
    expect_abort(unlock_write, &l, "lw_rwlock_write_unlock", "no writer");
    expect_abort(downgrade, &l, "lw_rwlock_downgrade", "no writer");
    lw_rwlock_read_unlock(&l);
}

TEST(too_many_readers_end_the_process)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    lw_atomic_store_relaxed_u32(&l.word, LW_RWLOCK_MANY_ - LW_RWLOCK_READER_);
    lw_rwlock_read_lock(&l);
    expect_abort(lock_read, &l, "lw_rwlock_read_lock", "too many readers");
    lw_rwlock_read_unlock(&l);
    CHECK_EQ(word_of(&l), LW_RWLOCK_MANY_ - LW_RWLOCK_READER_);
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
    lw_rwlock_t other = LW_RWLOCK_INIT;
    CHECK(token == &befores);
    lw_rwlock_write_lock(&other); /* none of the library's locks is held here */
    lw_rwlock_write_unlock(&other);
    __atomic_fetch_add(&afters, 1, __ATOMIC_RELAXED);
}

TEST(waits_detach_unless_told_not_to)
{
    static const lw_block_hooks hooks = {hook_before, hook_after};
    lw_rwlock_t l = LW_RWLOCK_INIT;
    int i;
    lw_domain_set_block_hooks(&hooks);
    for (i = 0; i < 3; i++) {
        int64_t wait = 2 * MS;
        if (i == 2) {
            lw_rwlock_read_lock(&l); /* the writer that waits for readers */
        } else {
            lw_rwlock_write_lock(&l);
        }
        befores = afters = 0;
        if (i == 0) {
            CHECK_EQ(lw_rwlock_read_lock_flags(&l, wait, LW_WAIT_ATTACHED), LW_TIMEOUT);
            CHECK_EQ(befores, 0);
            CHECK_EQ(lw_rwlock_read_lock_for(&l, wait), LW_TIMEOUT);
        } else {
            CHECK_EQ(lw_rwlock_write_lock_flags(&l, wait, LW_WAIT_ATTACHED), LW_TIMEOUT);
            CHECK_EQ(befores, 0);
            CHECK_EQ(lw_rwlock_write_lock_for(&l, wait), LW_TIMEOUT);
        }
        CHECK_EQ(befores, 1);
        CHECK_EQ(afters, 1);
        if (i == 2) {
            lw_rwlock_read_unlock(&l);
        } else {
            lw_rwlock_write_unlock(&l);
        }
        CHECK_EQ(word_of(&l), 0);
    }
}

static void on_signal(int number)
{
    (void)number;
}

TEST(signal_interrupts_who_asked_for_it)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    struct sigaction action;
    int i, n;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    for (i = 0; i < 3; i++) { /* a reader, a writer, a writer that waits for readers */
        locker k;
        if (i == 2) {
            lw_rwlock_read_lock(&l);
        } else {
            lw_rwlock_write_lock(&l);
        }
        start(&k, &l, i == 0 ? READS : WRITES, -1, LW_WAIT_INTERRUPTIBLE, NULL);
        for (n = 0; sleepers(&l) != 0; n++) {
            CHECK(n < 5000);
            CHECK_EQ(pthread_kill(k.thread.id, SIGUSR1), 0);
            support_sleep(MS);
        }
        finish(&k, LW_INTERRUPTED);
        if (i == 2) {
            CHECK_EQ(word_of(&l), LW_RWLOCK_READER_);
            lw_rwlock_read_unlock(&l);
        } else {
            CHECK_EQ(word_of(&l), LW_RWLOCK_WRITER_);
            lw_rwlock_write_unlock(&l);
        }
    }
}

/* ---- A thread ends while it attaches ---- */

static void hook_ends(void *token)
{
    CHECK(token == &befores);
    support_end(&ending);
}

/* `first` is woken and never returns: `second` gets the lock all the same. */
static void lose_first(int first_writes, int second_writes, bool handed_over)
{
    static lw_rwlock_t l;
    locker first, second;
    int i;
    lw_rwlock_init(&l);
    lw_rwlock_write_lock(&l);
    start(&first, &l, first_writes, -1, LW_WAIT_DEFAULT, NULL);
    start(&second, &l, second_writes, -1, LW_WAIT_ATTACHED, NULL);
    if (handed_over) {
        let_starve();
    }
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    lw_rwlock_write_unlock(&l);
    support_join(&first.thread);
    for (i = 0; !__atomic_load_n(&second.done, __ATOMIC_ACQUIRE); i++) {
        CHECK(i < 10000); /* a lost wake is a failure, and no hang */
        support_sleep(MS);
    }
    support_join(&second.thread);
    CHECK_EQ(first.done, 0);
    CHECK_EQ(second.status, LW_OK);
    CHECK_EQ(word_of(&l), 0);
}

TEST(who_ends_while_it_attaches_passes_on_what_it_got)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    lw_domain_set_block_hooks(&hooks);
    lose_first(WRITES, WRITES, false);
    lose_first(WRITES, WRITES, true);
    lose_first(READS, WRITES, false);
    lose_first(READS, WRITES, true);
    lose_first(WRITES, READS, true);
}

TEST(writer_that_ends_before_the_readers_have_left)
{
    static const lw_block_hooks hooks = {hook_before, hook_ends};
    static lw_rwlock_t l;
    locker writer, reader;
    lw_domain_set_block_hooks(&hooks);
    lw_rwlock_read_lock(&l);
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    start(&writer, &l, WRITES, 100 * MS, LW_WAIT_DEFAULT, NULL);
    start(&reader, &l, READS, -1, LW_WAIT_ATTACHED, NULL);
    support_join(&writer.thread);
    CHECK_EQ(writer.done, 0);
    finish(&reader, LW_OK);
    CHECK_EQ(word_of(&l), LW_RWLOCK_READER_);
    lw_rwlock_read_unlock(&l);
}

/* ---- Wakes that were meant for others ---- */

TEST(stray_wakes_change_nothing)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker reader, writer;
    int i;
    lw_rwlock_read_lock(&l);
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    start(&reader, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    for (i = 0; i < 20; i++) {
        (void)lw_unpark_one(&l, NULL, NULL);
        (void)lw_unpark_one(lw_park_late_(&l), NULL, NULL);
        support_sleep(MS / 2);
    }
    CHECK_EQ(inside, 0);
    lw_rwlock_read_unlock(&l);
    finish(&writer, LW_OK);
    finish(&reader, LW_OK);
    CHECK_EQ(word_of(&l), 0);
}

/* ---- Exclusion, and the memory freed by whoever locks next ---- */

enum { THREADS = 4, ROUNDS = 10000 };

static lw_rwlock_t counter_lock;
static uint64_t counter[2];

static void count_up(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < ROUNDS; i++) {
        if (i % 4 == 0) {
            while (lw_rwlock_write_lock_for(&counter_lock, 50000) != LW_OK) {
            }
            counter[0]++;
            counter[1]++;
            lw_rwlock_write_unlock(&counter_lock);
        } else {
            lw_rwlock_read_lock(&counter_lock);
            CHECK_EQ(counter[0], counter[1]);
            lw_rwlock_read_unlock(&counter_lock);
        }
    }
}

TEST(exclusion)
{
    char unused[THREADS] = {0};
    support_run(THREADS, count_up, unused, 1);
    CHECK_EQ(counter[0], THREADS * ROUNDS / 4);
    CHECK_EQ(word_of(&counter_lock), 0);
}

typedef struct object {
    lw_rwlock_t lock;
    int users;
} object;

enum { OBJECTS = 2000 };
static object *objects[OBJECTS];

/* The last one frees it, who may have it for reading or for writing. */
static void use_and_free(void *arg)
{
    int number = *(const char *)arg, i;
    for (i = 0; i < OBJECTS; i++) {
        object *o = objects[i];
        bool last;
        if ((i + number) % 3 == 0) {
            lw_rwlock_write_lock(&o->lock);
            last = __atomic_sub_fetch(&o->users, 1, __ATOMIC_ACQ_REL) == 0;
            lw_rwlock_write_unlock(&o->lock);
        } else {
            lw_rwlock_read_lock(&o->lock);
            last = __atomic_sub_fetch(&o->users, 1, __ATOMIC_ACQ_REL) == 0;
            lw_rwlock_read_unlock(&o->lock);
        }
        if (last) {
            lw_rwlock_write_lock(&o->lock); /* the others are out */
            lw_rwlock_write_unlock(&o->lock);
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

TEST(locking_needs_no_memory)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker k;
    heap_install();
    heap_fail_after(0);
    lw_rwlock_write_lock(&l);
    start(&k, &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    lw_rwlock_downgrade(&l);
    finish(&k, LW_OK);
    start(&k, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    lw_rwlock_read_unlock(&l);
    finish(&k, LW_OK);
    CHECK_EQ(heap_calls(), 0);
}

/* ---- Fork ---- */

static void child_unlocks_write(void *arg)
{
    lw_rwlock_t *l = (lw_rwlock_t *)arg;
    locker k;
    CHECK_EQ(sleepers(l), 0);
    lw_rwlock_write_unlock(l);
    CHECK_EQ(word_of(l), 0);
    lw_rwlock_write_lock(l);
    start(&k, l, READS, -1, LW_WAIT_DEFAULT, NULL);
    lw_rwlock_write_unlock(l);
    finish(&k, LW_OK);
}

TEST(forked_child_unlocks_what_it_holds)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    locker k[2];
    lw_rwlock_write_lock(&l);
    start(&k[0], &l, READS, -1, LW_WAIT_DEFAULT, NULL);
    start(&k[1], &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    support_fork_ok(child_unlocks_write, &l);
    CHECK_EQ(support_waiters(&l), 2);
    lw_rwlock_write_unlock(&l);
    finish(&k[0], LW_OK);
    finish(&k[1], LW_OK);
}

static void child_finds_it_read_locked(void *arg)
{
    lw_rwlock_t *l = (lw_rwlock_t *)arg;
    CHECK(lw_rwlock_read_trylock(l));
    lw_rwlock_read_unlock(l);
    CHECK(!lw_rwlock_write_trylock(l));
    CHECK_EQ(lw_rwlock_write_lock_for(l, 2 * MS), LW_TIMEOUT);
    lw_rwlock_init(l);
    lw_rwlock_write_lock(l);
    lw_rwlock_write_unlock(l);
}

static void child_finds_it_write_locked(void *arg)
{
    lw_rwlock_t *l = (lw_rwlock_t *)arg;
    CHECK(!lw_rwlock_read_trylock(l));
    CHECK_EQ(lw_rwlock_read_lock_for(l, 2 * MS), LW_TIMEOUT);
    CHECK_EQ(lw_rwlock_write_lock_for(l, 2 * MS), LW_TIMEOUT);
    lw_rwlock_init(l);
    lw_rwlock_write_lock(l);
    lw_rwlock_write_unlock(l);
}

TEST(what_others_hold_at_a_fork_stays_locked)
{
    lw_rwlock_t l = LW_RWLOCK_INIT;
    support_step go = SUPPORT_STEP_INIT;
    locker holder, writer;
    launch(&holder, &l, READS, -1, LW_WAIT_DEFAULT, &go);
    await_turn(&holder);
    support_fork_ok(child_finds_it_read_locked, &l);
    /* A writer that waits has stopped the readers. */
    start(&writer, &l, WRITES, -1, LW_WAIT_DEFAULT, NULL);
    support_fork_ok(child_finds_it_write_locked, &l);
    support_reach(&go, 1);
    finish(&holder, LW_OK);
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

/* Comes back twice: from the parent's wait, and from the child's. */
static void wait_and_fork(void *arg)
{
    locker *k = (locker *)arg;
    lock_once(k);
    CHECK_EQ(k->status, LW_TIMEOUT);
    if (getpid() != first_process) {
        _exit((word_of(k->lock) & (LW_RWLOCK_PARKED_ | LW_RWLOCK_DRAIN_)) != 0);
    }
}

TEST(fork_while_it_attaches_after_a_wait)
{
    static const lw_block_hooks hooks = {hook_before, hook_forks};
    lw_rwlock_t l = LW_RWLOCK_INIT;
    int i;
    lw_domain_set_block_hooks(&hooks);
    first_process = getpid();
    for (i = 0; i < 3; i++) {
        locker k;
        memset(&k, 0, sizeof k);
        k.lock = &l;
        k.writes = i != 0;
        k.timeout_ns = 100 * MS;
        if (i == 2) {
            lw_rwlock_read_lock(&l);
        } else {
            lw_rwlock_write_lock(&l);
        }
        __atomic_store_n(&forks_in_hook, 1, __ATOMIC_RELAXED);
        support_run(1, wait_and_fork, &k, sizeof k);
        CHECK_EQ(forks_in_hook, 0);
        if (i == 2) {
            lw_rwlock_read_unlock(&l);
        } else {
            lw_rwlock_write_unlock(&l);
        }
        CHECK_EQ(word_of(&l), 0);
    }
}
