/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/latchwork.h>

#include "heap.h"
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 16 };

typedef struct worker {
    pthread_barrier_t *barrier;
    lw_thread *self;
    bool stable;
} worker;

static void attach(void *arg)
{
    worker *w = (worker *)arg;
    w->self = lw_thread_self();
    w->stable = w->self == lw_thread_self();
    if (w->barrier != NULL) {
        pthread_barrier_wait(w->barrier);
    }
}

TEST(self_is_stable)
{
    lw_thread *self = lw_thread_self();
    assert_non_null(self);
    assert_ptr_equal(self, lw_thread_self());
    CHECK_EQ(lw_thread_count(), 1);
    CHECK_EQ(lw_thread_record_count(), 1);
}

TEST(counts_before_the_first_use)
{
    CHECK_EQ(lw_thread_count(), 0);
    CHECK_EQ(lw_thread_record_count(), 0);
}

/* All alive at once: no two share a record, and the counts say so. */
static void attach_together(worker *workers, pthread_barrier_t *barrier)
{
    int i, j;
    for (i = 0; i < THREADS; i++) {
        workers[i].barrier = barrier;
    }
    support_run(THREADS, attach, workers, sizeof workers[0]);
    for (i = 0; i < THREADS; i++) {
        CHECK(workers[i].self != NULL);
        CHECK(workers[i].stable);
        CHECK(workers[i].self != lw_thread_self());
        for (j = 0; j < i; j++) {
            CHECK(workers[i].self != workers[j].self);
        }
    }
}

TEST(threads_that_live_together_have_records_of_their_own)
{
    pthread_barrier_t barrier;
    worker workers[THREADS];
    CHECK(lw_thread_self() != NULL);
    pthread_barrier_init(&barrier, NULL, THREADS);
    attach_together(workers, &barrier);
    CHECK_EQ(lw_thread_count(), 1);
    CHECK_EQ(lw_thread_record_count(), THREADS + 1);
    pthread_barrier_destroy(&barrier);
}

TEST(records_of_threads_that_exited_are_reused)
{
    pthread_barrier_t barrier;
    worker workers[THREADS];
    int round;
    CHECK(lw_thread_self() != NULL);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (round = 0; round < 50; round++) {
        attach_together(workers, &barrier);
        CHECK_EQ(lw_thread_count(), 1);
        CHECK(lw_thread_record_count() <= THREADS + 1);
    }
    for (round = 0; round < 1000; round++) {
        support_thread thread;
        worker one = {NULL, NULL, false};
        support_start(&thread, attach, &one);
        support_join(&thread);
        CHECK(one.self != NULL);
    }
    CHECK(lw_thread_record_count() <= THREADS + 1);
    pthread_barrier_destroy(&barrier);
}

TEST(memory_of_records_is_bounded)
{
    size_t blocks;
    int i;
    heap_install();
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < 3; i++) {
        worker one = {NULL, NULL, false};
        support_run(1, attach, &one, sizeof one);
    }
    blocks = heap_blocks();
    for (i = 0; i < 300; i++) {
        worker one = {NULL, NULL, false};
        support_run(1, attach, &one, sizeof one);
    }
    CHECK_EQ(heap_blocks(), blocks);
}

TEST(no_memory_gives_null_and_is_tried_again)
{
    heap_install();
    heap_fail_after(0);
    CHECK(lw_thread_self() == NULL);
    CHECK(lw_thread_self() == NULL);
    CHECK_EQ(lw_thread_count(), 0);
    heap_fail_after(-1);
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(lw_thread_count(), 1);
}

/* ---- One key for the whole library; none left ---- */

static pthread_key_t taken[PTHREAD_KEYS_MAX];
static int taken_count;

static void take_all_keys(void)
{
    while (pthread_key_create(&taken[taken_count], NULL) == 0) {
        taken_count++;
    }
    CHECK(taken_count > 100);
}

static void destroy_counted(lw_ref_t *ref)
{
    ++*(int *)(void *)(ref + 1);
}

