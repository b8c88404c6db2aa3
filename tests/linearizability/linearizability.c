/* SPDX-License-Identifier: BSD-2-Clause */
/* Thousands of short histories of the real thing, each checked against a sequential model. */
#include <latchwork/map.h>
#include <latchwork/mutex.h>

#include "linearizability.h"
#include "stress.h"

#include <sched.h>
#include <string.h>

enum { THREADS = 3, OPS = 12, KEYS = 3 };

/* ---- The model of one key of a map ---- */

enum {
    OP_GET,
    OP_PUT,
    OP_PUT_IF_ABSENT,
    OP_REPLACE,
    OP_COMPARE_REPLACE,
    OP_REMOVE,
    OP_COMPARE_REMOVE,
    OP_ADD,
    OP_COMPUTE,
    OP_KINDS
};

/* What lw_map_compute's function saw and decided last. */
enum { SAW_PRESENT = 1, DID_PUT = 2, DID_REMOVE = 4 };

static bool map_step(lin_state *state, const lin_op *op)
{
    bool present = state->present;
    uint64_t value = state->value;
    switch (op->kind) {
    case OP_GET:
        return op->status == (present ? LW_OK : LW_NOT_FOUND) && (!present || op->result == value);
    case OP_PUT:
        state->present = true;
        state->value = op->argument[0];
        return op->status == (present ? LW_EXISTS : LW_OK) && (!present || op->result == value);
    case OP_PUT_IF_ABSENT:
        if (!present) {
            state->present = true;
            state->value = op->argument[0];
        }
        return op->status == (present ? LW_EXISTS : LW_OK) && (!present || op->result == value);
    case OP_REPLACE:
        if (present) {
            state->value = op->argument[0];
        }
        return op->status == (present ? LW_OK : LW_NOT_FOUND) && (!present || op->result == value);
    case OP_COMPARE_REPLACE:
    case OP_COMPARE_REMOVE: {
        bool matches = present && value == op->argument[1];
        if (matches && op->kind == OP_COMPARE_REPLACE) {
            state->value = op->argument[0];
        } else if (matches) {
            state->present = false;
        }
        return op->status == (!present ? LW_NOT_FOUND : matches ? LW_OK : LW_MISMATCH);
    }
    case OP_REMOVE:
        state->present = false;
        return op->status == (present ? LW_OK : LW_NOT_FOUND) && (!present || op->result == value);
    case OP_ADD:
        state->value = (present ? value : 0) + op->argument[0];
        state->present = true;
        return op->status == LW_OK && op->result == state->value;
    case OP_COMPUTE: {
        unsigned did = (unsigned)op->argument[1];
        if (op->status != LW_OK || ((did & SAW_PRESENT) != 0) != present ||
            (present && op->argument[0] != value)) {
            return false;
        }
        if (did & DID_PUT) {
            state->present = true;
            state->value = op->result;
        } else if (did & DID_REMOVE) {
            state->present = false;
        }
        return true;
    }
    default:
        return false;
    }
}

/* ---- The real map ---- */

static lw_map_t *map;
static lin_op history[THREADS][OPS];
static pthread_barrier_t start, finish;
static bool stop;

/* Custom keys all collide, and comparing them takes its time, in the middle of each operation: so
 * that operations overlap on a machine with few processors too. */
static lw_match match_slowly(void *probe, uint64_t stored_key)
{
    static __thread support_random random;
    if (random.state == 0) {
        random = support_random_new(support_seed(), (uint64_t)(uintptr_t)&random);
    }
    if (support_below(&random, 8) == 0) {
        sched_yield();
    }
    return *(uint64_t *)probe == stored_key ? LW_MATCH_YES : LW_MATCH_NO;
}

static lw_key_t key_of(uint64_t *number)
{
    lw_key_t key = lw_key_u64(*number);
    key.hash = *number < KEYS ? 0 : *number;
    key.match = match_slowly;
    key.probe = number;
    return key;
}

