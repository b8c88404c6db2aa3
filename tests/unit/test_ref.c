/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/mutex.h>
#include <latchwork/ref.h>
#include <latchwork/smr.h>

#include "heap.h"
#include "unit.h"

#include <string.h>

typedef struct object {
    lw_ref_t ref; /* first */
    int payload;
    pthread_t destroyer;
    int destroyed;
    struct object *next; /* dropped by destroy */
} object;

static lw_mutex_t destroy_mutex;

static void destroy(lw_ref_t *ref)
{
    object *o = (object *)(void *)ref;
    object *next = o->next;
    /* Runs with none of the library's locks held. */
    lw_mutex_lock(&destroy_mutex);
    lw_mutex_unlock(&destroy_mutex);
    CHECK(!lw_ref_try_inc(ref));
    o->destroyer = pthread_self();
    o->payload = -1;
    __atomic_fetch_add(&o->destroyed, 1, __ATOMIC_RELEASE);
    if (next != NULL) {
        lw_ref_dec(&next->ref, destroy);
    }
}

static void make(object *o)
{
    memset(o, 0, sizeof *o);
    lw_ref_init(&o->ref);
}

static int destroyed(const object *o)
{
    return __atomic_load_n(&o->destroyed, __ATOMIC_ACQUIRE);
}

TEST(owner_counts)
{
    object o;
    int i;
    make(&o);
    CHECK_EQ(lw_ref_count(&o.ref), 1);
    for (i = 0; i < 5; i++) {
        lw_ref_inc(&o.ref);
    }
    CHECK(lw_ref_try_inc(&o.ref));
    CHECK_EQ(lw_ref_count(&o.ref), 7);
    for (i = 0; i < 6; i++) {
        lw_ref_dec(&o.ref, destroy);
        CHECK_EQ(destroyed(&o), 0);
    }
    CHECK_EQ(lw_ref_count(&o.ref), 1);
    lw_ref_dec(&o.ref, destroy);
    CHECK_EQ(destroyed(&o), 1);
    CHECK(pthread_equal(o.destroyer, pthread_self()));
    CHECK(!lw_ref_try_inc(&o.ref));
    CHECK_EQ(lw_ref_drain(), 0);
}

/* ---- Another thread ---- */

static void inc_and_dec(void *arg)
{
    object *o = (object *)arg;
    lw_ref_inc(&o->ref);
    CHECK(lw_ref_try_inc(&o->ref));
    lw_ref_dec(&o->ref, destroy);
    lw_ref_dec(&o->ref, destroy);
}

static void dec(void *arg)
{
    lw_ref_dec(&((object *)arg)->ref, destroy);
}

static void inc(void *arg)
{
    lw_ref_inc(&((object *)arg)->ref);
}

static void on_thread(support_thread_fn fn, object *o)
{
    support_run(1, fn, o, sizeof *o);
}

TEST(another_thread_counts)
{
    object o;
    make(&o);
    on_thread(inc_and_dec, &o);
    CHECK_EQ(lw_ref_count(&o.ref), 1);
    CHECK_EQ(destroyed(&o), 0);
    on_thread(inc, &o);
    CHECK_EQ(lw_ref_count(&o.ref), 2);
    lw_ref_dec(&o.ref, destroy); /* the owner's last one: the count passes to the others */
    CHECK_EQ(destroyed(&o), 0);
    CHECK_EQ(lw_ref_count(&o.ref), 1);
    lw_ref_inc(&o.ref);
    CHECK_EQ(lw_ref_count(&o.ref), 2);
    lw_ref_dec(&o.ref, destroy);
    on_thread(dec, &o);
    CHECK_EQ(destroyed(&o), 1);
    CHECK(!pthread_equal(o.destroyer, pthread_self()));
}

TEST(owner_drops_last_after_others_came_and_went)
{
    object o;
    make(&o);
    on_thread(inc_and_dec, &o);
    lw_ref_dec(&o.ref, destroy);
    CHECK_EQ(destroyed(&o), 1);
    CHECK(pthread_equal(o.destroyer, pthread_self()));
}