typedef struct counted {
    lw_ref_t ref;
    int destroyed;
} counted;

static int freed;

static void count_free(void *ptr)
{
    __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
    free(ptr);
}

static lw_mutex_t mutex;
static uint64_t total;
static lw_map_t *shared_map;
static counted shared_object;

static void work_without_record(void *arg)
{
    int i;
    (void)arg;
    CHECK(lw_thread_self() == NULL);
    for (i = 0; i < 2000; i++) {
        lw_mutex_lock(&mutex);
        total++;
        lw_mutex_unlock(&mutex);
        lw_ref_inc(&shared_object.ref);
        CHECK_EQ(lw_map_add(shared_map, (uint64_t)(i % 10), 1, NULL), LW_OK);
        lw_smr_enter();
        lw_smr_enter();
        CHECK(lw_smr_in_section());
        lw_smr_exit();
        CHECK(lw_smr_in_section());
        lw_smr_exit();
        CHECK(!lw_smr_in_section());
        CHECK_EQ(lw_smr_retire(malloc(8), count_free), LW_OK);
        lw_ref_dec(&shared_object.ref, destroy_counted);
    }
}

TEST(without_a_key_everything_works)
{
    lw_map_config config;
    char unused[4] = {0};
    uint64_t i, value;
    memset(&config, 0, sizeof config);
    take_all_keys();
    CHECK(lw_thread_self() == NULL);
    CHECK_EQ(lw_thread_count(), 0);
    shared_map = lw_map_new(&config);
    CHECK(shared_map != NULL);
    lw_ref_init(&shared_object.ref);
    CHECK_EQ(lw_ref_count(&shared_object.ref), 1);
    CHECK(lw_ref_try_inc(&shared_object.ref));
    lw_ref_dec(&shared_object.ref, destroy_counted);
    support_run(4, work_without_record, unused, 1);
    CHECK_EQ(total, 4 * 2000);
    for (i = 0; i < 10; i++) {
        CHECK(lw_map_get(shared_map, i, &value));
        CHECK_EQ(value, 4 * 2000 / 10);
    }
    CHECK_EQ(shared_object.destroyed, 0);
    lw_ref_dec(&shared_object.ref, destroy_counted);
    CHECK_EQ(shared_object.destroyed, 1);
    CHECK(!lw_ref_try_inc(&shared_object.ref));
    CHECK_EQ(lw_ref_drain(), 0);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 4 * 2000);
    CHECK_EQ(lw_smr_synchronize(), LW_OK);
    lw_map_free(shared_map);
    CHECK_EQ(lw_smr_flush(), LW_OK);
}

TEST(key_comes_back)
{
    take_all_keys();
    CHECK(lw_thread_self() == NULL);
    CHECK_EQ(pthread_key_delete(taken[0]), 0);
    CHECK(lw_thread_self() != NULL);
}

TEST(ten_thousand_objects_need_one_key)
{
    enum { MAPS = 1500, MUTEXES = 10000 };
    static lw_map_t *maps[MAPS];
    static lw_mutex_t mutexes[MUTEXES];
    lw_map_config config;
    pthread_key_t key;
    int i;
    memset(&config, 0, sizeof config);
    config.stripes = 1;
    CHECK(lw_thread_self() != NULL);
    /* Room for a few keys only. */
    take_all_keys();
    for (i = 0; i < 4; i++) {
        CHECK_EQ(pthread_key_delete(taken[--taken_count]), 0);
    }
    for (i = 0; i < MAPS; i++) {
        maps[i] = lw_map_new(&config);
        CHECK(maps[i] != NULL);
        CHECK_EQ(lw_map_put(maps[i], 1, (uint64_t)i), LW_OK);
    }
    for (i = 0; i < MUTEXES; i++) {
        lw_mutex_lock(&mutexes[i]);
    }
    for (i = 0; i < MUTEXES; i++) {
        lw_mutex_unlock(&mutexes[i]);
    }
    for (i = 0; i < 4; i++) {
        CHECK_EQ(pthread_key_create(&key, NULL), 0);
    }
    for (i = 0; i < MAPS; i++) {
        lw_map_free(maps[i]);
    }
}

