/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/mutex.h>
#include <latchwork/smr.h>

/* For a lock that nothing public holds for long. */
#include "../../src/base/domain_internal.h"

#include "heap.h"
#include "unit.h"

#include <string.h>

static int freed;

static int freed_now(void)
{
    return __atomic_load_n(&freed, __ATOMIC_ACQUIRE);
}

static lw_mutex_t free_mutex;

static void free_counted(void *ptr)
{
    /* None of the library's locks is held and no section is open. */
    CHECK(!lw_smr_in_section());
    lw_mutex_lock(&free_mutex);
    lw_mutex_unlock(&free_mutex);
    memset(ptr, 0xdd, 16);
    free(ptr);
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELEASE);
}

static void *fresh(void)
{
    void *memory = malloc(16);
    CHECK(memory != NULL);
    return memory;
}

static void retire(void)
{
    CHECK_EQ(lw_smr_retire(fresh(), free_counted), LW_OK);
}

/* ---- A reader on another thread, told step by step ---- */

typedef struct reader {
    support_step told, done;
    int steps;
    support_thread thread;
} reader;

enum { READER_ENTER = 1, READER_EXIT, READER_STOP };

static void read_on_command(void *arg)
{
    reader *r = (reader *)arg;
    int command = 0;
    CHECK(lw_thread_self() != NULL || lw_thread_count() == 0);
    support_reach(&r->done, 1);
    for (;;) {
        support_await(&r->told, command + 1);
        command = r->told.value;
        if (command % 4 == READER_ENTER) {
            lw_smr_enter();
        } else if (command % 4 == READER_EXIT) {
            lw_smr_exit();
        } else if (command % 4 == READER_STOP) {
            return;
        }
        support_reach(&r->done, command + 1);
    }
}

static void reader_start(reader *r)
{
    static const support_step initial = SUPPORT_STEP_INIT;
    r->told = initial;
    r->done = initial;
    r->steps = 0;
    support_start(&r->thread, read_on_command, r);
    support_await(&r->done, 1);
}

static void reader_tell(reader *r, int command)
{
    while (++r->steps % 4 != command) {
    }
    support_reach(&r->told, r->steps);
    if (command == READER_STOP) {
        support_join(&r->thread);
    } else {
        support_await(&r->done, r->steps + 1);
    }
}

TEST(sections_nest)
{
    CHECK(!lw_smr_in_section());
    lw_smr_enter();
    CHECK(lw_smr_in_section());
    lw_smr_enter();
    lw_smr_exit();
    CHECK(lw_smr_in_section());
    lw_smr_exit();
    CHECK(!lw_smr_in_section());
}

TEST(a_lone_thread_frees_at_once)
{
    int i;
    for (i = 1; i <= 100; i++) {
        retire();
        CHECK_EQ(freed, i);
    }
    CHECK_EQ(lw_smr_get_stats().pending, 0);
}

TEST(alone_again_after_others_have_gone)
{
    reader r;
    retire();
    CHECK_EQ(freed, 1);
    reader_start(&r);
    retire();
    reader_tell(&r, READER_ENTER);
    reader_tell(&r, READER_EXIT);
    reader_tell(&r, READER_STOP);
    retire();
    CHECK_EQ(freed, 3);
}

TEST(own_section_delays_the_free)
{
    lw_smr_enter();
    retire();
    retire();
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_get_stats().pending, 2);
    lw_smr_exit();
    CHECK_EQ(freed, 0); /* exit frees nothing */
    CHECK_EQ(lw_smr_poll(), 2);
    CHECK_EQ(freed, 2);
}

TEST(section_of_another_thread_delays_the_free)
{
    reader r;
    int i;
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    for (i = 0; i < 5 * LW_SMR_BATCH; i++) {
        retire();
    }
    for (i = 0; i < 10; i++) {
        CHECK_EQ(lw_smr_poll(), 0);
    }
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_get_stats().pending, 5 * LW_SMR_BATCH);
    reader_tell(&r, READER_EXIT);
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 5 * LW_SMR_BATCH);
    CHECK_EQ(lw_smr_get_stats().pending, 0);
    CHECK_EQ(lw_smr_get_stats().pending_bytes, 0);
    reader_tell(&r, READER_STOP);
}

