"""The planted bugs: each a small change of the sources, and the tests that have to notice it.

A plant is a list of substitutions, which have to fit exactly once each; so one that has gone stale
is a failure. `says` is a part of what a test says when it fails: a test that fails for another
reason has not caught the bug.
"""

from __future__ import annotations

from dataclasses import dataclass

STOOD_STILL = "has stood still"
DATA_RACE = "data race"
RACE_OR_WRONG = "data race|FAILED"
HISTORY = "FAILED: a history of"


@dataclass(frozen=True)
class Edit:
    file: str
    old: str
    new: str

    def apply(self, text: str) -> tuple[str, int]:
        """The text with it, and how often it fitted."""
        return text.replace(self.old, self.new), text.count(self.old)


@dataclass(frozen=True)
class Catch:
    """A case of a test program, in a build of its own kind; of a Python test in "python"."""

    program: str
    case: str
    says: str = "FAILED"
    build: str = "plain"
    # LW_SECONDS: it ends as soon as it has found something. For a Python test, only a limit.
    seconds: float = 10.0
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        kind = "" if self.build == "plain" else f" ({self.build})"
        extra = "".join(f" {key}={value}" for key, value in self.environment)
        return f"{self.program} {self.case}{kind}{extra}"


@dataclass(frozen=True)
class Plant:
    name: str
    bug: str
    edits: tuple[Edit, ...]
    catches: tuple[Catch, ...]


PARK = "src/base/park.c"
CRITICAL = "src/locks/critical.c"
CRITICAL_H = "include/latchwork/critical.h"
THREAD = "src/base/thread.c"
DOMAIN = "src/base/domain.c"
DOMAIN_INTERNAL = "src/base/domain_internal.h"
MUTEX = "src/locks/mutex.c"
MUTEX_H = "include/latchwork/mutex.h"
RMUTEX_H = "include/latchwork/rmutex.h"
RMUTEX = "src/locks/rmutex.c"
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
REF_H = "include/latchwork/ref.h"
SMR = "src/lifetime/smr.c"
SMR_H = "include/latchwork/smr.h"
MAP = "src/containers/map.c"
PROBE = "pyext/src/probe.c"
CONDITION_PY = "pyext/src/condition.c"
CPYTHON = "src/python/cpython.c"
FUTEX = "src/platform/futex.c"
POSIX = "src/platform/posix.c"
EVENT = "src/locks/event.c"
EVENT_H = "include/latchwork/event.h"
LATCH = "src/locks/latch.c"
SEM = "src/locks/sem.c"
SEM_H = "include/latchwork/sem.h"
BARRIER = "src/locks/barrier.c"

