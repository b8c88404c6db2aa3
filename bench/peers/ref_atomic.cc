/* SPDX-License-Identifier: BSD-2-Clause */
/* One atomic count for all threads, as in std::shared_ptr. */
#include <atomic>
#include <cstdint>
#include <cstdlib>

#define REF_NAME "std::atomic"
#define REF_ID ref_atomic

struct ref_t {
    std::atomic<intptr_t> count;
    unsigned char payload[32];
};

static inline ref_t *ref_new()
{
    auto *made = static_cast<ref_t *>(std::malloc(sizeof(ref_t)));
    if (made)
        made->count.store(1, std::memory_order_relaxed);
    return made;
}

static inline void ref_inc(ref_t *object)
{
    object->count.fetch_add(1, std::memory_order_relaxed);
}

static inline void ref_dec(ref_t *object)
{
    if (object->count.fetch_sub(1, std::memory_order_acq_rel) == 1)
        std::free(object);
}

#include "../ref_rows.h"
