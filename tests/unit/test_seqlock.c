/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/seqlock.h>

#include "heap.h"
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

enum { WORDS = 4 };

static lw_seqlock_t lock;
static lw_atomic_u64 data[WORDS];

static void write_all(uint64_t value)
{
    uint64_t words[WORDS];
    int i;
    for (i = 0; i < WORDS; i++) {
        words[i] = value;
    }
    lw_seqlock_write(&lock, data, words, WORDS);
}

static void expect_all(uint64_t value)
{
    uint64_t words[WORDS];
    int i;
    lw_seqlock_read(&lock, words, data, WORDS);
    for (i = 0; i < WORDS; i++) {
        CHECK_EQ(words[i], value);
    }
}

TEST(sixteen_bytes_all_zero)
{
    lw_seqlock_t zeroed, initialised = LW_SEQLOCK_INIT, set;
    memset(&zeroed, 0, sizeof zeroed);
    memset(&set, 0, sizeof set);
    lw_seqlock_write_lock(&set);
    lw_seqlock_init(&set);
    CHECK_EQ(sizeof zeroed, 16);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&initialised.sequence), 0);
    CHECK(!lw_mutex_is_locked(&initialised.writers));
    CHECK_EQ(lw_atomic_load_relaxed_u64(&set.sequence), 0);
    CHECK(!lw_mutex_is_locked(&set.writers));
    CHECK(!lw_seqlock_read_retry(&zeroed, lw_seqlock_read_begin(&zeroed)));
    CHECK(!lw_mutex_is_locked(&zeroed.writers));
}

TEST(read_what_was_written)
{
    expect_all(0);
    write_all(1);
    expect_all(1);
    write_all(2);
    expect_all(2);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&lock.sequence), 4);
    CHECK(!lw_mutex_is_locked(&lock.writers));
}

TEST(in_parts)
{
    uint64_t word, sequence = lw_seqlock_read_begin(&lock);
    lw_seqlock_load(&word, data, 1);
    CHECK(!lw_seqlock_read_retry(&lock, sequence));
    sequence = lw_seqlock_read_begin(&lock);
    lw_seqlock_write_lock(&lock);
    CHECK(lw_seqlock_read_retry(&lock, sequence));
    CHECK(lw_seqlock_read_retry(&lock, lw_seqlock_read_begin(&lock))); /* while it is written */
    lw_seqlock_write_unlock(&lock);
    CHECK(lw_seqlock_read_retry(&lock, sequence));
    CHECK(!lw_seqlock_read_retry(&lock, lw_seqlock_read_begin(&lock)));
}

TEST(a_reader_goes_round_again)
{
    lw_seqlock_reader r = LW_SEQLOCK_READER_INIT;
    lw_seqlock_enter(&lock, &r);
    write_all(3);
    CHECK(lw_seqlock_again(&lock, &r));
    lw_seqlock_enter(&lock, &r);
    CHECK(!lw_seqlock_again(&lock, &r));
}

/* However many writers come, the rounds have an end: the last one keeps them out. */
TEST(a_reader_is_never_starved)
{
    lw_seqlock_reader r = LW_SEQLOCK_READER_INIT;
    int rounds = 0;
    do {
        lw_seqlock_enter(&lock, &r);
        rounds++;
        CHECK(rounds < 1000);
        if (lw_seqlock_write_lock_flags(&lock, 0, LW_WAIT_DEFAULT) == LW_OK) {
            lw_seqlock_write_unlock(&lock);
        } else {
            CHECK(lw_mutex_is_locked(&lock.writers));
        }
    } while (lw_seqlock_again(&lock, &r));
    CHECK(rounds > 2);
    CHECK(!lw_mutex_is_locked(&lock.writers));
}

static int readers_done;

static void read_one(void *arg)
{
    expect_all(*(uint64_t *)arg);
    __atomic_fetch_add(&readers_done, 1, __ATOMIC_RELEASE);
}

/* A reader that finds a writer who does not go on sleeps. */
TEST(readers_sleep_while_a_writer_does)
{
    uint64_t words[WORDS] = {5, 5, 5, 5}, expected = 5;
    support_thread readers[2];
    lw_seqlock_write_lock(&lock);
    lw_seqlock_store(data, words, 2);
    support_start(&readers[0], read_one, &expected);
    support_start(&readers[1], read_one, &expected);
    support_await_waiters(&lock.writers, 2);
    CHECK_EQ(readers_done, 0);
    lw_seqlock_store(data + 2, words, 2);
    lw_seqlock_write_unlock(&lock);
    support_join(&readers[0]);
    support_join(&readers[1]);
    CHECK_EQ(readers_done, 2);
    CHECK(!lw_mutex_is_locked(&lock.writers));
}

static void try_to_write(void *arg)
{
    (void)arg;
    CHECK_EQ(lw_seqlock_write_lock_flags(&lock, 0, LW_WAIT_DEFAULT), LW_TIMEOUT);
    CHECK_EQ(lw_seqlock_write_lock_flags(&lock, 2 * MS, LW_WAIT_ATTACHED), LW_TIMEOUT);
}