TEST(handed_over_reference_is_merged_by_drain)
{
    object o;
    make(&o);
    on_thread(dec, &o); /* the owner counted it: it is handed over */
    CHECK_EQ(destroyed(&o), 0);
    CHECK_EQ(lw_ref_drain(), 1);
    CHECK_EQ(destroyed(&o), 1);
    CHECK(pthread_equal(o.destroyer, pthread_self()));
    CHECK_EQ(lw_ref_drain(), 0);
}

TEST(handed_over_reference_is_merged_by_a_dec_of_another_object)
{
    object o, other;
    make(&o);
    make(&other);
    lw_ref_inc(&other.ref);
    on_thread(dec, &o);
    lw_ref_dec(&other.ref, destroy);
    CHECK_EQ(destroyed(&o), 1);
    CHECK_EQ(destroyed(&other), 0);
    lw_ref_dec(&other.ref, destroy);
    CHECK_EQ(destroyed(&other), 1);
}

TEST(queued_object_may_be_used_on)
{
    object o;
    int i;
    make(&o);
    for (i = 0; i < 5; i++) {
        lw_ref_inc(&o.ref);
    }
    on_thread(dec, &o);
    on_thread(dec, &o); /* shared goes below zero */
    CHECK_EQ(destroyed(&o), 0);
    lw_ref_inc(&o.ref); /* the owner does not recognise it any more */
    CHECK(lw_ref_try_inc(&o.ref));
    on_thread(inc_and_dec, &o);
    CHECK_EQ(lw_ref_drain(), 1);
    CHECK_EQ(lw_ref_count(&o.ref), 6 - 2 + 2);
    CHECK_EQ(destroyed(&o), 0);
    for (i = 0; i < 5; i++) {
        lw_ref_dec(&o.ref, destroy);
        CHECK_EQ(destroyed(&o), 0);
    }
    on_thread(dec, &o);
    CHECK_EQ(destroyed(&o), 1);
}

TEST(owner_drops_its_last_while_queued)
{
    object o;
    make(&o);
    lw_ref_inc(&o.ref);
    on_thread(dec, &o);
    CHECK_EQ(destroyed(&o), 0);
    lw_ref_dec(&o.ref, destroy); /* the dec that ends it, and drains */
    CHECK_EQ(destroyed(&o), 1);
}

TEST(many_objects_queued_at_once)
{
    enum { N = 500 };
    static object objects[N];
    int i;
    for (i = 0; i < N; i++) {
        make(&objects[i]);
        if (i % 3 == 0) {
            lw_ref_inc(&objects[i].ref);
        }
    }
    support_run(16, dec, objects, sizeof objects[0]);
    for (i = 16; i < N; i++) {
        on_thread(dec, &objects[i]);
    }
    CHECK_EQ(lw_ref_drain(), N);
    for (i = 0; i < N; i++) {
        CHECK_EQ(destroyed(&objects[i]), i % 3 != 0);
        CHECK_EQ(lw_ref_count(&objects[i].ref), i % 3 == 0);
    }
}

TEST(destroy_may_drop_others)
{
    enum { N = 100 };
    static object chain[N];
    int i;
    for (i = 0; i < N; i++) {
        make(&chain[i]);
        chain[i].next = i + 1 < N ? &chain[i + 1] : NULL;
    }
    on_thread(dec, &chain[0]); /* handed over, so that the chain is dropped inside of a drain */
    CHECK(lw_ref_drain() >= 1);
    for (i = 0; i < N; i++) {
        CHECK_EQ(destroyed(&chain[i]), 1);
    }
}

/* ---- The owner exits ---- */

typedef struct maker {
    object *objects;
    int count;
    int extra; /* references that the maker adds to each, beside the first */
    support_step made, leave;
    support_thread thread;
} maker;

static void make_and_wait(void *arg)
{
    maker *m = (maker *)arg;
    int i, j;
    for (i = 0; i < m->count; i++) {
        make(&m->objects[i]);
        for (j = 0; j < m->extra; j++) {
            lw_ref_inc(&m->objects[i].ref);
        }
    }
    support_reach(&m->made, 1);
    support_await(&m->leave, 1);
}

static void start_maker(maker *m, object *objects, int count, int extra)
{
    static const support_step initial = SUPPORT_STEP_INIT;
    m->objects = objects;
    m->count = count;
    m->extra = extra;
    m->made = initial;
    m->leave = initial;
    support_start(&m->thread, make_and_wait, m);
    support_await(&m->made, 1);
}

