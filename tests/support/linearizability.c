/* SPDX-License-Identifier: BSD-2-Clause */
#include "linearizability.h"

#include <string.h>

typedef struct lin_tried {
    uint64_t done;
    lin_state state;
    bool used;
} lin_tried;

typedef struct lin_search {
    const lin_op *ops;
    size_t count;
    lin_step_fn step;
    lin_tried *tried;
    size_t size, used; /* size: a power of two */
} lin_search;

static void lin_grow(lin_search *s);

/* Whether the pair is new; remembers it. */
static bool lin_note(lin_search *s, uint64_t done, lin_state state)
{
    size_t i =
        (size_t)((done ^ state.value * 2 ^ state.present) * UINT64_C(0x9e3779b97f4a7c15) >> 20);
    if (s->used * 2 >= s->size) {
        lin_grow(s);
    }
    for (;; i++) {
        lin_tried *t = &s->tried[i & (s->size - 1)];
        if (!t->used) {
            t->done = done;
            t->state = state;
            t->used = true;
            s->used++;
            return true;
        }
        if (t->done == done && t->state.present == state.present && t->state.value == state.value) {
            return false;
        }
    }
}

static void lin_grow(lin_search *s)
{
    lin_search bigger = *s;
    size_t i;
    bigger.size = s->size == 0 ? 256 : s->size * 2;
    bigger.used = 0;
    bigger.tried = (lin_tried *)calloc(bigger.size, sizeof *bigger.tried);
    CHECK(bigger.tried != NULL);
    for (i = 0; i < s->size; i++) {
        if (s->tried[i].used) {
            (void)lin_note(&bigger, s->tried[i].done, s->tried[i].state);
        }
    }
    free(s->tried);
    *s = bigger;
}

static bool lin_try(lin_search *s, uint64_t done, lin_state state)
{
    uint64_t first_end = UINT64_MAX;
    size_t i;
    if (done == (s->count == HISTORY_MAX ? UINT64_MAX : (UINT64_C(1) << s->count) - 1)) {
        return true;
    }
    if (!lin_note(s, done, state)) {
        return false;
    }
    for (i = 0; i < s->count; i++) {
        if ((done >> i & 1) == 0 && s->ops[i].end < first_end) {
            first_end = s->ops[i].end;
        }
    }
    for (i = 0; i < s->count; i++) {
        lin_state next = state;
        /* It may come next if nothing else had ended before it began. */
        if ((done >> i & 1) == 0 && s->ops[i].begin <= first_end && s->step(&next, &s->ops[i])) {
            if (!next.present) {
                next.value = 0;
            }
            if (lin_try(s, done | UINT64_C(1) << i, next)) {
                return true;
            }
        }
    }
    return false;
}

bool lin_check(const lin_op *ops, size_t count, lin_state initial, lin_step_fn step)
{
    lin_search s;
    bool ok;
    CHECK(count <= HISTORY_MAX);
    memset(&s, 0, sizeof s);
    s.ops = ops;
    s.count = count;
    s.step = step;
    ok = lin_try(&s, 0, initial);
    free(s.tried);
    return ok;
}

uint64_t lin_now(void)
{
    static uint64_t clock;
    return __atomic_fetch_add(&clock, 1, __ATOMIC_SEQ_CST);
}

size_t lin_overlaps(const lin_op *ops, size_t count)
{
    size_t i, j, n = 0;
    for (i = 0; i < count; i++) {
        for (j = 0; j < i; j++) {
            n += ops[i].begin < ops[j].end && ops[j].begin < ops[i].end;
        }
    }
    return n;
}
