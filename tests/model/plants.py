"""The planted bugs of the models, and the suites that have to find them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Edit:
    """A substitution in a copy of the sources; it has to fit exactly once."""

    file: str
    old: str
    new: str

    def apply(self, text: str) -> tuple[str, int]:
        """The text with it, and how often it fitted, however the lines are broken."""
        old = r"\s+".join(re.escape(part) for part in self.old.split())
        return re.subn(old, lambda _: self.new, text)


@dataclass(frozen=True)
class Plant:
    name: str
    bug: str
    area: str
    edits: tuple[Edit, ...]
    suites: tuple[str, ...]  # the first that finds it ends the search


PARK = "src/base/park.c"
CRITICAL = "src/locks/critical.c"
CRITICAL_H = "include/latchwork/critical.h"
THREAD_H = "include/latchwork/thread.h"
THREAD = "src/base/thread.c"
DOMAIN = "src/base/domain.c"
MUTEX = "src/locks/mutex.c"
MUTEX_H = "include/latchwork/mutex.h"
RMUTEX_H = "include/latchwork/rmutex.h"
COND = "src/locks/cond.c"
ONCE = "src/locks/once.c"
SEQLOCK_H = "include/latchwork/seqlock.h"
SEQLOCK = "src/locks/seqlock.c"
RWLOCK = "src/locks/rwlock.c"
RWLOCK_H = "include/latchwork/rwlock.h"
SHARED = "src/locks/shared_rwlock.c"
SHARED_H = "include/latchwork/shared_rwlock.h"
BIASED = "src/locks/biased_mutex.c"
BIASED_H = "include/latchwork/biased_mutex.h"
REF = "src/lifetime/ref.c"
SMR = "src/lifetime/smr.c"
SMR_H = "include/latchwork/smr.h"
FUTEX = "src/platform/futex.c"
POSIX = "src/platform/posix.c"
EVENT = "src/locks/event.c"
LATCH = "src/locks/latch.c"
SEM = "src/locks/sem.c"
BARRIER = "src/locks/barrier.c"

PLANTS = (
    # ---- mutex and park ----
    Plant(
        "M1-park-without-validate",
        "a waiter queues itself without looking again under the queue's lock",
        "mutex",
        (
            Edit(
                PARK,
                "!how->validate(how->arg) ? LW_AGAIN",
                "!how->validate(how->arg) && false ? LW_AGAIN",
            ),
        ),
        ("mutex_pair", "mutex_three"),
    ),
    Plant(
        "M2-no-membarrier",
        "a release that has looked for waiters already need not have stored",
        "mutex",
        (
            Edit(
                PARK,
                "lw_membarrier_(); lw_atomic_store_relaxed_u32(",
                "lw_atomic_store_relaxed_u32(",
            ),
        ),
        ("mutex_pair",),
    ),
    Plant(
        "M3-wake-before-release",
        "unlock looks for waiters and wakes one, and then stores",
        "mutex",
        (
            Edit(
                MUTEX_H,
                "lw_mutex_drop_(m); /* (4)",
                "lw_mutex_wake_(m); lw_mutex_drop_(m); /* (4)",
            ),
            Edit(MUTEX_H, "lw_fence_light(); lw_mutex_wake_(m);", "lw_fence_light();"),
        ),
        ("mutex_pair",),
    ),
    Plant(
        "M4-relaxed-acquire",
        "the new owner does not see what the last one wrote",
        "mutex",
        (
            Edit(
                MUTEX_H,
                "lw_atomic_cas_acquire_u32(&m->word, &free_word, LW_MUTEX_LOCKED_)",
                "lw_atomic_cas_relaxed_u32(&m->word, &free_word, LW_MUTEX_LOCKED_)",
            ),
        ),
        ("mutex_pair",),
    ),
    Plant(
        "M5-lock-by-store",
        "two find it free and both take it",
        "mutex",
        (
            Edit(
                MUTEX_H,
                "lw_atomic_cas_acquire_u32(&m->word, &free_word, LW_MUTEX_LOCKED_)",
                "((free_word = lw_atomic_load_acquire_u32(&m->word)) == 0 && "
                "(lw_atomic_store_relaxed_u32(&m->word, LW_MUTEX_LOCKED_), true))",
            ),
        ),
        ("mutex_pair", "mutex_three"),
    ),
    Plant(
        "M6-wake-lost-by-a-time-out",
        "a waiter that was taken out while its time ran out returns without waiting for the wake",
        "mutex",
        (Edit(PARK, "            status = lw_parker_wait_(&w.parker, -1, false);\n", ""),),
        ("mutex_timed", "mutex_interrupted", "park_token"),
    ),
    Plant(
        "M7-unlock-touches-the-mutex-afterwards",
        "by then it may be freed",
        "mutex",
        (
            Edit(
                MUTEX_H,
                "lw_fence_light(); lw_mutex_wake_(m);",
                "lw_fence_light(); (void)lw_mutex_is_locked(m); lw_mutex_wake_(m);",
            ),
        ),
        ("mutex_freed_pair", "mutex_freed_three"),
    ),
    Plant(
        "M8-attach-before-leaving-the-queue",
        "if attaching ends the thread, a dead stack stays linked (F15)",
        "mutex",
        (
            Edit(
                PARK,
                "(flags & LW_WAIT_INTERRUPTIBLE) != 0);\n",
                "(flags & LW_WAIT_INTERRUPTIBLE) != 0);\n"
                "    if (host != NULL) {\n"
                "        lw_block_end(host);\n"
                "        host = NULL;\n"
                "    }\n",
            ),
        ),
        ("park_hooks",),
    ),
    Plant(
        "M9-next-read-after-the-wake",
        "unpark_all follows a link in the stack of a thread that has gone on",
        "mutex",
        (
            Edit(PARK, "        first = LW_PLAIN_GET(w->next); /*", "        /*"),
            Edit(
                PARK,
                "        lw_parker_wake_(&w->parker);\n",
                "        lw_parker_wake_(&w->parker);\n        first = LW_PLAIN_GET(w->next);\n",
            ),
        ),
        ("park_wait",),
    ),
    Plant(
        "M10-bit-taken-back-over-an-announcement",
        "releasers stop to make a fence although somebody counts on it",
        "mutex",
        (
            Edit(
                PARK,
                "(void)lw_atomic_cas_relaxed_u32(flags, &fenced, 0);",
                "(void)fenced; lw_atomic_store_relaxed_u32(flags, 0);",
            ),
        ),
        ("mutex_pair", "mutex_three"),
    ),
    Plant(
        "M11-wake-lost-with-the-thread",
        "a thread that attaching ends takes the wake with it",
        "mutex",
        (Edit(PARK, "if (host != NULL && how->lost != NULL) {", "if (false) {"),),
        ("mutex_lost",),
    ),
    Plant(
        "M12-bit-set-before-the-barrier",
        "another waiter counts on a barrier that has not been yet",
        "mutex",
        (
            Edit(
                PARK,
                "lw_membarrier_(); lw_atomic_store_relaxed_u32(",
                "(void)lw_atomic_or_relaxed_u32(flags, LW_PARK_FENCED_); lw_membarrier_(); "
                "lw_atomic_store_relaxed_u32(",
            ),
        ),
        ("park_shared",),
    ),
    Plant(
        "M13-woken-and-announced",
        "who was woken stays announced",
        "mutex",
        (Edit(PARK, "if (LW_PLAIN_GET(w->how)->announce) {", "if (false) {"),),
        ("mutex_pair",),
    ),
    Plant(
        "M14-interrupted-and-announced",
        "who leaves the queue by itself stays announced",
        "mutex",
        (
            Edit(
                PARK,
                "            lw_park_retract_(address, ticket);\n        } else {",
                "        } else {",
            ),
        ),
        ("mutex_interrupted",),
    ),
    Plant(
        "M15-handed-over-without-a-look",
        "a waiter is handed a mutex that another was quicker to lock",
        "mutex",
        (
            Edit(
                MUTEX,
                "if (!lw_mutex_take_(w->mutex)) {",
                "if (!lw_mutex_take_(w->mutex) && false) {",
            ),
        ),
        ("mutex_handed",),
    ),
    Plant(
        "M16-handed-to-nobody",
        "a thread that attaching ends keeps the mutex that it was handed",
        "mutex",
        (Edit(MUTEX, "if (w->token == LW_MUTEX_HANDED) {", "if (w->token > 1) {"),),
        ("mutex_lost",),
    ),
    Plant(
        "M17-refused-and-not-announced",
        "a waiter that was refused is woken by nobody",
        "mutex",
        (
            Edit(
                PARK,
                "        lw_park_starve(d, w);\n",
                "        lw_park_starve(d, w);\n"
                "        (void)lw_atomic_sub_relaxed_u32(\n"
                "            lw_park_flags_of(d, LW_PLAIN_GET(w->address)), 1);\n",
            ),
        ),
        ("mutex_handed",),
    ),
    # ---- critical ----
    Plant(
        "C1-asleep-with-its-sections",
        "a thread sleeps and keeps its sections",
        "critical",
        (Edit(PARK, "    held = lw_held_suspend_();\n", "    held = false;\n"),),
        ("critical_sleep",),
    ),
    Plant(
        "C3-not-resumed-after-a-wait",
        "a section goes on without its mutex after a wait",
        "critical",
        (
            Edit(
                PARK, "if (held && !lw_held_resume_(0, flags & LW_WAIT_ATTACHED)) {", "if (false) {"
            ),
        ),
        ("critical_sleep",),
    ),
    Plant(
        "C4-outer-not-resumed",
        "the end of a section leaves the outer one without its mutex",
        "critical",
        (
            Edit(
                THREAD_H,
                "(held->state & (LW_HELD_ACTIVE_ | LW_HELD_LEFT_)) != LW_HELD_ACTIVE_;",
                "(held->state & LW_HELD_LEFT_) != 0;",
            ),
        ),
        ("critical_cross",),
    ),
    Plant(
        "C5-borrowed-for-good",
        "a mutex that was the outer section's is not the inner one's when it is resumed",
        "critical",
        (
            Edit(
                CRITICAL,
                "            set[i] = lw_critical_own(set[i]);\n        } else {",
                "            continue;\n        } else {",
            ),
            Edit(
                CRITICAL,
                "t->status = lw_mutex_lock_flags(",
                "t->status = lw_critical_is_borrowed(set[t->taken]) ? LW_OK : lw_mutex_lock_flags(",
            ),
        ),
        ("critical_sleep",),
    ),
    Plant(
        "C6-as-they-are-given",
        "two mutexes are locked in the order in which they are given",
        "critical",
        (
            Edit(CRITICAL_H, "= (uintptr_t)a < (uintptr_t)b ? a : b;", "= a;"),
            Edit(CRITICAL_H, "= (uintptr_t)a < (uintptr_t)b ? b : a;", "= b;"),
        ),
        ("critical_pairs",),
    ),
    # ---- rmutex and cond ----
    Plant(
        "N1-owner-cleared-after-the-unlock",
        "the next owner is overwritten, and locks out itself",
        "cond",
        (
            Edit(
                RMUTEX_H,
                "lw_atomic_store_relaxed_u64(&m->owner, 0); lw_mutex_unlock(&m->mutex);",
                "lw_mutex_unlock(&m->mutex); lw_atomic_store_relaxed_u64(&m->owner, 0);",
            ),
        ),
        ("rmutex_levels",),
    ),
    Plant(
        "N2-owner-not-cleared",
        "who has unlocked takes itself for the owner still",
        "cond",
        (
            Edit(
                RMUTEX_H,
                "lw_atomic_store_relaxed_u64(&m->owner, 0); lw_mutex_unlock(&m->mutex);",
                "lw_mutex_unlock(&m->mutex);",
            ),
        ),
        ("rmutex_levels",),
    ),
    Plant(
        "N3-unlock-before-the-queue",
        "a notification comes between the unlock and the waiter's place in the queue",
        "cond",
        (
            Edit(
                COND,
                "lock->unlock(lock->arg); } else {",
                "lock->unlock(lock->arg); } else { lock->unlock(lock->arg);",
            ),
            Edit(COND, "lw_cond_leave, lw_cond_queued, NULL,", "lw_cond_leave, NULL, NULL,"),
        ),
        ("cond_hand_over",),
    ),
    Plant(
        "N4-word-cleared-while-others-wait",
        "the next notification takes it that nobody waits",
        "cond",
        (Edit(COND, "if (!result.more && (", "if ((result.more || true) && ("),),
        ("cond_two_takers", "cond_exact_plain"),
    ),
    Plant(
        "N5-word-cleared-by-whoever-leaves",
        "a limit passes, and those who wait on are not seen any more",
        "cond",
        (Edit(COND, "if (last) {", "if (last || true) {"),),
        ("cond_exact_mixed",),
    ),
    Plant(
        "N6-word-cleared-after-the-wake",
        "by then the condition variable may be freed",
        "cond",
        (
            Edit(
                COND,
                "lw_cond_choose, lw_cond_decide, &notifier).woken; }",
                "lw_cond_choose, lw_cond_decide, &notifier).woken + "
                "(lw_atomic_load_relaxed_u32(&c->word) > 1); }",
            ),
        ),
        ("cond_freed",),
    ),
    Plant(
        "N7-notification-lost-with-the-thread",
        "a thread that attaching ends takes its notification with it",
        "cond",
        (Edit(COND, "lw_cond_queued, NULL, lw_cond_lost,", "lw_cond_queued, NULL, NULL,"),),
        ("cond_lost_waiting",),
    ),
    Plant(
        "N8-notification-lost-on-the-way-to-the-mutex",
        "a thread that ends while it locks again takes its notification with it",
        "cond",
        (Edit(COND, "if (w.token == LW_COND_ONE && (flags", "if (w.token == 77 && (flags"),),
        ("cond_lost_locking",),
    ),
    Plant(
        "N9-one-too-many",
        "a notification of one wakes two",
        "cond",
        (Edit(COND, "notifier.left = n;", "notifier.left = n == 1 ? 2 : n;"),),
        ("cond_exact_plain",),
    ),
    # ---- once ----
    Plant(
        "O1-wake-before-done",
        "those who wait are woken, look, and sleep again",
        "once",
        (
            Edit(
                ONCE,
                "lw_atomic_store_release_u64(&o->word, LW_ONCE_DONE_); "
                "(void)lw_unpark_all(&o->word, 0);",
                "(void)lw_unpark_all(&o->word, 0); "
                "lw_atomic_store_release_u64(&o->word, LW_ONCE_DONE_);",
            ),
        ),
        ("once_pair",),
    ),
    Plant(
        "O2-run-taken-by-store",
        "two find it not done and both run it",
        "once",
        (
            Edit(
                ONCE,
                "if (lw_atomic_cas_acquire_u64(&o->word, &w.seen, mine)) {",
                "lw_atomic_store_relaxed_u64(&o->word, mine); {",
            ),
        ),
        ("once_pair",),
    ),
    Plant(
        "O3-nobody-told-of-a-failure",
        "those who wait for a run that failed wait for ever",
        "once",
        (Edit(ONCE, "(void)lw_unpark_one(&o->word, NULL, NULL);", ""),),
        ("once_fails",),
    ),
    Plant(
        "O4-run-of-a-thread-that-ended",
        "it is never ended",
        "once",
        (
            Edit(
                ONCE,
                "lw_guard_(lw_once_run_it, &run, lw_once_ended, o);",
                "(void)lw_once_ended; lw_once_run_it(&run);",
            ),
        ),
        ("once_ended",),
    ),
    Plant(
        "O5-wake-lost-with-the-thread",
        "who was woken to try again ends while it attaches",
        "once",
        (
            Edit(
                ONCE,
                "{lw_once_validate, NULL, NULL, NULL, lw_once_lost, &w, 0, false, true}",
                "{lw_once_validate, NULL, NULL, NULL, NULL, &w, 0, false, true}",
            ),
            Edit(ONCE, "lw_once_wait w; lw_park", "lw_once_wait w; (void)lw_once_lost; lw_park"),
        ),
        ("once_ended",),
    ),
    Plant(
        "O6-looks-at-it-when-it-is-done",
        "by then it may be freed",
        "once",
        (
            Edit(
                ONCE,
                "(void)lw_unpark_all(&o->word, 0);",
                "if (lw_once_done(o)) { (void)lw_unpark_all(&o->word, 0); }",
            ),
        ),
        ("once_freed",),
    ),
    # ---- seqlock ----
    Plant(
        "Q1-odd-is-no-obstacle",
        "a reader begins in the middle of a write",
        "seqlock",
        (
            Edit(
                SEQLOCK_H,
                "LW_UNLIKELY((r->sequence & 1) != 0 || r->tries != 0)",
                "LW_UNLIKELY(r->tries != 0)",
            ),
        ),
        ("seqlock_rounds",),
    ),
    Plant(
        "Q2-not-looked-at-again",
        "a reader does not notice the writer that came in between",
        "seqlock",
        (
            Edit(
                SEQLOCK_H,
                "return LW_UNLIKELY(lw_atomic_load_relaxed_u64(&s->sequence) != r->sequence);",
                "return false;",
            ),
        ),
        ("seqlock_pair",),
    ),
    Plant(
        "Q3-reader-without-the-mutex",
        "a reader gives up and takes what there is",
        "seqlock",
        (
            Edit(SEQLOCK, "lw_mutex_lock(&s->writers); r->locked", "r->locked"),
            Edit(SEQLOCK_H, "lw_mutex_unlock(&s->writers); r->locked", "r->locked"),
        ),
        ("seqlock_pair",),
    ),
    Plant(
        "Q4-unlocked-before-even",
        "the next writer begins while the sequence is odd",
        "seqlock",
        (
            Edit(
                SEQLOCK_H,
                "lw_seqlock_write_end(s); lw_mutex_unlock(&s->writers);",
                "lw_mutex_unlock(&s->writers); lw_seqlock_write_end(s);",
            ),
        ),
        ("seqlock_two_writers",),
    ),
    # ---- event, latch, sem, barrier ----
    Plant(
        "E1-set-before-the-queues-lock",
        "the event is set, and then those who sleep are looked for, when others may sleep there",
        "event",
        (
            Edit(
                EVENT,
                "(void)lw_unpark_some_(lw_park_beside_(e), lw_event_choose, lw_event_decide, e);",
                "(void)lw_atomic_exchange_release_u32(&e->word, LW_EVENT_SET_); "
                "(void)lw_unpark_all(lw_park_beside_(e), 0);",
            ),
        ),
        ("event_again",),
    ),
    Plant(
        "E2-woken-and-looks-again",
        "who was woken finds the event reset, and sleeps again",
        "event",
        (
            Edit(
                EVENT,
                "return status == LW_AGAIN ? LW_OK : status;",
                "return status == LW_AGAIN ? LW_OK : status == LW_OK && !lw_event_is_set(e) "
                "? lw_event_wait_slow_(e, timeout_ns, flags) : status;",
            ),
        ),
        ("event_pulse_one",),
    ),
    Plant(
        "E3-not-waited-for-any-more",
        "one of two that sleep gives up, and with it the mark goes",
        "event",
        (Edit(EVENT, "if (last) {", "if (last || word != 0) {"),),
        ("event_timed",),
    ),
    Plant(
        "L1-arrives-and-then-waits",
        "between the two another opens and frees the latch",
        "latch",
        (
            Edit(
                LATCH,
                "lw_status status = lw_park(lw_park_beside_(l), lw_latch_validate_arrival,",
                "lw_status status; lw_latch_count_down(l, 1); "
                "status = lw_park(lw_park_beside_(l), lw_latch_validate,",
            ),
            Edit(
                LATCH, "if (status == LW_AGAIN) { lw_latch_open(l, 1);", "if (status == LW_AGAIN) {"
            ),
        ),
        ("latch_arrive_freed",),
    ),
    Plant(
        "L2-opened-and-not-marked-as-open",
        "who opens wakes those who sleep, and then counts down",
        "latch",
        (
            Edit(
                LATCH,
                "(void)lw_unpark_some_(lw_park_beside_(l), lw_latch_choose, lw_latch_decide, "
                "&opening);",
                "(void)lw_unpark_all(lw_park_beside_(l), 0); "
                "(void)lw_latch_decide(&opening, (lw_unpark_result){0, false}); "
                "(void)lw_latch_choose(NULL, NULL);",
            ),
        ),
        ("latch_freed", "latch_two_waits"),
    ),
    Plant(
        "S1-wakes-one-for-several",
        "a release of several wakes one",
        "sem",
        (Edit(SEM, "giving.left = n;", "giving.left = 1;"),),
        ("sem_several",),
    ),
    Plant(
        "S2-wake-lost-with-the-thread",
        "a thread that attaching ends takes the wake with it",
        "sem",
        (
            Edit(
                SEM,
                "NULL, NULL, lw_sem_lost, s, 0, false, true}",
                "NULL, NULL, NULL, s, 0, false, true}",
            ),
        ),
        ("sem_lost",),
    ),
    Plant(
        "S3-adds-before-the-queues-lock",
        "whoever acquires may free it before those who sleep are looked for",
        "sem",
        (
            Edit(SEM, "value += giving->n;", ";"),
            Edit(
                SEM,
                "giving.status = LW_OK; (void)lw_unpark_some_(s, lw_sem_choose,",
                "giving.status = LW_OK; (void)lw_atomic_add_release_u32(&s->word, n << 1); "
                "(void)lw_unpark_some_(s, lw_sem_choose,",
            ),
        ),
        ("sem_freed_by_last",),
    ),
    Plant(
        "S4-mark-gone-with-one",
        "a release that leaves some asleep says that nobody is",
        "sem",
        (Edit(SEM, "waited = result.more ? LW_SEM_WAITED_ : 0;", "waited = 0;"),),
        ("sem_one_by_one", "sem_three"),
    ),
    Plant(
        "G1-time-out-breaks-nothing",
        "who has timed out will not come, and the others wait for it",
        "barrier",
        (
            Edit(
                BARRIER,
                "case LW_TIMEOUT: (void)lw_unpark_some_(address, lw_barrier_choose_missed, "
                "lw_barrier_decide_missed, p);",
                "case LW_TIMEOUT: (void)lw_barrier_choose_missed; (void)lw_barrier_decide_missed;",
            ),
        ),
        ("barrier_timed",),
    ),
    Plant(
        "G2-last-without-a-second-look",
        "a thread takes itself for the last, although the round was ended or broken meanwhile",
        "barrier",
        (
            Edit(
                BARRIER,
                "p->last = lw_barrier_filling(p) && lw_barrier_one_missing(b);",
                "p->last = true;",
            ),
        ),
        ("barrier_aborted", "barrier_door"),
    ),
    Plant(
        "G3-attaches-before-it-breaks",
        "if attaching ends the thread, the others wait for ever",
        "barrier",
        (Edit(BARRIER, "case LW_TIMEOUT:", "case LW_TIMEOUT: lw_barrier_attach(p);"),),
        ("barrier_lost",),
    ),
    Plant(
        "G4-lets-go-and-then-ends-the-round",
        "who was let go may have freed the barrier",
        "barrier",
        (
            Edit(
                BARRIER,
                "lw_barrier_party *p = (lw_barrier_party *)arg; /* While",
                "lw_barrier_party *p = (lw_barrier_party *)arg; "
                "lw_unpark_wake_(p->taken, LW_BARRIER_PASS_); /* While",
            ),
            Edit(
                BARRIER,
                "lw_unpark_wake_(p->taken, p->good ? LW_BARRIER_PASS_ : LW_BARRIER_FAIL_);",
                "",
            ),
        ),
        ("barrier_freed_action",),
    ),
    Plant(
        "G5-interrupted-and-counted",
        "who was interrupted counts as arrived, and comes again",
        "barrier",
        (Edit(BARRIER, "(void)last; if (lw_barrier_filling(p)) {", "if (last && !last) {"),),
        ("barrier_interrupted",),
    ),
    Plant(
        "G6-action-ends-unnoticed",
        "an action that ends its thread leaves the others waiting",
        "barrier",
        (
            Edit(
                BARRIER,
                "lw_guard_(lw_barrier_act, p, lw_barrier_acted, p);",
                "lw_barrier_act(p);",
            ),
        ),
        ("barrier_ended",),
    ),
    # ---- rwlock ----
    Plant(
        "W1-reader-looks-then-adds",
        "a writer comes between a reader's look and its addition",
        "rwlock",
        (
            Edit(
                RWLOCK_H,
                "uint32_t word = lw_atomic_add_acquire_u32(&l->word, LW_RWLOCK_READER_);",
                "uint32_t word = lw_atomic_load_acquire_u32(&l->word);"
                " (void)lw_atomic_add_relaxed_u32(&l->word, LW_RWLOCK_READER_);",
            ),
        ),
        ("rwlock_pair",),
    ),
    Plant(
        "W2-time-out-strands-the-readers",
        "a writer that gives up lets go, and wakes nobody who waits for it",
        "rwlock",
        (
            Edit(
                RWLOCK,
                "if (status != LW_OK) { lw_rwlock_give(l, 0); } return status;",
                "if (status != LW_OK) {"
                " (void)lw_atomic_and_relaxed_u32(&l->word, ~LW_RWLOCK_WRITER_); }"
                " return status;",
            ),
        ),
        ("rwlock_timed",),
    ),
    Plant(
        "W3-unlock-before-the-queue",
        "write unlock lets go first and goes to the queue then; by then the lock may be freed",
        "rwlock",
        (
            Edit(RWLOCK, "while ((word & LW_RWLOCK_PARKED_) == 0) {", "for (;;) {"),
            Edit(
                RWLOCK,
                "return; } } lw_rwlock_wake(l, LW_RWLOCK_WRITER_, kept);",
                "break; } } if ((word & LW_RWLOCK_PARKED_) != 0) { lw_rwlock_wake(l, 0, 0); }",
            ),
        ),
        ("rwlock_freed", "rwlock_freed_three"),
    ),
    Plant(
        "W4-drain-without-a-look",
        "a writer sleeps until the readers leave, who have left",
        "rwlock",
        (
            Edit(
                RWLOCK,
                "LW_RWLOCK_DRAIN_) >= LW_RWLOCK_READER_;",
                "LW_RWLOCK_DRAIN_) != 0;",
            ),
        ),
        ("rwlock_pair",),
    ),
    Plant(
        "W5-lock-lost-with-the-thread",
        "a writer that attaching ends takes the lock with it that was handed over to it",
        "rwlock",
        (
            Edit(
                RWLOCK,
                "} else if (w->writer) { lw_rwlock_give(w->lock, 0); }",
                "} else if (w->writer) { }",
            ),
        ),
        ("rwlock_lost",),
    ),
    Plant(
        "W6-refused-reader-wakes-nobody",
        "a reader that takes itself out again was the last that the writer waited for",
        "rwlock",
        (
            Edit(
                RWLOCK,
                "lw_rwlock_drained(l, word); return false;",
                "return false;",
            ),
        ),
        ("rwlock_readers",),
    ),
    Plant(
        "W7-upgrade-beside-a-reader",
        "a reader becomes the writer while another one reads",
        "rwlock",
        (
            Edit(
                RWLOCK,
                "(word & ~LW_RWLOCK_PARKED_) == LW_RWLOCK_READER_ &&",
                "(word & ~LW_RWLOCK_PARKED_) >= LW_RWLOCK_READER_ &&",
            ),
        ),
        ("rwlock_upgrade",),
    ),
    Plant(
        "W8-readers-handed-over-uncounted",
        "the readers that the lock is handed over to are not in the count",
        "rwlock",
        (Edit(RWLOCK, "next += g->readers * LW_RWLOCK_READER_;", ""),),
        ("rwlock_handed",),
    ),
    # ---- shared_rwlock ----
    Plant(
        "H1-barrier-of-the-announcement",
        "the writer takes the barrier of its announcement for its own: there may be none",
        "shared_rwlock",
        (
            Edit(
                SHARED,
                "lw_membarrier_(); } else {",
                "lw_park_retract_(lw_park_late_(l), lw_park_announce_(lw_park_late_(l))); } else {",
            ),
        ),
        ("shared_pair", "shared_writers"),
    ),
    Plant(
        "H2-slots-from-the-end",
        "the writer goes through the slots against the direction in which they are emptied",
        "shared_rwlock",
        (
            Edit(
                SHARED,
                "int i; for (i = 0; i < LW_THREAD_READS_; i++) { /* (5)",
                "int i; for (i = LW_THREAD_READS_ - 1; i >= 0; i--) { /* (5)",
            ),
        ),
        ("shared_nested",),
    ),
    Plant(
        "H3-nested-reader-waits",
        "a reader that has the lock already waits for the writer that waits for it",
        "shared_rwlock",
        (Edit(SHARED, "if (lw_shared_rwlock_slot(self, l) != NULL ||", "if ("),),
        ("shared_nested",),
    ),
    Plant(
        "H4-refused-reader-wakes-nobody",
        "the writer has seen the slot that a refused reader empties again",
        "shared_rwlock",
        (
            Edit(
                SHARED_H,
                "lw_shared_rwlock_leave_(l, slot); return false;",
                "lw_shared_rwlock_note_(slot, NULL); return false;",
            ),
        ),
        ("shared_pair",),
    ),
    Plant(
        "H5-read-lock-outlives-its-thread",
        "the record of a thread that has exited still holds a lock",
        "shared_rwlock",
        (
            Edit(THREAD, "lw_thread_end_reads(r); for", "for"),
            Edit(THREAD, "lw_thread_end_reads(r); /* that", "/* that"),
        ),
        ("shared_exit",),
    ),
    Plant(
        "H6-time-out-keeps-the-lock",
        "a writer that gives up on the slots keeps what it has",
        "shared_rwlock",
        (
            Edit(
                SHARED,
                "if (status != LW_OK) { lw_rwlock_write_unlock(&l->base); } return status;",
                "return status;",
            ),
        ),
        ("shared_timed",),
    ),
    Plant(
        "H7-unlock-touches-the-lock-afterwards",
        "by then it may be freed",
        "shared_rwlock",
        (
            Edit(
                SHARED_H,
                "lw_atomic_store_release_ptr(slot, NULL); /* (4)",
                "lw_atomic_store_release_ptr(slot, NULL);"
                " (void)lw_rwlock_is_locked(&l->base); /* (4)",
            ),
        ),
        ("shared_freed",),
    ),
    # ---- biased mutex ----
    Plant(
        "L1-no-second-look",
        "who enters by the bias does not look again whether it is still its own",
        "biased_mutex",
        (
            Edit(
                BIASED_H,
                "if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&m->word) == self)) {",
                "if (self != NULL) {",
            ),
        ),
        ("biased_pair",),
    ),
    Plant(
        "L2-revoked-without-a-wait",
        "who takes the bias away does not wait until its thread is out",
        "biased_mutex",
        (
            Edit(
                BIASED,
                "while (lw_biased_noted(w->from, m) && status == LW_OK) {",
                "while (w->mutex == NULL) {",
            ),
        ),
        ("biased_pair",),
    ),
    Plant(
        "L3-no-membarrier",
        "who takes the bias away looks into a slot that its thread has filled, but not shown yet",
        "biased_mutex",
        (Edit(BIASED, "        lw_membarrier_();\n", ""),),
        ("biased_pair",),
    ),
    Plant(
        "L4-slots-looked-at-before-the-claim",
        "a thread that enters between the look and the claim is not waited for",
        "biased_mutex",
        (
            Edit(
                BIASED,
                "w.from = thread;",
                "w.from = thread;\n                if (!noted) {\n"
                "                    lw_atomic_store_relaxed_ptr(\n"
                "                        &m->word, lw_biased_word(self, LW_BIASED_LOCKED_));\n"
                "                    return LW_OK;\n                }",
            ),
            Edit(
                BIASED,
                "            /* (8) acquire",
                "            bool noted;\n            noted = lw_biased_noted(thread, m);\n"
                "            /* (8) acquire",
            ),
        ),
        ("biased_pair",),
    ),
    Plant(
        "L5-unlock-by-the-word",
        "a thread whose bias is being taken away unlocks as if it had none",
        "biased_mutex",
        (
            Edit(
                BIASED_H,
                "if (LW_LIKELY(lw_atomic_load_relaxed_ptr(slot) == &m->word)) {",
                "if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&m->word) == self)) {",
            ),
            Edit(
                BIASED,
                "if (self != NULL && lw_biased_noted(self, m)) {",
                "if (self != NULL && lw_atomic_load_relaxed_ptr(&m->word) == self) {",
            ),
        ),
        ("biased_pair",),
    ),
    Plant(
        "L6-back-out-tells-nobody",
        "a thread that did not enter after all leaves the one asleep that has seen it",
        "biased_mutex",
        (
            Edit(
                BIASED,
                "nd wait. */\n    lw_biased_mutex_leave_(m, self, lw_biased_mutex_slot_(self, m));",
                "nd wait. */\n    (void)m;\n"
                "    lw_atomic_store_release_ptr(lw_biased_mutex_slot_(self, m), NULL);",
            ),
        ),
        ("biased_pair",),
    ),
    Plant(
        "L7-given-back-to-one",
        "a bias that is given back wakes its thread alone, whose unlock wakes nobody",
        "biased_mutex",
        (
            Edit(
                BIASED,
                "(void)lw_unpark_all(w->mutex, 0);",
                "(void)lw_unpark_one(w->mutex, NULL, NULL);",
            ),
        ),
        ("biased_ended",),
    ),
    Plant(
        "L8-claim-ends-with-the-thread",
        "a thread that attaching ends takes its claim with it",
        "biased_mutex",
        (
            Edit(
                BIASED,
                "        lw_biased_expect_no_more(w);\n        lw_biased_give_back(w);\n    } else",
                "        lw_biased_expect_no_more(w);\n    } else",
            ),
        ),
        ("biased_ended",),
    ),
    Plant(
        "L9-claim-kept-after-the-time",
        "who gives up leaves the mutex claimed",
        "biased_mutex",
        (
            Edit(
                BIASED,
                "} else {\n        lw_biased_give_back(w);\n    }\n    return status;",
                "}\n    return status;",
            ),
        ),
        ("biased_timed", "biased_interrupted"),
    ),
    Plant(
        "L10-unlock-touches-the-mutex-afterwards",
        "by then it may be freed",
        "biased_mutex",
        (
            Edit(
                BIASED_H,
                "/* (4) The cheap half of the",
                "(void)lw_atomic_load_relaxed_ptr(&m->word);\n    /* (4) The cheap half of the",
            ),
        ),
        ("biased_freed",),
    ),
    Plant(
        "L11-slot-in-use-overwritten",
        "a thread that holds another mutex by the same slot forgets that one",
        "biased_mutex",
        (
            Edit(
                BIASED_H,
                "if (LW_UNLIKELY(lw_atomic_load_relaxed_ptr(slot) != NULL)) {",
                "if (slot == NULL) {",
            ),
        ),
        ("biased_nested",),
    ),
    Plant(
        "L12-expected-after-the-barrier",
        "who leaves has not seen yet that it is awaited, nor the claimer that it has left",
        "biased_mutex",
        (
            Edit(BIASED, "        lw_biased_expect(w);\n", ""),
            Edit(
                BIASED,
                "        lw_membarrier_();\n",
                "        lw_membarrier_();\n        lw_biased_expect(w);\n",
            ),
        ),
        ("biased_pair",),
    ),
    Plant(
        "L13-expected-for-ever",
        "who gives up leaves its count with the thread that it waited for",
        "biased_mutex",
        (
            Edit(
                BIASED,
                "    lw_biased_expect_no_more(w);\n    if (status == LW_OK) {",
                "    if (status == LW_OK) {\n        lw_biased_expect_no_more(w);",
            ),
        ),
        ("biased_timed",),
    ),
    # ---- ref ----
    Plant(
        "B1-lost-merge",
        "the merge writes what it read, over what another has counted meanwhile",
        "ref",
        (
            Edit(
                REF,
                "} while (!lw_atomic_cas_acq_rel_u32(&ref->shared, &shared, merged));",
                "} while (merged == shared);\n"
                "    (void)lw_atomic_exchange_acq_rel_u32(&ref->shared, merged);",
            ),
        ),
        ("ref_two_others", "ref_try_three"),
    ),
    Plant(
        "B2-relaxed-final-drop",
        "destroy does not see what others did with the object",
        "ref",
        (
            Edit(
                REF,
                "lw_atomic_sub_acq_rel_u32(&ref->shared, LW_REF_ONE_)",
                "lw_atomic_sub_relaxed_u32(&ref->shared, LW_REF_ONE_)",
            ),
        ),
        ("ref_try_unbiased", "ref_shared"),
    ),
    Plant(
        "B3-not-handed-over",
        "a reference that the owner had counted is dropped by another and told to nobody",
        "ref",
        (Edit(REF, "if (wanted == LW_REF_QUEUED_ && shared == LW_REF_BIASED_) {", "if (false) {"),),
        ("ref_hand_over",),
    ),
    Plant(
        "B4-exit-leaves-the-queue-open",
        "others hand over to a thread that is gone",
        "ref",
        (
            Edit(
                THREAD, "LW_PLAIN_SET(r->ref_alive, !closed);", "LW_PLAIN_SET(r->ref_alive, true);"
            ),
        ),
        ("ref_exit",),
    ),
    Plant(
        "B5-exit-closes-a-queue-that-is-not-empty",
        "what came in since the last look is lost",
        "ref",
        (
            Edit(
                THREAD,
                "closed = lw_atomic_load_relaxed_ptr(&r->head.ref_queue) == NULL && "
                "r->ref_taken == NULL;",
                "closed = true;",
            ),
        ),
        ("ref_exit", "ref_exit_two"),
    ),
    Plant(
        "B6-closed-only-if-used",
        "a thread exits before its module was used; a later hand-over takes it for alive",
        "ref",
        (
            Edit(
                THREAD,
                "LW_PLAIN_SET(r->ref_alive, !closed);",
                "if (lw_module(d, LW_MODULE_REF) != NULL) {\n"
                "            LW_PLAIN_SET(r->ref_alive, !closed);\n        }",
            ),
        ),
        ("ref_exit",),
    ),
    Plant(
        "B7-hand-over-to-the-dead",
        "nobody looks whether the owner is alive",
        "ref",
        (Edit(REF, "if (LW_PLAIN_GET(owner->ref_alive)) {", "if (owner != NULL) {"),),
        ("ref_exit", "ref_exit_two"),
    ),
    Plant(
        "B8-merge-for-the-dead-without-the-lock",
        "a new thread takes the record, and the object with it, in the middle of the merge",
        "ref",
        (
            Edit(
                REF,
                "        dead = lw_ref_merge(ref);\n    }\n"
                "    lw_rawlock_unlock_(&owner->ref_lock);\n",
                "        lw_rawlock_unlock_(&owner->ref_lock);\n"
                "        dead = lw_ref_merge(ref);\n"
                "        lw_rawlock_lock_(&owner->ref_lock);\n    }\n"
                "    lw_rawlock_unlock_(&owner->ref_lock);\n",
            ),
        ),
        ("ref_adopted", "ref_exit_adopted"),
    ),
    Plant(
        "B9-try-inc-of-the-dead",
        "an object comes back while it is destroyed",
        "ref",
        (
            Edit(
                REF,
                "        if (shared == LW_REF_MERGED_) {\n            return false;",
                "        if (false) {\n            return false;",
            ),
        ),
        ("ref_try_last", "ref_try_unbiased"),
    ),
    Plant(
        "B10-last-local-drop-by-store",
        "the owner overwrites the reference of a finder",
        "ref",
        (
            Edit(
                REF,
                "if (lw_atomic_cas_acquire_u32(&ref->shared, &shared, LW_REF_MERGED_)) {",
                "lw_atomic_store_relaxed_u32(&ref->shared, LW_REF_MERGED_);\n            {",
            ),
        ),
        ("ref_try_last",),
    ),
    Plant(
        "B11-owner-written-after-the-merge",
        "by then the object may be gone",
        "ref",
        (
            Edit(
                REF,
                "    lw_atomic_store_relaxed_ptr(&ref->owner, LW_REF_NO_OWNER_);\n"
                "    if (local > LW_REF_MOST_) {",
                "    if (local > LW_REF_MOST_) {",
            ),
            Edit(
                REF,
                "    return merged == LW_REF_MERGED_;",
                "    lw_atomic_store_relaxed_ptr(&ref->owner, LW_REF_NO_OWNER_);\n"
                "    return merged == LW_REF_MERGED_;",
            ),
        ),
        ("ref_two_others", "ref_exit_adopted"),
    ),
    # ---- smr ----
    Plant(
        "R1-no-dear-half",
        "a section whose epoch is not seen has not seen the unlink either",
        "smr",
        (
            Edit(
                SMR,
                "    lw_smr_fence_heavy(d);\n    /* (4)",
                "    /* (4)",
            ),
        ),
        ("smr_wait",),
    ),
    Plant(
        "R2-stamp-taken-before-the-fence",
        "a section with the new epoch may still find the object",
        "smr",
        (
            Edit(SMR, "    lw_smr_fence_heavy(d);\n    /* (4)", "    uint64_t stamp;\n    /* (4)"),
            Edit(
                SMR,
                "    return lw_atomic_add_acq_rel_u64(&d->smr_clock, 1) + 1;",
                "    stamp = lw_atomic_add_relaxed_u64(&d->smr_clock, 1) + 1;\n"
                "    lw_smr_fence_heavy(d);\n    return stamp;",
            ),
        ),
        ("smr_wait", "smr_read"),
    ),
    Plant(
        "R3-exit-without-release",
        "what the section read is not before the free",
        "smr",
        (
            Edit(
                SMR_H,
                "lw_atomic_store_release_u64(&self->smr_epoch, 0);",
                "lw_atomic_store_relaxed_u64(&self->smr_epoch, 0);",
            ),
        ),
        ("smr_read",),
    ),
    Plant(
        "R4-scan-without-acquire",
        "the same, on the other side",
        "smr",
        (
            Edit(
                SMR,
                "lw_atomic_load_acquire_u64(&r->head.smr_epoch)",
                "lw_atomic_load_relaxed_u64(&r->head.smr_epoch)",
            ),
        ),
        ("smr_read",),
    ),
    Plant(
        "R5-retire-without-grace-period",
        "freed under an open section",
        "smr",
        (Edit(SMR, "if (self->closed[i].stamp <= oldest) {", "if (oldest != 0) {"),),
        ("smr_read",),
    ),
    Plant(
        "R6-stamp-one-too-low",
        "sections of the epoch that ends are not waited for",
        "smr",
        (
            Edit(
                SMR,
                "return lw_atomic_add_acq_rel_u64(&d->smr_clock, 1) + 1;",
                "return lw_atomic_add_acq_rel_u64(&d->smr_clock, 1);",
            ),
        ),
        ("smr_read",),
    ),
    Plant(
        "R7-attach-without-the-dear-half",
        "a lone thread frees at once what a new one finds",
        "smr",
        (Edit(THREAD, "            lw_membarrier_();", "            ;"),),
        ("smr_alone",),
    ),
    Plant(
        "R8-anonymous-sections-not-scanned",
        "a reader without a record is not waited for",
        "smr",
        (
            Edit(
                SMR,
                "    if (lw_atomic_load_acquire_u64(&d->smr_anonymous) != 0) {\n        return 0;",
                "    if (false) {\n        return 0;",
            ),
        ),
        ("smr_anonymous_scan",),
    ),
    Plant(
        "R17-anonymous-section-outlives-its-thread",
        "a thread without a record ends inside of a section, and reclamation ends for good",
        "smr",
        (Edit(SMR, "        lw_thread_add_anonymous_(d, 1);\n", ""),),
        ("smr_anonymous_exit",),
    ),
    Plant(
        "R9-alone-but-for-the-anonymous",
        "the shortcut forgets readers without a record",
        "smr",
        (
            Edit(
                SMR,
                " &&\n           lw_atomic_load_acquire_u64(&d->smr_anonymous) == 0;",
                ";",
            ),
        ),
        ("smr_anonymous",),
    ),
    Plant(
        "R10-orphans-without-a-new-stamp",
        "what an exited thread left is freed without a grace period",
        "smr",
        (Edit(SMR, "        d->smr_waiting.stamp = lw_smr_begin(d);\n", ""),),
        ("smr_orphan", "smr_anonymous_retire"),
    ),
    Plant(
        "R11-inner-exit-ends-the-section",
        "the outermost exit alone may",
        "smr",
        (Edit(SMR_H, "if (--self->smr_depth == 0) {", "self->smr_depth--;\n    {"),),
        ("smr_nested",),
    ),
    Plant(
        "R12-inner-enter-renews-the-epoch",
        "the outer section is no longer waited for",
        "smr",
        (Edit(SMR_H, "if (self->smr_depth++ == 0) {", "self->smr_depth++;\n    {"),),
        ("smr_nested",),
    ),
    Plant(
        "R13-thread-ends-inside-of-a-section",
        "its section never ends, and nothing is freed any more",
        "smr",
        (
            Edit(
                THREAD,
                "        r->head.smr_depth = 0;\n"
                "        lw_atomic_store_release_u64(&r->head.smr_epoch, 0);\n",
                "",
            ),
        ),
        ("smr_exit_inside",),
    ),
    Plant(
        "R14-thread-ends-inside-of-a-free-function",
        "the next owner of its record never reclaims",
        "smr",
        (Edit(SMR, "r->freeing = r->asking = false;", "r->asking = false;"),),
        ("smr_killed",),
    ),
    Plant(
        "R16-batch-of-a-thread-that-ended",
        "a thread ends inside of a free function, and leaves the end of its batch behind",
        "smr",
        (
            Edit(
                SMR,
                "        if (batch->first == NULL) {\n            (void)lw_batch_take(batch);\n"
                "        }\n",
                "",
            ),
        ),
        ("smr_killed",),
    ),
    Plant(
        "R15-clock-of-the-alone-path",
        "the shortcut looks at the count before the unlink is out",
        "smr",
        (
            Edit(
                SMR,
                "    lw_fence_light();\n    if (LW_UNLIKELY(!d->has_membarrier)) {\n"
                "        lw_fence_seq_cst();\n    }\n    return self",
                "    return self",
            ),
        ),
        ("smr_alone", "smr_anonymous"),
    ),
    # ---- domain ----
    Plant(
        "D1-fork-handlers-lost",
        "of two threads that are first, each takes the other for the one that installs them",
        "domain",
        (
            Edit(
                DOMAIN,
                "    lw_thread_fork_init_();\n    found = lw_domain_search();\n"
                "    if (!lw_atomic_cas_acq_rel_ptr(&lw_current, &none, found)) {",
                "    found = lw_domain_search();\n"
                "    if (lw_atomic_load_relaxed_u32(&lw_own_state) == 0) {\n"
                "        lw_thread_fork_init_();\n    }\n"
                "    if (!lw_atomic_cas_acq_rel_ptr(&lw_current, &none, found)) {",
            ),
        ),
        ("domain_first_pair",),
    ),
    Plant(
        "D2-hooks-in-the-wrong-order",
        "a wait calls the first hook and does not find the second",
        "domain",
        (
            Edit(
                DOMAIN,
                "    lw_atomic_store_relaxed_ptr(&d->block_after,",
                "    lw_atomic_store_release_ptr(&d->block_before, hooks == NULL ? NULL : "
                "(void *)hooks->before);\n    lw_atomic_store_relaxed_ptr(&d->block_after,",
            ),
        ),
        ("domain_hooks",),
    ),
    Plant(
        "D3-half-made-domain-in-a-child",
        "the child of a fork waits for a thread of the parent to end making the domain",
        "domain",
        (Edit(DOMAIN, "lw_atomic_cas_relaxed_u32(&lw_own_state, &half, 0)", "half == 2"),),
        ("domain_fork_half",),
    ),
    Plant(
        "D4-waiters-forked",
        "the child finds waiters, who are threads of the parent",
        "domain",
        (Edit(THREAD, "    lw_park_forked_(d);\n", ""),),
        ("domain_fork_child",),
    ),
    Plant(
        "D5-lists-half-changed-in-a-child",
        "the child frees from lists whose lock a thread of the parent holds",
        "domain",
        (
            Edit(
                THREAD,
                "if (lw_rawlock_forked_(&d->smr_lock)) {",
                "if (lw_rawlock_forked_(&d->smr_lock) && self == NULL) {",
            ),
        ),
        ("domain_fork_child",),
    ),
    Plant(
        "D6-no-look-past-another-version",
        "of three copies, the first of another version, the two others do not meet",
        "domain",
        (
            Edit(
                DOMAIN,
                "        link = &((lw_domain_header *)found)->next;\n",
                "        lw_domain_make_own();\n        return &lw_own_domain;\n",
            ),
        ),
        ("domain_past_another",),
    ),
    # ---- platforms ----
    Plant(
        "F1-raw-lock-forgets-its-waiters",
        "a thread that comes from sleep takes the lock as if nobody else slept",
        "futex",
        (
            Edit(
                FUTEX,
                "exchange_acquire_u32(&lock->word, 2)",
                "exchange_acquire_u32(&lock->word, 1)",
            ),
        ),
        ("futex_lock_three", "futex_lock_pair"),
    ),
    Plant(
        "F2-raw-unlock-by-load-and-store",
        "a waiter announces itself between the two",
        "futex",
        (
            Edit(
                FUTEX,
                "    if (lw_atomic_exchange_release_u32(&lock->word, 0) == 2) {",
                "    uint32_t word = lw_atomic_load_relaxed_u32(&lock->word);\n"
                "    lw_atomic_store_release_u32(&lock->word, 0);\n    if (word == 2) {",
            ),
        ),
        ("futex_lock_pair", "futex_lock_three"),
    ),
    Plant(
        "F3-wake-looks-at-the-parker",
        "the waiter's stack may be gone by then",
        "futex",
        (
            Edit(
                FUTEX,
                "    lw_futex_wake(&parker->state);",
                "    if (lw_atomic_load_relaxed_u32(&parker->state) == 0) {\n"
                "        lw_futex_wake(&parker->state);\n    }",
            ),
        ),
        ("futex_parker",),
    ),
    Plant(
        "P1-signal-after-unlock",
        "the waiter destroys the condition variable before it is signalled",
        "posix",
        (
            Edit(
                POSIX,
                "    pthread_cond_signal(&parker->cond);\n"
                "    pthread_mutex_unlock(&parker->mutex);\n",
                "    pthread_mutex_unlock(&parker->mutex);\n"
                "    pthread_cond_signal(&parker->cond);\n",
            ),
        ),
        ("posix_parker_plain",),
    ),
    Plant(
        "P2-signal-without-the-mutex",
        "it falls between the waiter's look and its sleep",
        "posix",
        (
            Edit(
                POSIX,
                "    pthread_mutex_lock(&parker->mutex);\n"
                "    lw_atomic_store_relaxed_u32(&parker->state, 0);\n"
                "    pthread_cond_signal(&parker->cond);\n"
                "    pthread_mutex_unlock(&parker->mutex);\n",
                "    lw_atomic_store_relaxed_u32(&parker->state, 0);\n"
                "    pthread_cond_signal(&parker->cond);\n",
            ),
        ),
        ("posix_parker_plain",),
    ),
)


@dataclass(frozen=True)
class SpinModel:
    """A protocol in spin/, in some sizes; with any of its plants it must fail."""

    name: str
    file: str
    sizes: tuple[str, ...] = ()
    plants: dict[str, str] = field(default_factory=dict)  # macro to bug
    soak_sizes: tuple[str, ...] = ()

    def macros(self, depth: str) -> tuple[str, ...]:
        return self.soak_sizes if depth == "soak" and self.soak_sizes else self.sizes


LOST_MERGE = "the merge writes what it read, over what another has counted meanwhile"
NO_DEAR = "a retirer makes no other thread finish its stores before it takes the stamp"
NO_GRACE = "a resize does not wait until no reader is in the old table"

SPIN_MODELS = (
    SpinModel(
        "park",
        "park.pml",
        ("THREADS=3", "TIMED=1", "TURNS=2"),
        {
            "NO_VALIDATE": "a waiter queues itself without looking again under the queue's lock",
            "PARKED_LOST": "an unlock that wakes one says that nobody waits, while others do",
            "UNLOCK_BY_STORE": "unlock finds that nobody waits, and then stores",
            "WAKE_LOST": "a waiter that was taken out while its time ran out does not wait for "
            "the wake, which comes when it has gone",
            "LEAVE_CLEARS": "a limit passes, and those who wait on are not seen any more",
        },
        ("THREADS=4", "TIMED=2", "TURNS=2"),
    ),
    SpinModel(
        "critical",
        "critical.pml",
        ("THREADS=2", "DEPTH=3", "OURS=2", "THEIRS=2"),
        {
            "KEEP_OURS": "a thread sleeps for one of our mutexes and keeps our sections",
            "KEEP_THEIRS": "a thread waits and keeps CPython's sections",
            "OUTER_FIRST": "after a wait the outer section is taken again before the new one has "
            "begun",
        },
        ("THREADS=3", "DEPTH=2", "OURS=2", "THEIRS=1"),
    ),
    SpinModel("park, four threads", "park.pml", ("THREADS=4", "TIMED=2", "TURNS=1")),
    SpinModel(
        "merge",
        "merge.pml",
        ("OTHERS=2", "NEWCOMER=1", "ADDERS=0"),
        {
            "LOST_MERGE": LOST_MERGE,
            "NOT_HANDED_OVER": "a reference that the owner had counted is dropped by another and "
            "told to nobody",
            "LEFT_OPEN": "the owner exits and does not close its queue: others hand over to it "
            "still",
            "CLOSED_FULL": "the owner exits and closes its queue with an object in it",
            "UNLOCKED_MERGE": "who merges for an owner that has gone lets go of the record first, "
            "which a new thread takes",
        },
        ("OTHERS=2", "NEWCOMER=1", "ADDERS=2"),
    ),
    SpinModel("merge, newcomer adds", "merge.pml", ("OTHERS=1", "NEWCOMER=1", "ADDERS=3")),
    SpinModel("merge, others add", "merge.pml", ("OTHERS=2", "NEWCOMER=0", "ADDERS=3")),
    SpinModel(
        "merge, finder",
        "merge.pml",
        ("OTHERS=1", "NEWCOMER=1", "ADDERS=0", "FINDER=1"),
        {"LOST_MERGE": LOST_MERGE},
    ),
    SpinModel(
        "merge, last against finder",
        "merge.pml",
        ("OTHERS=0", "NEWCOMER=0", "ADDERS=1", "FINDER=1"),
        {"STORED_LAST": "the owner's last drop is a store, over the reference of a finder"},
    ),
    SpinModel(
        "grace, two readers",
        "grace.pml",
        ("READERS=2", "RETIRERS=1", "SECTIONS=2"),
        {
            "NO_DEAR": NO_DEAR,
            "STAMP_LOW": "sections of the epoch that ends are not waited for",
            "NO_WAIT": "freed under an open section",
            "LEAVE_FIRST": "a section is over before its last look at the object",
        },
        ("READERS=2", "RETIRERS=2", "SECTIONS=2"),
    ),
    SpinModel(
        "grace, two retirers",
        "grace.pml",
        ("READERS=1", "RETIRERS=2", "SECTIONS=3"),
        {"NO_DEAR": NO_DEAR},
    ),
    SpinModel(
        "grace, alone",
        "grace.pml",
        ("READERS=2", "RETIRERS=1", "SECTIONS=1", "LONE"),
        {
            "UNCOUNTED": "readers open sections without being counted, and a lone retirer frees "
            "at once",
            "NO_ATTACH_DEAR": "a new reader counts itself, and may find what a lone retirer has "
            "unlinked, but not shown yet",
        },
    ),
    SpinModel(
        "resize, lookup",
        "resize.pml",
        ("LOOKUPS=1", "RESIZES=2"),
        {
            "NO_GRACE": NO_GRACE,
            "SAME_LINKS": "entries move by the links that readers of the old table walk",
            "MARK_FIRST": "a bucket is marked as moved before its entries are in the next table",
            "MARK_LOST": "a bucket whose entries have moved is not marked",
            "FREE_NOW": "a removed entry is freed under an open section",
            "TABLE_FREE_NOW": "the old table is freed under an open section",
            "UNLINK_CLEARS": "a removed entry leads nowhere, and a reader on it misses the rest",
        },
        ("LOOKUPS=2", "RESIZES=3"),
    ),
    SpinModel(
        "resize, scan",
        "resize.pml",
        ("LOOKUPS=0", "SCANS=1", "RESIZES=2"),
        {
            "NO_GRACE": NO_GRACE,
            "SCAN_TWICE": "a scan visits all of a bucket that has swallowed visited ones",
            "SCAN_SKIPS": "a scan steps by the size of a table that it has not walked",
        },
        ("LOOKUPS=0", "SCANS=1", "RESIZES=4"),
    ),
)