static void end_maker(maker *m)
{
    support_reach(&m->leave, 1);
    support_join(&m->thread);
}

TEST(object_outlives_its_owner)
{
    object o;
    maker m;
    CHECK(lw_thread_self() != NULL);
    start_maker(&m, &o, 1, 1);
    end_maker(&m);
    CHECK_EQ(lw_ref_count(&o.ref), 2);
    CHECK_EQ(destroyed(&o), 0);
    lw_ref_inc(&o.ref);
    lw_ref_dec(&o.ref, destroy);
    lw_ref_dec(&o.ref, destroy);
    CHECK_EQ(destroyed(&o), 0);
    lw_ref_dec(&o.ref, destroy);
    CHECK_EQ(destroyed(&o), 1);
    CHECK(pthread_equal(o.destroyer, pthread_self()));
}

TEST(queue_is_merged_when_the_owner_exits)
{
    object o[3];
    maker m;
    CHECK(lw_thread_self() != NULL);
    start_maker(&m, o, 3, 1);
    lw_ref_dec(&o[0].ref, destroy);
    lw_ref_dec(&o[0].ref, destroy); /* none left but the queue's */
    lw_ref_dec(&o[1].ref, destroy);
    CHECK_EQ(destroyed(&o[0]), 0);
    end_maker(&m);
    CHECK_EQ(destroyed(&o[0]), 1);
    CHECK(!pthread_equal(o[0].destroyer, pthread_self()));
    CHECK_EQ(destroyed(&o[1]), 0);
    CHECK_EQ(lw_ref_count(&o[1].ref), 1);
    lw_ref_dec(&o[1].ref, destroy);
    CHECK_EQ(destroyed(&o[1]), 1);
    lw_ref_dec(&o[2].ref, destroy);
    lw_ref_dec(&o[2].ref, destroy);
    CHECK_EQ(destroyed(&o[2]), 1);
}

/* The record of the dead owner goes to a new thread, and with it what the record owns. */
TEST(a_new_thread_inherits_the_record)
{
    object o[4], own;
    maker first, second;
    int i;
    CHECK(lw_thread_self() != NULL);
    start_maker(&first, o, 4, 2);
    end_maker(&first);
    start_maker(&second, &own, 1, 0);
    CHECK_EQ(lw_thread_record_count(), 2);
    for (i = 0; i < 3; i++) {
        lw_ref_dec(&o[0].ref, destroy);
    }
    lw_ref_dec(&o[1].ref, destroy);
    lw_ref_inc(&o[1].ref);
    lw_ref_inc(&o[2].ref);
    for (i = 0; i < 2; i++) {
        lw_ref_dec(&o[3].ref, destroy);
    }
    end_maker(&second);
    CHECK_EQ(destroyed(&o[0]), 1);
    CHECK_EQ(lw_ref_count(&o[1].ref), 3);
    CHECK_EQ(lw_ref_count(&o[2].ref), 4);
    CHECK_EQ(lw_ref_count(&o[3].ref), 1);
    for (i = 0; i < 3; i++) {
        lw_ref_dec(&o[1].ref, destroy);
    }
    for (i = 0; i < 4; i++) {
        lw_ref_dec(&o[2].ref, destroy);
    }
    lw_ref_dec(&o[3].ref, destroy);
    for (i = 0; i < 4; i++) {
        CHECK_EQ(destroyed(&o[i]), 1);
    }
    CHECK_EQ(lw_ref_count(&own.ref), 1);
    lw_ref_dec(&own.ref, destroy);
    CHECK_EQ(destroyed(&own), 1);
}

static object made_at_exit;

/* Runs when its owner exits: what it makes then has an owner that is about to go. */
static void destroy_and_make(lw_ref_t *ref)
{
    ((object *)(void *)ref)->destroyed++;
    make(&made_at_exit);
}

static void dec_making(void *arg)
{
    lw_ref_dec(&((object *)arg)->ref, destroy_and_make);
}

