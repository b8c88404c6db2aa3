/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/critical.h>

#include "../platform/platform.h"

#include <string.h>

#define LW_CRITICAL_BORROWED ((uintptr_t)1)

static lw_critical_t *lw_critical_of(lw_held_ *held)
{
    return (lw_critical_t *)(void *)held;
}

/* Of one that began the quick way, how many mutexes it has; else 0. */
static uint32_t lw_critical_few(const lw_critical_t *c)
{
    return c->held.state / LW_CRITICAL_ONE_;
}

static uint32_t lw_critical_count(const lw_critical_t *c)
{
    uint32_t few = lw_critical_few(c);
    return few == 0 ? c->count : few;
}

static lw_mutex_t **lw_critical_set(lw_critical_t *c)
{
    uint32_t few = lw_critical_few(c);
    return few == 1 || few == 2 ? c->pair : c->set;
}

static bool lw_critical_is_borrowed(const lw_mutex_t *m)
{
    return ((uintptr_t)m & LW_CRITICAL_BORROWED) != 0;
}

static lw_mutex_t *lw_critical_borrow(lw_mutex_t *m)
{
    return (lw_mutex_t *)(void *)((char *)(void *)m + LW_CRITICAL_BORROWED);
}

static lw_mutex_t *lw_critical_own(lw_mutex_t *m)
{
    return lw_critical_is_borrowed(m)
               ? (lw_mutex_t *)(void *)((char *)(void *)m - LW_CRITICAL_BORROWED)
               : m;
}

/* Lets go of the first n. What was borrowed is the section's own from now on: the outer one lets go
 * of it as well, and when both are resumed, it is one after the other. */
static void lw_critical_drop(lw_critical_t *c, uint32_t n)
{
    lw_mutex_t **set = lw_critical_set(c);
    uint32_t i;
    for (i = 0; i < n; i++) {
        if (lw_critical_is_borrowed(set[i])) {
            set[i] = lw_critical_own(set[i]);
        } else {
            lw_mutex_unlock(set[i]);
        }
    }
}

static void lw_critical_release(lw_held_ *held)
{
    lw_critical_drop(lw_critical_of(held), lw_critical_count(lw_critical_of(held)));
}

typedef struct lw_critical_taking {
    lw_critical_t *section;
    int64_t timeout_ns;
    unsigned flags;
    uint32_t taken;
    lw_status status;
} lw_critical_taking;

/* In the order of the addresses, so that those who have some and wait for others do not wait for
 * each other. */
static void lw_critical_take_each(void *arg)
{
    lw_critical_taking *t = (lw_critical_taking *)arg;
    lw_mutex_t **set = lw_critical_set(t->section);
    uint32_t count = lw_critical_count(t->section);
    int64_t deadline_ns = lw_deadline_(t->timeout_ns);
    for (; t->taken < count; t->taken++) {
        t->status = lw_mutex_lock_flags(set[t->taken], lw_left_(deadline_ns), t->flags);
        if (t->status != LW_OK) {
            lw_critical_drop(t->section, t->taken);
            return;
        }
    }
}

/* The thread ends in one of the waits. */
static void lw_critical_taking_ended(void *arg)
{
    const lw_critical_taking *t = (const lw_critical_taking *)arg;
    lw_critical_drop(t->section, t->taken);
}

static lw_status lw_critical_take_for(lw_critical_t *c, int64_t timeout_ns, unsigned flags)
{
    lw_critical_taking taking;
    taking.section = c;
    taking.timeout_ns = timeout_ns;
    taking.flags = flags;
    taking.taken = 0;
    taking.status = LW_OK;
    if (lw_critical_count(c) < 2) {
        lw_critical_take_each(&taking);
    } else {
        lw_guard_(lw_critical_take_each, &taking, lw_critical_taking_ended, &taking);
    }
    return taking.status;
}

static bool lw_critical_take(lw_held_ *held, int64_t timeout_ns, unsigned flags)
{
    return lw_critical_take_for(lw_critical_of(held), timeout_ns, flags) == LW_OK;
}

const lw_held_ops_ lw_critical_ops_ = {LW_HELD_CRITICAL_, lw_critical_release, lw_critical_take,
                                       NULL};

/* Whether an active section of the list has it. */
static bool lw_critical_has(lw_held_ *held, const lw_mutex_t *m)
{
    for (; lw_held_is_active_(held); held = held->outer) {
        lw_critical_t *c = lw_critical_of(held);
        uint32_t i;
        for (i = 0; held->ops->kind == LW_HELD_CRITICAL_ && i < lw_critical_count(c); i++) {
            if (lw_critical_own(lw_critical_set(c)[i]) == m) {
                return true;
            }
        }
    }
    return false;
}

