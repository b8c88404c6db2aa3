/* SPDX-License-Identifier: BSD-2-Clause */
/* Sequences of operations on one map, single-threaded, against a model that is plain arrays. The
 * input's first byte chooses the kind of key, the second how often the allocator fails, the rest is
 * the operations. */
#include <latchwork/map.h>

#include "heap.h"

#include <string.h>

enum { KEYS = 192 };

typedef struct model {
    uint64_t value[KEYS];
    bool there[KEYS];
    size_t count;
} model;

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static uint8_t take(input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

static uint64_t numbers[KEYS];
static char texts[KEYS][40];
static lw_key_t keys[KEYS];

static lw_match match_number(void *probe, uint64_t stored_key)
{
    return *(uint64_t *)probe == stored_key ? LW_MATCH_YES : LW_MATCH_NO;
}

static void make_keys(lw_key_kind kind)
{
    size_t i;
    for (i = 0; i < KEYS; i++) {
        numbers[i] = i < KEYS / 2 ? i : UINT64_MAX - i;
        /* Lengths 0 to 31, so that each tail of the hash is walked; the first byte tells them
         * apart. */
        memset(texts[i], 'a', sizeof texts[i]);
        texts[i][0] = (char)i;
        texts[i][i % 31] = (char)i;
        keys[i] = kind == LW_KEY_U64     ? lw_key_u64(numbers[i])
                  : kind == LW_KEY_BYTES ? lw_key_bytes(texts[i], i == 0 ? 0 : 1 + i % 31)
                                         : lw_key_u64(numbers[i]);
        if (kind == LW_KEY_CUSTOM) {
            keys[i].hash = i % 16;
            keys[i].match = match_number;
            keys[i].probe = &numbers[i];
        }
    }
}

typedef struct decision {
    uint64_t store;
    uint64_t seen;
    lw_compute what;
    bool present;
} decision;

static lw_compute decide(void *arg, bool present, uint64_t *value)
{
    decision *d = (decision *)arg;
    d->present = present;
    d->seen = present ? *value : 0;
    *value = d->store;
    return d->what;
}

static void set(model *m, size_t k, uint64_t value)
{
    m->count += !m->there[k];
    m->there[k] = true;
    m->value[k] = value;
}

static void unset(model *m, size_t k)
{
    m->count -= m->there[k];
    m->there[k] = false;
}

typedef struct visit {
    lw_key_kind kind;
    const model *m;
    uint8_t times[KEYS];
} visit;

static void see(void *arg, const lw_map_entry *entry)
{
    visit *v = (visit *)arg;
    size_t k;
    for (k = 0; k < KEYS; k++) {
        if (v->kind == LW_KEY_BYTES ? keys[k].size == entry->size &&
                                          memcmp(keys[k].bytes, entry->bytes, entry->size) == 0
                                    : keys[k].number == entry->key) {
            CHECK(v->m->there[k]);
            CHECK_EQ(entry->value, v->m->value[k]);
            CHECK_EQ(entry->hash, v->kind == LW_KEY_CUSTOM ? keys[k].hash : 0);
            v->times[k]++;
            return;
        }
    }
    CHECK(!"a key that was never put");
}

/* Fails at random when asked to: NOMEM is then a right answer, and changes nothing. */
static void step(lw_map_t *map, model *m, input *in, bool failing, visit *v, lw_map_cursor *cursor)
{
    uint8_t op = take(in);
    size_t k = take(in) % KEYS;
    uint64_t value = take(in), out = 0;
    lw_status status;
    bool there = m->there[k];
    switch (op % 14) {
    case 0:
    case 1:
        status = lw_map_put_key(map, &keys[k], value, &out);
        if (status == LW_NOMEM) {
            CHECK(failing);
            break;
        }
        CHECK_EQ(status, there ? LW_EXISTS : LW_OK);
        CHECK(!there || out == m->value[k]);
        set(m, k, value);
        break;
    case 2:
        status = lw_map_put_if_absent_key(map, &keys[k], value, &out);
        if (status == LW_NOMEM) {
            CHECK(failing && !there);
            break;
        }
        CHECK_EQ(status, there ? LW_EXISTS : LW_OK);
        CHECK(!there || out == m->value[k]);
        if (!there) {
            set(m, k, value);
        }
        break;
    case 3:
        status = lw_map_replace_key(map, &keys[k], value, &out);
        CHECK_EQ(status, there ? LW_OK : LW_NOT_FOUND);
        if (there) {
            CHECK_EQ(out, m->value[k]);
            set(m, k, value);
        }
        break;
    case 4: {
        bool equal = there && m->value[k] == value;
        status = lw_map_compare_replace_key(map, &keys[k], value, value + 1);
        CHECK_EQ(status, !there ? LW_NOT_FOUND : equal ? LW_OK : LW_MISMATCH);
        if (equal) {
            set(m, k, value + 1);
        }
        break;
    }
    case 5:
    case 6:
        status = lw_map_remove_key(map, &keys[k], &out);
        CHECK_EQ(status, there ? LW_OK : LW_NOT_FOUND);
        CHECK(!there || out == m->value[k]);
        unset(m, k);
        break;
    case 7: {
        bool equal = there && m->value[k] == value;
        status = lw_map_compare_remove_key(map, &keys[k], value);
        CHECK_EQ(status, !there ? LW_NOT_FOUND : equal ? LW_OK : LW_MISMATCH);
        if (equal) {
            unset(m, k);
        }
        break;
    }
    case 8:
        status = lw_map_add_key(map, &keys[k], value - 100, &out);
        if (status == LW_NOMEM) {
            CHECK(failing && !there);
            break;
        }
        CHECK_EQ(status, LW_OK);
        set(m, k, (there ? m->value[k] : 0) + value - 100);
        CHECK_EQ(out, m->value[k]);
        break;
    case 9: {
        decision d = {value, 0, (lw_compute)(value % 3), false};
        status = lw_map_compute_key(map, &keys[k], decide, &d);
        CHECK_EQ(d.present, there);
        CHECK(!there || d.seen == m->value[k]);
        if (status == LW_NOMEM) {
            CHECK(failing && !there && d.what == LW_COMPUTE_PUT);
            break;
        }
        CHECK_EQ(status, LW_OK);
        if (d.what == LW_COMPUTE_PUT) {
            set(m, k, value);
        } else if (d.what == LW_COMPUTE_REMOVE) {
            unset(m, k);
        }
        break;
    }
    case 10:
        status = lw_map_get_key(map, &keys[k], &out);
        CHECK_EQ(status, there ? LW_OK : LW_NOT_FOUND);
        CHECK(!there || out == m->value[k]);
        break;
    case 11: /* many at once, so that the table moves */
        for (k = k / 2; k < KEYS; k += 1 + op / 128) {
            if (value % 2 == 0) {
                status = lw_map_put_key(map, &keys[k], value, NULL);
                CHECK(failing || status != LW_NOMEM);
                if (status != LW_NOMEM) {
                    set(m, k, value);
                }
            } else {
                (void)lw_map_remove_key(map, &keys[k], NULL);
                unset(m, k);
            }
        }
        break;
    case 12: /* goes on with a scan that other steps interrupt */
        if (cursor->done) {
            memset(cursor, 0, sizeof *cursor);
        }
        memset(v->times, 0, sizeof v->times);
        (void)lw_map_scan(map, cursor, value % 8, see, v);
        for (k = 0; k < KEYS; k++) {
            CHECK(v->times[k] <= 1);
        }
        break;
    default:
        if (value < 32) {
            lw_map_clear(map);
            memset(m, 0, sizeof *m);
        }
        break;
    }
    CHECK_EQ(lw_map_size(map), m->count);
}

static void check_all(lw_map_t *map, const model *m, visit *v)
{
    lw_map_cursor cursor;
    size_t k;
    memset(&cursor, 0, sizeof cursor);
    memset(v->times, 0, sizeof v->times);
    while (lw_map_scan(map, &cursor, 3, see, v)) {
    }
    for (k = 0; k < KEYS; k++) {
        uint64_t value = 0;
        CHECK_EQ(v->times[k], m->there[k]);
        CHECK_EQ(lw_map_get_key(map, &keys[k], &value), m->there[k] ? LW_OK : LW_NOT_FOUND);
        CHECK(!m->there[k] || value == m->value[k]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool installed;
    input in = {data, size};
    lw_map_config config;
    lw_map_cursor cursor;
    lw_map_t *map;
    model m;
    visit v;
    size_t blocks;
    uint8_t every;
    if (!installed) {
        installed = true;
        heap_install();
        CHECK(lw_thread_self() != NULL);
    }
    memset(&config, 0, sizeof config);
    memset(&cursor, 0, sizeof cursor);
    memset(&m, 0, sizeof m);
    memset(&v, 0, sizeof v);
    config.keys = (lw_key_kind)(take(&in) % 3);
    every = take(&in) % 8;
    config.seed = 1 + take(&in); /* the same input does the same */
    config.stripes = 1 + take(&in) % 4;
    v.kind = config.keys;
    v.m = &m;
    make_keys(config.keys);
    blocks = heap_blocks();
    map = lw_map_new(&config);
    CHECK(map != NULL);
    heap_fail_every(every);
    while (in.left != 0) {
        step(map, &m, &in, every != 0, &v, &cursor);
    }
    heap_fail_every(0);
    check_all(map, &m, &v);
    lw_map_free(map);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(heap_blocks(), blocks);
    return 0;
}