TEST(later_sections_delay_nothing)
{
    reader old, young;
    int i;
    reader_start(&old);
    reader_start(&young);
    reader_tell(&old, READER_ENTER);
    retire();
    CHECK_EQ(lw_smr_poll(), 0); /* the grace period has begun */
    reader_tell(&young, READER_ENTER);
    reader_tell(&old, READER_EXIT);
    for (i = 0; i < 4 && freed == 0; i++) {
        (void)lw_smr_poll();
    }
    CHECK_EQ(freed, 1);
    reader_tell(&young, READER_EXIT);
    reader_tell(&young, READER_STOP);
    reader_tell(&old, READER_STOP);
}

TEST(only_the_outermost_exit_ends_a_section)
{
    reader r;
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    reader_tell(&r, READER_ENTER);
    reader_tell(&r, READER_EXIT);
    retire();
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(freed, 0);
    reader_tell(&r, READER_EXIT);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1);
    reader_tell(&r, READER_STOP);
}

TEST(section_entered_anew_does_not_delay_for_ever)
{
    reader r;
    int i;
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    retire();
    for (i = 0; i < 4 && freed == 0; i++) {
        (void)lw_smr_poll();
        CHECK(i != 0 || freed == 0);
        reader_tell(&r, READER_EXIT);
        reader_tell(&r, READER_ENTER);
    }
    (void)lw_smr_poll();
    CHECK_EQ(freed, 1);
    reader_tell(&r, READER_EXIT);
    reader_tell(&r, READER_STOP);
}

/* ---- Waiting ---- */

TEST(waiting_for_oneself_is_busy)
{
    lw_smr_enter();
    CHECK_EQ(lw_smr_flush(), LW_BUSY);
    CHECK_EQ(lw_smr_synchronize(), LW_BUSY);
    lw_smr_exit();
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(lw_smr_synchronize(), LW_OK);
}

static lw_status status_in_free = LW_INVALID;

static void flush_in_free(void *ptr)
{
    status_in_free = lw_smr_flush();
    CHECK(lw_smr_poll() == 0);
    free_counted(ptr);
}

TEST(flush_in_a_free_function_is_busy)
{
    CHECK_EQ(lw_smr_retire(fresh(), flush_in_free), LW_OK);
    CHECK_EQ(freed, 1);
    CHECK_EQ(status_in_free, LW_BUSY);
    status_in_free = LW_INVALID;
    CHECK_EQ(lw_smr_flush(), LW_OK);
}

static support_step asleep = SUPPORT_STEP_INIT;

static void *note_sleep(void)
{
    support_reach(&asleep, 1);
    return NULL;
}

static void note_nothing(void *token)
{
    (void)token;
}

static void synchronize_thread(void *arg)
{
    *(lw_status *)arg = lw_smr_synchronize();
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELEASE);
}

TEST(synchronize_waits_for_open_sections)
{
    static const lw_block_hooks hooks = {note_sleep, note_nothing};
    reader old, young;
    support_thread waiting;
    lw_status status = LW_INVALID;
    CHECK(lw_thread_self() != NULL);
    lw_domain_set_block_hooks(&hooks);
    reader_start(&old);
    reader_start(&young);
    reader_tell(&old, READER_ENTER);
    support_start(&waiting, synchronize_thread, &status);
    support_await(&asleep, 1);
    CHECK_EQ(freed_now(), 0);
    reader_tell(&young, READER_ENTER); /* open now, but not when it began */
    reader_tell(&old, READER_EXIT);
    support_join(&waiting);
    CHECK_EQ(status, LW_OK);
    reader_tell(&young, READER_EXIT);
    reader_tell(&young, READER_STOP);
    reader_tell(&old, READER_STOP);
}