static lw_compute compute_some(void *arg, bool present, uint64_t *value)
{
    lin_op *op = (lin_op *)arg;
    op->argument[0] = present ? *value : 0;
    op->argument[1] = present ? SAW_PRESENT : 0;
    if (op->result % 4 == 0) {
        return LW_COMPUTE_KEEP;
    }
    if (op->result % 4 == 1) {
        op->argument[1] |= DID_REMOVE;
        return LW_COMPUTE_REMOVE;
    }
    op->argument[1] |= DID_PUT;
    *value = op->result;
    return LW_COMPUTE_PUT;
}

static void do_map_op(lin_op *op, support_random *random, uint64_t unique)
{
    static __thread uint64_t last_seen;
    lw_key_t key = key_of(&op->key);
    op->argument[0] = unique;
    op->argument[1] = last_seen;
    op->result = 0;
    op->kind = (int)support_below(random, OP_KINDS);
    if (op->kind == OP_ADD) {
        op->argument[0] = 1;
    } else if (op->kind == OP_COMPUTE) {
        op->result = unique;
    }
    op->begin = lin_now();
    switch (op->kind) {
    case OP_GET:
        op->status = lw_map_get_key(map, &key, &op->result);
        break;
    case OP_PUT:
        op->status = lw_map_put_key(map, &key, unique, &op->result);
        break;
    case OP_PUT_IF_ABSENT:
        op->status = lw_map_put_if_absent_key(map, &key, unique, &op->result);
        break;
    case OP_REPLACE:
        op->status = lw_map_replace_key(map, &key, unique, &op->result);
        break;
    case OP_COMPARE_REPLACE:
        op->status = lw_map_compare_replace_key(map, &key, op->argument[1], unique);
        break;
    case OP_COMPARE_REMOVE:
        op->status = lw_map_compare_remove_key(map, &key, op->argument[1]);
        break;
    case OP_REMOVE:
        op->status = lw_map_remove_key(map, &key, &op->result);
        break;
    case OP_ADD:
        op->status = lw_map_add_key(map, &key, 1, &op->result);
        break;
    default:
        op->status = lw_map_compute_key(map, &key, compute_some, op);
        break;
    }
    op->end = lin_now();
    if (op->kind == OP_GET || op->kind == OP_ADD) {
        last_seen = op->result;
    } else {
        last_seen = unique;
    }
}

static void map_player(void *arg)
{
    int me = *(int *)arg;
    support_random random = support_random_new(support_seed(), (uint64_t)me);
    watchdog_slot *slot = watchdog_enter("player", me);
    uint64_t unique = (uint64_t)(me + 1) << 40;
    support_keep_apart(me);
    for (;;) {
        int i;
        watchdog_tick(slot, "plays", map);
        pthread_barrier_wait(&start);
        if (stop) {
            break;
        }
        for (i = 0; i < OPS; i++) {
            history[me][i].key = support_below(&random, KEYS);
            stress_dawdle(&random);
            do_map_op(&history[me][i], &random, unique++);
        }
        pthread_barrier_wait(&finish);
    }
    watchdog_leave(slot);
}

/* Other keys come and go, so that the table is resized under the histories. */
static int resizes;

static void resizer(void *arg)
{
    watchdog_slot *slot = watchdog_enter("resizer", 0);
    size_t buckets = lw_map_buckets(map);
    uint64_t i;
    int seen = 0;
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        watchdog_tick(slot, "resizes", map);
        for (i = 1000; i < 1400; i++) {
            lw_key_t key = key_of(&i);
            CHECK_EQ(lw_map_put_key(map, &key, i, NULL), LW_OK);
            seen += lw_map_buckets(map) != buckets;
            buckets = lw_map_buckets(map);
        }
        for (i = 1000; i < 1400; i++) {
            lw_key_t key = key_of(&i);
            CHECK_EQ(lw_map_remove_key(map, &key, NULL), LW_OK);
            seen += lw_map_buckets(map) != buckets;
            buckets = lw_map_buckets(map);
        }
    }
    resizes = seen;
    watchdog_leave(slot);
}

