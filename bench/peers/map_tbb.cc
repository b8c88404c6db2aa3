/* SPDX-License-Identifier: BSD-2-Clause */
/* TBB's concurrent_hash_map: each access locks the element it finds. */
#include <oneapi/tbb/concurrent_hash_map.h>

#define MAP_NAME "TBB concurrent_hash_map"
#define MAP_ID map_tbb

#include "../map_keys.h"

struct map_compare {
    size_t hash(uint64_t key) const
    {
        return map_hash(key);
    }
    bool equal(uint64_t a, uint64_t b) const
    {
        return a == b;
    }
};

/* malloc, as the others. */
using map_allocator = std::allocator<std::pair<const uint64_t, uint64_t>>;
using map_t = tbb::concurrent_hash_map<uint64_t, uint64_t, map_compare, map_allocator>;

static map_t *map_make()
{
    return new map_t;
}

static void map_free(map_t *m)
{
    delete m;
}

static void map_join() {}
static void map_leave() {}
static void map_poll(map_t *) {}
static void map_settle(map_t *) {}
static void map_drain() {}

static inline bool map_get(map_t *m, uint64_t key, uint64_t *value)
{
    map_t::const_accessor found;
    if (!m->find(found, key))
        return false;
    *value = found->second;
    return true;
}

static inline void map_put(map_t *m, uint64_t key, uint64_t value)
{
    map_t::accessor found;
    m->insert(found, key);
    found->second = value;
}

static inline bool map_remove(map_t *m, uint64_t key)
{
    return m->erase(key);
}

#include "../map_rows.h"