TEST(grace_period_without_waiting)
{
    reader r;
    uint64_t grace;
    CHECK(lw_thread_self() != NULL);
    reader_start(&r);
    grace = lw_smr_grace_start();
    CHECK(lw_smr_grace_passed(grace));
    reader_tell(&r, READER_ENTER);
    CHECK(lw_smr_grace_passed(grace));
    grace = lw_smr_grace_start();
    CHECK(!lw_smr_grace_passed(grace));
    reader_tell(&r, READER_EXIT);
    CHECK(lw_smr_grace_passed(grace));
    reader_tell(&r, READER_ENTER);
    CHECK(lw_smr_grace_passed(grace));
    reader_tell(&r, READER_EXIT);
    reader_tell(&r, READER_STOP);
}

static int befores, afters;

static void *hook_before(void)
{
    befores++;
    return &befores;
}

static reader *hook_reader;

static void hook_after(void *token)
{
    CHECK(token == &befores);
    afters++;
    if (hook_reader != NULL) {
        reader *r = hook_reader;
        hook_reader = NULL;
        reader_tell(r, READER_EXIT);
    }
}

TEST(flush_detaches_while_it_sleeps)
{
    static const lw_block_hooks hooks = {hook_before, hook_after};
    reader r;
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    retire();
    hook_reader = &r;
    lw_domain_set_block_hooks(&hooks);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    lw_domain_set_block_hooks(NULL);
    CHECK(befores > 0);
    CHECK_EQ(befores, afters);
    CHECK_EQ(freed, 1);
    reader_tell(&r, READER_STOP);
}

/* ---- Bounds (F12) ---- */

static size_t max_pending, max_pending_bytes;

static void note_stats(void)
{
    lw_smr_stats stats = lw_smr_get_stats();
    max_pending = stats.pending > max_pending ? stats.pending : max_pending;
    max_pending_bytes =
        stats.pending_bytes > max_pending_bytes ? stats.pending_bytes : max_pending_bytes;
}

TEST(objects_pending_are_bounded)
{
    reader r;
    int i;
    reader_start(&r);
    for (i = 0; i < 200 * LW_SMR_BATCH; i++) {
        retire();
        note_stats();
    }
    CHECK(max_pending <= 4 * LW_SMR_BATCH);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 200 * LW_SMR_BATCH);
    reader_tell(&r, READER_STOP);
}

TEST(bytes_pending_are_bounded)
{
    const size_t large = 100 * 1024;
    reader r;
    int i;
    reader_start(&r);
    for (i = 0; i < 2000; i++) {
        CHECK_EQ(lw_smr_retire_sized(fresh(), large, free_counted), LW_OK);
        note_stats();
    }
    CHECK(max_pending_bytes <= 4 * LW_SMR_BATCH_BYTES);
    CHECK(max_pending_bytes >= large);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 2000);
    reader_tell(&r, READER_STOP);
}

static void retire_some(void *arg)
{
    int i;
    for (i = 0; i < *(int *)arg; i++) {
        retire();
    }
}

TEST(a_turnover_of_threads_leaves_a_bounded_rest)
{
    reader r;
    int i, count = 10;
    CHECK(lw_thread_self() != NULL);
    reader_start(&r);
    for (i = 0; i < 500; i++) {
        support_run(1, retire_some, &count, sizeof count);
        note_stats();
    }
    CHECK(max_pending <= 8 * LW_SMR_BATCH);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 500 * 10);
    reader_tell(&r, READER_STOP);
}

TEST(what_an_exited_thread_retired_is_freed_by_others)
{
    reader r;
    int count = 10;
    CHECK(lw_thread_self() != NULL);
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    support_run(1, retire_some, &count, sizeof count);
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_get_stats().pending, 10);
    reader_tell(&r, READER_EXIT);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 10);
    CHECK_EQ(lw_smr_get_stats().pending, 0);
    reader_tell(&r, READER_STOP);
}

/* ---- Free functions that retire ---- */

static int chain_left;