TEST(destroy_at_exit_may_make_objects)
{
    object o;
    maker m;
    CHECK(lw_thread_self() != NULL);
    start_maker(&m, &o, 1, 0);
    dec_making(&o);
    CHECK_EQ(o.destroyed, 0);
    end_maker(&m);
    CHECK_EQ(o.destroyed, 1);
    CHECK_EQ(lw_ref_count(&made_at_exit.ref), 1);
    lw_ref_dec(&made_at_exit.ref, destroy);
    CHECK_EQ(destroyed(&made_at_exit), 1);
}

/* ---- Immortal ---- */

TEST(immortal)
{
    object o, copy;
    make(&o);
    CHECK(!lw_ref_is_immortal(&o.ref));
    lw_ref_immortalize(&o.ref);
    CHECK(lw_ref_is_immortal(&o.ref));
    memcpy(&copy, &o, sizeof o);
    lw_ref_inc(&o.ref);
    lw_ref_dec(&o.ref, destroy);
    lw_ref_dec(&o.ref, destroy);
    lw_ref_dec(&o.ref, destroy);
    CHECK(lw_ref_try_inc(&o.ref));
    on_thread(inc_and_dec, &o);
    on_thread(dec, &o);
    on_thread(dec, &o);
    CHECK_EQ(lw_ref_drain(), 0);
    CHECK_EQ(memcmp(&copy, &o, sizeof o), 0);
    CHECK(lw_ref_is_immortal(&o.ref));
    CHECK_EQ(destroyed(&o), 0);
}

TEST(immortal_outlives_its_owner)
{
    object o;
    maker m;
    CHECK(lw_thread_self() != NULL);
    make(&o);
    lw_ref_immortalize(&o.ref);
    start_maker(&m, &o, 0, 0);
    end_maker(&m);
    lw_ref_dec(&o.ref, destroy);
    on_thread(dec, &o);
    CHECK_EQ(destroyed(&o), 0);
}

/* ---- Threads without a record, and no memory ---- */

TEST(no_record)
{
    object unbiased, biased;
    maker m;
    heap_install();
    start_maker(&m, &biased, 1, 1);
    heap_fail_after(0);
    CHECK(lw_thread_self() == NULL);
    make(&unbiased);
    CHECK_EQ(lw_ref_count(&unbiased.ref), 1);
    lw_ref_inc(&unbiased.ref);
    CHECK(lw_ref_try_inc(&unbiased.ref));
    on_thread(inc_and_dec, &unbiased);
    lw_ref_dec(&unbiased.ref, destroy);
    lw_ref_dec(&unbiased.ref, destroy);
    CHECK_EQ(lw_ref_count(&unbiased.ref), 1);
    CHECK_EQ(lw_ref_drain(), 0);
    lw_ref_dec(&unbiased.ref, destroy);
    CHECK_EQ(destroyed(&unbiased), 1);
    /* Drops references of an object that a thread with a record owns. */
    lw_ref_inc(&biased.ref);
    lw_ref_dec(&biased.ref, destroy);
    lw_ref_dec(&biased.ref, destroy);
    lw_ref_dec(&biased.ref, destroy);
    CHECK_EQ(destroyed(&biased), 0);
    end_maker(&m);
    CHECK_EQ(destroyed(&biased), 1);
}

TEST(counting_needs_no_memory)
{
    object o;
    size_t calls;
    heap_install();
    CHECK(lw_thread_self() != NULL);
    on_thread(inc_and_dec, (make(&o), &o));
    heap_fail_after(0);
    calls = heap_calls();
    lw_ref_dec(&o.ref, destroy);
    make(&o);
    lw_ref_inc(&o.ref);
    CHECK(lw_ref_try_inc(&o.ref));
    lw_ref_dec(&o.ref, destroy);
    lw_ref_dec(&o.ref, destroy);
    lw_ref_dec(&o.ref, destroy);
    CHECK_EQ(destroyed(&o), 1);
    CHECK_EQ(heap_calls(), calls);
}

/* ---- Several threads at once ---- */

enum { THREADS = 4, ROUNDS = 2000 };

typedef struct round {
    object o;
    pthread_barrier_t *start;
} round_t;

static object *race_object;
static pthread_barrier_t race_start, race_end;

