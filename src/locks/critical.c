/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/critical.h>

#include "../platform/platform.h"

#define LW_CRITICAL_BORROWED ((uintptr_t)1)

static lw_critical_t *lw_critical_of(lw_held_ *held)
{
    return (lw_critical_t *)(void *)held;
}

static lw_mutex_t **lw_critical_set(lw_critical_t *c)
{
    return c->set != NULL ? c->set : c->pair;
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
    lw_critical_drop(lw_critical_of(held), lw_critical_of(held)->count);
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
    int64_t deadline_ns = -1, left_ns = t->timeout_ns;
    if (left_ns > 0) {
        deadline_ns = lw_deadline_(left_ns);
    }
    for (; t->taken < t->section->count; t->taken++) {
        if (deadline_ns >= 0 && t->taken > 0) {
            left_ns = deadline_ns - lw_now_();
            left_ns = left_ns < 0 ? 0 : left_ns;
        }
        t->status = lw_mutex_lock_flags(set[t->taken], left_ns, t->flags);
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
    if (c->count < 2) {
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
    for (; held != NULL && held->active; held = held->outer) {
        lw_critical_t *c = lw_critical_of(held);
        uint32_t i;
        for (i = 0; held->ops->kind == LW_HELD_CRITICAL_ && i < c->count; i++) {
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

static lw_status lw_critical_enter(lw_critical_t *c, int64_t timeout_ns, unsigned flags)
{
    unsigned looks = 0;
    lw_held_ **root = lw_held_root_();
    c->held.outer = *root;
    c->quick = false;
    while (!lw_critical_try(c)) {
        lw_status status;
        if (timeout_ns == 0) {
            return LW_TIMEOUT;
        }
        if (lw_spin_(&looks)) {
            continue;
        }
        /* Before the wait, and not in it: nothing of the outer sections may be taken again until
         * this one ends. */
        (void)lw_held_suspend_();
        status = lw_critical_take_for(c, timeout_ns, flags);
        if (status != LW_OK) {
            (void)lw_held_resume_(-1, flags & LW_WAIT_ATTACHED);
            return status;
        }
        break;
    }
    lw_critical_link_(c, root, c->count);
    return LW_OK;
}

LW_COLD void lw_critical_begin_slow_(lw_critical_t *section, lw_mutex_t *mutex)
{
    section->set = NULL;
    section->pair[0] = mutex;
    section->count = 1;
    (void)lw_critical_enter(section, -1, LW_WAIT_DEFAULT);
}

LW_COLD void lw_critical_begin2_slow_(lw_critical_t *section, lw_mutex_t *first, lw_mutex_t *second)
{
    section->set = NULL;
    section->pair[0] = first;
    section->pair[1] = second;
    section->count = first == second ? 1 : 2;
    (void)lw_critical_enter(section, -1, LW_WAIT_DEFAULT);
}

/* By insertion, as there are few; how many there are without those that came twice. */
static uint32_t lw_critical_sort(lw_mutex_t **set, size_t count)
{
    size_t i, kept = count != 0;
    for (i = 1; i < count; i++) {
        lw_mutex_t *m = set[i];
        size_t at = i;
        for (; at > 0 && (uintptr_t)set[at - 1] > (uintptr_t)m; at--) {
            set[at] = set[at - 1];
        }
        set[at] = m;
    }
    for (i = 1; i < count; i++) {
        if (set[i] != set[kept - 1]) {
            set[kept++] = set[i];
        }
    }
    return (uint32_t)kept;
}

lw_status lw_critical_begin_flags(lw_critical_t *section, lw_mutex_t **mutexes, size_t count,
                                  int64_t timeout_ns, unsigned flags)
{
    if (count > UINT32_MAX) {
        lw_fatal_("lw_critical_begin_flags", "too many mutexes");
    }
    section->set = mutexes;
    section->count = lw_critical_sort(mutexes, count);
    return lw_critical_enter(section, timeout_ns, flags);
}

void lw_critical_end_slow_(lw_critical_t *section)
{
    lw_held_ *outer;
    bool active;
    if (section->root == NULL) {
        return; /* it never began: the thread was ended on the way in */
    }
    if (*section->root != &section->held) {
        lw_fatal_("lw_critical_end", "not the innermost section of this thread: one inside of it "
                                     "was left without its end, or this one has ended already");
    }
    active = section->held.active;
    *section->root = section->held.outer;
    if (active) {
        lw_critical_release(&section->held);
    }
    /* Else the thread was ended in a wait, and has none of its mutexes. The outer section is
     * resumed all the same, for what the unwinding does in it. */
    outer = *section->root;
    if (outer != NULL && (!outer->active || outer->left)) {
        (void)lw_held_resume_(-1, LW_WAIT_DEFAULT);
    }
}