static void free_and_retire_next(void *ptr)
{
    free_counted(ptr);
    if (--chain_left > 0) {
        CHECK_EQ(lw_smr_retire(fresh(), free_and_retire_next), LW_OK);
    }
}

TEST(free_functions_may_retire)
{
    chain_left = 1000;
    CHECK_EQ(lw_smr_retire(fresh(), free_and_retire_next), LW_OK);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1000);
}

TEST(free_functions_may_retire_beside_readers)
{
    reader r;
    reader_start(&r);
    chain_left = 1000;
    CHECK_EQ(lw_smr_retire(fresh(), free_and_retire_next), LW_OK);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1000);
    reader_tell(&r, READER_STOP);
}

static void free_at_exit(void *arg)
{
    (void)arg;
    chain_left = 100;
    lw_smr_enter();
    CHECK_EQ(lw_smr_retire(fresh(), free_and_retire_next), LW_OK);
    lw_smr_exit();
}

TEST(free_functions_may_retire_at_exit)
{
    reader r;
    CHECK(lw_thread_self() != NULL);
    reader_start(&r);
    support_run(1, free_at_exit, &r, sizeof r);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 100);
    reader_tell(&r, READER_STOP);
}

static void free_with_section(void *ptr)
{
    lw_smr_enter();
    lw_smr_enter();
    lw_smr_exit();
    lw_smr_exit();
    free_counted(ptr);
}

TEST(free_functions_may_open_sections)
{
    CHECK_EQ(lw_smr_retire(fresh(), free_with_section), LW_OK);
    CHECK_EQ(freed, 1);
}

/* ---- Nodes ---- */

typedef struct object {
    char before[24];
    lw_smr_node node;
    int asked;
    pthread_t refuser;
} object;

static object *object_of(lw_smr_node *node)
{
    return (object *)(void *)((char *)node - offsetof(object, node));
}

static bool free_node(lw_smr_node *node)
{
    object *o = object_of(node);
    CHECK(node->context == o);
    free(o);
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELEASE);
    return true;
}

static object *fresh_object(void)
{
    object *o = (object *)calloc(1, sizeof *o);
    CHECK(o != NULL);
    o->node.context = o;
    return o;
}

TEST(retire_node_allocates_nothing)
{
    reader r;
    size_t calls;
    int i;
    heap_install();
    reader_start(&r);
    CHECK(lw_thread_self() != NULL);
    heap_fail_after(0);
    calls = heap_calls();
    for (i = 0; i < 10 * LW_SMR_BATCH; i++) {
        object *o = fresh_object();
        if (i % 2 == 0) {
            lw_smr_retire_node(&o->node, free_node, sizeof *o);
        } else {
            lw_smr_enter();
            lw_smr_retire_node(&o->node, free_node, sizeof *o);
            lw_smr_exit();
        }
    }
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 10 * LW_SMR_BATCH);
    CHECK_EQ(heap_calls(), calls);
    reader_tell(&r, READER_STOP);
}

static pthread_t refusing_thread;
static int refused;

/* Says "not on this thread" on one thread. */
static bool free_elsewhere(lw_smr_node *node)
{
    if (pthread_equal(pthread_self(), refusing_thread)) {
        refused++;
        return false;
    }
    return free_node(node);
}

static void poll_once(void *arg)
{
    *(size_t *)arg = lw_smr_poll();
}

TEST(refused_is_kept_and_asked_on_another_thread)
{
    size_t polled = 0;
    refusing_thread = pthread_self();
    lw_smr_retire_node(&fresh_object()->node, free_elsewhere, 100);
    CHECK_EQ(refused, 1);
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(lw_smr_flush(), LW_OK); /* waits not for what is refused here */
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_get_stats().pending, 1);
    support_run(1, poll_once, &polled, sizeof polled);
    CHECK_EQ(polled, 1);
    CHECK_EQ(freed, 1);
    CHECK_EQ(lw_smr_get_stats().pending, 0);
}

static void retire_many(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < 20 * LW_SMR_BATCH; i++) {
        lw_smr_retire_node(&fresh_object()->node, free_node, sizeof(object));
    }
}