/* ---- Other destructors of a thread use the library after ours has run ---- */

static pthread_key_t late_key;
static int late_runs;

static void use_late(void *value)
{
    void *memory = malloc(16);
    (void)value;
    CHECK(memory != NULL);
    lw_mutex_lock(&mutex);
    late_runs++;
    lw_mutex_unlock(&mutex);
    lw_smr_enter();
    lw_smr_exit();
    CHECK_EQ(lw_smr_retire(memory, free), LW_OK);
}

static void exit_with_late_user(void *arg)
{
    (void)arg;
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(pthread_setspecific(late_key, &late_key), 0);
}

TEST(thread_local_destructors_may_use_the_library)
{
    char unused[4] = {0};
    int i;
    CHECK(lw_thread_self() !=
          NULL); /* the library's key is the older one: its destructor runs first */
    CHECK_EQ(pthread_key_create(&late_key, use_late), 0);
    for (i = 0; i < 100; i++) {
        support_run(4, exit_with_late_user, unused, 1);
    }
    CHECK_EQ(late_runs, 400);
    CHECK_EQ(lw_thread_count(), 1);
    CHECK(lw_thread_record_count() <= 5);
    CHECK_EQ(lw_smr_flush(), LW_OK);
}

TEST(thread_that_exits_inside_its_section_holds_nothing_up)
{
    char unused = 0;
    void *memory = malloc(16);
    CHECK(lw_thread_self() != NULL);
    support_run(1, (support_thread_fn)(void (*)(void))lw_smr_enter, &unused, 1);
    CHECK_EQ(lw_smr_retire(memory, count_free), LW_OK);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1);
}

/* ---- Fork ---- */

static support_step step = SUPPORT_STEP_INIT;

static void stay(void *arg)
{
    CHECK(lw_thread_self() != NULL);
    pthread_barrier_wait((pthread_barrier_t *)arg);
    support_await(&step, 1);
}

static void child_counts(void *arg)
{
    worker workers[THREADS];
    pthread_barrier_t barrier;
    size_t records = lw_thread_record_count();
    (void)arg;
    CHECK_EQ(lw_thread_count(), 1);
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(lw_thread_count(), 1);
    pthread_barrier_init(&barrier, NULL, THREADS);
    attach_together(workers, &barrier);
    CHECK_EQ(lw_thread_count(), 1);
    CHECK(lw_thread_record_count() <= (records > THREADS + 1 ? records : THREADS + 1));
}

static void grandchild(void *arg)
{
    child_counts(arg);
    support_fork_ok(child_counts, arg);
}

TEST(forked_child_has_one_thread)
{
    support_thread threads[4];
    pthread_barrier_t barrier;
    int i;
    CHECK(lw_thread_self() != NULL);
    pthread_barrier_init(&barrier, NULL, 5);
    for (i = 0; i < 4; i++) {
        support_start(&threads[i], stay, &barrier);
    }
    pthread_barrier_wait(&barrier);
    CHECK_EQ(lw_thread_count(), 5);
    support_fork_ok(child_counts, NULL);
    support_fork_ok(grandchild, NULL);
    CHECK_EQ(lw_thread_count(), 5);
    support_reach(&step, 1);
    for (i = 0; i < 4; i++) {
        support_join(&threads[i]);
    }
    CHECK_EQ(lw_thread_count(), 1);
    pthread_barrier_destroy(&barrier);
}

static void fork_here(void *arg)
{
    CHECK(lw_thread_self() != NULL);
    support_fork_ok(child_counts, arg);
}

TEST(fork_from_another_thread)
{
    CHECK(lw_thread_self() != NULL);
    support_run(1, fork_here, &step, sizeof step);
    CHECK_EQ(lw_thread_count(), 1);
}

