/* SPDX-License-Identifier: BSD-2-Clause */
/* rculfhash: many writers, lock-free; resized by a thread of its own. Entries are ours; a value is
 * overwritten in its entry, inside a section. */
#define _LGPL_SOURCE /* the read side inlined: liburcu at its best */
#define URCU_API_MAP
#include <urcu/urcu-memb.h>

#include <unistd.h>
#include <urcu/rculfhash.h>

#define MAP_NAME "rculfhash + urcu-memb"
#define MAP_ID map_urcu

#include "../map_keys.h"

typedef struct map_entry {
    struct cds_lfht_node node;
    uint64_t key;
    uint64_t value;
    union {
        struct rcu_head retired;
        struct map_entry *drop_next;
    };
} map_entry;

typedef struct cds_lfht map_t;

static int entry_matches(struct cds_lfht_node *node, const void *key)
{
    return caa_container_of(node, map_entry, node)->key == *(const uint64_t *)key;
}

static void free_entry(struct rcu_head *head)
{
    free(caa_container_of(head, map_entry, retired));
}

static map_t *map_make(void)
{
    map_t *m = cds_lfht_new(16, 16, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
    BENCH_CHECK(m);
    return m;
}

/* Nobody uses it any more, but its resizing thread may: one grace period for all entries. */
static void map_free(map_t *m)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    map_entry *all = NULL;
    rcu_read_lock();
    cds_lfht_for_each(m, &iter, node)
    {
        map_entry *entry = caa_container_of(node, map_entry, node);
        BENCH_CHECK(cds_lfht_del(m, node) == 0);
        entry->drop_next = all;
        all = entry;
    }
    rcu_read_unlock();
    synchronize_rcu();
    while (all) {
        map_entry *entry = all;
        all = entry->drop_next;
        free(entry);
    }
    BENCH_CHECK(cds_lfht_destroy(m, NULL) == 0);
}

#define map_join() rcu_register_thread()
#define map_leave() rcu_unregister_thread()
#define map_poll(m) ((void)(m))
#define map_settle(m) cds_lfht_resize(m, MAP_LARGE)
/* It shrinks in its own thread, some time after. */
#define map_drain() (rcu_barrier(), (void)usleep(100000))

static inline map_entry *map_find(map_t *m, uint64_t hash, const uint64_t *key)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    cds_lfht_lookup(m, hash, entry_matches, key, &iter);
    node = cds_lfht_iter_get_node(&iter);
    return node ? caa_container_of(node, map_entry, node) : NULL;
}

static inline bool map_get(map_t *m, uint64_t key, uint64_t *value)
{
    map_entry *entry;
    _rcu_read_lock();
    entry = map_find(m, map_hash(key), &key);
    if (entry)
        *value = __atomic_load_n(&entry->value, __ATOMIC_RELAXED);
    _rcu_read_unlock();
    return entry != NULL;
}

static inline void map_put(map_t *m, uint64_t key, uint64_t value)
{
    uint64_t hash = map_hash(key);
    map_entry *entry;
    _rcu_read_lock();
    entry = map_find(m, hash, &key);
    if (entry) {
        __atomic_store_n(&entry->value, value, __ATOMIC_RELEASE);
    } else {
        struct cds_lfht_node *old;
        entry = (map_entry *)malloc(sizeof *entry);
        BENCH_CHECK(entry);
        cds_lfht_node_init(&entry->node);
        entry->key = key;
        entry->value = value;
        old = cds_lfht_add_replace(m, hash, entry_matches, &key, &entry->node);
        if (old)
            call_rcu(&caa_container_of(old, map_entry, node)->retired, free_entry);
    }
    _rcu_read_unlock();
}

static inline bool map_remove(map_t *m, uint64_t key)
{
    map_entry *entry;
    bool removed;
    _rcu_read_lock();
    entry = map_find(m, map_hash(key), &key);
    removed = entry && cds_lfht_del(m, &entry->node) == 0;
    if (removed)
        call_rcu(&entry->retired, free_entry);
    _rcu_read_unlock();
    return removed;
}

#include "../map_rows.h"