TEST(refused_is_asked_on_another_thread_that_only_retires)
{
    char unused = 0;
    refusing_thread = pthread_self();
    lw_smr_retire_node(&fresh_object()->node, free_elsewhere, 100);
    CHECK_EQ(refused, 1);
    support_run(1, retire_many, &unused, 1);
    CHECK_EQ(freed, 20 * LW_SMR_BATCH + 1);
}

/* ---- No memory ---- */

TEST(without_memory_retire_waits)
{
    reader r;
    int i;
    heap_install();
    reader_start(&r);
    CHECK(lw_thread_self() != NULL);
    heap_fail_after(0);
    for (i = 0; i < 100; i++) {
        retire();
        CHECK_EQ(freed, i + 1);
    }
    reader_tell(&r, READER_STOP);
}

TEST(without_memory_retire_in_a_section_fails)
{
    void *memory = fresh();
    heap_install();
    CHECK(lw_thread_self() != NULL);
    heap_fail_after(0);
    lw_smr_enter();
    CHECK_EQ(lw_smr_retire(memory, free_counted), LW_NOMEM);
    CHECK_EQ(lw_smr_retire_sized(memory, 16, free_counted), LW_NOMEM);
    lw_smr_exit();
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 0);
    free_counted(memory); /* it is the caller's still */
}

TEST(every_nth_allocation_fails)
{
    reader r;
    long n;
    int i, expected = 0;
    heap_install();
    reader_start(&r);
    CHECK(lw_thread_self() != NULL);
    for (n = 1; n <= 7; n++) {
        heap_fail_every(n);
        for (i = 0; i < 200; i++) {
            void *memory = fresh();
            if (i % 2 == 0) {
                CHECK_EQ(lw_smr_retire(memory, free_counted), LW_OK);
                expected++;
            } else {
                lw_status status;
                lw_smr_enter();
                status = lw_smr_retire_sized(memory, 16, free_counted);
                lw_smr_exit();
                if (status == LW_OK) {
                    expected++;
                } else {
                    CHECK_EQ(status, LW_NOMEM);
                    free(memory);
                }
            }
        }
        heap_fail_every(0);
        CHECK_EQ(lw_smr_flush(), LW_OK);
        CHECK_EQ(freed, expected);
    }
    reader_tell(&r, READER_STOP);
}

/* A thread without a record: its sections are counted, its objects are the process's. */
static support_step anonymous_step = SUPPORT_STEP_INIT;
static support_step anonymous_done = SUPPORT_STEP_INIT;

static void anonymous_reader(void *arg)
{
    (void)arg;
    CHECK(lw_thread_self() == NULL);
    lw_smr_enter();
    CHECK(lw_smr_in_section());
    heap_fail_after(-1);
    /* A record could be had now, but the section that began without one ends without one. */
    CHECK(lw_thread_self() == NULL);
    lw_smr_enter();
    lw_smr_exit();
    CHECK(lw_smr_in_section());
    support_reach(&anonymous_done, 1);
    support_await(&anonymous_step, 1);
    lw_smr_exit();
    CHECK(!lw_smr_in_section());
    CHECK(lw_thread_self() != NULL);
}

static void start_anonymous_reader(support_thread *thread)
{
    heap_install();
    CHECK(lw_thread_self() != NULL);
    heap_fail_after(0);
    support_start(thread, anonymous_reader, NULL);
    support_await(&anonymous_done, 1);
}

TEST(section_without_a_record_counts)
{
    support_thread thread;
    start_anonymous_reader(&thread);
    retire();
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(lw_smr_poll(), 0);
    CHECK_EQ(freed, 0);
    support_reach(&anonymous_step, 1);
    support_join(&thread);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1);
}

/* ---- Flush does not wait for the free functions of others, which may never return ---- */

static support_step free_step = SUPPORT_STEP_INIT;
static support_step free_begun = SUPPORT_STEP_INIT;

