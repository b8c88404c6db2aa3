/* SPDX-License-Identifier: BSD-2-Clause */
/* Libraries that each carry latchwork, loaded as Python loads extensions, and a program that
 * carries it too. */
#include "copy.h"

#include "unit.h"

#include <dlfcn.h>
#include <string.h>

typedef struct library {
    void *handle;
    const vendor_copy *copy;
} library;

static library load(const char *path)
{
    library l;
    const vendor_copy *(*get)(void);
    l.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (l.handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
    }
    CHECK(l.handle != NULL);
    *(void **)(void *)&get = dlsym(l.handle, "vendor_copy_get");
    CHECK(get != NULL);
    l.copy = get();
    return l;
}

static const vendor_copy *a, *b;

static void load_both(void)
{
    a = load(VENDOR_COPY_A).copy;
    b = load(VENDOR_COPY_B).copy;
    CHECK(a != b);
    CHECK(a->lock != b->lock); /* two copies of the code ... */
    CHECK(a->map_new != b->map_new);
}

TEST(one_domain)
{
    load_both();
    CHECK(a->domain() == b->domain()); /* ... and one of the state */
    CHECK(a->domain() != NULL);
}

TEST(the_program_shares_it_too)
{
    lw_domain *own = lw_domain_get();
    load_both();
    CHECK(a->domain() == own);
    CHECK(b->domain() == own);
}

TEST(the_program_comes_last)
{
    load_both();
    CHECK(a->domain() == b->domain());
    CHECK(lw_domain_get() == a->domain());
}

static void use_records(void *arg)
{
    (void)arg;
    CHECK(a->self() != NULL);
    CHECK(a->self() == b->self());
}

TEST(one_record_per_thread)
{
    char unused[8] = {0};
    load_both();
    CHECK(a->self() != NULL);
    CHECK(a->self() == b->self());
    CHECK_EQ(a->records(), 1);
    support_run(8, use_records, unused, 1);
    CHECK(a->records() <= 9);
    CHECK_EQ(a->records(), b->records());
}

static lw_mutex_t mutex;

static void lock_by_b(void *arg)
{
    b->lock(&mutex);
    ++*(int *)arg;
    b->unlock(&mutex);
}

TEST(a_mutex_passes_between_copies)
{
    support_thread thread;
    int entered = 0;
    load_both();
    a->lock(&mutex);
    CHECK_EQ(b->lock_for(&mutex, 1000000), LW_TIMEOUT);
    support_start(&thread, lock_by_b, &entered);
    while (a->waiters(&mutex) == 0) {
        support_sleep(200000);
    }
    CHECK_EQ(b->waiters(&mutex), 1);
    a->unlock(&mutex);
    support_join(&thread);
    CHECK_EQ(entered, 1);
    CHECK_EQ(a->waiters(&mutex), 0);
}

/* The second has not asked for this thread's record before. */
TEST(a_wait_in_one_suspends_the_critical_sections_of_the_other)
{
    lw_mutex_t x = LW_MUTEX_INIT, y = LW_MUTEX_INIT;
    lw_critical_t section;
    void *token;
    load_both();
    a->critical_begin2(&section, &x, &y);
    CHECK(lw_mutex_is_locked(&x) && lw_mutex_is_locked(&y));
    token = b->block_begin();
    CHECK(!lw_mutex_is_locked(&x) && !lw_mutex_is_locked(&y));
    b->block_end(token);
    CHECK(lw_mutex_is_locked(&x) && lw_mutex_is_locked(&y));
    a->critical_end(&section);
    CHECK(!lw_mutex_is_locked(&x) && !lw_mutex_is_locked(&y));
}

TEST(a_map_passes_between_copies)
{
    enum { N = 20000 };
    lw_map_config config;
    lw_map_t *map;
    uint64_t i, value;
    size_t buckets;
    load_both();
    memset(&config, 0, sizeof config);
    map = a->map_new(&config);
    CHECK(map != NULL);
    buckets = a->map_buckets(map);
    for (i = 0; i < N; i++) {
        CHECK_EQ((i % 2 == 0 ? a : b)->map_put(map, i, i * 3), LW_OK);
        CHECK((i % 2 == 0 ? b : a)->map_get(map, i / 2, &value));
        CHECK_EQ(value, i / 2 * 3);
    }
    CHECK(b->map_buckets(map) > 16 * buckets);
    for (i = 0; i < N; i++) {
        CHECK((i % 3 == 0 ? a : b)->map_remove(map, i, &value));
        CHECK_EQ(value, i * 3);
    }
    CHECK(b->map_buckets(map) <= 4 * buckets);
    b->map_free(map);
    CHECK_EQ(a->flush(), LW_OK);
}

static int freed;

static void count_free(void *ptr)
{
    freed++;
    free(ptr);
}

static support_step inside = SUPPORT_STEP_INIT, done = SUPPORT_STEP_INIT;

static void section_of_a(void *arg)
{
    (void)arg;
    a->enter();
    b->enter();
    a->leave();
    CHECK(a->in_section());
    CHECK(b->in_section());
    support_reach(&inside, 1);
    support_await(&done, 1);
    b->leave();
    CHECK(!a->in_section());
}

TEST(a_section_of_one_delays_the_other)
{
    support_thread thread;
    load_both();
    CHECK(b->self() != NULL);
    support_start(&thread, section_of_a, NULL);
    support_await(&inside, 1);
    CHECK_EQ(b->retire(malloc(8), count_free), LW_OK);
    CHECK_EQ(freed, 0);
    support_reach(&done, 1);
    support_join(&thread);
    CHECK_EQ(a->flush(), LW_OK);
    CHECK_EQ(freed, 1);
}