bool lw_critical_holds(const lw_mutex_t *mutex)
{
    return lw_critical_has(lw_held_top_(), mutex);
}

static bool lw_critical_try(lw_critical_t *c)
{
    lw_mutex_t **set = lw_critical_set(c);
    uint32_t i;
    for (i = 0; i < c->count; i++) {
        if (lw_mutex_trylock(set[i])) {
            continue;
        }
        if (!lw_critical_has(c->held.outer, set[i])) {
            lw_critical_drop(c, i);
            return false;
        }
        set[i] = lw_critical_borrow(set[i]);
    }
    return true;
}

/* Of a section that is not begun: its set and count are there. */
static lw_status lw_critical_enter(lw_critical_t *c, int64_t timeout_ns, unsigned flags)
{
    int64_t deadline_ns = timeout_ns == 0 ? 0 : lw_deadline_(timeout_ns);
    unsigned looks = 0;
    c->root = lw_held_root_();
    c->held.outer = *c->root;
    while (!lw_critical_try(c)) {
        lw_status status;
        if (timeout_ns == 0) {
            return LW_TIMEOUT;
        }
        if (lw_park_spin_(&looks, deadline_ns)) {
            continue;
        }
        /* Before the wait, and not in it: nothing of the outer sections may be taken again until
         * this one ends. */
        (void)lw_held_suspend_();
        status = lw_critical_take_for(c, lw_left_(deadline_ns), flags);
        if (status != LW_OK) {
            (void)lw_held_resume_(-1, flags & LW_WAIT_ATTACHED);
            return status;
        }
        break;
    }
    lw_critical_link_(c, c->root, 0);
    return LW_OK;
}

/* From here on it may be ended without having begun, by whoever unwinds the stack. */
static void lw_critical_prepare(lw_critical_t *c, lw_mutex_t **set, size_t count)
{
    c->held.ops = NULL;
    c->held.state = 0;
    c->count = (uint32_t)count;
    c->set = set;
}

LW_COLD void lw_critical_begin_slow_(lw_critical_t *section, lw_mutex_t *mutex)
{
    lw_critical_prepare(section, section->pair, 1);
    section->pair[0] = mutex;
    (void)lw_critical_enter(section, -1, LW_WAIT_DEFAULT);
}

LW_COLD void lw_critical_begin2_slow_(lw_critical_t *section, lw_mutex_t *first, lw_mutex_t *second)
{
    lw_critical_prepare(section, section->pair, first == second ? 1 : 2);
    section->pair[0] = first;
    section->pair[1] = second;
    (void)lw_critical_enter(section, -1, LW_WAIT_DEFAULT);
}

static void lw_critical_order(uintptr_t *a, uintptr_t *b)
{
    uintptr_t low = *a < *b ? *a : *b;
    *b = *a < *b ? *b : *a;
    *a = low;
}

static uintptr_t lw_critical_get(const void *set, size_t i)
{
    uintptr_t address;
    memcpy(&address, (const char *)set + i * sizeof address, sizeof address);
    return address;
}

static void lw_critical_put(void *set, size_t i, uintptr_t address)
{
    memcpy((char *)set + i * sizeof address, &address, sizeof address);
}

/* As Shell (1959) did: qsort may allocate. */
size_t lw_critical_sort_(void *set, size_t count)
{
    size_t i, at, gap = 1, kept = count != 0;
    while (gap < count / 3) {
        gap = 3 * gap + 1;
    }
    for (; gap > 0; gap /= 3) {
        for (i = gap; i < count; i++) {
            uintptr_t address = lw_critical_get(set, i);
            for (at = i; at >= gap && lw_critical_get(set, at - gap) > address; at -= gap) {
                lw_critical_put(set, at, lw_critical_get(set, at - gap));
            }
            lw_critical_put(set, at, address);
        }
    }
    for (i = 1; i < count; i++) {
        if (lw_critical_get(set, i) != lw_critical_get(set, kept - 1)) {
            lw_critical_put(set, kept++, lw_critical_get(set, i));
        }
    }
    return kept;
}

/* Some have been locked, in the order of their addresses, and the next one was not free. */
static LW_NOINLINE lw_status lw_critical_begin_set(lw_critical_t *section, lw_mutex_t **mutexes,
                                                   size_t count, int64_t timeout_ns, unsigned flags,
                                                   unsigned taken)
{
    if (count > UINT32_MAX) {
        lw_fatal_("lw_critical_begin_flags", "too many mutexes");
    }
    while (taken > 0) {
        lw_mutex_unlock(mutexes[--taken]);
    }
    lw_critical_prepare(section, mutexes, lw_critical_sort_(mutexes, count));
    return lw_critical_enter(section, timeout_ns, flags);
}