static void free_slowly(void *ptr)
{
    support_reach(&free_begun, 1);
    support_await(&free_step, 1);
    free_counted(ptr);
}

static void retire_slow_one(void *arg)
{
    (void)arg;
    lw_smr_enter();
    CHECK_EQ(lw_smr_retire(fresh(), free_slowly), LW_OK);
    lw_smr_exit();
}

static void poll_for_orphans(void *arg)
{
    (void)arg;
    while (freed_now() < 2) {
        (void)lw_smr_poll();
    }
}

TEST(flush_does_not_wait_for_free_functions_of_others)
{
    support_thread poller;
    reader r;
    char unused = 0;
    CHECK(lw_thread_self() != NULL);
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    support_run(1, retire_slow_one, &unused, 1); /* it exits: what it retired is the process's */
    reader_tell(&r, READER_EXIT);
    support_start(&poller, poll_for_orphans, NULL);
    support_await(&free_begun, 1);
    retire();
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed_now(), 1); /* its own, and not the other one */
    support_reach(&free_step, 1);
    support_join(&poller);
    CHECK_EQ(freed_now(), 2);
    reader_tell(&r, READER_STOP);
}

/* ---- Fork: sections and garbage of threads that the child does not have ---- */

static void child_flushes(void *arg)
{
    int before = freed;
    (void)arg;
    CHECK_EQ(lw_smr_synchronize(), LW_OK);
    retire();
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK(freed > before);
    before = freed;
    retire();
    CHECK_EQ(freed, before + 1); /* alone: at once */
}

TEST(sections_of_the_parents_threads_delay_no_child)
{
    reader r;
    CHECK(lw_thread_self() != NULL);
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    retire();
    CHECK_EQ(lw_smr_poll(), 0);
    support_fork_ok(child_flushes, NULL);
    CHECK_EQ(freed, 0);
    CHECK_EQ(lw_smr_poll(), 0);
    reader_tell(&r, READER_EXIT);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1);
    reader_tell(&r, READER_STOP);
}

static void child_in_section(void *arg)
{
    (void)arg;
    CHECK(lw_smr_in_section());
    CHECK_EQ(lw_smr_flush(), LW_BUSY);
    lw_smr_exit();
    CHECK(!lw_smr_in_section());
    child_flushes(NULL);
}

TEST(fork_inside_a_section)
{
    lw_smr_enter();
    support_fork_ok(child_in_section, NULL);
    lw_smr_exit();
}

static int churn_stop;

/* No lock and no heap in here: another thread would hold them at the fork. (The heap of a sanitizer
 * is one that a forked child cannot rely on; that of the C library is.) */
typedef struct churned {
    lw_smr_node node; /* first */
    int retired;
} churned;

static bool free_churned(lw_smr_node *node)
{
    __atomic_store_n(&((churned *)(void *)node)->retired, 0, __ATOMIC_RELEASE);
    return true;
}

static void churn(void *arg)
{
    churned *pool = (churned *)arg;
    size_t i = 0;
    while (!__atomic_load_n(&churn_stop, __ATOMIC_RELAXED)) {
        churned *c = &pool[i++ % 512];
        lw_smr_enter();
        lw_smr_exit();
        if (!__atomic_load_n(&c->retired, __ATOMIC_ACQUIRE)) {
            c->retired = 1;
            lw_smr_retire_node(&c->node, free_churned, 1000);
        }
    }
    CHECK_EQ(lw_smr_flush(), LW_OK);
}

static void child_churns(void *arg)
{
    churned *c = (churned *)arg;
    CHECK_EQ(lw_smr_synchronize(), LW_OK);
    c->retired = 1;
    lw_smr_retire_node(&c->node, free_churned, 1000);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(c->retired, 0);
}

TEST(fork_while_others_reclaim)
{
    static churned pools[2][512], own;
    support_thread threads[2];
    int i;
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < 2; i++) {
        support_start(&threads[i], churn, pools[i]);
    }
    for (i = 0; i < 30; i++) {
        support_fork_ok(child_churns, &own);
    }
    __atomic_store_n(&churn_stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++) {
        support_join(&threads[i]);
    }
}