TEST(writers_keep_each_other_out)
{
    lw_seqlock_write_lock(&lock);
    support_run(1, try_to_write, &lock, 1);
    lw_seqlock_write_unlock(&lock);
    CHECK_EQ(lw_seqlock_write_lock_flags(&lock, 0, LW_WAIT_DEFAULT), LW_OK);
    lw_seqlock_write_unlock(&lock);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&lock.sequence), 4);
}

TEST(a_single_writer_needs_no_mutex)
{
    uint64_t word = 7, sequence = lw_seqlock_read_begin(&lock);
    lw_seqlock_write_begin(&lock);
    CHECK(!lw_mutex_is_locked(&lock.writers));
    lw_seqlock_store(data, &word, 1);
    CHECK(lw_seqlock_read_retry(&lock, sequence));
    lw_seqlock_write_end(&lock);
    CHECK(lw_seqlock_read_retry(&lock, sequence));
    sequence = lw_seqlock_read_begin(&lock);
    lw_seqlock_load(&word, data, 1);
    CHECK(!lw_seqlock_read_retry(&lock, sequence));
    CHECK_EQ(word, 7);
}

/* ---- Hooks, memory, misuse, fork ---- */

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

TEST(a_reader_that_sleeps_detaches)
{
    uint64_t expected = 0;
    support_thread reader;
    lw_domain_set_block_hooks(&hooks);
    lw_seqlock_write_lock(&lock);
    support_start(&reader, read_one, &expected);
    support_await_waiters(&lock.writers, 1);
    lw_seqlock_write_unlock(&lock);
    support_join(&reader);
    CHECK(befores >= 1);
    CHECK_EQ(befores, afters);
}

TEST(a_reader_that_ends_while_it_attaches_holds_nothing)
{
    uint64_t expected = 0;
    support_thread reader;
    lw_domain_set_block_hooks(&hooks);
    ending = 1;
    lw_seqlock_write_lock(&lock);
    support_start(&reader, read_one, &expected);
    support_await_waiters(&lock.writers, 1);
    lw_seqlock_write_unlock(&lock);
    support_join(&reader);
    CHECK_EQ(readers_done, 0);
    write_all(9);
    expect_all(9);
}

TEST(it_needs_no_memory)
{
    uint64_t expected = 0;
    support_thread reader;
    heap_install();
    heap_fail_after(0);
    lw_seqlock_write_lock(&lock);
    support_start(&reader, read_one, &expected);
    support_await_waiters(&lock.writers, 1);
    lw_seqlock_write_unlock(&lock);
    support_join(&reader);
    CHECK_EQ(heap_calls(), 0);
}

static void begin_twice(void *arg)
{
    (void)arg;
    lw_seqlock_write_begin(&lock);
    lw_seqlock_write_begin(&lock);
}

static void end_none(void *arg)
{
    (void)arg;
    lw_seqlock_write_unlock(&lock);
}

static void expect_abort(void (*fn)(void *arg), const char *function)
{
    char output[512];
    int status = support_fork(fn, NULL, output, sizeof output);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK(strstr(output, function) != NULL);
}

TEST(misuse)
{
    expect_abort(begin_twice, "lw_seqlock_write_begin");
    expect_abort(end_none, "lw_seqlock_write_end");
}

static support_step writing = SUPPORT_STEP_INIT, end_write = SUPPORT_STEP_INIT;

static void write_for_a_while(void *arg)
{
    (void)arg;
    lw_seqlock_write_lock(&lock);
    support_reach(&writing, 1);
    support_await(&end_write, 1);
    lw_seqlock_write_unlock(&lock);
}

static void child_finds_it_locked(void *arg)
{
    (void)arg;
    CHECK_EQ(lw_seqlock_write_lock_flags(&lock, 2 * MS, LW_WAIT_DEFAULT), LW_TIMEOUT);
    CHECK(lw_seqlock_read_retry(&lock, lw_seqlock_read_begin(&lock)));
    lw_seqlock_init(&lock);
    write_all(1);
    expect_all(1);
}

TEST(forked_child_finds_a_write_of_another_thread_begun)
{
    support_thread writer;
    support_start(&writer, write_for_a_while, NULL);
    support_await(&writing, 1);
    support_fork_ok(child_finds_it_locked, NULL);
    support_reach(&end_write, 1);
    support_join(&writer);
}

static void child_ends_its_write(void *arg)
{
    uint64_t words[WORDS] = {8, 8, 8, 8}, expected = 8;
    support_thread reader;
    (void)arg;
    lw_seqlock_store(data, words, WORDS);
    support_start(&reader, read_one, &expected);
    support_await_waiters(&lock.writers, 1);
    lw_seqlock_write_unlock(&lock);
    support_join(&reader);
}

TEST(forked_child_ends_the_write_of_the_forking_thread)
{
    uint64_t expected = 0;
    support_thread reader;
    lw_seqlock_write_lock(&lock);
    support_start(&reader, read_one, &expected);
    support_await_waiters(&lock.writers, 1);
    support_fork_ok(child_ends_its_write, NULL);
    lw_seqlock_write_unlock(&lock);
    support_join(&reader);
}