PLANTS = (
    # ---- park ----
    Plant(
        "park-without-recheck",
        "a waiter queues itself without looking again under the queue's lock",
        (
            Edit(
                PARK,
                "!how->validate(how->arg) ? LW_AGAIN",
                "!how->validate(how->arg) && timeout_ns == 0 ? LW_AGAIN",
            ),
        ),
        (Catch("stress_park", "ring", STOOD_STILL),),
    ),
    Plant(
        "waiter-left-linked",
        "a waiter that timed out stays in the queue (F15)",
        (Edit(PARK, "bool more = lw_park_quit(d, q, &w);", "bool more = false;"),),
        (Catch("test_park", "timeout_leaves_the_queue", "FAILED|AddressSanitizer", "asan"),),
    ),
    Plant(
        "attach-before-leaving-the-queue",
        "the host attaches again while the waiter is in the queue still (F15)",
        (
            Edit(
                PARK,
                "    if (status != LW_OK) {\n        lw_rawlock_lock_(&q->lock);",
                "    if (host != NULL) {\n        lw_block_end(host);\n"
                "        host = NULL;\n    }\n"
                "    if (status != LW_OK) {\n        lw_rawlock_lock_(&q->lock);",
            ),
        ),
        (
            Catch("test_park", "after_hook_finds_the_queue_left_when_timed_out"),
            Catch("test_park", "after_hook_may_end_a_timed_out_thread", "FAILED|Sanitizer", "asan"),
        ),
    ),
    Plant(
        "wake-kept-by-the-woken",
        "who was woken finds the object free, and attaches without a wake for the next",
        (Edit(PARK, "if (delayed && owed) {", "if (delayed && false) {"),),
        (Catch("test_park", "woken_waiter_that_attaches_wakes_the_next"),),
    ),
    Plant(
        "woken-one-after-the-other",
        "each woken waiter that finds the object free wakes the next, which no release left out",
        (Edit(PARK, "    owed = owed && LW", "    owed = LW"),),
        (Catch("test_park", "one_release_wakes_one"),),
    ),
    Plant(
        "no-hand-over-while-one-wakes",
        "who has starved is handed nothing while another one is on its way",
        (
            Edit(
                PARK,
                "grant == LW_GRANT_YES_ && granted->token == 0 &&",
                "grant == LW_GRANT_YES_ &&",
            ),
        ),
        (Catch("test_park", "a_hand_over_waits_for_no_waiter_that_was_woken"),),
    ),
    Plant(
        "woken-for-ever",
        "who was woken counts as about to run when it has run",
        (
            Edit(
                PARK,
                "    LW_PLAIN_SET(q->waking, NULL);\n    LW_PLAIN_SET(q->owed, false);\n    owed",
                "    LW_PLAIN_SET(q->owed, false);\n    owed",
            ),
        ),
        (Catch("test_park", "releases_while_a_woken_waiter_gets_going_wake_no_other", "it hung"),),
    ),
    Plant(
        "wakes-at-every-release",
        "each release wakes another waiter while the first is on its way",
        (
            Edit(
                PARK,
                "    } else if (grant == LW_GRANT_YES_ && granted->token == 0 &&",
                "    } else if (false && granted->token == 0 &&",
            ),
        ),
        (Catch("test_park", "releases_while_a_woken_waiter_gets_going_wake_no_other"),),
    ),
    Plant(
        "wake-lost-to-timeout",
        "a waiter that times out while a wake is on the way says that it timed out",
        (
            Edit(
                PARK,
                "status = lw_parker_wait_(&w.parker, -1, false);",
                "(void)lw_parker_wait_(&w.parker, -1, false);",
            ),
        ),
        (
            Catch("stress_park", "wakes_are_answered", seconds=2.0),
            Catch("stress_park", "hand_over", STOOD_STILL),
        ),
    ),
    Plant(
        "wrong-waiter",
        "a wake takes the first waiter of the queue, whatever address it waits on",
        (
            Edit(
                PARK,
                "if (LW_PLAIN_GET(w->address) == address) {",
                "if (LW_PLAIN_GET(w->address) != NULL) {",
            ),
        ),
        (Catch("test_park", "addresses_that_share_a_queue_stay_apart"),),
    ),
    Plant(
        "waiters-forked",
        "a forked child keeps the parent's waiters in its queues",
        (
            Edit(
                PARK,
                "        LW_PLAIN_SET(q->first, NULL);\n        LW_PLAIN_SET(q->last, NULL);\n",
                "",
            ),
        ),
        (Catch("test_park", "waiters_stay_with_the_parent"),),
    ),
    Plant(
        "announcements-forked",
        "a forked child has the announcements of its parent's waiters",
        (
            Edit(
                PARK,
                "    lw_park_flags_init(d);\n    forks =",
                "    forks =",
            ),
        ),
        (Catch("test_park", "announcements_stay_with_the_parent"),),
    ),
    # ---- mutex ----
    Plant(
        "unlock-without-release",
        "unlock has no release order",
        (
            Edit(
                MUTEX_H,
                "lw_atomic_store_release_u32(&m->word, 0);",
                "lw_atomic_store_relaxed_u32(&m->word, 0);",
            ),
        ),
        (Catch("stress_mutex", "exclusion", DATA_RACE, "tsan"),),
    ),
    Plant(
        "lock-without-acquire",
        "the fast lock has no acquire order",
        (
            Edit(
                MUTEX_H,
                "lw_atomic_cas_acquire_u32(&m->word, &free_word, LW_MUTEX_LOCKED_)",
                "lw_atomic_cas_relaxed_u32(&m->word, &free_word, LW_MUTEX_LOCKED_)",
            ),
        ),
        (Catch("stress_mutex", "exclusion", DATA_RACE, "tsan"),),
    ),
    Plant(
        "slow-lock-without-acquire",
        "a lock that had to wait has no acquire order",
        (
            Edit(
                MUTEX,
                "lw_atomic_cas_acquire_u32(&m->word, &word, LW_MUTEX_LOCKED_)",
                "lw_atomic_cas_relaxed_u32(&m->word, &word, LW_MUTEX_LOCKED_)",
            ),
        ),
        (Catch("stress_mutex", "exclusion", DATA_RACE, "tsan"),),
    ),
    Plant(
        "lock-by-store",
        "a lock looks and then stores, in two steps",
        (
            Edit(
                MUTEX_H,
                "lw_atomic_cas_acquire_u32(&m->word, &free_word, LW_MUTEX_LOCKED_)",
                "((free_word = lw_atomic_load_acquire_u32(&m->word)) == 0 && "
                "(lw_atomic_store_relaxed_u32(&m->word, LW_MUTEX_LOCKED_), true))",
            ),
        ),
        (
            Catch("stress_mutex", "exclusion", "FAILED", "noise"),
            Catch("linearizability", "mutex_histories", HISTORY, "noise"),
        ),
    ),
    Plant(
        "unlock-touches-later",
        "unlock looks at the mutex after the release, when the next owner may have freed it",
        (
            Edit(
                MUTEX_H,
                "        lw_park_notify_(m);\n    }\n",
                "        lw_park_notify_(m);\n    }\n    (void)lw_mutex_is_locked(m);\n",
            ),
        ),
        (Catch("stress_mutex", "freed_by_next_owner", "heap-use-after-free", "asan"),),
    ),
    Plant(
        "wake-before-release",
        "unlock looks for waiters and wakes one, and then stores",
        (
            Edit(
                MUTEX_H,
                "    lw_mutex_drop_(m);\n    /* (4)",
                "    lw_mutex_wake_(m);\n    lw_mutex_drop_(m);\n    /* (4)",
            ),
            Edit(MUTEX_H, "    lw_fence_light();\n    lw_mutex_wake_(m);\n", ""),
        ),
        (Catch("stress_mutex", "quick_way", STOOD_STILL, "no-spin", 25.0),),
    ),
    Plant(
        "waiter-without-membarrier",
        "who is about to wait makes no releaser finish its store before its look",
        (
            Edit(
                PARK,
                "    lw_membarrier_();\n    lw_atomic_store_relaxed_u32(",
                "    lw_atomic_store_relaxed_u32(",
            ),
        ),
        (Catch("stress_mutex", "quick_way", STOOD_STILL, "no-spin", 25.0),),
    ),
    Plant(
        "retracted-in-the-child",
        "a child that was forked inside of a wait takes back what nobody has announced there",
        (
            Edit(
                PARK,
                "return ticket != 0 && ticket == lw_park_ticket(lw_domain_get());",
                "return ticket != 0;",
            ),
        ),
        (Catch("test_mutex", "fork_in_a_wait"),),
    ),
    Plant(
        "wake-lost-with-the-thread",
        "a thread that attaching ends takes the wake with it",
        (Edit(PARK, "if (host != NULL && how->lost != NULL) {", "if (false) {"),),
        (Catch("test_mutex", "who_ends_while_it_attaches_passes_the_wake_on"),),
    ),
    Plant(
        "announced-for-ever",
        "who was woken stays announced, and no unlock is quick again",
        (Edit(PARK, "if (LW_PLAIN_GET(w->how)->announce) {", "if (false) {"),),
        (Catch("test_mutex", "quick_way_opens_again"),),
    ),
    Plant(
        "timed-out-and-announced",
        "who left the queue by itself stays announced",
        (
            Edit(
                PARK,
                "            lw_park_retract_(address, ticket);\n        } else {",
                "        } else {",
            ),
        ),
        (
            Catch("test_mutex", "quick_way_opens_again"),
            Catch("test_mutex", "who_ends_while_it_attaches_passes_the_wake_on"),
        ),
    ),
    Plant(
        "no-hand-over",
        "who has starved is woken and competes, as others do",
        (Edit(MUTEX, "if (now_ns - w->since_ns < LW_MUTEX_FAIR_NS ||", "if (true ||"),),
        (Catch("test_mutex", "who_has_starved_is_handed_the_mutex"),),
    ),
    Plant(
        "handed-and-not-owned",
        "who was handed the mutex tries to lock it",
        (Edit(MUTEX, "|| w.token == LW_MUTEX_HANDED) {", "|| w.token > 1) {"),),
        (Catch("test_mutex", "who_has_starved_is_handed_the_mutex"),),
    ),
    Plant(
        "handed-to-nobody",
        "a thread that attaching ends keeps the mutex that it was handed",
        (Edit(MUTEX, "if (w->token == LW_MUTEX_HANDED) {", "if (w->token > 1) {"),),
        (Catch("test_mutex", "who_is_handed_it_and_ends_lets_go"),),
    ),
    Plant(
        "place-lost",
        "who was woken and came too late waits behind those who came later",
        (Edit(PARK, "how->since_ns == 0 ? LW_PLAIN_GET(q->last)", "true ? LW_PLAIN_GET(q->last)"),),
        (Catch("test_park", "who_has_waited_before_keeps_its_place"),),
    ),
    # ---- critical ----
    Plant(
        "asleep-with-its-sections",
        "a thread sleeps and keeps its sections",
        (Edit(PARK, "    held = lw_held_suspend_();\n", "    held = false;\n"),),
        (Catch("stress_critical", "transfers", STOOD_STILL),),
    ),
    Plant(
        "begins-with-its-sections",
        "a thread that waits for a section takes the outer one again before it has the new one",
        (Edit(CRITICAL, "        (void)lw_held_suspend_();\n", ""),),
        (Catch("stress_critical", "transfers", STOOD_STILL, seconds=20.0),),
    ),
    Plant(
        "permit-kept-while-it-waits-for-its-section",
        "who was given a permit keeps it while it waits for its section",
        (
            Edit(
                SEM,
                "NULL, NULL, lw_sem_lost, s, 0, false, true}",
                "NULL, NULL, lw_sem_lost, s, 0, false, false}",
            ),
        ),
        (Catch("test_critical", "a_permit_is_given_up_by_who_waits_for_its_section"),),
    ),
    Plant(
        "run-kept-while-it-waits-for-its-section",
        "who was woken to run keeps the wake while it waits for its section",
        (Edit(ONCE, "lw_once_lost, &w, 0, false, true}", "lw_once_lost, &w, 0, false, false}"),),
        (Catch("test_critical", "a_run_is_given_up_by_who_waits_for_its_section"),),
    ),
    Plant(
        "borrowed-for-good",
        "a mutex that was the outer section's is not the inner one's when it is resumed",
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
        (Catch("stress_critical", "transfers"),),
    ),
    Plant(
        "all-sections-resumed",
        "the outer sections are taken again together with the innermost",
        (
            Edit(
                THREAD,
                "        held->state |= LW_HELD_ACTIVE_;\n    }\n    return true;",
                "        static LW_TLS int within; /* a wait in here resumes, too */\n"
                "        held->state |= LW_HELD_ACTIVE_;\n"
                "        held = held->outer;\n"
                "        if (within == 0 && held != NULL && !lw_held_is_active_(held)) {\n"
                "            within = 1;\n"
                "            if (held->ops->take(held, -1, flags)) {\n"
                "                held->state |= LW_HELD_ACTIVE_;\n"
                "            }\n"
                "            within = 0;\n"
                "        }\n    }\n    return true;",
            ),
        ),
        (Catch("stress_critical", "transfers", "FAILED"),),
    ),
    Plant(
        "sections-of-another-copy",
        "a wait does not see the sections of a thread whose record its copy has not asked for",
        (Edit(THREAD, "record != NULL ? &record->head : NULL;", "record == NULL ? NULL : NULL;"),),
        (Catch("test_copies", "a_wait_in_one_suspends_the_critical_sections_of_the_other"),),
    ),
    Plant(
        "ended-and-not-held",
        "unwinding ends a section that the thread had let go of, whoever has its mutex by now",
        (
            Edit(
                CRITICAL_H,
                "uint32_t state = section->held.state;",
                "uint32_t state = section->held.state | LW_HELD_ACTIVE_;",
            ),
            Edit(CRITICAL, "if (lw_held_is_active_(&section->held)) {", "if (section != NULL) {"),
        ),
        (Catch("test_critical", "unwinding_ends_no_section_that_is_not_there", build="unwind"),),
    ),
    Plant(
        "half-begun-and-ended",
        "a thread that is ended in the wait for its second mutex keeps the first",
        (
            Edit(
                CRITICAL,
                "    const lw_critical_taking *t = (const lw_critical_taking *)arg;\n"
                "    lw_critical_drop(t->section, t->taken);\n",
                "    (void)arg;\n",
            ),
        ),
        (Catch("test_critical", "unwinding_ends_no_section_that_is_not_there", build="unwind"),),
    ),
    Plant(
        "wake-kept-while-it-waits-for-its-section",
        "who was woken waits for its section, and keeps what others wait for",
        (Edit(MUTEX, "&w, 0, true, true};", "&w, 0, true, false};"),),
        (Catch("test_critical", "a_mutex_is_passed_on_by_who_waits_for_its_section"),),
    ),
    Plant(
        "sections-outlive-the-thread",
        "a new thread gets a record with the sections of the one before",
        (Edit(THREAD, "    r->head.held = NULL;\n    if (!lw", "    if (!lw"),),
        (Catch("test_critical", "who_ends_in_a_wait_leaves_nothing_locked"),),
    ),
    Plant(
        "owner-cleared-after-unlock",
        "a recursive mutex forgets its owner after it was unlocked, when there is another",
        (
            Edit(
                RMUTEX_H,
                "    lw_atomic_store_relaxed_u64(&m->owner, 0);\n    lw_mutex_unlock(&m->mutex);",
                "    lw_mutex_unlock(&m->mutex);\n    lw_atomic_store_relaxed_u64(&m->owner, 0);",
            ),
        ),
        (Catch("stress_rmutex", "exclusion", f"FAILED|has not locked|{STOOD_STILL}"),),
    ),
    Plant(
        "owner-by-number-alone",
        "a thread of a forked child owns what a thread of the parent held that had its number",
        (Edit(RMUTEX, "return !lw_runner_is_gone_(lw_domain_get(), owner);", "return true;"),),
        (Catch("test_rmutex", "number_of_an_owner_of_the_parent_comes_again"),),
    ),
    Plant(
        "owner-lost-by-forking",
        "who forks is not the owner any more, in the child",
        (Edit(RMUTEX, "return !lw_runner_is_gone_(lw_domain_get(), owner);", "return false;"),),
        (Catch("test_rmutex", "forked_child_owns_what_the_forking_thread_did"),),
    ),
    Plant(
        "unlock-by-anybody",
        "a recursive mutex is unlocked by a thread that does not own it",
        (
            Edit(
                RMUTEX_H,
                "    if (LW_UNLIKELY(!lw_rmutex_is_owned(m))) {\n"
                '        lw_rmutex_not_owned_("lw_rmutex_unlock");\n    }\n',
                "",
            ),
        ),
        (Catch("test_rmutex", "misuse"),),
    ),
    Plant(
        "unlock-before-the-queue",
        "a wait for a condition unlocks the mutex before it is in the queue",
        (
            Edit(
                COND,
                "        status = lw_park_with_(",
                "        lock->unlock(lock->arg);\n        status = lw_park_with_(",
            ),
            Edit(COND, "lw_cond_leave, lw_cond_queued, NULL,", "lw_cond_leave, NULL, NULL,"),
        ),
        (Catch("stress_cond", "ring_of_buffers", STOOD_STILL),),
    ),
    Plant(
        "notified-out-of-turn",
        "a notification wakes one more than it says",
        (Edit(COND, "notifier.left = n;", "notifier.left = n == SIZE_MAX ? n : n + 1;"),),
        (Catch("test_cond", "one_after_the_other"), Catch("stress_cond", "exact")),
    ),
    Plant(
        "cond-touched-after-the-wake",
        "a notification looks at the condition variable when the woken may have freed it",
        (
            Edit(
                COND,
                "lw_cond_decide, &notifier).woken;\n}",
                "lw_cond_decide, &notifier).woken +\n"
                "           (lw_atomic_load_relaxed_u32(&c->word) > 1);\n}",
            ),
        ),
        (Catch("stress_cond", "freed_by_the_woken", "heap-use-after-free", "asan"),),
    ),
    Plant(
        "cond-touched-by-the-dead",
        "a thread that ends with a notification writes to what may be gone",
        (Edit(COND, "notifier.passing = true;", "notifier.passing = false;"),),
        (Catch("test_cond", "who_ends_leaves_freed_memory_alone", "heap-use-after-free", "asan"),),
    ),
    Plant(
        "notification-lost-with-the-thread",
        "a thread that ends while it locks the mutex again takes its notification with it",
        (Edit(COND, "if (w.token == LW_COND_ONE && (flags", "if (w.token == 77 && (flags"),),
        (Catch("test_cond", "who_ends_while_it_locks_again_passes_the_notification_on"),),
    ),
    Plant(
        "all-passed-on",
        "a notification of all, which has reached all, goes to a newcomer as well",
        (Edit(COND, "n == SIZE_MAX ? LW_COND_ALL : LW_COND_ONE", "LW_COND_ONE"),),
        (Catch("test_cond", "who_ends_passes_a_notification_of_all_to_no_newcomer"),),
    ),
    Plant(
        "waiters-counted-in-the-child",
        "a forked child takes the parent's waiters for its own for ever",
        (
            Edit(
                COND,
                "if (!result.more && (result.woken != 0 || !n->passing)) {",
                "if (!result.more && result.woken != 0) {",
            ),
        ),
        (Catch("test_cond", "waiters_stay_with_the_parent"),),
    ),
    # ---- once ----
    Plant(
        "done-without-release",
        "what was done once is found done before it is there",
        (
            Edit(
                ONCE,
                "lw_atomic_store_release_u64(&o->word, LW_ONCE_DONE_);",
                "lw_atomic_store_relaxed_u64(&o->word, LW_ONCE_DONE_);",
            ),
        ),
        (Catch("stress_once", "made_once", DATA_RACE, "tsan"),),
    ),
    Plant(
        "failure-tells-nobody",
        "a run fails, and those who wait for it wait for ever",
        (
            Edit(
                ONCE,
                "    lw_atomic_store_release_u64(&o->word, 0);\n"
                "    (void)lw_unpark_one(&o->word, NULL, NULL);",
                "    lw_atomic_store_release_u64(&o->word, 0);",
            ),
        ),
        (Catch("test_once", "thread_that_ends_in_its_run_leaves_it_not_done"),),
    ),
    Plant(
        "waits-for-itself",
        "a function that is done once calls for itself and hangs",
        (Edit(ONCE, "if (lw_once_is_mine(w.seen)) {", "if (w.seen == 0) {"),),
        (Catch("stress_once", "made_once", STOOD_STILL),),
    ),
    Plant(
        "running-for-ever-in-the-child",
        "a forked child waits for a thread of the parent to have done it",
        (
            Edit(
                ONCE,
                "if (w.seen == 0 || lw_runner_is_gone_(d, w.seen)) {",
                "if (w.seen == 0) {",
            ),
        ),
        (Catch("test_once", "forked_child_runs_what_another_thread_ran", "it hung"),),
    ),
    Plant(
        "run-twice-in-the-child",
        "a function that forks is taken for one that a thread of the parent ran",
        (Edit(DOMAIN_INTERNAL, "lw_atomic_load_relaxed_u64(&d->fork_thread)", "UINT64_C(0)"),),
        (Catch("test_once", "run_that_forks_goes_on_in_both"),),
    ),
    Plant(
        "run-of-a-childs-own-thread",
        "the domain remembers who forked first, and not who forked this process",
        (
            Edit(
                PARK,
                "    if (lw_atomic_load_relaxed_u64(&d->fork_thread) != self) {\n",
                "    if (lw_atomic_load_relaxed_u64(&d->fork_thread) == 0) {\n",
            ),
        ),
        (Catch("test_once", "forked_child_goes_on_in_a_run_of_its_own"),),
    ),
    Plant(
        "old-run-of-a-reused-number",
        "a run is taken for that of a thread which came later and got the runner's number",
        (
            Edit(
                DOMAIN_INTERNAL,
                "ago > forks - lw_atomic_load_relaxed_u32(&d->fork_since)",
                "ago > 9999",
            ),
        ),
        (Catch("test_once", "number_of_a_runner_of_the_parent_comes_again", "FAILED|it hung"),),
    ),
    # ---- seqlock ----
    Plant(
        "not-looked-at-again",
        "a reader does not notice the writer that came in between",
        (
            Edit(
                SEQLOCK_H,
                "    return LW_UNLIKELY(lw_atomic_load_relaxed_u64(&s->sequence) != r->sequence);",
                "    return false;",
            ),
        ),
        (
            Catch("test_seqlock", "a_reader_goes_round_again"),
            Catch("stress_seqlock", "whole", build="noise"),
        ),
    ),
    Plant(
        "reader-spins-on",
        "a reader goes round for as long as writers come, and never keeps them out",
        (Edit(SEQLOCK, "if (r->tries >= LW_SEQLOCK_LOOKS) {", "if (r->tries > 1000000) {"),),
        (Catch("test_seqlock", "a_reader_is_never_starved"),),
    ),
    Plant(
        "reader-keeps-the-mutex",
        "a reader that took the writers' mutex keeps it",
        (
            Edit(
                SEQLOCK_H,
                "        lw_mutex_unlock(&s->writers);\n        r->locked",
                "        r->locked",
            ),
        ),
        (Catch("test_seqlock", "a_reader_is_never_starved"),),
    ),
    Plant(
        "write-begins-in-a-write",
        "a write that begins where another is goes unnoticed",
        (
            Edit(
                SEQLOCK_H,
                '        lw_seqlock_misuse_("lw_seqlock_write_begin");\n',
                "        sequence++;\n",
            ),
        ),
        (Catch("test_seqlock", "misuse"),),
    ),
    Plant(
        "not-looked-at-in-the-end",
        "a reader that never blocks does not notice the writer that came in between",
        (
            Edit(
                SEQLOCK_H,
                "(sequence & 1) != 0 || LW_UNLIKELY(lw_atomic_load_relaxed_u64(&s->sequence) != "
                "sequence);",
                "(sequence & 1) != 0 || s == NULL;",
            ),
        ),
        (Catch("stress_seqlock", "single_writer", build="noise"),),
    ),
    # ---- event, latch, sem, barrier ----
    Plant(
        "event-set-for-those-who-sleep",
        "a set that wakes somebody leaves the event as it was",
        (
            Edit(
                EVENT,
                "(void)lw_atomic_exchange_release_u32(&((lw_event_t *)arg)->word, LW_EVENT_SET_);",
                "(void)arg;",
            ),
        ),
        (Catch("stress_event", "reset_look_wait", STOOD_STILL),),
    ),
    Plant(
        "set-without-release",
        "a set of an event that nobody sleeps for has no release order",
        (
            Edit(
                EVENT_H,
                "lw_atomic_cas_release_u32(&e->word, &word, LW_EVENT_SET_)",
                "lw_atomic_cas_relaxed_u32(&e->word, &word, LW_EVENT_SET_)",
            ),
        ),
        (Catch("stress_event", "freed_by_the_waiter", DATA_RACE, "tsan"),),
    ),
    Plant(
        "event-looks-again",
        "who was woken by a set finds it reset, and says that it timed out",
        (
            Edit(
                EVENT,
                "return status == LW_AGAIN ? LW_OK : status;",
                "return status == LW_AGAIN || (status == LW_OK && lw_event_is_set(e)) ? LW_OK\n"
                "           : status == LW_OK ? LW_TIMEOUT : status;",
            ),
        ),
        (Catch("test_event", "set_and_reset_at_once_wakes_all"),),
    ),
    Plant(
        "latch-arrives-in-two-steps",
        "a thread counts down and then waits, when another may have freed the latch",
        (
            Edit(
                LATCH,
                "    lw_status status = lw_park(lw_park_beside_(l), lw_latch_validate_arrival, "
                "lw_latch_leave, l,\n                               timeout_ns, flags, NULL);\n"
                "    if (status == LW_AGAIN) {\n        lw_latch_open(l, 1);\n",
                "    lw_status status;\n    (void)lw_latch_validate_arrival;\n"
                "    lw_latch_count_down(l, 1);\n"
                "    status = lw_latch_wait_flags(l, timeout_ns, flags);\n"
                "    if (status == LW_AGAIN) {\n",
            ),
        ),
        (
            Catch("test_latch", "who_is_let_go_may_free_it", "heap-use-after-free", "asan"),
            Catch("stress_latch", "freed_by_who_is_let_go", "heap-use-after-free", "asan"),
        ),
    ),
    Plant(
        "latch-below-zero",
        "a count below zero goes unnoticed where somebody waits or not",
        (
            Edit(
                LATCH,
                "    if (n > lw_latch_count(l)) {\n        lw_latch_below_zero();\n    }\n",
                "",
            ),
            Edit(
                LATCH,
                "opening->latch->word, 0) >> 1 != opening->n) {",
                "opening->latch->word, 0) == 1) {",
            ),
        ),
        (Catch("test_latch", "misuse_ends_the_process"),),
    ),
    Plant(
        "sem-wake-lost-with-the-thread",
        "a thread that attaching ends takes the wake with it",
        (
            Edit(
                SEM,
                "lw_sem_leave, NULL, NULL, lw_sem_lost, s, 0, false, true}",
                "lw_sem_leave, NULL, NULL, NULL, s, 0, false, false}",
            ),
        ),
        (Catch("test_sem", "who_ends_while_it_attaches_passes_the_wake_on"),),
    ),
    Plant(
        "sem-place-lost",
        "who was overtaken sleeps again behind those who came later",
        (
            Edit(
                SEM,
                "        lw_status status = lw_park_with_(s,",
                "        lw_status status = "
                "(how.since_ns = 0, LW_OK);\n        status = lw_park_with_(s,",
            ),
        ),
        (Catch("test_sem", "who_was_overtaken_keeps_its_place"),),
    ),
    Plant(
        "sem-taken-by-store",
        "an acquire looks and then stores, in two steps",
        (
            Edit(
                SEM_H,
                "lw_atomic_cas_acquire_u32(&s->word, &word, word - LW_SEM_ONE_)",
                "(lw_atomic_store_relaxed_u32(&s->word, word - LW_SEM_ONE_), true)",
            ),
        ),
        (
            Catch("stress_sem", "exclusion", "FAILED", "noise"),
            Catch("stress_sem", "several_at_once", "FAILED", "noise", 1.0),
        ),
    ),
    Plant(
        "barrier-one-too-few",
        "a round ends when one has yet to come",
        (
            Edit(
                BARRIER,
                "return lw_barrier_get(&b->arrived) + 1 == b->parties;",
                "return lw_barrier_get(&b->arrived) + 2 >= b->parties;",
            ),
        ),
        (Catch("stress_barrier", "rounds"),),
    ),
    Plant(
        "barrier-one-index-for-all",
        "the threads of a round get the same index",
        (Edit(BARRIER, "->index = p->others++;", "->index = p->others;"),),
        (
            Catch("test_barrier", "indices_are_in_the_order_of_arrival"),
            Catch("stress_barrier", "broken"),
        ),
    ),
    Plant(
        "barrier-reset-beside-an-action",
        "reset lets the next round begin while an action runs still",
        (
            Edit(
                BARRIER,
                "        lw_atomic_store_relaxed_u32(&b->state, LW_BARRIER_RESETTING_);\n",
                "        lw_barrier_next(b, LW_BARRIER_FILLING_);\n",
            ),
        ),
        (Catch("stress_barrier", "broken"),),
    ),
    Plant(
        "barrier-limit-while-acting",
        "the action's thread leaves the others in the queue, where their limits end their waits",
        (
            Edit(
                BARRIER,
                "    return LW_UNPARK_TAKE_;\n}\n\nstatic uintptr_t lw_barrier_decide_last",
                "    return p->action != NULL ? LW_UNPARK_SKIP_ : LW_UNPARK_TAKE_;\n}\n\n"
                "static uintptr_t lw_barrier_decide_last",
            ),
        ),
        (Catch("test_barrier", "no_limit_while_the_action_runs"),),
    ),
    # ---- rwlock ----
    Plant(
        "read-unlock-without-release",
        "a read unlock has no release order",
        (Edit(RWLOCK_H, "lw_atomic_sub_release_u32(", "lw_atomic_sub_relaxed_u32("),),
        (Catch("stress_rwlock", "exclusion", DATA_RACE, "tsan"),),
    ),
    Plant(
        "reader-looks-then-adds",
        "a reader looks and then adds itself, in two steps",
        (
            Edit(
                RWLOCK_H,
                "uint32_t word = lw_atomic_add_acquire_u32(&l->word, LW_RWLOCK_READER_);",
                "uint32_t word = lw_atomic_load_acquire_u32(&l->word);\n"
                "    (void)lw_atomic_add_relaxed_u32(&l->word, LW_RWLOCK_READER_);",
            ),
        ),
        (Catch("stress_rwlock", "exclusion", "FAILED", "noise"),),
    ),
    Plant(
        "time-out-strands-the-readers",
        "a writer that gives up wakes nobody who waits for it",
        (
            Edit(
                RWLOCK,
                "    if (status != LW_OK) {\n        lw_rwlock_give(l, 0);",
                "    if (status != LW_OK) {\n"
                "        (void)lw_atomic_and_relaxed_u32(&l->word, ~LW_RWLOCK_WRITER_);",
            ),
        ),
        (Catch("test_rwlock", "writer_that_times_out_lets_the_readers_go", "it hung"),),
    ),
    Plant(
        "readers-pass-the-writer",
        "readers that come go in while a writer waits for those inside",
        (
            Edit(
                RWLOCK,
                "        if ((word & LW_RWLOCK_WRITER_) == 0) {\n            return true;",
                "        if ((word & LW_RWLOCK_WRITER_) == 0 || word >= 2 * LW_RWLOCK_READER_) {\n"
                "            return true;",
            ),
        ),
        (
            Catch("test_rwlock", "readers_wait_behind_a_writer_that_waits", "FAILED|it hung"),
            Catch("stress_rwlock", "writer_among_readers", STOOD_STILL),
        ),
    ),
    Plant(
        "writers-among-themselves",
        "a writer that goes wakes the next one, and never the readers",
        (
            Edit(
                RWLOCK,
                "    if (w->writer && g->writer) {\n",
                "    if (!w->writer || g->writer) {\n",
            ),
        ),
        (
            Catch("stress_rwlock", "reader_among_writers", STOOD_STILL, "no-spin"),
            Catch("stress_shared_rwlock", "reader_among_writers", STOOD_STILL, "no-spin"),
        ),
    ),
    Plant(
        "never-handed-over",
        "who has slept for long competes like everybody",
        (Edit(RWLOCK, "bool hand_over = g->given != 0 && g->starves;", "bool hand_over = false;"),),
        (Catch("test_rwlock", "all_readers_that_starve_go_before_the_next_writer"),),
    ),
    Plant(
        "grant-lost-with-the-thread",
        "a thread that attaching ends keeps the lock that was handed over to it",
        (
            Edit(
                RWLOCK,
                "    } else if (w->writer) {\n        lw_rwlock_give(w->lock, 0);",
                "    } else if (w->writer) {",
            ),
        ),
        (Catch("test_rwlock", "who_ends_while_it_attaches_passes_on_what_it_got"),),
    ),
    Plant(
        "write-unlock-before-the-queue",
        "write unlock lets go and then goes to the queue, when the lock may be freed",
        (
            Edit(RWLOCK, "while ((word & LW_RWLOCK_PARKED_) == 0) {", "for (;;) {"),
            Edit(
                RWLOCK,
                "            return;\n        }\n    }\n"
                "    lw_rwlock_wake(l, LW_RWLOCK_WRITER_, kept);",
                "            break;\n        }\n    }\n"
                "    if ((word & LW_RWLOCK_PARKED_) != 0) {\n"
                "        lw_sleep_(200000);\n        lw_rwlock_wake(l, 0, 0);\n    }",
            ),
        ),
        (
            Catch("stress_rwlock", "freed_by_next_owner", "heap-use-after-free", "asan-no-spin"),
            Catch(
                "stress_shared_rwlock", "freed_by_next_owner", "heap-use-after-free", "asan-no-spin"
            ),
        ),
    ),
    Plant(
        "count-below-zero",
        "a read unlock too many is not noticed",
        (
            Edit(
                RWLOCK,
                "    if (word < LW_RWLOCK_READER_) {\n"
                '        lw_fatal_("lw_rwlock_read_unlock", "no reader has locked it");\n    }\n',
                "",
            ),
        ),
        (Catch("test_rwlock", "misuse_ends_the_process"),),
    ),
    # ---- shared_rwlock ----
    Plant(
        "writer-without-membarrier",
        "a writer makes no reader finish the store to its slot before its look at the lock",
        (
            Edit(
                SHARED,
                "        lw_membarrier_();\n    } else {",
                "        lw_fence_seq_cst();\n    } else {",
            ),
        ),
        (Catch("stress_shared_rwlock", "exclusion", seconds=25.0),),
    ),
    Plant(
        "left-in-silence",
        "a reader that empties its slot wakes no writer",
        (
            Edit(
                SHARED_H,
                "    if (lw_park_announced_(address)) {\n        lw_park_notify_",
                "    if (address == NULL) {\n        lw_park_notify_",
            ),
        ),
        (Catch("stress_shared_rwlock", "writer_among_readers", STOOD_STILL, "no-spin"),),
    ),
    Plant(
        "slot-emptied-without-release",
        "a read unlock has no release order",
        (
            Edit(
                SHARED_H,
                "lw_atomic_store_release_ptr(slot, NULL);",
                "lw_atomic_store_relaxed_ptr(slot, NULL);",
            ),
        ),
        (Catch("stress_shared_rwlock", "exclusion", DATA_RACE, "tsan"),),
    ),
    Plant(
        "slots-from-the-end",
        "the writer goes through the slots against the direction in which they are emptied",
        (
            Edit(
                SHARED,
                "    for (i = 0; i < LW_THREAD_READS_; i++) {\n        /* (5)",
                "    for (i = LW_THREAD_READS_ - 1; i >= 0; i--) {\n        /* (5)",
            ),
        ),
        (
            Catch(
                "test_shared_rwlock",
                "lock_that_moves_between_slots_is_held_all_the_time",
                build="noise",
            ),
        ),
    ),
    Plant(
        "read-lock-outlives-its-thread",
        "the record of a thread that has exited still holds a lock",
        (
            Edit(THREAD, "        lw_thread_end_reads(r);\n        for", "        for"),
            Edit(THREAD, "    lw_thread_end_reads(r); /* that", "    /* that"),
        ),
        (Catch("test_shared_rwlock", "read_locks_end_with_their_thread"),),
    ),
    Plant(
        "counted-lock-outlives-its-thread",
        "a thread that has exited is still counted in a lock",
        (Edit(SHARED, "{NULL, lw_shared_rwlock_close};", "{NULL, NULL};"),),
        (Catch("test_shared_rwlock", "read_locks_end_with_their_thread"),),
    ),
    Plant(
        "read-lock-forked",
        "a forked child believes that the parent's other threads read",
        (
            Edit(
                THREAD,
                "        lw_atomic_store_relaxed_ptr(&r->head.reads[i], NULL);\n    }\n    r->open",
                "        (void)i;\n    }\n    r->open",
            ),
        ),
        (Catch("test_shared_rwlock", "forked_child_has_the_locks_of_its_thread"),),
    ),
    # ---- biased mutex ----
    Plant(
        "biased-without-second-look",
        "who enters by the bias does not look again whether it is still its own",
        (
            Edit(
                BIASED_H,
                "if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&m->word) == self)) {",
                "if (self != NULL) {",
            ),
        ),
        (Catch("test_biased_mutex", "bias_that_is_lost_on_the_way_in"),),
    ),
    Plant(
        "biased-revoked-without-wait",
        "who takes the bias away does not wait until its thread is out",
        (
            Edit(
                BIASED,
                "while (lw_biased_noted(w->from, m) && status == LW_OK) {",
                "while (w->mutex == NULL) {",
            ),
        ),
        (
            Catch("test_biased_mutex", "bias_of_who_is_inside"),
            Catch("stress_biased_mutex", "exclusion", "FAILED|has locked|not locked"),
        ),
    ),
    Plant(
        "biased-without-membarrier",
        "who takes the bias away looks into a slot that its thread has filled, but not shown yet",
        (Edit(BIASED, "        lw_membarrier_();\n", ""),),
        (Catch("stress_biased_mutex", "taken_away", seconds=25.0),),
    ),
    Plant(
        "biased-unlock-by-the-word",
        "a thread whose bias is being taken away unlocks as if it had none",
        (
            Edit(
                BIASED_H,
                "if (LW_LIKELY(lw_atomic_load_relaxed_ptr(slot) == &m->word)) {",
                "if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&m->word) == self)) {",
            ),
            Edit(
                BIASED,
                "    if (self != NULL && lw_biased_noted(self, m)) {",
                "    if (self != NULL && lw_atomic_load_relaxed_ptr(&m->word) == self) {",
            ),
        ),
        (
            Catch("test_biased_mutex", "bias_of_who_is_inside", "has locked"),
            Catch("stress_biased_mutex", "exclusion", "FAILED|has locked|not locked"),
        ),
    ),
    Plant(
        "biased-slot-overwritten",
        "a thread that holds another mutex by the same slot forgets that one",
        (
            Edit(
                BIASED_H,
                "if (LW_UNLIKELY(lw_atomic_load_relaxed_ptr(slot) != NULL)) {",
                "if (slot == NULL) {",
            ),
        ),
        (Catch("test_biased_mutex", "many_held_at_once", "FAILED|not locked|has locked"),),
    ),
    Plant(
        "biased-leave-without-release",
        "unlock by the bias has no release order",
        (
            Edit(
                BIASED_H,
                "lw_atomic_store_release_ptr(slot, NULL);",
                "lw_atomic_store_relaxed_ptr(slot, NULL);",
            ),
        ),
        (
            Catch(
                "test_biased_mutex",
                "who_takes_the_bias_away_sees_what_was_done_by_it",
                DATA_RACE,
                "tsan",
            ),
        ),
    ),
    Plant(
        "biased-unlock-touches-later",
        "unlock by the bias looks at the mutex after the release, when the next owner may have "
        "freed it",
        (
            Edit(
                BIASED_H,
                "            lw_biased_mutex_leave_(m, self, slot);\n            return;",
                "            volatile int wait;\n"
                "            lw_biased_mutex_leave_(m, self, slot);\n"
                "            for (wait = 0; wait < 1000; wait++) {\n            }\n"
                "            (void)lw_atomic_load_relaxed_ptr(&m->word);\n            return;",
            ),
        ),
        (Catch("stress_biased_mutex", "freed_by_next_owner", "heap-use-after-free", "asan"),),
    ),
    Plant(
        "biased-claim-kept",
        "who gives up leaves the mutex claimed",
        (
            Edit(
                BIASED,
                "    } else {\n        lw_biased_give_back(w);\n    }\n    return status;",
                "    }\n    return status;",
            ),
        ),
        (Catch("test_biased_mutex", "bias_of_who_is_inside"),),
    ),
    Plant(
        "biased-claim-lost-with-the-thread",
        "a thread that attaching ends takes its claim with it",
        (
            Edit(
                BIASED,
                "        lw_biased_expect_no_more(w);\n        lw_biased_give_back(w);\n    } else",
                "        lw_biased_expect_no_more(w);\n    } else",
            ),
        ),
        (Catch("test_biased_mutex", "who_ends_with_a_claim_gives_it_back"),),
    ),
    Plant(
        "biased-claim-forked",
        "a forked child finds claimed what it holds, by a thread that is not there",
        (
            Edit(
                THREAD,
                "            lw_record_unclaim(r);\n",
                "            (void)lw_record_unclaim;\n",
            ),
        ),
        (Catch("test_biased_mutex", "forked_child_unlocks_what_it_holds", "FAILED|it hung"),),
    ),
    Plant(
        "biased-awaited-in-the-child",
        "a forked child's record counts claimers that are not there: each unlock looks for them",
        (
            Edit(
                THREAD,
                "lw_atomic_store_relaxed_u32(&r->head.biased_awaited, 0);",
                "(void)r;",
            ),
        ),
        (Catch("test_biased_mutex", "forked_child_unlocks_what_it_holds"),),
    ),
    Plant(
        "biased-record-reused",
        "a new thread gets the record of one that ended while it held a lock, and the lock with it",
        (
            Edit(
                THREAD,
                "    if (!lw_record_locks(r)) {\n        lw_record_give",
                "    {\n        lw_record_give",
            ),
        ),
        (Catch("test_biased_mutex", "exit_inside_leaves_it_locked"),),
    ),
    Plant(
        "biased-record-reused-in-the-child",
        "a thread of a forked child gets the record of one that held a lock, and the lock with it",
        (
            Edit(
                THREAD,
                "        if (!lw_record_locks(r)) {\n            r->next_free",
                "        {\n            r->next_free",
            ),
        ),
        (
            Catch(
                "test_biased_mutex",
                "forked_child_finds_locked_what_another_thread_holds",
                "FAILED|already",
            ),
        ),
    ),
    Plant(
        "biased-to-who-comes-often",
        "what counts for the bias are locks in a row by whichever threads",
        (
            Edit(
                BIASED,
                "last == self && self != NULL ? LW_PLAIN_GET(m->run) : 0",
                "last != NULL ? LW_PLAIN_GET(m->run) : 0",
            ),
        ),
        (Catch("test_biased_mutex", "bias_goes_to_who_locks_it_often_in_a_row"),),
    ),
    # ---- thread ----
    Plant(
        "record-not-reused",
        "the record of a thread that exited is never used again (F7)",
        (
            Edit(
                THREAD,
                "    d->free_records = r;\n    lw_rawlock_unlock_(&d->lock);\n",
                "    lw_rawlock_unlock_(&d->lock);\n",
            ),
        ),
        (Catch("test_thread", "records_of_threads_that_exited_are_reused"),),
    ),
    Plant(
        "section-of-dead-thread-forked",
        "a forked child believes that sections of the parent's other threads are open",
        (
            Edit(
                THREAD,
                "    lw_atomic_store_relaxed_u64(&r->head.smr_epoch, 0);\n"
                "    r->head.smr_depth = 0;\n    r->head.held = NULL;\n    r->ref_taken",
                "    r->ref_taken",
            ),
        ),
        (Catch("test_smr", "sections_of_the_parents_threads_delay_no_child", "it hung"),),
    ),
    Plant(
        "queue-lock-held-at-fork",
        "a forked child finds the lock of a wait queue held by a thread of the parent",
        (Edit(PARK, "        (void)lw_rawlock_forked_(&q->lock);\n", ""),),
        (Catch("test_park", "fork_beside_a_locked_queue", "it hung"),),
    ),
    Plant(
        "smr-lock-held-at-fork",
        "a forked child finds the lock of the orphans held by a thread of the parent",
        (Edit(THREAD, "if (lw_rawlock_forked_(&d->smr_lock)) {", "if (d == NULL) {"),),
        (Catch("test_smr", "fork_beside_locked_lists", "it hung"),),
    ),
    Plant(
        "first-use-cancelled",
        "a thread that is cancelled while it makes the domain leaves it half-made",
        (Edit(DOMAIN, "int cancel = lw_cancel_off_();", "int cancel = 0;"),),
        (Catch("test_thread", "first_use_is_no_cancellation_point"),),
    ),
    Plant(
        "waiter-cancelled",
        "a thread that is cancelled while it waits stays in the queue",
        (Edit(POSIX, "int cancel = lw_cancel_off_();", "int cancel = 0;"),),
        (Catch("test_mutex", "cancelled_waiter_stays_until_it_has_the_lock", build="posix"),),
    ),
    Plant(
        "signal-restarted",
        "a wait without a limit goes on after a handler that restarts system calls",
        (Edit(FUTEX, "if (interruptible && deadline_ns < 0) {", "if (parker == NULL) {"),),
        (Catch("test_mutex", "signal_whose_calls_are_restarted_interrupts_too"),),
    ),
    Plant(
        "record-after-exit",
        "a thread gets a record anew when its destructor may have run for the last time",
        (
            Edit(
                THREAD,
                "    LW_TLS_SLOT_()->exited = 1;\n    (void)lw_key_set_(d->key, NULL);\n",
                "    LW_TLS_SLOT_()->exited = 0;\n    (void)lw_key_set_(d->key, NULL);\n",
            ),
        ),
        (Catch("test_thread", "last_destructors_of_a_thread_leave_no_record_in_use"),),
    ),
    Plant(
        "section-of-an-exiting-thread",
        "free functions run at a thread's exit inside of the section that it left open",
        (
            Edit(
                THREAD,
                "        r->head.smr_depth = 0;\n"
                "        lw_atomic_store_release_u64(&r->head.smr_epoch, 0);\n"
                "        lw_thread_end_reads(r);\n        for",
                "        lw_thread_end_reads(r);\n        for",
            ),
        ),
        (Catch("test_smr", "exit_inside_a_section_frees_outside_of_it"),),
    ),
    # ---- ref ----
    Plant(
        "merge-lost",
        "a reference that is handed over to an owner that has exited is not merged",
        (Edit(REF, "        dead = lw_ref_merge(ref);\n", ""),),
        (
            Catch("test_ref", "object_outlives_its_owner"),
            Catch("stress_ref", "wandering", seconds=2.0),
        ),
    ),
    Plant(
        "queue-lost-at-exit",
        "an owner exits without merging what was handed over to it",
        (Edit(REF, "    (void)lw_ref_drain_record(r);\n", "    (void)r;\n"),),
        (Catch("test_ref", "queue_is_merged_when_the_owner_exits", "FAILED|Timeout"),),
    ),
    Plant(
        "relaxed-final-decrement",
        "the drop that ends a merged count orders nothing",
        (
            Edit(
                REF,
                "lw_atomic_sub_acq_rel_u32(&ref->shared",
                "lw_atomic_sub_relaxed_u32(&ref->shared",
            ),
        ),
        (Catch("stress_ref", "dropped_together", DATA_RACE, "tsan"),),
    ),
    Plant(
        "dead-object-revived",
        "lw_ref_try_inc takes a reference to an object that is dead",
        (
            Edit(
                REF,
                "        if (shared == LW_REF_MERGED_) {",
                "        if (shared == 0xfffffffe) {",
            ),
        ),
        (
            Catch("test_ref", "owner_counts"),
            Catch("stress_ref", "wandering"),
        ),
    ),
    Plant(
        "owner-goes-on-counting",
        "an object that is queued keeps its owner, who counts it without atomics still",
        (
            Edit(
                REF,
                "wanted = shared == LW_REF_BIASED_ ? (uint32_t)LW_REF_QUEUED_ "
                ": shared - LW_REF_ONE_;",
                "wanted = shared - LW_REF_ONE_;",
            ),
        ),
        (Catch("test_ref", "handed_over_reference_is_merged_by_drain"),),
    ),
    Plant(
        "drain-recurses",
        "destroy functions that drop other objects merge the queue inside of each other",
        (
            Edit(
                REF,
                "    if (r->ref_draining) {\n",
                "    if (r->ref_draining && r->slots == NULL) {\n",
            ),
        ),
        (Catch("test_ref", "draining_does_not_recurse", "signal 11"),),
    ),
    Plant(
        "count-wraps-in-a-merge",
        "more references than the merged count has bits for make it zero",
        (Edit(REF, "if (local > LW_REF_MOST_) {", "if (local == LW_REF_IMMORTAL_) {"),),
        (Catch("test_ref", "too_many_to_merge_is_immortal"),),
    ),
    # ---- smr ----
    Plant(
        "retire-without-grace",
        "retired objects are freed without a grace period",
        (Edit(SMR, "if (self->closed[i].stamp <= oldest) {", "if (oldest != 0) {"),),
        (
            Catch("test_smr", "section_of_another_thread_delays_the_free"),
            Catch("stress_smr", "no_use_after_free"),
        ),
    ),
    Plant(
        "orphans-without-grace",
        "what an exited thread retired is freed without a grace period",
        (Edit(SMR, "d->smr_waiting.stamp <= lw_smr_oldest(d)", "lw_smr_oldest(d) != 0"),),
        (
            Catch("test_smr", "what_an_exited_thread_retired_is_freed_by_others"),
            Catch("stress_smr", "no_use_after_free"),
        ),
    ),
    Plant(
        "no-membarrier",
        "a grace period begins without the dear half of the asymmetric fence",
        (Edit(SMR, "        lw_membarrier_();\n", ""),),
        (Catch("stress_smr", "close_together"),),
    ),
    Plant(
        "no-fence-without-membarrier",
        "where there is no membarrier, sections begin without a fence",
        (Edit(SMR_H, "if (LW_UNLIKELY(self->smr_strong)) {", "if (0) {"),),
        (Catch("stress_smr", "close_together", environment=(("LW_NO_MEMBARRIER", "1"),)),),
    ),
    Plant(
        "section-end-without-release",
        "the end of a section orders nothing",
        (
            Edit(
                SMR_H,
                "lw_atomic_store_release_u64(&self->smr_epoch, 0);",
                "lw_atomic_store_relaxed_u64(&self->smr_epoch, 0);",
            ),
        ),
        (Catch("stress_smr", "no_use_after_free", DATA_RACE, "tsan"),),
    ),
    Plant(
        "inner-section-ends-all",
        "the end of an inner section ends the outer one",
        (Edit(SMR_H, "if (--self->smr_depth == 0) {", "if (--self->smr_depth < 2) {"),),
        (
            Catch("test_smr", "only_the_outermost_exit_ends_a_section"),
            Catch("stress_smr", "no_use_after_free"),
        ),
    ),
    Plant(
        "garbage-lost-at-exit",
        "what a thread has retired is forgotten when it exits (F12)",
        (
            Edit(
                SMR,
                "lw_batch_join(&d->smr_orphans, &r->closed[i]);",
                "(void)lw_batch_take(&r->closed[i]);",
            ),
        ),
        (Catch("test_smr", "what_an_exited_thread_retired_is_freed_by_others"),),
    ),
    Plant(
        "bytes-not-counted",
        "retired memory has no budget in bytes (F12)",
        (Edit(SMR, "r->open.bytes >= LW_SMR_BATCH_BYTES ||", "false ||"),),
        (Catch("test_smr", "bytes_pending_are_bounded"),),
    ),
    Plant(
        "never-alone-noticed",
        "a thread believes to be alone while others have sections open",
        (
            Edit(
                SMR,
                "lw_atomic_load_acquire_u64(&d->live) == 1",
                "lw_atomic_load_acquire_u64(&d->live) != 0",
            ),
        ),
        (
            Catch("test_smr", "section_of_another_thread_delays_the_free"),
            Catch("stress_smr", "newcomers"),
        ),
    ),
    Plant(
        "refused-unbounded",
        "what is refused by threads that come and go is offered to others too rarely (F12)",
        (Edit(SMR, "lw_smr_due_to_ask(d, r) || lw_smr_alone(d, r)", "lw_smr_alone(d, r)"),),
        (
            Catch("test_smr", "refused_is_bounded_while_others_retire_a_little"),
            Catch("test_smr", "refused_bytes_are_bounded_while_others_retire_a_little"),
        ),
    ),
    Plant(
        "refused-asked-each-time",
        "what is refused is offered at each call, so that many cost time for ever",
        (Edit(SMR, "return now >= asked + (", "return now + asked != 0 || now > ("),),
        (Catch("test_smr", "refusing_is_asked_a_bounded_number_of_times"),),
    ),
    Plant(
        "batch-lost-with-its-thread",
        "a free function that ends its thread takes the rest of the batch with it",
        (
            Edit(
                SMR,
                "    lw_batch_join(&d->smr_orphans, &r->due);",
                "    (void)lw_batch_take(&r->due);",
            ),
        ),
        (Catch("test_smr", "free_function_that_ends_the_thread_loses_no_other"),),
    ),
    Plant(
        "anonymous-section-outlives-its-thread",
        "a thread without a record that ends inside of a section ends reclamation for good",
        (Edit(SMR, "        lw_thread_add_anonymous_(d, 1);\n", ""),),
        (Catch("test_smr", "exit_inside_a_section_without_a_record_ends_it"),),
    ),
    Plant(
        "recursion-without-a-record",
        "free functions that retire are run inside of each other",
        (Edit(SMR, "if (slot->anonymous_freeing == 0) {", "if (slot->self == NULL) {"),),
        (Catch("test_smr", "retiring_without_a_record_does_not_recurse", "FAILED|signal 11"),),
    ),
    Plant(
        "sections-of-one-copy",
        "a copy of the library does not know the section that the thread opened through another",
        (Edit(SMR, "(r != NULL && r->head.smr_depth != 0)", "(r != NULL && r->freeing)"),),
        (Catch("test_copies", "a_section_of_one_is_known_to_the_other"),),
    ),
    # ---- map ----
    Plant(
        "moved-mark-ignored",
        "a reader takes a bucket whose entries have moved for an empty one",
        (
            Edit(
                MAP,
                "if (LW_LIKELY(*head != LW_MOVED)) {",
                "if (*head == LW_MOVED) {\n            *head = NULL;\n        }\n"
                "        if (LW_LIKELY(*head != LW_MOVED)) {",
            ),
        ),
        (
            Catch("linearizability", "map_histories_while_resized"),
            Catch("stress_map", "iteration"),
        ),
    ),
    Plant(
        "lookup-in-the-old-table",
        "a lookup does not see what has moved to the next table",
        (
            Edit(
                MAP,
                "&head);\n    status = lw_map_find(map, key, hash, t, bucket, head, &e, &at);\n"
                "    if (status == LW_OK && value",
                "&head);\n    head = t == lw_atomic_load_relaxed_ptr(&map->table) ? head : NULL;\n"
                "    status = lw_map_find(map, key, hash, t, bucket, head, &e, &at);\n"
                "    if (status == LW_OK && value",
            ),
        ),
        (
            Catch("linearizability", "map_histories_of_colliding_keys_while_resized", HISTORY),
            Catch("linearizability", "map_histories_while_resized", HISTORY),
        ),
    ),
    Plant(
        "value-after-the-section",
        "a lookup takes its reference to the value after its section has ended (F1)",
        (
            Edit(
                MAP,
                "        if (map->config.ref != NULL) {\n"
                "            map->config.ref(map->config.context, *value);\n"
                "        }\n    }\n    lw_smr_exit();\n",
                "        lw_smr_exit();\n        lw_sleep_(100000);\n"
                "        if (map->config.ref != NULL) {\n"
                "            map->config.ref(map->config.context, *value);\n"
                "        }\n        lw_smr_enter();\n    }\n    lw_smr_exit();\n",
            ),
        ),
        (
            Catch("stress_map", "owned_values", "heap-use-after-free|FAILED", "asan"),
            Catch(
                "test_dict_threads",
                "test_f1_no_lookup_returns_another_keys_value[str]",
                r"the value of|type\(value\)|Fatal",
                "python",
                60.0,
            ),
        ),
    ),
    Plant(
        "value-read-after-the-section",
        "a lookup reads the value after its section has ended (F1)",
        (
            Edit(
                MAP,
                "        *value = lw_atomic_load_acquire_u64(&e->value);\n",
                "        lw_smr_exit();\n        *value = lw_atomic_load_acquire_u64(&e->value);\n"
                "        lw_smr_enter();\n",
            ),
        ),
        (
            Catch("stress_map", "identity_u64", "FAILED", "noise"),
            Catch("stress_map", "identity_bytes", "FAILED", "noise"),
            Catch("stress_map", "identity_custom", "FAILED", "noise"),
        ),
    ),
    Plant(
        "value-released-early",
        "a removed value is released at once, while readers may hold it",
        (
            Edit(
                MAP,
                "if (map->config.exclusive) {\n        (void)free_fn",
                "if (true) {\n        (void)free_fn",
            ),
        ),
        (
            Catch("test_map", "values_are_released_after_readers_have_gone"),
            Catch("stress_map", "owned_values", "heap-use-after-free|double-free|FAILED", "asan"),
        ),
    ),
    Plant(
        "writes-without-the-stripe",
        "two writers of one stripe are not kept apart",
        (
            Edit(
                MAP,
                "lw_mutex_lock(&stripe->mutex);\n"
                "        lw_smr_enter(); /* for the older of two tables, "
                "which another thread may retire meanwhile */\n        t = lw_map_bucket",
                "(void)lw_mutex_trylock(&stripe->mutex);\n"
                "        lw_smr_enter();\n        t = lw_map_bucket",
            ),
        ),
        (Catch("stress_map", "sums", "FAILED|stood still|ended by signal"),),
    ),
    Plant(
        "compute-overwrites",
        "lw_map_compute stores without looking whether the value changed",
        (
            Edit(
                MAP,
                "present ? lw_map_compare_replace_key(map, key, old, value)",
                "present ? lw_map_replace_key(map, key, value, NULL)",
            ),
        ),
        (
            Catch("test_map", "compute_asks_again_when_the_key_changed"),
            Catch("linearizability", "map_histories_of_colliding_keys"),
            Catch("linearizability", "map_histories", HISTORY, "noise"),
        ),
    ),
    Plant(
        "insert-without-second-look",
        "put_if_absent inserts what another thread has inserted since its first look",
        (
            Edit(
                MAP,
                "        if (status == LW_NOT_FOUND && inserts) {",
                "        if ((status == LW_NOT_FOUND || op == LW_MAP_PUT_IF_ABSENT) && inserts) {",
            ),
        ),
        (Catch("linearizability", "map_histories_of_colliding_keys"),),
    ),
    Plant(
        "insert-without-release",
        "a new entry is published without release order",
        (
            Edit(
                MAP,
                "lw_atomic_store_release_ptr(bucket, fresh);",
                "lw_atomic_store_relaxed_ptr(bucket, fresh);",
            ),
        ),
        (Catch("stress_map", "identity_u64", DATA_RACE, "tsan"),),
    ),
    Plant(
        "scan-skips-in-a-shrink",
        "an iteration steps by the size of the next table and skips entries while it shrinks",
        (
            Edit(
                MAP,
                "rest = ~lw_reverse_bits(t->mask);",
                "{\n"
                "            lw_table *n = (lw_table *)lw_atomic_load_relaxed_ptr(&t->next);\n"
                "            t = n != NULL && n->mask < t->mask ? n : t;\n        }\n"
                "        rest = ~lw_reverse_bits(t->mask);",
            ),
        ),
        (Catch("stress_map", "iteration"),),
    ),
    Plant(
        "links-reused-early",
        "a resize does not wait until no reader is on the chains whose links it uses",
        (
            Edit(
                MAP,
                "if (grace != LW_RESIZING && (grace == 0 || lw_smr_grace_passed(grace))) {",
                "if (grace != LW_RESIZING) {",
            ),
        ),
        (Catch("test_map", "a_second_resize_waits_for_readers_of_old_chains"),),
    ),
    Plant(
        "scan-repeats-after-a-shrink",
        "an iteration visits all of a bucket that has swallowed visited ones",
        (Edit(MAP, "if (lw_reverse_bits(e->hash) >= from) {", "if (e != NULL) {"),),
        (
            Catch("test_map", "scan_while_the_table_shrinks"),
            Catch("stress_map", "iteration"),
        ),
    ),
    Plant(
        "never-shrinks",
        "the table does not shrink (F5)",
        (Edit(MAP, "buckets > map->min_buckets && count", "false && count"),),
        (
            Catch("test_map", "grows_and_shrinks"),
            Catch("stress_map", "memory", build="asan"),
        ),
    ),
    Plant(
        "section-of-others-taken-for-its-own",
        "a section inside of one on another object begins nothing",
        (
            Edit(
                CPYTHON,
                "return (a == first || a == second) && (b == first || b == second);",
                "return true || (a == second && b == first);",
            ),
        ),
        (
            Catch(
                "test_sections",
                "test_who_wants_a_section_gets_it_in_turn[False]",
                "assert False is True",
                "python",
                60.0,
            ),
        ),
    ),
    Plant(
        "section-inside-of-itself",
        "a section waits for the one around it on the same object, and lets others in",
        (
            Edit(
                CPYTHON,
                "return (a == first || a == second) && (b == first || b == second);",
                "return false && a == second && b == first;",
            ),
        ),
        (
            Catch(
                "test_sections",
                "test_who_wants_a_section_gets_it_in_turn[True]",
                "assert False is True",
                "python",
                60.0,
            ),
        ),
    ),
    Plant(
        "chain-on-the-stack",
        "each object that is freed frees the next one inside of it",
        (
            Edit(CONDITION_PY, "    Py_TRASHCAN_BEGIN(self, condition_dealloc);\n", ""),
            Edit(CONDITION_PY, "    Py_TRASHCAN_END;\n", ""),
        ),
        (Catch("test_condition", "test_a_chain_of_locks", "Segmentation fault", "python", 60.0),),
    ),
    Plant(
        "entries-leak",
        "a removed entry is not freed (F5)",
        (
            Edit(
                MAP,
                "    if (removed != NULL) {\n        lw_map_dispose_entry(map, removed);\n    }\n",
                "",
            ),
        ),
        (
            Catch("test_map", "every_nth_allocation_fails_u64"),
            Catch("fuzz_map", "", "FAILED|LeakSanitizer", "fuzz"),
            Catch("test_memory", "test_f5_the_table_shrinks", "assert left < full", "python", 60.0),
        ),
    ),
    Plant(
        "entries-beside-the-allocator",
        "entries are of another allocator than the domain's, and are not freed (F5)",
        (
            Edit(MAP, "    e = (lw_entry *)lw_alloc(", "    e = (lw_entry *)malloc("),
            Edit(MAP, "    lw_free(e);\n    return true;\n", "    return true;\n"),
        ),
        (Catch("stress_map", "memory", "FAILED.* resident_now <=", seconds=60.0),),
    ),
    Plant(
        "count-kept-on-remove",
        "lw_map_size forgets that a compare-and-remove removes",
        (
            Edit(
                MAP,
                "                count = lw_atomic_load_relaxed_u64(&stripe->count) - 1;",
                "                count = lw_atomic_load_relaxed_u64(&stripe->count) -\n"
                "                        (op != LW_MAP_COMPARE_REMOVE);",
            ),
        ),
        (Catch("fuzz_map", "", "FAILED", "fuzz"),),
    ),
    Plant(
        "clear-forgets-the-next-table",
        "lw_map_clear in the middle of a resize leaves what has moved already",
        (
            Edit(
                MAP,
                "        for (t = (lw_table *)lw_atomic_load_acquire_ptr(&map->table); t != NULL;\n"
                "             t = (lw_table *)lw_atomic_load_acquire_ptr(&t->next)) {\n"
                "            size_t b;",
                "        for (t = (lw_table *)lw_atomic_load_acquire_ptr(&map->table); t != NULL;\n"
                "             t = NULL) {\n            size_t b;",
            ),
        ),
        (Catch("test_map", "clear_in_the_middle_of_a_resize"),),
    ),
    Plant(
        "table-assumed",
        "a resize does not expect that there is no memory for the new table",
        (Edit(MAP, "    if (t != NULL) {\n        t->mask", "    {\n        t->mask"),),
        (
            Catch(
                "test_map",
                "a_table_that_cannot_grow_still_works",
                "FAILED|SEGV|Segmentation|signal 11",
            ),
        ),
    ),
    Plant(
        "scan-gives-a-mixed-hash",
        "an iteration tells the map's own hash of a custom key, not the one it was put with",
        (Edit(MAP, "entry.hash = lw_unmix(e->hash) ^ map->seed;", "entry.hash = e->hash;"),),
        (
            Catch("test_map", "scan_of_bytes_and_custom_keys"),
            Catch("fuzz_map", "", "FAILED", "fuzz"),
        ),
    ),
    Plant(
        "values-weigh-nothing",
        "what waits for its release counts as its node alone, however large its value is (F12)",
        (
            Edit(
                MAP,
                "return asks ? map->config.weigh(map->config.context, key, value, what) : 0;",
                "return asks && value == 0 ? 1 : 0;",
            ),
        ),
        (
            Catch("test_map", "values_count_by_their_weight"),
            Catch("test_map", "heavy_values_do_not_gather_beside_an_idle_thread"),
        ),
    ),
    Plant(
        "keys-weigh-nothing",
        "a removed entry counts without its key, however large that is (F12)",
        (
            Edit(
                MAP,
                "map->config.weigh(map->config.context, key, value, what)",
                "map->config.weigh(map->config.context, 0, value, LW_MAP_VALUE)",
            ),
        ),
        (Catch("test_map", "keys_and_values_count_by_their_weight"),),
    ),
    # ---- ConcurrentDict ----
    Plant(
        "compared-and-let-go",
        "the reference to a stored key is dropped when it was compared, and not when all is done "
        "(F2)",
        (
            Edit(
                PROBE,
                "    p->answers[p->count].stored = stored;\n",
                "    p->answers[p->count].stored = stored;\n    Py_DECREF(stored);\n",
            ),
            Edit(PROBE, "        Py_DECREF(p->answers[i].stored);\n", ""),
        ),
        (
            Catch(
                "test_dict_hostile",
                "test_f2_stored_keys_live_until_the_operation_is_done",
                "assert not freed_too_early",
                "python",
                60.0,
            ),
        ),
    ),
    Plant(
        "compared-under-the-lock",
        "__eq__ runs inside of the map's operation (F4)",
        (
            Edit(
                PROBE,
                "    if (p->undecided == NULL) {\n        /* The",
                "    p->undecided = Py_NewRef(stored);\n"
                "    return probe_decide(p) < 0 ? LW_MATCH_UNKNOWN\n"
                "                               : as_match(p->answers[p->count - 1].equal);\n"
                "    if (p->undecided == NULL) {\n        /* The",
            ),
        ),
        (
            Catch(
                "test_dict_hostile",
                "test_eq_that_waits_for_another_thread_that_writes_the_same_key",
                "it hung",
                "python",
                1.0,
            ),
        ),
    ),
    # ---- domain ----
    Plant(
        "domain-of-its-own",
        "a copy of the library does not find the domain of the others",
        (
            Edit(
                DOMAIN,
                "        if (lw_domain_fits_((lw_domain *)found)) {\n            return",
                "        if (found == &lw_own_domain) {\n            return",
            ),
        ),
        (Catch("test_copies", "one_domain"),),
    ),
    Plant(
        "no-look-past-another-version",
        "copies do not find each other where one of another version came first",
        (
            Edit(
                DOMAIN,
                "        link = &((lw_domain_header *)found)->next;\n",
                "        lw_domain_make_own();\n        return &lw_own_domain;\n",
            ),
        ),
        (Catch("test_copies", "two_find_each_other_past_another_version"),),
    ),
)