/* ---- Refused by threads that come and go: others are asked before too many have gathered ---- */

static pthread_t accepting_thread;

static bool free_on_one_thread(lw_smr_node *node)
{
    return pthread_equal(pthread_self(), accepting_thread) && free_node(node);
}

enum { SHORT_LIVED = 50 };

static void retire_short_lived(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < SHORT_LIVED; i++) {
        lw_smr_retire_node(&fresh_object()->node, free_on_one_thread, sizeof(object));
    }
}

TEST(refused_is_bounded_while_others_retire_a_little)
{
    char unused = 0;
    int i, expected = 0;
    reader r; /* nobody is alone */
    reader_start(&r);
    accepting_thread = pthread_self();
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < 200; i++) {
        support_run(1, retire_short_lived, &unused, 1);
        lw_smr_retire_node(&fresh_object()->node, free_on_one_thread, sizeof(object));
        expected += SHORT_LIVED + 1;
        CHECK(expected - freed <= LW_SMR_BATCH + SHORT_LIVED + 1);
    }
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, expected);
    CHECK_EQ(lw_smr_get_stats().pending, 0);
    reader_tell(&r, READER_STOP);
}

static void retire_large(void *arg)
{
    (void)arg;
    lw_smr_retire_node(&fresh_object()->node, free_on_one_thread, LW_SMR_BATCH_BYTES / 2);
}

TEST(refused_bytes_are_bounded_while_others_retire_a_little)
{
    char unused = 0;
    int i;
    reader r; /* nobody is alone */
    reader_start(&r);
    accepting_thread = pthread_self();
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < 100; i++) {
        support_run(1, retire_large, &unused, 1);
        lw_smr_retire_node(&fresh_object()->node, free_on_one_thread, sizeof(object));
        CHECK(lw_smr_get_stats().pending <= 5);
    }
    reader_tell(&r, READER_STOP);
}

/* One that always refuses is not asked at each of its calls, and keeps nobody from being asked. */
static int asked;

static bool refuse_counted(lw_smr_node *node)
{
    (void)node;
    __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
    return false;
}

TEST(refusing_is_asked_a_bounded_number_of_times)
{
    enum { N = 20000 };
    int i;
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < N; i++) {
        lw_smr_retire_node(&fresh_object()->node, refuse_counted, sizeof(object));
    }
    CHECK(asked >= N);
    CHECK(asked < 40 * N);
}

/* Two that refuse do not undo each other's count of what they were asked for. */
static void retire_refused(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < 60000; i++) {
        object *o = fresh_object();
        lw_smr_retire_node(&o->node, refuse_counted, sizeof *o);
    }
}

TEST(refusing_by_two_is_asked_a_bounded_number_of_times)
{
    char unused[2] = {0};
    int i;
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < 4; i++) {
        retire_refused(NULL);
    }
    support_run(2, retire_refused, unused, 1);
    CHECK_EQ(lw_smr_get_stats().pending, 360000);
    CHECK(__atomic_load_n(&asked, __ATOMIC_RELAXED) < 40 * 360000);
}

/* ---- A free function that ends its thread: the rest of the batch is freed by others ---- */

static bool free_and_end(lw_smr_node *node)
{
    (void)free_node(node);
    pthread_exit(NULL);
}

static void retire_and_end(void *arg)
{
    int i;
    (void)arg;
    lw_smr_enter();
    for (i = 0; i < 10; i++) {
        lw_smr_retire_node(&fresh_object()->node, i == 3 ? free_and_end : free_node, 10);
    }
    lw_smr_exit();
    (void)lw_smr_poll();
    (void)lw_smr_poll();
    CHECK(!"is ended before");
}

TEST(free_function_that_ends_the_thread_loses_no_other)
{
    char unused = 0;
    CHECK(lw_thread_self() != NULL);
    support_run(1, retire_and_end, &unused, 1);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 10);
}

/* ---- A thread that ends inside of a section: free functions run outside of it ---- */