/* A copy that is new to the thread knows what the thread does through another. */
TEST(a_section_of_one_is_known_to_the_other)
{
    load_both();
    CHECK_EQ(a->retire(malloc(8), count_free), LW_OK);
    a->enter();
    CHECK(b->in_section());
    CHECK_EQ(b->synchronize(), LW_BUSY);
    CHECK_EQ(b->flush(), LW_BUSY);
    a->leave();
    CHECK(!b->in_section());
    CHECK_EQ(b->synchronize(), LW_OK);
}

static void flush_by_b(void *ptr)
{
    count_free(ptr);
    CHECK_EQ(b->flush(), LW_BUSY);
}

TEST(a_free_function_of_one_is_known_to_the_other)
{
    load_both();
    a->enter();
    CHECK_EQ(a->retire(malloc(8), flush_by_b), LW_OK);
    CHECK_EQ(a->retire(malloc(8), flush_by_b), LW_OK);
    a->leave();
    CHECK_EQ(a->flush(), LW_OK);
    CHECK_EQ(freed, 2);
}

static lw_ref_t ref;
static int destroyed;

static void destroy(lw_ref_t *r)
{
    CHECK(r == &ref);
    destroyed++;
}

static void drop_by_b(void *arg)
{
    (void)arg;
    b->ref_dec(&ref, destroy);
}

TEST(a_count_passes_between_copies)
{
    char unused = 0;
    load_both();
    CHECK(b->self() != NULL);
    a->ref_init(&ref);
    b->ref_inc(&ref); /* the same thread: it is the owner, by whatever copy */
    a->ref_dec(&ref, destroy);
    CHECK_EQ(destroyed, 0);
    support_run(1, drop_by_b, &unused, 1);
    CHECK_EQ(destroyed, 0);
    CHECK_EQ(b->ref_drain(), 1);
    CHECK_EQ(destroyed, 1);
}

/* A copy that has not asked for the thread's record yet counts as a stranger would, and rightly. */
TEST(a_count_in_a_copy_that_is_new_to_the_thread)
{
    load_both();
    a->ref_init(&ref);
    b->ref_inc(&ref);
    a->ref_dec(&ref, destroy);
    CHECK_EQ(destroyed, 0);
    b->ref_dec(&ref, destroy);
    CHECK_EQ(destroyed, 1);
}

/* ---- Copies that cannot share keep apart ---- */

static void check_apart(const char *path)
{
    const vendor_copy *c;
    lw_mutex_t own = LW_MUTEX_INIT;
    load_both();
    CHECK(a->self() != NULL);
    c = load(path).copy;
    CHECK(c->domain() != a->domain());
    CHECK(c->domain() == c->domain());
    CHECK(c->self() != NULL);
    CHECK(c->self() != a->self());
    c->lock(&own);
    c->unlock(&own);
    CHECK_EQ(c->retire(malloc(8), count_free), LW_OK);
    CHECK_EQ(c->flush(), LW_OK);
    CHECK_EQ(freed, 1);
    CHECK(b->domain() == a->domain());
}

TEST(another_version_keeps_apart)
{
    check_apart(VENDOR_COPY_VERSION);
}

TEST(another_platform_keeps_apart)
{
    check_apart(VENDOR_COPY_PLATFORM);
}

/* The first in the process is of a version that the two others cannot use: they find each other. */
TEST(two_find_each_other_past_another_version)
{
    const vendor_copy *c = load(VENDOR_COPY_VERSION).copy;
    CHECK(c->domain() != NULL);
    load_both();
    CHECK(a->domain() != c->domain());
    CHECK(a->domain() == b->domain());
    CHECK(load(VENDOR_COPY_PLATFORM).copy->domain() != a->domain());
}

/* ---- A library that is closed: what it gave to the domain stays ---- */

static support_step used = SUPPORT_STEP_INIT, closed = SUPPORT_STEP_INIT;

static void use_and_outlive(void *arg)
{
    (void)arg;
    CHECK(a->self() != NULL);
    a->enter();
    CHECK_EQ(a->retire(malloc(8), free), LW_OK);
    a->leave();
    support_reach(&used, 1);
    support_await(&closed, 1);
}

static void child_uses_b(void *arg)
{
    (void)arg;
    CHECK(b->self() != NULL);
    CHECK_EQ(b->retire(malloc(8), count_free), LW_OK);
    CHECK_EQ(b->flush(), LW_OK);
    CHECK_EQ(freed, 1);
}

TEST(a_used_copy_may_be_closed)
{
    library first = load(VENDOR_COPY_A);
    support_thread thread;
    a = first.copy;
    CHECK(a->self() != NULL);
    support_start(&thread, use_and_outlive, NULL);
    support_await(&used, 1);
    CHECK_EQ(dlclose(first.handle), 0);
    b = load(VENDOR_COPY_B).copy;
    CHECK(b->self() != NULL);
    support_fork_ok(child_uses_b, NULL); /* fork handlers */
    support_reach(&closed, 1);
    support_join(&thread); /* the key's destructor */
    CHECK_EQ(b->flush(), LW_OK);
    child_uses_b(NULL);
}

TEST(an_unused_copy_may_be_closed)
{
    library first = load(VENDOR_COPY_A);
    CHECK_EQ(dlclose(first.handle), 0);
    load_both();
    CHECK(a->domain() == b->domain());
    CHECK(a->self() == b->self());
}
