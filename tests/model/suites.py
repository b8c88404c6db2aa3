"""What is checked: harnesses, how deep each suite of them goes, and the orders that may be weaker.

A suite names its runs. "bound N" explores every execution with up to N preemptions, loads of values
that were overwritten included; "random N" draws N executions without limit. A run with a `soak`
in its place goes there instead under --soak.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SYMMETRIC = ("symmetric",)
ALL_FENCES = ("symmetric", "global", "real")


@dataclass(frozen=True)
class Suite:
    bound: int  # preemptions; 0: none, random only
    soak_bound: int
    random: int = 0  # executions
    fences: tuple[str, ...] = SYMMETRIC


@dataclass(frozen=True)
class Area:
    """A harness, and the files whose orders its suites are there for."""

    harness: str
    files: tuple[str, ...]
    suites: dict[str, Suite] = field(default_factory=dict)


AREAS = {
    "mutex": Area(
        "mutex.cpp",
        (
            "include/latchwork/mutex.h",
            "include/latchwork/park.h",
            "src/locks/mutex.c",
            "src/base/park.c",
        ),
        {
            "mutex_pair": Suite(4, 8, fences=ALL_FENCES),
            "mutex_three": Suite(2, 4, fences=ALL_FENCES),
            "mutex_try": Suite(3, 5, fences=ALL_FENCES),
            "mutex_tryunlock": Suite(3, 5),
            "mutex_unlocked_by_all": Suite(2, 3),
            "mutex_timed": Suite(2, 3, random=50_000),
            "mutex_interrupted": Suite(3, 5),
            "mutex_first": Suite(4, 5, fences=ALL_FENCES),
            "mutex_clock": Suite(3, 5),
            "mutex_lost": Suite(2, 3, random=50_000),
            "mutex_handed": Suite(2, 3, random=50_000),
            "mutex_handed_pair": Suite(3, 5, fences=ALL_FENCES),
            "mutex_freed_pair": Suite(4, 6, fences=ALL_FENCES),
            "mutex_freed_three": Suite(2, 4),
            "park_wait": Suite(2, 3),
            "park_shared": Suite(4, 5, fences=ALL_FENCES),
            "park_token": Suite(2, 3),
            "park_hooks": Suite(3, 6),
        },
    ),
    "critical": Area(
        "critical.cpp",
        ("include/latchwork/critical.h", "src/locks/critical.c"),
        {
            "critical_cross": Suite(3, 4),
            "critical_handed": Suite(2, 4, random=20_000),
            "critical_pairs": Suite(2, 4),
            "critical_few": Suite(3, 5, fences=ALL_FENCES),
            "critical_sleep": Suite(3, 4),
            "critical_ring": Suite(1, 2, random=20_000),
        },
    ),
    "cond": Area(
        "cond.cpp",
        (
            "include/latchwork/cond.h",
            "include/latchwork/rmutex.h",
            "src/locks/cond.c",
            "src/locks/rmutex.c",
        ),
        {
            "rmutex_levels": Suite(3, 5),
            "rmutex_three": Suite(2, 3),
            "cond_hand_over": Suite(3, 5),
            "cond_two_takers": Suite(2, 3),
            "cond_exact_plain": Suite(2, 3),
            "cond_exact_timed": Suite(3, 4),
            "cond_exact_mixed": Suite(0, 0, random=100_000),
            "cond_lost_waiting": Suite(2, 3),
            "cond_lost_locking": Suite(2, 3),
            "cond_freed": Suite(4, 6),
            "cond_freed_by_notifier": Suite(2, 3),
            "cond_levels": Suite(3, 4),
        },
    ),
    "once": Area(
        "once.cpp",
        ("include/latchwork/once.h", "src/locks/once.c"),
        {
            "once_pair": Suite(4, 6),
            "once_three": Suite(2, 3),
            "once_fails": Suite(4, 6),
            "once_fails_three": Suite(2, 3),
            "once_timed": Suite(1, 2, random=50_000),
            "once_ended": Suite(2, 3),
            "once_freed": Suite(4, 6),
        },
    ),
    "seqlock": Area(
        "seqlock.cpp",
        ("include/latchwork/seqlock.h", "src/locks/seqlock.c"),
        {
            "seqlock_pair": Suite(3, 4),
            "seqlock_rounds": Suite(3, 4),
            "seqlock_two_writers": Suite(2, 3),
            "seqlock_two_readers": Suite(2, 3),
            "seqlock_parts": Suite(4, 6),
            "seqlock_lone": Suite(4, 6),
        },
    ),
    "event": Area(
        "event.cpp",
        ("include/latchwork/event.h", "src/locks/event.c"),
        {
            "event_set": Suite(3, 5),
            "event_pulse": Suite(2, 4),
            "event_pulse_one": Suite(4, 6),
            "event_consumed": Suite(4, 6),
            "event_timed": Suite(2, 4),
            "event_left": Suite(4, 6),
            "event_freed": Suite(4, 6),
            "event_again": Suite(4, 6),
        },
    ),
    "latch": Area(
        "latch.cpp",
        ("include/latchwork/latch.h", "src/locks/latch.c"),
        {
            "latch_two_counts": Suite(3, 5),
            "latch_two_waits": Suite(3, 5),
            "latch_arrive": Suite(2, 4),
            "latch_mixed": Suite(3, 5),
            "latch_timed": Suite(2, 4),
            "latch_left": Suite(4, 6),
            "latch_freed": Suite(4, 6),
            "latch_arrive_freed": Suite(2, 4),
        },
    ),
    "sem": Area(
        "sem.cpp",
        ("include/latchwork/sem.h", "src/locks/sem.c"),
        {
            "sem_pair": Suite(3, 5),
            "sem_three": Suite(2, 4),
            "sem_timed": Suite(1, 2, random=20_000),
            "sem_several": Suite(2, 4),
            "sem_one_by_one": Suite(2, 4),
            "sem_bounded": Suite(1, 3, random=20_000),
            "sem_lost": Suite(2, 3),
            "sem_freed": Suite(4, 6),
            "sem_freed_by_last": Suite(1, 3, random=50_000),
        },
    ),
    "barrier": Area(
        "barrier.cpp",
        ("src/locks/barrier.c",),
        {
            "barrier_rounds": Suite(3, 5),
            "barrier_three": Suite(2, 4),
            "barrier_action": Suite(2, 4),
            "barrier_failed": Suite(3, 5),
            "barrier_ended": Suite(3, 5),
            "barrier_timed": Suite(4, 6),
            "barrier_timed_action": Suite(3, 5),
            "barrier_interrupted": Suite(3, 5),
            "barrier_aborted": Suite(2, 4),
            "barrier_abort_action": Suite(2, 3),
            "barrier_reset_action": Suite(2, 3),
            "barrier_door": Suite(2, 3),
            "barrier_lost": Suite(3, 5),
            "barrier_freed": Suite(2, 4),
            "barrier_freed_action": Suite(3, 5),
        },
    ),
    "rwlock": Area(
        "rwlock.cpp",
        ("include/latchwork/rwlock.h", "src/locks/rwlock.c"),
        {
            "rwlock_pair": Suite(5, 7),
            "rwlock_writers": Suite(3, 4),
            "rwlock_readers": Suite(3, 4),
            "rwlock_try": Suite(3, 5),
            "rwlock_timed": Suite(1, 2, random=50_000),
            "rwlock_handed": Suite(2, 3, random=20_000),
            "rwlock_downgrade": Suite(2, 4),
            "rwlock_upgrade": Suite(2, 4),
            "rwlock_lost": Suite(1, 2, random=20_000),
            "rwlock_drain_lost": Suite(2, 3),
            "rwlock_freed": Suite(4, 6),
            "rwlock_freed_three": Suite(1, 2, random=20_000),
        },
    ),
    "shared_rwlock": Area(
        "shared_rwlock.cpp",
        ("include/latchwork/shared_rwlock.h", "src/locks/shared_rwlock.c"),
        {
            "shared_pair": Suite(2, 3, fences=ALL_FENCES),
            "shared_readers": Suite(1, 2, random=20_000, fences=ALL_FENCES),
            "shared_writers": Suite(1, 2, random=20_000),
            "shared_two_locks": Suite(3, 4, fences=ALL_FENCES),
            "shared_moves": Suite(2, 4),
            "shared_nested": Suite(2, 3),
            "shared_timed": Suite(1, 2, random=20_000),
            "shared_no_record": Suite(2, 3),
            "shared_newcomer": Suite(2, 3, fences=ALL_FENCES),
            "shared_exit": Suite(2, 3, fences=ALL_FENCES),
            "shared_lost": Suite(1, 2, random=20_000),
            "shared_freed": Suite(2, 4, fences=ALL_FENCES),
        },
    ),
    "biased_mutex": Area(
        "biased_mutex.cpp",
        ("include/latchwork/biased_mutex.h", "src/locks/biased_mutex.c"),
        {
            "biased_pair": Suite(3, 5, fences=ALL_FENCES),
            "biased_three": Suite(1, 2, random=20_000, fences=ALL_FENCES),
            "biased_try": Suite(3, 5, fences=ALL_FENCES),
            "biased_timed": Suite(1, 2, random=20_000),
            "biased_interrupted": Suite(2, 4),
            "biased_ended": Suite(1, 2, random=20_000),
            "biased_freed": Suite(2, 4, fences=ALL_FENCES),
            "biased_same_slot": Suite(2, 4, fences=ALL_FENCES),
            "biased_nested": Suite(2, 3),
            "biased_inherited": Suite(2, 3),
            "biased_no_record": Suite(2, 4, fences=ALL_FENCES),
            "biased_first": Suite(3, 5),
        },
    ),
    "ref": Area(
        "ref.cpp",
        ("include/latchwork/ref.h", "src/lifetime/ref.c", "src/base/thread.c"),
        {
            "ref_hand_over": Suite(4, 5),
            "ref_owner_counts": Suite(3, 4),
            "ref_shared": Suite(4, 5),
            "ref_queue": Suite(3, 4),
            "ref_try_last": Suite(4, 5),
            "ref_try_unbiased": Suite(4, 6),
            "ref_try_queued": Suite(4, 5),
            "ref_exit": Suite(2, 3),
            "ref_adopted": Suite(2, 3),
            "ref_no_record": Suite(2, 3),
            "ref_two_others": Suite(1, 2, random=200_000),
            "ref_try_three": Suite(1, 2, random=100_000),
            "ref_exit_two": Suite(1, 2, random=100_000),
            "ref_exit_adopted": Suite(1, 2, random=100_000),
        },
    ),
    "smr": Area(
        "smr.cpp",
        ("include/latchwork/smr.h", "src/lifetime/smr.c", "src/base/thread.c"),
        {
            "smr_read": Suite(3, 4, fences=ALL_FENCES),
            "smr_nested": Suite(3, 5, fences=ALL_FENCES),
            "smr_own_section": Suite(4, 6),
            "smr_replace": Suite(2, 4, fences=ALL_FENCES),
            "smr_two_retirers": Suite(2, 3, random=50_000, fences=ALL_FENCES),
            "smr_alone": Suite(3, 5, fences=ALL_FENCES),
            "smr_leave": Suite(3, 4, fences=ALL_FENCES),
            "smr_exit_inside": Suite(2, 3),
            "smr_killed": Suite(2, 3),
            "smr_orphan": Suite(1, 2, random=50_000, fences=ALL_FENCES),
            "smr_anonymous": Suite(2, 4, fences=ALL_FENCES),
            "smr_anonymous_exit": Suite(2, 4, fences=ALL_FENCES),
            "smr_anonymous_scan": Suite(2, 4, fences=ALL_FENCES),
            "smr_anonymous_retire": Suite(2, 4, fences=ALL_FENCES),
            "smr_adopted": Suite(2, 2, random=50_000, fences=ALL_FENCES),
            "smr_wait": Suite(3, 5, fences=ALL_FENCES),
            "smr_grace": Suite(3, 4, fences=ALL_FENCES),
            "smr_flushed": Suite(3, 4, fences=ALL_FENCES),
            "smr_refused": Suite(2, 4),
        },
    ),
    "domain": Area(
        "domain.cpp",
        ("src/base/domain.c", "src/base/thread.c", "src/lifetime/smr.c"),
        {
            "domain_first_pair": Suite(4, 6),
            "domain_first_three": Suite(2, 4),
            "domain_adopt": Suite(4, 6),
            "domain_two_copies": Suite(4, 6),
            "domain_two_versions": Suite(4, 6),
            "domain_past_another": Suite(4, 6),
            "domain_fork_half": Suite(4, 6),
            "domain_foreign_last": Suite(4, 6),
            "domain_late_key": Suite(2, 4),
            "domain_late_key_asked": Suite(2, 4),
            "domain_hooks": Suite(4, 6),
            "domain_records": Suite(2, 3),
            "domain_fork_child": Suite(2, 2),
        },
    ),
    "futex": Area(
        "futex.cpp",
        ("src/platform/futex.c",),
        {
            "futex_lock_pair": Suite(4, 6),
            "futex_lock_three": Suite(3, 4),
            "futex_parker": Suite(4, 6),
            "futex_mutex": Suite(3, 5),
        },
    ),
    "posix": Area(
        "posix.cpp",
        ("src/platform/posix.c",),
        {
            "posix_lock": Suite(4, 6),
            "posix_parker_plain": Suite(4, 6),
            "posix_parker_timed": Suite(4, 6),
            "posix_parker_interrupted": Suite(4, 6),
        },
    ),
}


@dataclass(frozen=True)
class Redundant:
    """An order, or a fence, without which nothing goes wrong that models see; why it stays."""

    file: str
    code: str  # a part of the line
    to: tuple[str, ...]
    why: str


# Where what finds a weaker order is far from the quickest of those that come by: file, a part of
# the line, suite.
FIRST = (("src/base/domain.c", "lw_atomic_store_release_ptr(&lw_park_flags_", "mutex_first"),)

WEAKER = ("relaxed", "acquire", "release")

DOMAIN = "src/base/domain.c"

REDUNDANT = (
    Redundant(
        "src/locks/biased_mutex.c",
        "return lw_atomic_load_acquire_ptr(&m->word);",
        WEAKER,
        "for the record that the word names: its memory, which was zeroed by another thread; "
        "models do not see that",
    ),
    Redundant(
        "src/locks/biased_mutex.c",
        "lw_atomic_store_release_ptr(&w->mutex->word, lw_biased_word(w->from, LW_BIASED_TO_));",
        WEAKER,
        "the barrier (7) lies between what it passes on and this store, which race detectors do "
        "not see",
    ),
    Redundant(
        "include/latchwork/smr.h",
        "uint64_t epoch = lw_atomic_load_acquire_u64(self->smr_clock);",
        WEAKER,
        "the two halves of the fence order the unlink before the section's loads as well; the "
        "pair (1)-(4) shows it without them, and to race detectors",
    ),
    Redundant(
        "src/lifetime/smr.c",
        "return lw_atomic_add_acq_rel_u64(&d->smr_clock, 1) + 1;",
        WEAKER,
        "as (1) in smr.h, the other half",
    ),
    Redundant(
        "src/lifetime/ref.c",
        "lw_atomic_cas_acquire_u32(&ref->shared, &shared, shared + LW_REF_ONE_)",
        WEAKER,
        "what the finder needs was published with the pointer; ref.h promises acquire all the same",
    ),
    Redundant(
        "src/lifetime/ref.c",
        "lw_atomic_store_release_ptr(&owner->head.ref_queue, lw_ref_linked(ref));",
        WEAKER,
        "for the child of a fork, whose memory is the parent's at one moment; no suite has that",
    ),
    Redundant(
        DOMAIN,
        "void *known = lw_atomic_load_acquire_ptr(&lw_current);",
        WEAKER,
        "the fences of park.c order the announcements; acquire is for the domain's plain fields, "
        "which models do not see",
    ),
    Redundant(
        DOMAIN,
        "lw_atomic_cas_acquire_u32(&lw_own_state, &untouched, 1)",
        WEAKER,
        "the winner has nothing to see, the others go on to (2)",
    ),
    Redundant(
        DOMAIN,
        "lw_atomic_cas_acq_rel_ptr(&lw_current, &none, other)",
        ("release",),
        "what is found there is only compared",
    ),
)


@dataclass(frozen=True)
class Unreached:
    """A place that no suite comes by, and why."""

    file: str
    code: str
    why: str


UNREACHED = (
    Unreached(
        DOMAIN,
        "if (lw_atomic_load_acquire_u32(&d->allocated) != 0) {",
        "lw_domain_set_allocator is called before other threads use the library",
    ),
    Unreached(
        "src/locks/biased_mutex.c",
        "(const lw_record *)lw_atomic_load_acquire_ptr(&lw_domain_get()->records);",
        "lw_biased_mutex_awaited_ is for tests, and models look for themselves",
    ),
)