static void retire_and_end_inside(void *arg)
{
    retire();
    CHECK_EQ(lw_smr_poll(), 0); /* begins the grace period */
    lw_smr_enter();
    reader_tell((reader *)arg, READER_EXIT); /* ends it */
}

TEST(exit_inside_a_section_frees_outside_of_it)
{
    reader r;
    CHECK(lw_thread_self() != NULL);
    reader_start(&r);
    reader_tell(&r, READER_ENTER);
    support_run(1, retire_and_end_inside, &r, sizeof r);
    CHECK_EQ(freed, 1); /* free_counted has looked */
    reader_tell(&r, READER_STOP);
}

static void enter_without_a_record(void *arg)
{
    (void)arg;
    heap_fail_after(0);
    CHECK(lw_thread_self() == NULL);
    lw_smr_enter();
    heap_fail_after(-1);
}

TEST(exit_inside_a_section_without_a_record_ends_it)
{
    char unused = 0;
    heap_install();
    CHECK(lw_thread_self() != NULL);
    support_run(1, enter_without_a_record, &unused, 1);
    CHECK(lw_smr_grace_passed(lw_smr_grace_start()));
    retire();
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1);
}

/* ---- Retiring without a record, in a free function ---- */

static void free_list_and_retire_rest(void *ptr)
{
    void *next = *(void **)ptr;
    free(ptr);
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELEASE);
    if (next != NULL) {
        CHECK_EQ(lw_smr_retire(next, free_list_and_retire_rest), LW_OK);
    }
    CHECK_EQ(lw_smr_flush(), LW_BUSY);
}

TEST(retiring_without_a_record_does_not_recurse)
{
    enum { LISTS = 64, LENGTH = 2000 };
    pthread_key_t key;
    int i, n;
    while (pthread_key_create(&key, NULL) == 0) {
    }
    CHECK(lw_thread_self() == NULL);
    for (i = 0; i < LISTS; i++) {
        void *list = NULL;
        for (n = 0; n < LENGTH; n++) {
            void **link = (void **)malloc(sizeof *link);
            CHECK(link != NULL);
            *link = list;
            list = link;
        }
        CHECK_EQ(lw_smr_retire(list, free_list_and_retire_rest), LW_OK);
    }
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, LISTS * LENGTH);
}

/* ---- Fork where nothing was retired yet ---- */

static support_step lists_step = SUPPORT_STEP_INIT;

static void lock_lists_until_told(void *arg)
{
    lw_domain *d = lw_domain_get();
    (void)arg;
    lw_rawlock_lock_(&d->smr_lock);
    support_reach(&lists_step, 1);
    support_await(&lists_step, 2);
    lw_rawlock_unlock_(&d->smr_lock);
}

static void child_polls(void *arg)
{
    (void)arg;
    CHECK_EQ(lw_smr_get_stats().pending, 0);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(lw_smr_synchronize(), LW_OK);
}

TEST(fork_beside_locked_lists)
{
    support_thread thread;
    support_start(&thread, lock_lists_until_told, NULL);
    support_await(&lists_step, 1);
    support_fork_ok(child_polls, NULL);
    support_reach(&lists_step, 2);
    support_join(&thread);
}

TEST(fork_beside_a_section_without_a_record)
{
    support_thread thread;
    start_anonymous_reader(&thread);
    support_fork_ok(child_polls, NULL);
    support_reach(&anonymous_step, 1);
    support_join(&thread);
}

static void child_ends_section(void *arg)
{
    CHECK(lw_smr_in_section());
    lw_smr_exit();
    child_polls(arg);
}

static void fork_in_section_without_a_record(void *arg)
{
    enter_without_a_record(arg);
    support_fork_ok(child_ends_section, arg);
    lw_smr_exit();
}

TEST(fork_inside_a_section_without_a_record)
{
    char unused = 0;
    heap_install();
    support_run(1, fork_in_section_without_a_record, &unused, 1);
    CHECK_EQ(lw_smr_synchronize(), LW_OK);
}