static void race(void *arg)
{
    int i, me = *(int *)arg;
    for (i = 0; i < ROUNDS; i++) {
        object *o;
        if (me == i % THREADS) {
            int j;
            o = (object *)malloc(sizeof *o);
            CHECK(o != NULL);
            make(o);
            for (j = 1; j < THREADS; j++) {
                lw_ref_inc(&o->ref);
            }
            o->payload = 0;
            race_object = o;
        }
        pthread_barrier_wait(&race_start);
        o = race_object;
        if ((i + me) % 2 == 0) {
            lw_ref_inc(&o->ref);
            CHECK(lw_ref_try_inc(&o->ref));
            CHECK_EQ(destroyed(o), 0);
            lw_ref_dec(&o->ref, destroy);
            lw_ref_dec(&o->ref, destroy);
        }
        CHECK_EQ(destroyed(o), 0);
        lw_ref_dec(&o->ref, destroy);
        pthread_barrier_wait(&race_end);
        if (me == i % THREADS) {
            (void)lw_ref_drain();
            CHECK_EQ(destroyed(o), 1);
            free(o);
        }
        pthread_barrier_wait(&race_end);
    }
}

TEST(each_object_is_destroyed_once)
{
    int numbers[THREADS] = {0, 1, 2, 3};
    pthread_barrier_init(&race_start, NULL, THREADS);
    pthread_barrier_init(&race_end, NULL, THREADS);
    support_run(THREADS, race, numbers, sizeof numbers[0]);
    pthread_barrier_destroy(&race_start);
    pthread_barrier_destroy(&race_end);
}

/* ---- Found without a reference, in a section ---- */

static lw_atomic_ptr slot;
static int finds, misses;

static void free_object(void *ptr)
{
    memset(ptr, 0xdd, sizeof(object));
    free(ptr);
}

static void destroy_retire(lw_ref_t *ref)
{
    object *o = (object *)(void *)ref;
    CHECK_EQ(o->payload, 1234);
    o->payload = -1;
    CHECK_EQ(lw_smr_retire(o, free_object), LW_OK);
}

static void find(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < 20000; i++) {
        object *o;
        bool alive = false;
        lw_smr_enter();
        o = (object *)lw_atomic_load_acquire_ptr(&slot);
        if (o != NULL) {
            alive = lw_ref_try_inc(&o->ref);
        }
        lw_smr_exit();
        if (alive) {
            CHECK_EQ(o->payload, 1234);
            lw_ref_dec(&o->ref, destroy_retire);
            __atomic_fetch_add(&finds, 1, __ATOMIC_RELAXED);
        } else {
            __atomic_fetch_add(&misses, 1, __ATOMIC_RELAXED);
        }
    }
}

static void replace(void *arg)
{
    int i;
    (void)arg;
    for (i = 0; i < 20000; i++) {
        object *o = (object *)malloc(sizeof *o), *old;
        CHECK(o != NULL);
        make(o);
        o->payload = 1234;
        old = (object *)lw_atomic_exchange_acq_rel_ptr(&slot, o);
        if (old != NULL) {
            lw_ref_dec(&old->ref, destroy_retire);
        }
    }
}

static void find_or_replace(void *arg)
{
    if (*(int *)arg % 2 == 0) {
        find(arg);
    } else {
        replace(arg);
    }
}

TEST(try_inc_in_a_section)
{
    int numbers[4] = {0, 1, 2, 3};
    object *o = (object *)malloc(sizeof *o);
    CHECK(o != NULL);
    make(o);
    o->payload = 1234;
    lw_atomic_store_release_ptr(&slot, o);
    support_run(4, find_or_replace, numbers, sizeof numbers[0]);
    o = (object *)lw_atomic_load_acquire_ptr(&slot);
    lw_ref_dec(&o->ref, destroy_retire);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK(finds > 0);
}

/* ---- Fork ---- */

static object forked[4];

static void child_drops(void *arg)
{
    (void)arg;
    lw_ref_dec(&forked[0].ref, destroy); /* its owner is no more */
    CHECK_EQ(destroyed(&forked[0]), 0);
    lw_ref_dec(&forked[0].ref, destroy);
    CHECK_EQ(destroyed(&forked[0]), 1);
    lw_ref_inc(&forked[1].ref);
    lw_ref_dec(&forked[1].ref, destroy);
    CHECK_EQ(destroyed(&forked[1]), 0);
    lw_ref_dec(&forked[2].ref, destroy); /* the forking thread's own */
    CHECK_EQ(destroyed(&forked[2]), 1);
}