static void child_first_use(void *arg)
{
    (void)arg;
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(lw_thread_count(), 1);
    CHECK_EQ(lw_smr_synchronize(), LW_OK);
}

TEST(fork_before_the_first_use)
{
    support_fork_ok(child_first_use, NULL);
}

/* A thread without a record forks: the others' records are free in the child all the same. */
static void fork_without_record(void *arg)
{
    support_fork_ok(child_first_use, arg);
}

TEST(fork_from_a_thread_without_a_record)
{
    CHECK(lw_thread_self() != NULL);
    support_run(1, fork_without_record, &step, sizeof step);
}

static void attach_all_the_time(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < 300; i++) {
        worker one = {NULL, NULL, false};
        support_thread thread;
        support_start(&thread, attach, &one);
        support_join(&thread);
    }
}

TEST(fork_while_threads_come_and_go)
{
    support_thread threads[2];
    int i;
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < 2; i++) {
        support_start(&threads[i], attach_all_the_time, NULL);
    }
    for (i = 0; i < 20; i++) {
        support_fork_ok(child_first_use, NULL);
    }
    for (i = 0; i < 2; i++) {
        support_join(&threads[i]);
    }
    CHECK_EQ(lw_thread_count(), 1);
    CHECK(lw_thread_record_count() <= 5);
}

/* ---- Fork while another thread makes the domain ---- */

static void first_use(void *arg)
{
    (void)arg;
    CHECK(lw_domain_get() != NULL);
}

static void fork_beside_first_use(void *arg)
{
    support_thread thread;
    support_start(&thread, first_use, NULL);
    support_sleep(*(int64_t *)arg);
    support_fork_ok(child_first_use, NULL);
    support_join(&thread);
}

TEST(fork_while_another_thread_makes_the_domain)
{
    int64_t ns;
    for (ns = 0; ns < 2000000; ns += 50000) {
        support_fork_ok(fork_beside_first_use, &ns);
    }
}

/* ---- A thread that is cancelled while it makes the domain ---- */

static void *first_use_cancelled(void *arg)
{
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    CHECK(lw_domain_get() != NULL);
    *(int *)arg = 1;
    pthread_testcancel();
    return arg;
}

TEST(first_use_is_no_cancellation_point)
{
    pthread_t thread;
    void *result;
    int made = 0;
    CHECK_EQ(pthread_create(&thread, NULL, first_use_cancelled, &made), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK_EQ(made, 1);
    CHECK(lw_thread_self() != NULL);
}

/* ---- The last round of destructors: ours has run for the last time ---- */

static pthread_key_t round_key;
static int rounds;

/* ThreadSanitizer leaves the thread in the last round, and its code must not run after that. */
static int last_round(void)
{
    return PTHREAD_DESTRUCTOR_ITERATIONS - support_sanitized();
}

static void use_in_the_last_round(void *value)
{
    counted *object = (counted *)value;
    if (++rounds < last_round()) {
        CHECK_EQ(pthread_setspecific(round_key, value), 0);
        return;
    }
    lw_ref_init(&object->ref);
    lw_ref_inc(&object->ref);
    lw_smr_enter();
    lw_smr_exit();
    CHECK_EQ(lw_smr_retire(malloc(8), count_free), LW_OK);
}

static void exit_with_rounds(void *arg)
{
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(pthread_setspecific(round_key, arg), 0);
}

TEST(last_destructors_of_a_thread_leave_no_record_in_use)
{
    counted object;
    memset(&object, 0, sizeof object);
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(pthread_key_create(&round_key, use_in_the_last_round), 0);
    support_run(1, exit_with_rounds, &object, sizeof object);
    CHECK_EQ(rounds, last_round());
    CHECK_EQ(lw_thread_count(), 1);
    lw_ref_dec(&object.ref, destroy_counted);
    CHECK_EQ(object.destroyed, 0);
    lw_ref_dec(&object.ref, destroy_counted);
    CHECK_EQ(object.destroyed, 1);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(freed, 1);
}
