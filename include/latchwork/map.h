/* SPDX-License-Identifier: BSD-2-Clause */
/* A concurrent hash map. Readers take no lock and write nothing shared (sections of smr.h); writers
 * lock one stripe of the buckets. The table grows and shrinks in small steps made by writers, while
 * readers go on. Keys: 64-bit numbers, byte strings, or, for bindings, anything with a hash and a
 * comparison. Values: 64 bits, which may be pointers. docs/map.md has the protocol. After J.
 * Triplett, P. McKenney, J. Walpole, "Resizable, Scalable, Concurrent Hash Tables via Relativistic
 * Programming" (USENIX ATC 2011): each entry has two sets of links, one for the present table and
 * one for the next.
 *
 * Every operation on one key is linearizable. Operations return what they did as an lw_status.
 * Unless said otherwise they are thread-safe, block only for a stripe's lock (detaching if they
 * sleep), and may be called in any attach state; a write may run free functions that are due
 * (smr.h), after its lock is dropped.
 *
 * Fork: the child must not write to a map that a thread may have been writing to at the fork, as
 * with any lock. (Threads that are attached to the interpreter that forks are not inside of an
 * operation then.)
 *
 * A value that is a pointer stays readable for the caller if the caller opened a section before
 * lw_map_get and whoever removes it retires it; or if the map owns its values (lw_map_config.ref
 * and .release). */
#ifndef LATCHWORK_MAP_H
#define LATCHWORK_MAP_H

#include <latchwork/smr.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_map lw_map_t;

typedef enum lw_key_kind {
    LW_KEY_U64,    /* the number itself */
    LW_KEY_BYTES,  /* any bytes, any length; copied into the map */
    LW_KEY_CUSTOM, /* 64 bits (a pointer), compared by lw_key_t.match */
} lw_key_kind;

typedef enum lw_match {
    LW_MATCH_NO,
    LW_MATCH_YES,
    LW_MATCH_UNKNOWN, /* deciding would need foreign code: the operation stops with LW_AGAIN */
} lw_match;

/* Runs inside a section or under a stripe's lock: must not block, call foreign code or call the
 * map. On LW_MATCH_UNKNOWN it may take a reference to the stored key; the caller then decides with
 * nothing held, notes the answer where `probe` finds it, and repeats the operation. */
typedef lw_match (*lw_match_fn)(void *probe, uint64_t stored_key);

typedef struct lw_key {
    uint64_t number; /* LW_KEY_U64: the key. LW_KEY_CUSTOM: what is stored if the key is inserted */
    const void *bytes; /* LW_KEY_BYTES */
    size_t size;       /* LW_KEY_BYTES */
    uint64_t hash;     /* LW_KEY_CUSTOM */
    lw_match_fn match; /* LW_KEY_CUSTOM */
    void *probe;       /* LW_KEY_CUSTOM */
} lw_key_t;

/* What `release` is asked to let go. */
enum { LW_MAP_KEY = 1, LW_MAP_VALUE = 2 };

/* All-zero: 64-bit keys, plain values, defaults. */
typedef struct lw_map_config {
    lw_key_kind keys;
    unsigned stripes; /* writers' locks; up to a power of two; 0: four a processor, at most 64 */
    size_t capacity;  /* entries to make room for; the table does not shrink below it */
    uint64_t seed;    /* of the hash; 0: random */
    /* A map that owns what it holds. `ref` (may be NULL) makes a reference to a value that an
     * operation returns; it runs inside a section or under a lock: no blocking, no foreign code.
     * `release` (may be NULL) drops the map's references to a key, a value or both, when no reader
     * can hold them any more; false: not on this thread, ask another (see lw_smr_free_fn). What is
     * stored is a reference that the caller gives away: make one before the call, and drop it if
     * the status is neither LW_OK nor, for put, LW_EXISTS. A custom key's is taken on LW_OK of an
     * insertion alone. */
    void (*ref)(void *context, uint64_t value);
    bool (*release)(void *context, uint64_t key, uint64_t value, unsigned what);
    /* How many bytes that which `release` will let go keeps in memory (may be NULL: as good as
     * none), for the byte budget of smr.h: without it an operation that takes out values of a
     * megabyte leaves dozens of them waiting. Called by an operation on what it has just taken out
     * or overwritten, in a map with `release` that is not exclusive: no lock is held, no section is
     * open, and the map's references are not given up yet. No foreign code. */
    size_t (*weigh)(void *context, uint64_t key, uint64_t value, unsigned what);
    void *context;
    /* Readers and writers exclude each other already (all hold the GIL): release at once, after the
     * lock is dropped, without a grace period. `release` must not refuse then. */
    bool exclusive;
} lw_map_config;

/* A new empty map; NULL if there is no memory or the configuration makes no sense. */
LW_API lw_map_t *lw_map_new(const lw_map_config *config);

/* Frees the map and releases what it owns, at once. NULL is allowed. The caller knows that nobody
 * uses it. */