static void print_history(const lin_op *ops, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        fprintf(stderr, "  [%llu, %llu] kind %d key %llu arguments %llx %llx: status %d, %llx\n",
                (unsigned long long)ops[i].begin, (unsigned long long)ops[i].end, ops[i].kind,
                (unsigned long long)ops[i].key, (unsigned long long)ops[i].argument[0],
                (unsigned long long)ops[i].argument[1], ops[i].status,
                (unsigned long long)ops[i].result);
    }
}

/* The operations on one key, and what is there after all of them. */
static size_t project(uint64_t key, lin_op *ops)
{
    lw_key_t map_key = key_of(&key);
    size_t count = 0;
    lin_op *last;
    int t, i;
    for (t = 0; t < THREADS; t++) {
        for (i = 0; i < OPS; i++) {
            if (history[t][i].key == key) {
                ops[count++] = history[t][i];
            }
        }
    }
    last = &ops[count++];
    memset(last, 0, sizeof *last);
    last->kind = OP_GET;
    last->key = key;
    last->begin = lin_now();
    last->status = lw_map_get_key(map, &map_key, &last->result);
    last->end = lin_now();
    return count;
}

static uint64_t play(lw_key_kind keys, bool resize)
{
    int numbers[THREADS] = {0, 1, 2};
    support_thread players[THREADS], other;
    lin_state state[KEYS];
    uint64_t histories = 0, overlaps = 0, key;
    lw_map_config config;
    int i;
    memset(state, 0, sizeof state);
    memset(&config, 0, sizeof config);
    config.stripes = 2;
    config.keys = keys;
    map = lw_map_new(&config);
    CHECK(map != NULL);
    stop = false;
    pthread_barrier_init(&start, NULL, THREADS + 1);
    pthread_barrier_init(&finish, NULL, THREADS + 1);
    for (i = 0; i < THREADS; i++) {
        support_start(&players[i], map_player, &numbers[i]);
    }
    if (resize) {
        support_start(&other, resizer, NULL);
    }
    while (stress_running()) {
        pthread_barrier_wait(&start);
        pthread_barrier_wait(&finish);
        for (key = 0; key < KEYS; key++) {
            lin_op ops[THREADS * OPS + 1];
            size_t count = project(key, ops);
            if (!lin_check(ops, count, state[key], map_step)) {
                fprintf(stderr, "FAILED: a history of key %llu that begins with %s %llx\n",
                        (unsigned long long)key, state[key].present ? "value" : "absent",
                        (unsigned long long)state[key].value);
                print_history(ops, count);
                abort();
            }
            overlaps += lin_overlaps(ops, count);
            state[key].present = ops[count - 1].status == LW_OK;
            state[key].value = state[key].present ? ops[count - 1].result : 0;
        }
        histories++;
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_barrier_wait(&start);
    for (i = 0; i < THREADS; i++) {
        support_join(&players[i]);
    }
    if (resize) {
        support_join(&other);
        printf("%d resizes\n", resizes);
        CHECK(resizes != 0);
    }
    pthread_barrier_destroy(&start);
    pthread_barrier_destroy(&finish);
    lw_map_free(map);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    printf("%llu histories, %llu pairs of operations that overlap\n", (unsigned long long)histories,
           (unsigned long long)overlaps);
    return overlaps != 0 ? histories : 0;
}

static uint64_t map_histories(void)
{
    return play(LW_KEY_U64, false);
}

static uint64_t map_histories_while_resized(void)
{
    return play(LW_KEY_U64, true);
}

static uint64_t map_histories_of_colliding_keys(void)
{
    return play(LW_KEY_CUSTOM, false);
}

static uint64_t map_histories_of_colliding_keys_while_resized(void)
{
    return play(LW_KEY_CUSTOM, true);
}

/* ---- A mutex: try, lock and unlock; the state is "held" ---- */

enum { OP_LOCK, OP_TRYLOCK, OP_LOCK_FOR, OP_UNLOCK };

static bool mutex_step(lin_state *state, const lin_op *op)
{
    bool was = state->present;
    if (op->kind == OP_UNLOCK) {
        state->present = false;
        return was;
    }
    if (op->status == LW_OK) {
        state->present = true;
        return !was;
    }
    /* A timed lock may give up while the mutex is free for a moment: it says nothing about the
     * state. */
    return op->kind == OP_LOCK_FOR || was;
}

static lw_mutex_t mutex;

static void mutex_player(void *arg)
{
    int me = *(int *)arg;
    support_random random = support_random_new(support_seed(), (uint64_t)me);
    watchdog_slot *slot = watchdog_enter("player", me);
    support_keep_apart(me);
    for (;;) {
        int i;
        watchdog_tick(slot, "plays", &mutex);
        pthread_barrier_wait(&start);
        if (stop) {
            break;
        }
        for (i = 0; i + 1 < OPS; i += 2) {
            lin_op *op = &history[me][i];
            memset(op, 0, 2 * sizeof *op);
            op->kind = (int)support_below(&random, 3);
            stress_dawdle(&random);
            op->begin = lin_now();
            if (op->kind == OP_LOCK) {
                lw_mutex_lock(&mutex);
                op->status = LW_OK;
            } else if (op->kind == OP_TRYLOCK) {
                op->status = lw_mutex_trylock(&mutex) ? LW_OK : LW_TIMEOUT;
            } else {
                op->status = lw_mutex_lock_for(&mutex, 20000);
            }
            op->end = lin_now();
            op++;
            op->kind =
                OP_LOCK_FOR; /* a placeholder that says nothing, if there is nothing to unlock */
            op->status = LW_TIMEOUT;
            op->begin = lin_now();
            if (op[-1].status == LW_OK) {
                stress_dawdle(&random);
                op->kind = OP_UNLOCK;
                op->status = LW_OK;
                op->begin = lin_now();
                lw_mutex_unlock(&mutex);
            }
            op->end = lin_now();
        }
        pthread_barrier_wait(&finish);
    }
    watchdog_leave(slot);
}

static uint64_t mutex_histories(void)
{
    int numbers[THREADS] = {0, 1, 2};
    support_thread players[THREADS];
    uint64_t histories = 0, overlaps = 0;
    int i;
    stop = false;
    pthread_barrier_init(&start, NULL, THREADS + 1);
    pthread_barrier_init(&finish, NULL, THREADS + 1);
    for (i = 0; i < THREADS; i++) {
        support_start(&players[i], mutex_player, &numbers[i]);
    }
    while (stress_running()) {
        lin_state unlocked = {0, false};
        pthread_barrier_wait(&start);
        pthread_barrier_wait(&finish);
        if (!lin_check(&history[0][0], THREADS * OPS, unlocked, mutex_step)) {
            fprintf(stderr, "FAILED: a history of a mutex\n");
            print_history(&history[0][0], THREADS * OPS);
            abort();
        }
        CHECK(!lw_mutex_is_locked(&mutex));
        overlaps += lin_overlaps(&history[0][0], THREADS * OPS);
        histories++;
    }
    stop = true;
    pthread_barrier_wait(&start);
    for (i = 0; i < THREADS; i++) {
        support_join(&players[i]);
    }
    pthread_barrier_destroy(&start);
    pthread_barrier_destroy(&finish);
    printf("%llu histories, %llu pairs of operations that overlap\n", (unsigned long long)histories,
           (unsigned long long)overlaps);
    return overlaps != 0 ? histories : 0;
}

/* ---- The checker itself: it accepts what is right and rejects what is wrong ---- */

static lin_op example(int kind, uint64_t begin, uint64_t end, uint64_t argument, int status,
                      uint64_t result)
{
    lin_op op;
    memset(&op, 0, sizeof op);
    op.kind = kind;
    op.begin = begin;
    op.end = end;
    op.argument[0] = argument;
    op.status = status;
    op.result = result;
    return op;
}

static uint64_t checker(void)
{
    lin_state absent = {0, false};
    lin_op ops[HISTORY_MAX];
    uint64_t checked = 0;
    int i;
    /* One after the other. */
    ops[0] = example(OP_PUT, 0, 1, 5, LW_OK, 0);
    ops[1] = example(OP_GET, 2, 3, 0, LW_OK, 5);
    CHECK(lin_check(ops, 2, absent, map_step));
    checked++;
    /* A stale read after the write had ended. */
    ops[1] = example(OP_GET, 2, 3, 0, LW_NOT_FOUND, 0);
    CHECK(!lin_check(ops, 2, absent, map_step));
    checked++;
    /* The same is right if the two overlap. */
    ops[1].begin = 0;
    CHECK(lin_check(ops, 2, absent, map_step));
    checked++;
    /* Another key's value. */
    ops[1] = example(OP_GET, 0, 3, 0, LW_OK, 6);
    CHECK(!lin_check(ops, 2, absent, map_step));
    checked++;
    /* New, then old: two reads during one write may not go back. */
    ops[0] = example(OP_PUT, 0, 9, 5, LW_OK, 0);
    ops[1] = example(OP_GET, 1, 2, 0, LW_OK, 5);
    ops[2] = example(OP_GET, 3, 4, 0, LW_NOT_FOUND, 0);
    CHECK(!lin_check(ops, 3, absent, map_step));
    checked++;
    /* A lost update: two additions that answer the same. */
    ops[0] = example(OP_ADD, 0, 3, 1, LW_OK, 1);
    ops[1] = example(OP_ADD, 1, 2, 1, LW_OK, 1);
    CHECK(!lin_check(ops, 2, absent, map_step));
    checked++;
    ops[1].result = 2;
    CHECK(lin_check(ops, 2, absent, map_step));
    checked++;
    /* Two threads insert the same key. */
    ops[0] = example(OP_PUT_IF_ABSENT, 0, 3, 7, LW_OK, 0);
    ops[1] = example(OP_PUT_IF_ABSENT, 1, 2, 8, LW_OK, 0);
    CHECK(!lin_check(ops, 2, absent, map_step));
    checked++;
    /* Two owners of a mutex. */
    ops[0] = example(OP_LOCK, 0, 1, 0, LW_OK, 0);
    ops[1] = example(OP_TRYLOCK, 2, 3, 0, LW_OK, 0);
    CHECK(!lin_check(ops, 2, absent, mutex_step));
    checked++;
    /* trylock that fails on a free mutex. */
    ops[1] = example(OP_UNLOCK, 2, 3, 0, LW_OK, 0);
    ops[2] = example(OP_TRYLOCK, 4, 5, 0, LW_TIMEOUT, 0);
    CHECK(!lin_check(ops, 3, absent, mutex_step));
    checked++;
    /* As many as fit, all at once: what was tried is remembered, or this would not end. */
    for (i = 0; i < 20; i++) {
        ops[i] = example(OP_ADD, 0, 1000, 1, LW_OK, (uint64_t)i + 1);
    }
    CHECK(lin_check(ops, 20, absent, map_step));
    ops[19].result = 1;
    CHECK(!lin_check(ops, 20, absent, map_step));
    checked += 2;
    for (i = 0; i < HISTORY_MAX; i++) {
        ops[i] = example(OP_ADD, (uint64_t)i * 2, (uint64_t)i * 2 + 5, 1, LW_OK, (uint64_t)i + 1);
    }
    CHECK(lin_check(ops, HISTORY_MAX, absent, map_step));
    checked++;
    return checked;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {
        {"checker", checker},
        {"map_histories", map_histories},
        {"map_histories_while_resized", map_histories_while_resized},
        {"map_histories_of_colliding_keys", map_histories_of_colliding_keys},
        {"map_histories_of_colliding_keys_while_resized",
         map_histories_of_colliding_keys_while_resized},
        {"mutex_histories", mutex_histories},
    };
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