static lw_mutex_t *lw_critical_at(uintptr_t address)
{
    return (lw_mutex_t *)address;
}

/* Three and four are sorted in registers, and all else is in tail calls: a locked operation waits
 * for every store before it, also for those that save registers. */
lw_status lw_critical_begin_flags(lw_critical_t *section, lw_mutex_t **mutexes, size_t count,
                                  int64_t timeout_ns, unsigned flags)
{
    lw_thread *self = lw_critical_self_();
    uintptr_t a, b, c, d;
    if (self == NULL || count < 3 || count > 4) {
        return lw_critical_begin_set(section, mutexes, count, timeout_ns, flags, 0);
    }
    a = (uintptr_t)mutexes[0];
    b = (uintptr_t)mutexes[1];
    c = (uintptr_t)mutexes[2];
    d = count == 4 ? (uintptr_t)mutexes[3] : UINTPTR_MAX; /* the last */
    lw_critical_order(&a, &b);
    lw_critical_order(&c, &d);
    lw_critical_order(&a, &c);
    lw_critical_order(&b, &d);
    lw_critical_order(&b, &c);
    mutexes[0] = lw_critical_at(a);
    mutexes[1] = lw_critical_at(b);
    mutexes[2] = lw_critical_at(c);
    if (count == 4) {
        mutexes[3] = lw_critical_at(d);
    }
    if (a == b || b == c || c == d || !lw_mutex_trylock(lw_critical_at(a))) {
        return lw_critical_begin_set(section, mutexes, count, timeout_ns, flags, 0);
    }
    if (!lw_mutex_trylock(lw_critical_at(b))) {
        return lw_critical_begin_set(section, mutexes, count, timeout_ns, flags, 1);
    }
    if (!lw_mutex_trylock(lw_critical_at(c))) {
        return lw_critical_begin_set(section, mutexes, count, timeout_ns, flags, 2);
    }
    if (count == 4 && !lw_mutex_trylock(lw_critical_at(d))) {
        return lw_critical_begin_set(section, mutexes, count, timeout_ns, flags, 3);
    }
    section->set = mutexes;
    lw_critical_link_(section, &self->held, (uint32_t)count * LW_CRITICAL_ONE_);
    return LW_OK;
}

static LW_NOINLINE void lw_critical_end_any(lw_critical_t *section)
{
    lw_held_ **root, *outer;
    if (section->held.ops == NULL) {
        return; /* it never began: the thread was ended on the way in */
    }
    root = lw_critical_few(section) != 0 ? lw_held_root_() : section->root;
    if (*root != &section->held) {
        lw_fatal_("lw_critical_end", "not the innermost section of this thread: one inside of it "
                                     "was left without its end, or this one has ended already");
    }
    outer = section->held.outer;
    *root = outer;
    if (lw_held_is_active_(&section->held)) {
        lw_critical_release(&section->held);
    }
    /* Else the thread was ended in a wait, and has none of its mutexes. The outer section is
     * resumed all the same, for what the unwinding does in it. */
    if (outer != NULL && lw_held_has_to_act_(outer)) {
        (void)lw_held_resume_(-1, LW_WAIT_DEFAULT);
    }
}

/* The mutexes may be gone, but not the list of them. */
static LW_COLD void lw_critical_wake_few(lw_mutex_t **set, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count; i++) {
        lw_mutex_wake_(set[i]);
    }
}

/* As begin: nothing before a tail call that is not needed. */
void lw_critical_end_slow_(lw_critical_t *section)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    uint32_t few = lw_critical_few(section);
    lw_mutex_t **set, *last;
    if (few < 3 || lw_held_has_to_act_(&section->held) || self == NULL ||
        self->held != &section->held || section->held.outer != NULL) {
        lw_critical_end_any(section);
        return;
    }
    self->held = NULL;
    set = section->set;
    last = set[few - 1];
    lw_mutex_drop_(set[0]);
    lw_mutex_drop_(set[1]);
    lw_mutex_drop_(set[2]);
    if (few == 4) {
        lw_mutex_drop_(last);
    }
    lw_fence_light(); /* as (4) in mutex.h, for all of them */
    if (lw_park_announced_(set[0]) || lw_park_announced_(set[1]) || lw_park_announced_(set[2]) ||
        lw_park_announced_(last)) {
        lw_critical_wake_few(set, few);
    }
}
