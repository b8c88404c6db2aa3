/* SPDX-License-Identifier: BSD-2-Clause */
/* ck_ht has one writer at a time and leaves the freeing of old tables to its user: a pthread mutex
 * and ck_epoch. The keys 0 and ~0 cannot be stored. */
#include "ck_record.h"

#include <ck_ht.h>
#include <pthread.h>

#define MAP_NAME "ck_ht + pthread + ck_epoch"
#define MAP_ID map_ck_ht

#include "../map_keys.h"

typedef struct map_t {
    BENCH_CACHE_LINE ck_ht_t table;
    BENCH_CACHE_LINE pthread_mutex_t writers;
    unsigned polls;
} map_t;

static void free_table(ck_epoch_entry_t *entry)
{
    free(entry);
}

static void *table_malloc(size_t size)
{
    ck_epoch_entry_t *entry = (ck_epoch_entry_t *)malloc(sizeof *entry + size);
    return entry ? entry + 1 : NULL;
}

static void table_free(void *p, size_t size, bool defer)
{
    ck_epoch_entry_t *entry = (ck_epoch_entry_t *)p - 1;
    (void)size;
    if (defer)
        ck_epoch_call(record, entry, free_table);
    else
        free(entry);
}

static struct ck_malloc table_memory = {table_malloc, NULL, table_free};

static void table_hash(ck_ht_hash_t *hash, const void *key, size_t size, uint64_t seed)
{
    uint64_t number;
    (void)size;
    (void)seed;
    memcpy(&number, key, sizeof number);
    hash->value = map_hash(number);
}

static __attribute__((constructor)) void make_epoch(void)
{
    ck_epoch_init(&epoch);
}

static map_t *map_make(void)
{
    map_t *m = (map_t *)bench_alloc(sizeof *m);
    BENCH_CHECK(ck_ht_init(&m->table, CK_HT_MODE_DIRECT | CK_HT_WORKLOAD_DELETE, table_hash,
                           &table_memory, 16, 0));
    pthread_mutex_init(&m->writers, NULL);
    return m;
}

static void map_free(map_t *m)
{
    ck_ht_destroy(&m->table);
    pthread_mutex_destroy(&m->writers);
    free(m);
}

#define map_join() ck_record_join()
#define map_leave() ck_record_leave()
#define map_settle(m) ((void)(m))
#define map_drain() ck_epoch_barrier(record)

/* Without this, what removals leave behind makes the searches longer and longer. */
static inline void map_poll(map_t *m)
{
    pthread_mutex_lock(&m->writers);
    if (++m->polls % 256 == 0)
        BENCH_CHECK(ck_ht_gc(&m->table, 0, 0));
    pthread_mutex_unlock(&m->writers);
    ck_epoch_poll(record);
}

static inline bool map_get(map_t *m, uint64_t key, uint64_t *value)
{
    ck_ht_entry_t entry;
    ck_ht_hash_t hash = {map_hash(key)};
    bool found;
    ck_ht_entry_key_set_direct(&entry, key);
    ck_epoch_begin(record, NULL);
    found = ck_ht_get_spmc(&m->table, hash, &entry);
    ck_epoch_end(record, NULL);
    if (found)
        *value = ck_ht_entry_value_direct(&entry);
    return found;
}

static inline void map_put(map_t *m, uint64_t key, uint64_t value)
{
    ck_ht_entry_t entry;
    ck_ht_hash_t hash = {map_hash(key)};
    ck_ht_entry_set_direct(&entry, hash, key, value);
    pthread_mutex_lock(&m->writers);
    BENCH_CHECK(ck_ht_set_spmc(&m->table, hash, &entry));
    pthread_mutex_unlock(&m->writers);
}

static inline bool map_remove(map_t *m, uint64_t key)
{
    ck_ht_entry_t entry;
    ck_ht_hash_t hash = {map_hash(key)};
    bool found;
    ck_ht_entry_key_set_direct(&entry, key);
    pthread_mutex_lock(&m->writers);
    found = ck_ht_remove_spmc(&m->table, hash, &entry);
    pthread_mutex_unlock(&m->writers);
    return found;
}

#include "../map_rows.h"