LW_API void lw_map_free(lw_map_t *map);

/* ---- The operations, for any kind of key. LW_AGAIN is possible for LW_KEY_CUSTOM alone. ---- */

/* LW_OK and *value (may be NULL), or LW_NOT_FOUND, LW_AGAIN. Lock-free; wait-free but for the
 * length of a chain. */
LW_API lw_status lw_map_get_key(lw_map_t *map, const lw_key_t *key, uint64_t *value);

/* Inserts or overwrites. LW_OK: inserted; LW_EXISTS: overwritten, *old (may be NULL) is what was
 * there; LW_NOMEM: unchanged; LW_AGAIN. On LW_EXISTS the map keeps its key and does not take
 * key->number. */
LW_API lw_status lw_map_put_key(lw_map_t *map, const lw_key_t *key, uint64_t value, uint64_t *old);

/* Inserts if the key is not there. LW_OK: inserted; LW_EXISTS: unchanged, *present (may be NULL) is
 * what is there; LW_NOMEM, LW_AGAIN. */
LW_API lw_status lw_map_put_if_absent_key(lw_map_t *map, const lw_key_t *key, uint64_t value,
                                          uint64_t *present);

/* Overwrites if the key is there. LW_OK and *old; LW_NOT_FOUND; LW_NOMEM (owned values);
 * LW_AGAIN. */
LW_API lw_status lw_map_replace_key(lw_map_t *map, const lw_key_t *key, uint64_t value,
                                    uint64_t *old);

/* Overwrites if the key holds `expected`. LW_OK, LW_NOT_FOUND, LW_MISMATCH, LW_NOMEM, LW_AGAIN. */
LW_API lw_status lw_map_compare_replace_key(lw_map_t *map, const lw_key_t *key, uint64_t expected,
                                            uint64_t value);

/* Removes. LW_OK and *old (may be NULL); LW_NOT_FOUND; LW_AGAIN. Cannot run out of memory. */
LW_API lw_status lw_map_remove_key(lw_map_t *map, const lw_key_t *key, uint64_t *old);

/* Removes if the key holds `expected`. LW_OK, LW_NOT_FOUND, LW_MISMATCH, LW_AGAIN. */
LW_API lw_status lw_map_compare_remove_key(lw_map_t *map, const lw_key_t *key, uint64_t expected);

/* Adds `delta` (mod 2^64) to the value, or inserts it; *sum (may be NULL) is the result. For maps
 * that do not own their values. LW_OK, LW_NOMEM, LW_INVALID, LW_AGAIN. */
LW_API lw_status lw_map_add_key(lw_map_t *map, const lw_key_t *key, uint64_t delta, uint64_t *sum);

/* What lw_map_compute's function wants done. */
typedef enum lw_compute {
    LW_COMPUTE_KEEP,   /* leave it as it is */
    LW_COMPUTE_PUT,    /* store *value */
    LW_COMPUTE_REMOVE, /* take it out */
} lw_compute;

/* Gets whether the key is present and, if so, its value in *value. Runs with nothing held and may
 * be foreign code; it runs again, with the newer value, if another thread changed the key
 * meanwhile. */
typedef lw_compute (*lw_compute_fn)(void *arg, bool present, uint64_t *value);

/* Reads, asks, and stores if the key still holds what was read. LW_OK; LW_NOMEM: unchanged;
 * LW_INVALID: the map owns its values; LW_AGAIN. Lock-free if the function is: somebody's repeat
 * means that somebody else succeeded. */
LW_API lw_status lw_map_compute_key(lw_map_t *map, const lw_key_t *key, lw_compute_fn fn,
                                    void *arg);

/* ---- The whole map ---- */

/* The number of entries: exact when nothing changes it. Beside writers it is a sum of counts taken
 * at different moments, and may be off by as many writes as were made during the call.
 * Wait-free. */
LW_API size_t lw_map_size(const lw_map_t *map);

/* Removes every entry that was there at the call and is not put back meanwhile. */
LW_API void lw_map_clear(lw_map_t *map);

/* Bytes held by the map: table, stripes and entries (as asked of the allocator). An estimate beside
 * writers. */
LW_API size_t lw_map_memory(const lw_map_t *map);

/* How many buckets the table has. For tests and reports. */
LW_API size_t lw_map_buckets(const lw_map_t *map);

/* One entry. For LW_KEY_BYTES, `bytes` and `size` are valid inside the section of the call only. */
typedef struct lw_map_entry {
    uint64_t key;
    const void *bytes;
    size_t size;
    uint64_t hash; /* LW_KEY_CUSTOM: lw_key_t.hash of the insertion; else 0 */
    uint64_t value;
} lw_map_entry;

/* Where an iteration stands: zero-initialise it. It holds nothing, so it may be dropped at any
 * time. */
typedef struct lw_map_cursor {
    uint64_t position;
    bool done;
} lw_map_cursor;