TEST(forked_child_drops_what_threads_of_the_parent_own)
{
    maker m;
    CHECK(lw_thread_self() != NULL);
    start_maker(&m, forked, 2, 1);
    make(&forked[2]);
    support_fork_ok(child_drops, NULL);
    CHECK_EQ(lw_ref_count(&forked[0].ref), 2);
    end_maker(&m);
    lw_ref_dec(&forked[0].ref, destroy);
    lw_ref_dec(&forked[0].ref, destroy);
    CHECK_EQ(destroyed(&forked[0]), 1);
}

/* ---- More references than the shared word has room for ---- */

TEST(too_many_to_merge_is_immortal)
{
    object o;
    make(&o);
    /* As if the owner had counted up so far: the sum of the two counts would be 0 in 30 bits. */
    lw_atomic_store_relaxed_u32(&o.ref.local, (UINT32_C(1) << 30) + 1);
    on_thread(dec, &o);
    CHECK_EQ(lw_ref_drain(), 1);
    CHECK_EQ(destroyed(&o), 0);
    CHECK(lw_ref_is_immortal(&o.ref));
    lw_ref_dec(&o.ref, destroy);
    on_thread(dec, &o);
    CHECK(lw_ref_try_inc(&o.ref));
    CHECK_EQ(destroyed(&o), 0);
}

TEST(as_many_as_can_be_merged)
{
    object o;
    make(&o);
    lw_atomic_store_relaxed_u32(&o.ref.local, LW_REF_MOST_);
    on_thread(dec, &o);
    CHECK_EQ(lw_ref_drain(), 1);
    CHECK_EQ(lw_ref_count(&o.ref), LW_REF_MOST_ - 1);
    CHECK(!lw_ref_is_immortal(&o.ref));
}

/* ---- A destroy function that ends its thread: what it took from the queue is merged still ---- */

static void destroy_and_end(lw_ref_t *ref)
{
    destroy(ref);
    pthread_exit(NULL);
}

typedef struct ender {
    object objects[3];
    support_step made, dropped;
} ender;

static void drain_and_end(void *arg)
{
    ender *e = (ender *)arg;
    int i;
    for (i = 0; i < 3; i++) {
        make(&e->objects[i]);
    }
    support_reach(&e->made, 1);
    support_await(&e->dropped, 1);
    (void)lw_ref_drain();
}

TEST(destroy_that_ends_the_thread_loses_no_other)
{
    static ender e = {.made = SUPPORT_STEP_INIT, .dropped = SUPPORT_STEP_INIT};
    support_thread thread;
    int i;
    support_start(&thread, drain_and_end, &e);
    support_await(&e.made, 1);
    for (i = 0; i < 3; i++) {
        lw_ref_dec(&e.objects[i].ref, i == 2 ? destroy_and_end : destroy);
    }
    support_reach(&e.dropped, 1);
    support_join(&thread);
    for (i = 0; i < 3; i++) {
        CHECK_EQ(destroyed(&e.objects[i]), 1);
    }
}

/* ---- Destroy functions that drop others of the owner's: one after the other, not nested ---- */

enum { PARENTS = 100000 };

static void dec_all(void *arg)
{
    object *parents = (object *)arg;
    int i;
    for (i = 0; i < PARENTS; i++) {
        lw_ref_dec(&parents[i].ref, destroy);
    }
}

TEST(draining_does_not_recurse)
{
    object *parents = (object *)calloc(2 * PARENTS, sizeof *parents);
    int i;
    CHECK(parents != NULL);
    for (i = 0; i < 2 * PARENTS; i++) {
        make(&parents[i]);
    }
    for (i = 0; i < PARENTS; i++) {
        parents[i].next = &parents[PARENTS + i];
    }
    support_run(1, dec_all, parents, sizeof *parents);
    CHECK_EQ(lw_ref_drain(), PARENTS);
    for (i = 0; i < 2 * PARENTS; i++) {
        CHECK_EQ(destroyed(&parents[i]), 1);
    }
    free(parents);
}
