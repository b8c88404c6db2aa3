/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/latchwork.h>

#include "heap.h"
#include "unit.h"

#include <string.h>

enum { THREADS = 8 };

typedef struct getter {
    pthread_barrier_t *barrier;
    lw_domain *domain;
} getter;

static void get_domain(void *arg)
{
    getter *g = (getter *)arg;
    pthread_barrier_wait(g->barrier);
    g->domain = lw_domain_get();
}

TEST(one_domain_for_threads_that_come_first_together)
{
    pthread_barrier_t barrier;
    getter getters[THREADS];
    int i;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (i = 0; i < THREADS; i++) {
        getters[i].barrier = &barrier;
    }
    support_run(THREADS, get_domain, getters, sizeof getters[0]);
    for (i = 0; i < THREADS; i++) {
        CHECK(getters[i].domain != NULL);
        CHECK(getters[i].domain == getters[0].domain);
    }
    CHECK(lw_domain_get() == getters[0].domain);
    pthread_barrier_destroy(&barrier);
}

TEST(describe)
{
    const lw_domain_header *header = lw_domain_describe(lw_domain_get());
    CHECK_EQ(header->magic, LW_DOMAIN_MAGIC);
    CHECK_EQ(header->abi & 0xffff, LW_ABI_VERSION);
    CHECK(header->abi >> 16 != 0); /* the platform */
    CHECK(header->size > sizeof *header);
    assert_string_equal(header->version, LW_VERSION_STRING);
}

/* A domain as another copy would have made it; only its header is ever looked at. */
static union {
    lw_domain_header header;
    char bytes[1 << 16];
} other;

/* As this copy's own, but for the differences. */
static lw_domain *make_other(uint64_t magic, uint32_t abi, uint32_t size)
{
    const lw_domain_header *own = lw_domain_describe(lw_domain_get());
    other.header.magic = own->magic ^ magic;
    other.header.abi = own->abi ^ abi;
    other.header.size = own->size + size;
    strcpy(other.header.version, "9.9.9");
    return (lw_domain *)(void *)&other;
}

TEST(adopt_its_own)
{
    CHECK_EQ(lw_domain_adopt(lw_domain_get()), LW_OK);
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(lw_domain_adopt(lw_domain_get()), LW_OK);
}

static void check_refused(lw_domain *foreign)
{
    lw_domain *own = lw_domain_get();
    CHECK_EQ(lw_domain_adopt(foreign), LW_VERSION);
    CHECK(lw_domain_get() == own);
    assert_string_equal(lw_domain_describe(foreign)->version, "9.9.9");
}

TEST(adopt_of_another_version_is_refused)
{
    check_refused(make_other(0, 2, 0));
}

TEST(adopt_of_another_platform_is_refused)
{
    check_refused(make_other(0, UINT32_C(0x30000), 0));
}

TEST(adopt_of_another_size_is_refused)
{
    check_refused(make_other(0, 0, 8));
}

TEST(adopt_of_what_is_no_domain_is_refused)
{
    check_refused(make_other(1, 0, 0));
}

TEST(adopt_after_use_is_refused)
{
    lw_domain *own = lw_domain_get();
    CHECK(lw_thread_self() != NULL);
    CHECK_EQ(lw_domain_adopt(make_other(0, 0, 0)), LW_BUSY);
    CHECK(lw_domain_get() == own);
}

TEST(memory_is_zeroed)
{
    void *blocks[8];
    size_t size, i;
    int round, n;
    for (round = 0; round < 2; round++) {
        for (n = 0, size = 1; n < 8; n++, size = size * 3 + 1) {
            unsigned char *memory = (unsigned char *)(blocks[n] = lw_alloc(size));
            CHECK(memory != NULL);
            CHECK_EQ((uintptr_t)memory % sizeof(void *), 0);
            for (i = 0; i < size; i++) {
                CHECK_EQ(memory[i], 0);
            }
            memset(memory, 0xa5, size);
        }
        for (n = 0; n < 8; n++) {
            lw_free(blocks[n]);
        }
    }
    lw_free(NULL);
}

TEST(no_memory_is_null)
{
    void *memory;
    heap_install();
    heap_fail_after(0);
    CHECK(lw_alloc(16) == NULL);
    heap_fail_after(-1);
    CHECK(lw_alloc(SIZE_MAX / 2) == NULL);
    memory = lw_alloc(16);
    CHECK(memory != NULL);
    lw_free(memory);
}