/* Visits the entries of some buckets, at least `wanted` entries if there are as many left, and
 * moves the cursor on. Returns false when the iteration has come to its end (the last call may
 * visit entries too). `visit` runs inside a section: it must not block, call foreign code or change
 * the map; it may take references.
 *
 * Weakly consistent: an entry that is there from the first call to the last is visited exactly
 * once, however often the table grows or shrinks in between; one that comes or goes meanwhile is
 * visited at most once per insertion. Lock-free. */
LW_API bool lw_map_scan(lw_map_t *map, lw_map_cursor *cursor, size_t wanted,
                        void (*visit)(void *arg, const lw_map_entry *entry), void *arg);

/* ---- The same for 64-bit keys ---- */

static inline lw_key_t lw_key_u64(uint64_t number)
{
    lw_key_t key = {number, NULL, 0, 0, NULL, NULL};
    return key;
}

static inline bool lw_map_get(lw_map_t *map, uint64_t key, uint64_t *value)
{
    lw_key_t k = lw_key_u64(key);
    return lw_map_get_key(map, &k, value) == LW_OK;
}

/* LW_OK or LW_EXISTS: stored. LW_NOMEM: unchanged. */
static inline lw_status lw_map_put(lw_map_t *map, uint64_t key, uint64_t value)
{
    lw_key_t k = lw_key_u64(key);
    return lw_map_put_key(map, &k, value, NULL);
}

static inline lw_status lw_map_put_if_absent(lw_map_t *map, uint64_t key, uint64_t value,
                                             uint64_t *present)
{
    lw_key_t k = lw_key_u64(key);
    return lw_map_put_if_absent_key(map, &k, value, present);
}

static inline lw_status lw_map_replace(lw_map_t *map, uint64_t key, uint64_t value, uint64_t *old)
{
    lw_key_t k = lw_key_u64(key);
    return lw_map_replace_key(map, &k, value, old);
}

static inline bool lw_map_remove(lw_map_t *map, uint64_t key, uint64_t *old)
{
    lw_key_t k = lw_key_u64(key);
    return lw_map_remove_key(map, &k, old) == LW_OK;
}

static inline lw_status lw_map_add(lw_map_t *map, uint64_t key, uint64_t delta, uint64_t *sum)
{
    lw_key_t k = lw_key_u64(key);
    return lw_map_add_key(map, &k, delta, sum);
}

static inline lw_status lw_map_compute(lw_map_t *map, uint64_t key, lw_compute_fn fn, void *arg)
{
    lw_key_t k = lw_key_u64(key);
    return lw_map_compute_key(map, &k, fn, arg);
}

/* ---- And for byte strings ---- */

static inline lw_key_t lw_key_bytes(const void *bytes, size_t size)
{
    lw_key_t key = {0, bytes, size, 0, NULL, NULL};
    return key;
}

static inline bool lw_map_get_bytes(lw_map_t *map, const void *bytes, size_t size, uint64_t *value)
{
    lw_key_t k = lw_key_bytes(bytes, size);
    return lw_map_get_key(map, &k, value) == LW_OK;
}

static inline lw_status lw_map_put_bytes(lw_map_t *map, const void *bytes, size_t size,
                                         uint64_t value)
{
    lw_key_t k = lw_key_bytes(bytes, size);
    return lw_map_put_key(map, &k, value, NULL);
}

static inline lw_status lw_map_put_if_absent_bytes(lw_map_t *map, const void *bytes, size_t size,
                                                   uint64_t value, uint64_t *present)
{
    lw_key_t k = lw_key_bytes(bytes, size);
    return lw_map_put_if_absent_key(map, &k, value, present);
}

static inline lw_status lw_map_replace_bytes(lw_map_t *map, const void *bytes, size_t size,
                                             uint64_t value, uint64_t *old)
{
    lw_key_t k = lw_key_bytes(bytes, size);
    return lw_map_replace_key(map, &k, value, old);
}

static inline bool lw_map_remove_bytes(lw_map_t *map, const void *bytes, size_t size, uint64_t *old)
{
    lw_key_t k = lw_key_bytes(bytes, size);
    return lw_map_remove_key(map, &k, old) == LW_OK;
}

static inline lw_status lw_map_add_bytes(lw_map_t *map, const void *bytes, size_t size,
                                         uint64_t delta, uint64_t *sum)
{
    lw_key_t k = lw_key_bytes(bytes, size);
    return lw_map_add_key(map, &k, delta, sum);
}

static inline lw_status lw_map_compute_bytes(lw_map_t *map, const void *bytes, size_t size,
                                             lw_compute_fn fn, void *arg)
{
    lw_key_t k = lw_key_bytes(bytes, size);
    return lw_map_compute_key(map, &k, fn, arg);
}

/* ---- Pointers as values ---- */

static inline uint64_t lw_value_ptr(const void *ptr)
{
    return (uint64_t)(uintptr_t)ptr;
}

static inline void *lw_ptr_value(uint64_t value)
{
    return (void *)(uintptr_t)value;
}

LW_EXTERN_C_END

#endif /* LATCHWORK_MAP_H */
