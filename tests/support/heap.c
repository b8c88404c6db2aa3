/* SPDX-License-Identifier: BSD-2-Clause */
#include "heap.h"

#include <string.h>

/* Before each block, so that what comes after it stays aligned as malloc's. */
typedef struct heap_block {
    size_t size;
    uint64_t magic;
} heap_block;

#define HEAP_LIVE UINT64_C(0x6c6976656c697665)
#define HEAP_DEAD UINT64_C(0x6465616464656164)

static char heap_context;
static size_t calls, failures, blocks, bytes;
static long remaining = -1, every, turn;

static bool heap_refuses(void)
{
    long left = __atomic_load_n(&remaining, __ATOMIC_RELAXED);
    long nth = __atomic_load_n(&every, __ATOMIC_RELAXED);
    while (left >= 0) {
        if (left == 0) {
            return true;
        }
        if (__atomic_compare_exchange_n(&remaining, &left, left - 1, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            break;
        }
    }
    return nth > 0 && __atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED) % nth == 0;
}

static void *heap_alloc(void *ctx, size_t size)
{
    heap_block *block;
    CHECK(ctx == &heap_context);
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    if (size > SIZE_MAX / 4 || heap_refuses()) {
        __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    block = (heap_block *)malloc(sizeof *block + size);
    if (block == NULL) {
        return NULL;
    }
    block->size = size;
    block->magic = HEAP_LIVE;
    memset(block + 1, 0, size);
    __atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&bytes, size, __ATOMIC_RELAXED);
    return block + 1;
}

static void heap_release(void *ctx, void *ptr)
{
    heap_block *block = (heap_block *)ptr - 1;
    CHECK(ctx == &heap_context);
    CHECK(ptr != NULL);
    CHECK_EQ(block->magic, HEAP_LIVE);
    block->magic = HEAP_DEAD;
    memset(ptr, 0xdd, block->size);
    __atomic_fetch_sub(&blocks, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&bytes, block->size, __ATOMIC_RELAXED);
    free(block);
}

void heap_install(void)
{
    static const lw_allocator allocator = {heap_alloc, heap_release, &heap_context};
    CHECK_EQ(lw_domain_set_allocator(&allocator), LW_OK);
}

void heap_fail_after(long n)
{
    __atomic_store_n(&remaining, n, __ATOMIC_RELAXED);
}

void heap_fail_every(long n)
{
    __atomic_store_n(&turn, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&every, n, __ATOMIC_RELAXED);
}

size_t heap_calls(void)
{
    return __atomic_load_n(&calls, __ATOMIC_RELAXED);
}

size_t heap_failures(void)
{
    return __atomic_load_n(&failures, __ATOMIC_RELAXED);
}

size_t heap_blocks(void)
{
    return __atomic_load_n(&blocks, __ATOMIC_RELAXED);
}

size_t heap_bytes(void)
{
    return __atomic_load_n(&bytes, __ATOMIC_RELAXED);
}