static void *plain_alloc(void *ctx, size_t size)
{
    ++*(int *)ctx;
    return calloc(1, size);
}

static void plain_release(void *ctx, void *ptr)
{
    CHECK(ptr != NULL);
    --*(int *)ctx;
    free(ptr);
}

TEST(allocator_stays_once_it_gave_memory)
{
    static int first, second;
    lw_allocator a = {plain_alloc, plain_release, &first};
    lw_allocator b = {plain_alloc, plain_release, &second};
    void *memory;
    CHECK_EQ(lw_domain_set_allocator(&a), LW_OK);
    CHECK_EQ(lw_domain_set_allocator(&b), LW_OK);
    memory = lw_alloc(10);
    CHECK(memory != NULL);
    CHECK_EQ(first, 0);
    CHECK_EQ(second, 1);
    CHECK_EQ(lw_domain_set_allocator(&a), LW_BUSY);
    lw_free(memory);
    CHECK_EQ(second, 0);
    CHECK_EQ(lw_domain_set_allocator(&a), LW_BUSY);
    memory = lw_alloc(10);
    CHECK_EQ(second, 1);
    lw_free(memory);
    CHECK_EQ(first, 0);
    CHECK_EQ(second, 0);
}

static void free_plain(void *ptr)
{
    lw_free(ptr);
}

TEST(allocator_is_used_by_every_module)
{
    lw_map_config config;
    lw_map_t *map;
    size_t before;
    memset(&config, 0, sizeof config);
    heap_install();
    CHECK(lw_thread_self() != NULL);
    before = heap_blocks();
    CHECK(before != 0);
    map = lw_map_new(&config);
    CHECK(map != NULL);
    CHECK(heap_blocks() > before);
    CHECK_EQ(lw_map_put(map, 1, 2), LW_OK);
    CHECK_EQ(lw_smr_retire(lw_alloc(100), free_plain), LW_OK);
    lw_map_free(map);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(heap_blocks(), before);
}

/* ---- Block hooks ---- */

static int befores, afters, token_word;
static const void *wake_in_before;

static void *count_before(void)
{
    befores++;
    if (wake_in_before != NULL) {
        /* Runs with none of the library's locks held: the queue's own lock can be had. */
        CHECK_EQ(lw_unpark_one(wake_in_before, NULL, NULL).woken, 1);
    }
    return &token_word;
}

static void count_after(void *token)
{
    CHECK(token == &token_word);
    afters++;
}

static const lw_block_hooks count_hooks = {count_before, count_after};

TEST(hooks_surround_a_wait)
{
    lw_atomic_u32 word = {0};
    lw_domain_set_block_hooks(&count_hooks);
    CHECK_EQ(lw_park_wait_u32(&word, 0, 2000000, LW_WAIT_DEFAULT), LW_TIMEOUT);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
    CHECK_EQ(lw_park_wait_u32(&word, 1, -1, LW_WAIT_DEFAULT), LW_AGAIN);
    CHECK_EQ(befores, afters);
    CHECK_EQ(lw_park_wait_u32(&word, 0, 2000000, LW_WAIT_ATTACHED), LW_TIMEOUT);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
    lw_domain_set_block_hooks(NULL);
    CHECK_EQ(lw_park_wait_u32(&word, 0, 2000000, LW_WAIT_DEFAULT), LW_TIMEOUT);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
}

TEST(before_hook_runs_queued_and_unlocked)
{
    lw_atomic_u32 word = {0};
    lw_domain_set_block_hooks(&count_hooks);
    wake_in_before = &word;
    CHECK_EQ(lw_park_wait_u32(&word, 0, -1, LW_WAIT_DEFAULT), LW_OK);
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 1);
}

TEST(block_begin_and_end_call_the_hooks)
{
    void *token = lw_block_begin();
    lw_block_end(token);
    CHECK_EQ(befores, 0);
    lw_domain_set_block_hooks(&count_hooks);
    token = lw_block_begin();
    CHECK_EQ(befores, 1);
    CHECK_EQ(afters, 0);
    lw_block_end(token);
    CHECK_EQ(afters, 1);
}

TEST(no_hook_where_nothing_waits)
{
    lw_mutex_t mutex = LW_MUTEX_INIT;
    lw_domain_set_block_hooks(&count_hooks);
    lw_mutex_lock(&mutex);
    CHECK(!lw_mutex_trylock(&mutex));
    lw_mutex_unlock(&mutex);
    lw_smr_enter();
    lw_smr_exit();
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(befores, 0);
    CHECK_EQ(afters, 0);
}
